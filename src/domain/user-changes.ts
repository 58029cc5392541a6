import type { User } from '../storage/users.ts';
import { claimsOf } from './claims.ts';

/** An address as the audit log tells it: enough to recognise one's own by. */
export const maskedEmail = (email: string): string => email.replace(/^(.)[^@]*/u, '$1***');

// Known by their values, or masked, elsewhere in the event.
const TOLD_APART = new Set(['sub', 'email', 'email_verified', 'preferred_username', 'updated_at']);

/** What the audit log says of an account. */
export const toldOf = (user: Pick<User, 'email' | 'emailVerified' | 'username' | 'role'>): Record<string, unknown> => ({
  email: maskedEmail(user.email),
  email_verified: user.emailVerified,
  username: user.username,
  role: user.role,
});

/** What the audit log says of a ban; null where there is none. */
export const banOf = ({ bannedAt, bannedUntil, banReason }: User) =>
  bannedAt && { since: bannedAt.toISOString(), until: bannedUntil?.toISOString() ?? null, reason: banReason };

/**
 * What a change of an account did, for the audit log: the values before and after where administrators need them, and of the
 * person's profile only which parts it was. Undefined when nothing changed.
 */
export const changesOf = (
  before: User,
  after: User,
): { before: object; after: object; profile?: string[] } | undefined => {
  const [old, now] = [toldOf(before), toldOf(after)];
  // Two addresses can look the same masked.
  const differs = (name: string): boolean =>
    name === 'email' ? before.email !== after.email : old[name] !== now[name];
  const names = Object.keys(old).filter(differs);
  const only = (values: Record<string, unknown>) => Object.fromEntries(names.map((name) => [name, values[name]]));

  const [oldClaims, newClaims] = [claimsOf(before), claimsOf(after)];
  const profile = [...new Set([...Object.keys(oldClaims), ...Object.keys(newClaims)])].filter(
    (name) => !TOLD_APART.has(name) && JSON.stringify(oldClaims[name]) !== JSON.stringify(newClaims[name]),
  );
  if (names.length === 0 && profile.length === 0) return undefined;
  return { before: only(old), after: only(now), ...(profile.length > 0 && { profile: profile.sort() }) };
};
