// As of when a request speaks for an account: by what was read when somebody proved to be its holder, and by what it has shown since.
import { AsyncLocalStorage } from 'node:async_hooks';
import type { User } from '../storage/users.ts';
import { DomainError } from './errors.ts';

type Holder = Pick<User, 'id' | 'credentialsEpoch'>;

/** Whoever showed who they are, and whose sign-ins were ended since. */
export const endedSignIn = () => new DomainError('stale_sign_in', 'this sign-in has ended: sign in again');

/** Where an epoch comes from; the last of these counts before the others. */
const RANKS = ['read', 'shown', 'signed_in', 'stated'] as const;
type Rank = (typeof RANKS)[number];

type Standing = {
  /** What is made for the account is made as of this epoch. */
  epoch: number;
  rank: Rank;
  /** The account's epoch is this at least, and what was made before it is over. */
  floor: number;
};

const scope = new AsyncLocalStorage<Map<string, Standing>>();

const note = (accountId: string, epoch: number, rank: Rank): void => {
  const standings = scope.getStore();
  if (!standings) return;
  const before = standings.get(accountId);
  const floor = Math.max(before?.floor ?? 0, epoch);
  const [rankBefore, rankNow] = [RANKS.indexOf(before?.rank ?? 'read'), RANKS.indexOf(rank)];
  if (!before || rankNow > rankBefore) standings.set(accountId, { epoch, rank, floor });
  // Of several things shown, the oldest; of several readings, the first: nothing is made newer by looking once more.
  else if (rankNow === rankBefore && rank === 'shown')
    standings.set(accountId, { epoch: Math.min(before.epoch, epoch), rank, floor });
  else if (rankNow === rankBefore && rank === 'signed_in') standings.set(accountId, { epoch, rank, floor });
  else standings.set(accountId, { ...before, floor });
};

/** One request, or whatever else knows nothing of others. */
export const withStandings = <T>(work: () => T): T => scope.run(new Map(), work);

/**
 * Does what follows from `holder` having proven who they are. The account is taken as it was read for that proof: should its sign-ins
 * have been ended since, what is made here is worth nothing.
 */
export const asOf = <T>(holder: Holder, work: () => T): T =>
  scope.run(new Map(scope.getStore()), () => {
    note(holder.id, holder.credentialsEpoch, 'stated');
    return work();
  });

/**
 * The request has shown something that was made for the account in this epoch, and speaks for it by that.
 *
 * @returns false when that is known to be over: then it is as if it had not been shown.
 */
export const shows = (accountId: string, epoch: number): boolean => {
  if (isOver(accountId, epoch)) return false;
  note(accountId, epoch, 'shown');
  return true;
};

/**
 * The request goes on with a sign-in that began, or was done, in this epoch.
 *
 * @param done Done: it takes the place of an older one that the request has shown.
 */
export const goesOn = (accountId: string, epoch: number, done: boolean): void =>
  note(accountId, epoch, done ? 'signed_in' : 'shown');

/** Whether something made in this epoch is known to be over, without speaking for the account by it. */
export const isOver = (accountId: string, epoch: number): boolean =>
  epoch < (scope.getStore()?.get(accountId)?.floor ?? 0);

/** The epoch of what is made for the account now. */
export const epochFor = (accountId: string): number => scope.getStore()?.get(accountId)?.epoch ?? 0;

/** Whether the request still speaks for the account, as it has just been read; it may have nothing to say for it yet. */
export const stillSpeaksFor = ({ id, credentialsEpoch }: Holder): boolean => {
  const standing = scope.getStore()?.get(id);
  const speaks = !standing || standing.rank === 'read' || standing.epoch >= credentialsEpoch;
  note(id, credentialsEpoch, 'read');
  return speaks;
};
