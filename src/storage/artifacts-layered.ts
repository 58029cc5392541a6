import type { ArtifactKey, ArtifactModel, Artifacts, StoredArtifact } from './artifacts.ts';
import type { PostgresArtifacts } from './artifacts-postgres.ts';
import type { RedisArtifacts } from './artifacts-redis.ts';

/** What must outlive Redis. */
const DURABLE: ReadonlySet<ArtifactModel> = new Set(['Grant', 'RefreshToken']);

/** A copy lives this long at most: whatever a crash, or a Redis restored from an older snapshot, left stale ends with it. */
const COPY_SECONDS = 600;

const isDurable = ({ model }: ArtifactKey): boolean => DURABLE.has(model);

/**
 * Redis in front of Postgres. Grants and refresh tokens live in Postgres, with a copy in Redis to read from; every other model
 * lives in Redis alone. A Redis that was flushed loses no grant, no refresh token, and no mark of its consumption.
 *
 * A copy does not outlast a change, by one rule: it is only ever made where there is none, and whoever changes a row in Postgres
 * fences its copy. While a fence stands (a minute) reads go to Postgres and no copy can be made; so a reader or writer that saw
 * the row before the change cannot bring it back. The fence comes before the change: a crash in between changed nothing.
 * It comes after only where the row is not known before: an `upsert` that turns out to replace, and rows of which Redis has no copy.
 *
 * Without Redis, a durable model can still be found, and nothing else: every other method rejects (it fails closed).
 * A durable `upsert` has then reached Postgres, everything else has changed nothing.
 */
export const createLayeredArtifacts = (redis: RedisArtifacts, postgres: PostgresArtifacts): Artifacts => {
  const copy = (model: ArtifactModel, idHash: string, stored: StoredArtifact) => {
    const expiresAt = Math.min(stored.expiresAt, Date.now() / 1000 + COPY_SECONDS);
    return redis.copy(model, idHash, { ...stored, expiresAt });
  };

  /** @param listed What there may be copies of. A copy made in the meantime is of a row that `remove` names. */
  const removeFenced = async (listed: ArtifactKey[], remove: () => Promise<ArtifactKey[]>): Promise<void> => {
    await redis.fence(listed);
    const removed = await remove();
    await redis.fence(removed.filter(isDurable));
  };

  return {
    /**
     * Durable models: Postgres, then Redis. If Redis fails after a replace, the former content may be read for as long as its
     * copy lives, ten minutes at most.
     */
    async upsert(model, idHash, entry) {
      if (!DURABLE.has(model)) return redis.upsert(model, idHash, entry);
      if ((await postgres.write(model, idHash, entry)) === 'inserted') {
        // A grant is asked after with the next request; a refresh token when its copy would be gone again.
        if (model === 'Grant') await copy(model, idHash, entry);
      } else await redis.fence([{ model, idHash }]);
    },

    /** Durable models: Postgres. */
    async replace(model, idHash, entry) {
      if (!DURABLE.has(model)) return redis.replace(model, idHash, entry);
      await redis.fence([{ model, idHash }]);
      return postgres.replace(model, idHash, entry);
    },

    /** Durable models: from Redis; on a miss from Postgres, leaving a copy. When Redis fails, Postgres answers. */
    async find(model, idHash) {
      if (!DURABLE.has(model)) return redis.find(model, idHash);
      const copied = await redis.findCopy(model, idHash).catch(() => 'fenced' as const);
      if (copied === 'fenced') return postgres.find(model, idHash);
      if (copied) return copied;

      const stored = await postgres.read(model, idHash);
      if (!stored) return undefined;
      // The answer is there already; a copy that could not be made is made by the next reader.
      await copy(model, idHash, stored).catch(() => undefined);
      const { payload, consumedAt } = stored;
      return consumedAt === undefined ? { payload } : { payload, consumedAt };
    },

    /** Durable models: from Postgres. */
    findByUid: (model, uid) => (DURABLE.has(model) ? postgres : redis).findByUid(model, uid),

    /** Durable models: from Postgres. */
    findByUserCode: (model, userCodeHash) =>
      (DURABLE.has(model) ? postgres : redis).findByUserCode(model, userCodeHash),

    /** Durable models: from Postgres. */
    findByAccount: (model, accountId) => (DURABLE.has(model) ? postgres : redis).findByAccount(model, accountId),

    /** Durable models: decided by Postgres; the copy goes, and the next one bears the mark. */
    async consume(model, idHash) {
      if (!DURABLE.has(model)) return redis.consume(model, idHash);
      await redis.fence([{ model, idHash }]);
      return postgres.consume(model, idHash);
    },

    /** Durable models: from Postgres, whose clock has made the mark. */
    consumedWithin: (model, idHash, seconds) =>
      (DURABLE.has(model) ? postgres : redis).consumedWithin(model, idHash, seconds),

    async destroy(model, idHash) {
      if (!DURABLE.has(model)) return redis.destroy(model, idHash);
      await redis.fence([{ model, idHash }]);
      await postgres.destroy(model, idHash);
    },

    async revokeByGrantId(model, grantId) {
      if (!DURABLE.has(model)) return redis.revokeByGrantId(model, grantId);
      const listed = await postgres.keysByGrantId(model, grantId);
      await removeFenced(listed, () => postgres.removeByGrantId(model, grantId));
    },

    async destroyByUid(model, uid) {
      if (!DURABLE.has(model)) return redis.destroyByUid(model, uid);
      const listed = await postgres.keysByUid(model, uid);
      await removeFenced(listed, () => postgres.removeByUid(model, uid));
    },

    /** Postgres' rows go last: only they lead to everything that belongs to the account's grants, so a second call needs them. */
    async destroyByAccount(accountId) {
      const { own, shared } = await redis.heldByAccount(accountId, await postgres.grantIdsOf(accountId));
      const held = [...own, ...shared];
      await redis.remove(held.filter((key) => !isDurable(key)));
      await removeFenced(held.filter(isDurable), () => postgres.removeByAccount(accountId));
    },

    /** Postgres; Redis expires by itself. */
    sweep: (limit) => postgres.sweep(limit),
  };
};
