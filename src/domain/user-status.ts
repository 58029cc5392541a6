import type { User } from '../storage/users.ts';

export type UserStatus = 'active' | 'banned' | 'pending_deletion';

/** Whether a ban holds at `now`; one with an end is over by itself when that has come. */
export const isBanned = (
  { bannedAt, bannedUntil }: Pick<User, 'bannedAt' | 'bannedUntil'>,
  now = new Date(),
): boolean => bannedAt !== null && (bannedUntil === null || bannedUntil > now);

export const statusOf = (user: User, now = new Date()): UserStatus =>
  isBanned(user, now) ? 'banned' : user.eraseAfter ? 'pending_deletion' : 'active';
