import { createCopies } from './copies.ts';
import type { ApiKey, User } from './generated/client.ts';
import type { Stamps } from './stamps.ts';

/** A key with its owner. */
export type ApiKeyHolder = { key: ApiKey; user: User };

/** How long a key counts as one that was just seen, after it was read. */
const KEPT_MS = 600_000;
/** What is changed in the database past this service is seen after this long. */
const MAX_AGE_MS = 10_000;

type Copy = { holder: ApiKeyHolder; stamp: string; readAt: number };

const isCurrent = (copy: Copy, stamp: string | undefined): boolean =>
  stamp !== undefined && copy.stamp === stamp && Date.now() - copy.readAt < MAX_AGE_MS;

/**
 * Copies of keys and their holders, each good while its user's stamp is the same: a key in use costs one question to Redis and none
 * to the database.
 *
 * @param find Asks the database.
 * @param most Keys that a process keeps a copy of.
 */
export const createApiKeyCopies = (
  find: (keyHash: string) => Promise<ApiKeyHolder | undefined>,
  stamps: Stamps,
  most: number,
) => {
  const copies = createCopies<Copy>(most, KEPT_MS);

  const keep = (keyHash: string, holder: ApiKeyHolder | undefined, stamp: string | undefined): void => {
    copies.delete(keyHash);
    if (!holder || stamp === undefined) return;
    copies.set(keyHash, { holder, stamp, readAt: Date.now() });
  };

  const firstLook = async (keyHash: string): Promise<ApiKeyHolder | undefined> => {
    const userId = (await find(keyHash))?.user.id;
    return userId === undefined ? undefined : look(keyHash, undefined, stamps.read(userId));
  };

  const look = async (keyHash: string, copy: Copy | undefined, read: ReturnType<Stamps['read']>) => {
    const stamp = await read;
    if (copy && isCurrent(copy, stamp)) return copy.holder;
    // Read after the stamp was: what changes from now on changes the stamp as well.
    const holder = await find(keyHash);
    keep(keyHash, holder, stamp);
    return holder;
  };

  /** At once, where a copy is known to be current. */
  const findByHash = (keyHash: string): ApiKeyHolder | Promise<ApiKeyHolder | undefined> => {
    const copy = copies.get(keyHash);
    if (!copy) return firstLook(keyHash);
    // Whose key it is never changes: the copy says whose stamp to ask for.
    const stamp = stamps.read(copy.holder.user.id);
    return typeof stamp === 'string' && isCurrent(copy, stamp) ? copy.holder : look(keyHash, copy, stamp);
  };

  /** Whether this process has seen the key in use: somebody's it was, a moment ago. */
  const knows = (keyHash: string): boolean => copies.has(keyHash);

  /** The holder, where a copy is known to be current without anybody being asked. */
  const atHand = (keyHash: string): ApiKeyHolder | undefined => {
    const copy = copies.get(keyHash);
    return copy && isCurrent(copy, stamps.known(copy.holder.user.id)) ? copy.holder : undefined;
  };

  return { findByHash, knows, atHand };
};
