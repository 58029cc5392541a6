import type { Redis } from 'ioredis';
import type { Artifacts } from './artifacts.ts';

const MODEL = 'DeniedJwt';
/** What the clocks of processes differ by at most, and then some. */
const SLACK_SECONDS = 300;
const MARK_SECONDS = 30 * 86_400;

/** JWTs that were revoked by themselves, until they expire. */
export type Denials = {
  /** @param idHash What the token is known by. @param expiresAt In epoch seconds. */
  deny(idHash: string, expiresAt: number): Promise<void>;
  /** @param issuedAt Of the token, in epoch seconds. */
  isDenied(idHash: string, issuedAt: number): Promise<boolean>;
};

/**
 * PostgreSQL keeps them, so that none is forgotten with what is in Redis; Redis is asked, so that hardly anybody waits for PostgreSQL.
 * Redis says since when it has known of all of them: a token issued later is denied by Redis or not at all. One issued before, as after
 * Redis was emptied, is looked up in PostgreSQL, and so is every one while Redis does not answer.
 */
export const createDenials = (durable: Pick<Artifacts, 'upsert' | 'find'>, redis?: Redis, prefix = ''): Denials => {
  const keyOf = (idHash: string) => `${prefix}denied:${idHash}`;
  const mark = `${prefix}denied-since`;

  /** undefined when Redis cannot know. */
  const ofRedis = async (client: Redis, idHash: string, issuedAt: number): Promise<boolean | undefined> => {
    try {
      const [denied, since] = await Promise.all([client.exists(keyOf(idHash)), client.get(mark)]);
      if (denied === 1) return true;
      if (since === null) await client.set(mark, Math.ceil(Date.now() / 1000), 'EX', MARK_SECONDS, 'NX');
      else if (issuedAt > Number(since) + SLACK_SECONDS) return false;
    } catch {
      // PostgreSQL is asked.
    }
    return undefined;
  };

  return {
    async deny(idHash, expiresAt) {
      // A process whose clock is slow takes the token for longer than the stores think.
      const until = Math.ceil(expiresAt) + SLACK_SECONDS;
      await durable.upsert(MODEL, idHash, { payload: '', expiresAt: until });
      await redis?.set(keyOf(idHash), '', 'EXAT', until);
    },

    async isDenied(idHash, issuedAt) {
      const known = redis && (await ofRedis(redis, idHash, issuedAt));
      return known ?? (await durable.find(MODEL, idHash)) !== undefined;
    },
  };
};
