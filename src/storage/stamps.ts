import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { createCopies } from './copies.ts';
import type { Units } from './units.ts';

/**
 * A word per user that changes with everything their credentials depend on: role, ban, profile, keys. A copy of what was read
 * under one stamp is good for as long as the stamp is the same.
 */
export type Stamps = {
  /** The user's stamp now; undefined while something of theirs is being changed, and when it cannot be known. */
  read(userId: string): string | undefined | Promise<string | undefined>;
  /** As `read`, where nobody has to be asked; undefined otherwise. */
  known(userId: string): string | undefined;
  /**
   * Runs a change of the user, so that nobody takes a copy made before it for current afterwards.
   *
   * @throws what `change` throws, and when the stamp cannot be replaced: before it, nothing is changed then; after it, all is done, and
   *   may be again.
   */
  changing<T>(userId: string, change: () => Promise<T>): Promise<T>;
};

/** Inside a unit of work a change lasts until the unit has ended: a stamp made before its commit would vouch for what was. */
export const unitStamps = (stamps: Stamps, { current }: Pick<Units, 'current'>): Stamps => ({
  ...stamps,
  async changing(userId, change) {
    const unit = current();
    if (!unit) return stamps.changing(userId, change);
    await new Promise<void>((resolve, reject) => {
      const changed = stamps.changing(userId, () => {
        resolve();
        return unit.over;
      });
      changed.catch(reject);
      unit.closing.push(changed);
    });
    return change();
  },
});

/** A stamp nobody asked after is made anew when somebody does. */
const TTL_SECONDS = 86_400;
/** What is left of a process that died while it changed something. */
const CHANGING_SECONDS = 30;
const CHANGING = 'changing';

/** How long a process goes by a stamp it has read: so long may a change by another one stay unseen. */
const REMEMBERED_MS = 500;

/**
 * In Redis: this process sees its own changes at once, and those of others within half a second.
 *
 * @param most Users whose stamps a process remembers at once.
 */
export const createRedisStamps = (redis: Redis, prefix: string, most: number): Stamps => {
  const keyOf = (userId: string) => `${prefix}stamp:${userId}`;
  const remembered = createCopies<{ stamp: string | undefined; until: number }>(most, REMEMBERED_MS);

  const ask = async (key: string): Promise<string | undefined> => {
    try {
      let stamp = await redis.get(key);
      if (stamp === null) {
        await redis.set(key, randomUUID(), 'EX', TTL_SECONDS, 'NX');
        stamp = await redis.get(key);
      }
      return stamp === null || stamp === CHANGING ? undefined : stamp;
    } catch {
      // Without Redis nothing is taken from a copy: the database is asked.
      return undefined;
    }
  };

  const askAnew = async (userId: string): Promise<string | undefined> => {
    // Counted from before the question: the answer may be as old as that.
    const mine = { stamp: undefined as string | undefined, until: 0 };
    const until = Date.now() + REMEMBERED_MS;
    remembered.set(userId, mine);
    mine.stamp = await ask(keyOf(userId));
    // A change in this process, since the question was asked, has taken the entry away.
    if (mine.stamp !== undefined) mine.until = until;
    return mine.stamp;
  };

  const atHand = (userId: string) => {
    const known = remembered.get(userId);
    return known && known.until > Date.now() ? known : undefined;
  };

  return {
    read(userId) {
      const known = atHand(userId);
      return known ? known.stamp : askAnew(userId);
    },
    known: (userId) => atHand(userId)?.stamp,
    async changing<T>(userId: string, change: () => Promise<T>): Promise<T> {
      const key = keyOf(userId);
      remembered.delete(userId);
      await redis.set(key, CHANGING, 'EX', CHANGING_SECONDS);
      const renew = async (): Promise<void> => {
        remembered.delete(userId);
        await redis.set(key, randomUUID(), 'EX', TTL_SECONDS).finally(() => remembered.delete(userId));
      };
      let done: T;
      try {
        done = await change();
      } catch (error) {
        await renew().catch(() => {});
        throw error;
      }
      // Where this fails the user stays under change until that runs out, unless another change at the same time has made a stamp meanwhile,
      // under which copies were taken that do not know of this one: it must not be acknowledged.
      await renew();
      return done;
    },
  };
};

/** How long another process on the same database may go by what this one has changed. */
const FRESH_MS = 1_000;

/** Without Redis: this process sees its own changes at once, and those of others within a second. */
export const createMemoryStamps = (): Stamps => {
  // None is forgotten while a stamp with it is good, and no number comes twice.
  const changes = createCopies<number>(Number.POSITIVE_INFINITY, 2 * FRESH_MS);
  let serial = 0;
  const underWay = new Map<string, number>();
  const known = (userId: string): string | undefined =>
    underWay.has(userId) ? undefined : `${changes.get(userId) ?? 0}.${Math.floor(performance.now() / FRESH_MS)}`;
  return {
    read: known,
    known,
    async changing(userId, change) {
      underWay.set(userId, (underWay.get(userId) ?? 0) + 1);
      try {
        return await change();
      } finally {
        serial += 1;
        changes.set(userId, serial);
        const left = (underWay.get(userId) ?? 1) - 1;
        if (left > 0) underWay.set(userId, left);
        else underWay.delete(userId);
      }
    },
  };
};
