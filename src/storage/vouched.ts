import { type Copies, createCopies } from './copies.ts';
import type { Database } from './postgres-pool.ts';
import type { Stamps } from './stamps.ts';
import type { Units } from './units.ts';

/** What may be gone by while the database is away is no older than this. */
const MAX_AGE_MS = 600_000;
/** A copy is made anew after this long, which costs a question to Redis: after a change the former one is good for nothing. */
const RENEW_MS = 1_000;
/** How long the database is waited for by who has a copy. */
const PATIENCE_MS = 1_000;

/** Reads what `id` names from the database; while that does not answer, from a copy under an unchanged stamp. */
export type VouchedRead = <T>(kind: string, id: string, read: () => Promise<T | undefined>) => Promise<T | undefined>;

const slow = Symbol('slow');

/**
 * Copies of what live tokens are held against, for while the database is away. Each was read under a stamp that every change replaces;
 * it is good for as long as the stamp is the same, and so nothing that was changed, and acknowledged as such, is taken from a copy.
 * Without Redis there are no stamps that others see, and no copies.
 *
 * @param most Copies of each kind.
 */
export const createVouchedRead = (
  stamps: Pick<Stamps, 'read' | 'changing'>,
  { isAway, suspect }: Pick<Database, 'isAway' | 'suspect'>,
  { current }: Pick<Units, 'current'>,
  most: number,
): VouchedRead => {
  type Copy = { value: unknown; stamp: string; readAt: number };
  const kinds = new Map<string, Copies<Copy>>();

  const copiesOf = (kind: string): Copies<Copy> => {
    const known = kinds.get(kind) ?? createCopies<Copy>(most, MAX_AGE_MS);
    kinds.set(kind, known);
    return known;
  };

  return async <T>(kind: string, id: string, read: () => Promise<T | undefined>): Promise<T | undefined> => {
    // What a transaction reads it may have written.
    if (current()) return read();
    const copies = copiesOf(kind);
    const copy = copies.get(id);
    const vouched = async (): Promise<Copy | undefined> =>
      copy && Date.now() - copy.readAt < MAX_AGE_MS && (await stamps.read(id)) === copy.stamp ? copy : undefined;

    const renewed = async (): Promise<T | undefined> => {
      // Before the row is: what changes from now on changes the stamp as well.
      const stamp = await stamps.read(id);
      const value = await read();
      copies.delete(id);
      if (stamp !== undefined && value !== undefined) copies.set(id, { value, stamp, readAt: Date.now() });
      return value;
    };

    if (!copy) return renewed();
    if (isAway()) {
      const good = await vouched();
      if (good) return good.value as T;
    }
    const reading = Date.now() - copy.readAt > RENEW_MS ? renewed() : read();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<typeof slow>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS, slow);
    });
    try {
      const answer = await Promise.race([reading, patience]);
      if (answer !== slow) return answer;
      suspect();
    } catch (error) {
      const good = isAway() ? await vouched() : undefined;
      if (good) return good.value as T;
      throw error;
    } finally {
      clearTimeout(timer);
    }
    const good = await vouched();
    if (!good) return reading;
    reading.catch(() => {});
    return good.value as T;
  };
};
