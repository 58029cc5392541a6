import type { Cluster, Redis } from 'ioredis';
import type {
  ArtifactEntry,
  ArtifactKey,
  ArtifactModel,
  ArtifactRecord,
  Artifacts,
  StoredArtifact,
} from './artifacts.ts';

/** The contract, and what a store that keeps its truth elsewhere and copies here needs on top. */
export type RedisArtifacts = Artifacts & {
  /** As `find`, but tells a copy that is merely absent (undefined) from one that must not be made now ('fenced'). */
  findCopy(model: ArtifactModel, idHash: string): Promise<ArtifactRecord | 'fenced' | undefined>;
  /** Makes a copy where there is neither a record nor a fence; otherwise changes nothing. Of what names it, it bears the account alone. */
  copy(model: ArtifactModel, idHash: string, stored: StoredArtifact): Promise<void>;
  /** Puts a fence where a copy was or could be: no copy can be made until it expires, FENCE_MS from now. */
  fence(keys: Iterable<ArtifactKey>): Promise<void>;
  /** What `destroyByAccount` would end, with `grantIds` taken as further grants of the account. */
  heldByAccount(accountId: string, grantIds?: string[]): Promise<Holdings>;
  /** Deletes records, leaving no fence. */
  remove(keys: Iterable<ArtifactKey>): Promise<void>;
};

/** `shared` belongs to the account's grants without bearing the account's name. */
export type Holdings = { own: ArtifactKey[]; shared: ArtifactKey[] };

/** How long a fence stands: far longer than anyone takes from its first question to Postgres to its last write here. */
const FENCE_MS = 60_000;

// A record is a hash: p payload, c consumed (epoch seconds), and the values it is indexed by: g grantId, u uid, n userCodeHash,
// a accountId. A fence is a hash with x alone. An index is a sorted set of record names by expiry (epoch milliseconds).
type Field = 'g' | 'u' | 'n' | 'a';

// Every script touches one key, so each runs anywhere on a cluster; each leaves a TTL on what it leaves. Time is the server's.
const SCRIPTS = {
  artifactUpsert: `
    local consumed = redis.call('HGET', KEYS[1], 'c')
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], unpack(ARGV, 2))
    if consumed then redis.call('HSET', KEYS[1], 'c', consumed) end
    redis.call('PEXPIREAT', KEYS[1], ARGV[1])`,
  artifactReplace: `
    if redis.call('HEXISTS', KEYS[1], 'p') == 0 then return 0 end
    local consumed = redis.call('HGET', KEYS[1], 'c')
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], unpack(ARGV, 2))
    if consumed then redis.call('HSET', KEYS[1], 'c', consumed) end
    redis.call('PEXPIREAT', KEYS[1], ARGV[1])
    return 1`,
  artifactCopy: `
    if redis.call('EXISTS', KEYS[1]) == 1 then return end
    redis.call('HSET', KEYS[1], unpack(ARGV, 2))
    redis.call('PEXPIREAT', KEYS[1], ARGV[1])`,
  artifactFence: `
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'x', 1)
    redis.call('PEXPIRE', KEYS[1], ARGV[1])`,
  artifactConsume: `
    if redis.call('HEXISTS', KEYS[1], 'p') == 0 then return 0 end
    return redis.call('HSETNX', KEYS[1], 'c', redis.call('TIME')[1])`,
  artifactConsumedWithin: `
    local consumed = redis.call('HGET', KEYS[1], 'c')
    if consumed and redis.call('TIME')[1] - consumed < tonumber(ARGV[1]) then return 1 end
    return 0`,
  // GT alone would take a key that has no TTL yet for one that lives forever.
  artifactIndex: `
    local now = redis.call('TIME')
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
    redis.call('PEXPIREAT', KEYS[1], ARGV[1], 'NX')
    redis.call('PEXPIREAT', KEYS[1], ARGV[1], 'GT')`,
  artifactListed: `
    local now = redis.call('TIME')
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
    return redis.call('ZRANGE', KEYS[1], 0, -1, 'REV')`,
};

type Scripts = {
  artifactUpsert(key: string, expiresAtMs: number, ...fields: (string | number)[]): Promise<null>;
  artifactReplace(key: string, expiresAtMs: number, ...fields: (string | number)[]): Promise<0 | 1>;
  artifactCopy(key: string, expiresAtMs: number, ...fields: (string | number)[]): Promise<null>;
  artifactFence(key: string, ttlMs: number): Promise<null>;
  artifactConsume(key: string): Promise<0 | 1>;
  artifactConsumedWithin(key: string, seconds: number): Promise<0 | 1>;
  artifactIndex(key: string, expiresAtMs: number, member: string): Promise<null>;
  artifactListed(key: string): Promise<string[]>;
};

const withScripts = (redis: Redis | Cluster): Redis & Scripts => {
  for (const [name, lua] of Object.entries(SCRIPTS)) redis.defineCommand(name, { numberOfKeys: 1, lua });
  // A cluster client has the same commands; TypeScript cannot call the overloads of a union.
  return redis as Redis & Scripts;
};

const nameOf = ({ model, idHash }: ArtifactKey): string => `${model}:${idHash}`;

const keyOf = (name: string): ArtifactKey => {
  const colon = name.indexOf(':');
  return { model: name.slice(0, colon), idHash: name.slice(colon + 1) };
};

const recordOf = (payload: string, consumed: string | null | undefined): ArtifactRecord => ({
  payload,
  ...(consumed && { consumedAt: Number(consumed) }),
});

/**
 * Artifacts in Redis ≥ 7, one server or a cluster. Each command touches one key; a method's commands go out together, in as few
 * round trips as their order allows.
 *
 * An index is written before the record it names, so that a crash in between leaves a name without a record and never a record that
 * `destroyByAccount` cannot find. Nothing but expiry takes a name out of an index again: a name whose record is missing may be one that
 * is just being written. So whoever reads an index asks each record whether it still bears the value.
 *
 * Redis must not evict (`maxmemory-policy noeviction`): an evicted index would hide sessions from `destroyByAccount`.
 *
 * @param options.prefix Begins every key; 'oidc:' by default.
 */
export const createRedisArtifacts = (client: Redis | Cluster, { prefix = 'oidc:' } = {}): RedisArtifacts => {
  const redis = withScripts(client);

  const recordKey = (key: ArtifactKey) => `${prefix}${nameOf(key)}`;
  const byGrantId = (grantId: string) => `${prefix}by-grant:${grantId}`;
  const byUid = (model: ArtifactModel, uid: string) => `${prefix}by-uid:${model}:${uid}`;
  const byUserCode = (model: ArtifactModel, userCodeHash: string) => `${prefix}by-user-code:${model}:${userCodeHash}`;
  const byAccount = (accountId: string) => `${prefix}by-account:${accountId}`;

  const each = async <T>(items: Iterable<T>, command: (item: T) => Promise<unknown>): Promise<void> => {
    await Promise.all(Array.from(items, command));
  };

  const listed = async (index: string): Promise<ArtifactKey[]> => (await redis.artifactListed(index)).map(keyOf);

  /** Writes the indexes; the record's fields, to be written next. */
  const index = async (key: ArtifactKey, entry: ArtifactEntry, expiresAtMs: number): Promise<string[]> => {
    const { payload, grantId, uid, userCodeHash, accountId } = entry;
    const fields = ['p', payload];
    const indexes: string[] = [];
    const add = (field: Field, value: string | undefined, name: (value: string) => string) => {
      if (value === undefined) return;
      fields.push(field, value);
      indexes.push(name(value));
    };
    add('g', grantId, byGrantId);
    add('u', uid, (value) => byUid(key.model, value));
    add('n', userCodeHash, (value) => byUserCode(key.model, value));
    add('a', accountId, byAccount);
    await each(indexes, (name) => redis.artifactIndex(name, expiresAtMs, nameOf(key)));
    return fields;
  };

  /** Those of the keys whose record bears the value in that field, in the order given. */
  const bearing = async (keys: ArtifactKey[], field: Field, value: string) => {
    const found = await Promise.all(
      keys.map(async (key) => {
        const [payload, consumed, grantId, actual] = await redis.hmget(recordKey(key), 'p', 'c', 'g', field);
        return actual === value && typeof payload === 'string'
          ? [{ key, grantId, record: recordOf(payload, consumed) }]
          : [];
      }),
    );
    return found.flat();
  };

  const artifacts: RedisArtifacts = {
    async upsert(model, idHash, entry) {
      const key = { model, idHash };
      const expiresAtMs = Math.floor(entry.expiresAt * 1000);
      const fields = await index(key, entry, expiresAtMs);
      await redis.artifactUpsert(recordKey(key), expiresAtMs, ...fields);
    },

    async replace(model, idHash, entry) {
      const key = { model, idHash };
      const expiresAtMs = Math.floor(entry.expiresAt * 1000);
      const fields = await index(key, entry, expiresAtMs);
      return (await redis.artifactReplace(recordKey(key), expiresAtMs, ...fields)) === 1;
    },

    async copy(model, idHash, { payload, accountId, consumedAt, expiresAt }) {
      const key = { model, idHash };
      const expiresAtMs = Math.floor(expiresAt * 1000);
      const fields = ['p', payload];
      if (consumedAt !== undefined) fields.push('c', String(consumedAt));
      let indexed: Promise<unknown> | undefined;
      if (accountId !== undefined) {
        fields.push('a', accountId);
        indexed = redis.artifactIndex(byAccount(accountId), expiresAtMs, nameOf(key));
        // One server takes them in the order they are sent in; the nodes of a cluster do not know of each other.
        if (redis.isCluster) await indexed;
      }
      await Promise.all([indexed, redis.artifactCopy(recordKey(key), expiresAtMs, ...fields)]);
    },

    async find(model, idHash) {
      const [payload, consumed] = await redis.hmget(recordKey({ model, idHash }), 'p', 'c');
      return typeof payload === 'string' ? recordOf(payload, consumed) : undefined;
    },

    async findCopy(model, idHash) {
      const [payload, consumed, fenced] = await redis.hmget(recordKey({ model, idHash }), 'p', 'c', 'x');
      if (fenced) return 'fenced';
      return typeof payload === 'string' ? recordOf(payload, consumed) : undefined;
    },

    async findByUid(model, uid) {
      const [found] = await bearing(await listed(byUid(model, uid)), 'u', uid);
      return found?.record;
    },

    async findByUserCode(model, userCodeHash) {
      const [found] = await bearing(await listed(byUserCode(model, userCodeHash)), 'n', userCodeHash);
      return found?.record;
    },

    async findByAccount(model, accountId) {
      const ofModel = (await listed(byAccount(accountId))).filter((key) => key.model === model);
      return (await bearing(ofModel, 'a', accountId)).map(({ record }) => record);
    },

    async consume(model, idHash) {
      return (await redis.artifactConsume(recordKey({ model, idHash }))) === 1;
    },

    async consumedWithin(model, idHash, seconds) {
      return (await redis.artifactConsumedWithin(recordKey({ model, idHash }), seconds)) === 1;
    },

    destroy: (model, idHash) => artifacts.remove([{ model, idHash }]),

    async revokeByGrantId(model, grantId) {
      const ofModel = (await listed(byGrantId(grantId))).filter((key) => key.model === model);
      const found = await bearing(ofModel, 'g', grantId);
      await artifacts.remove(found.map(({ key }) => key));
    },

    async destroyByUid(model, uid) {
      const found = await bearing(await listed(byUid(model, uid)), 'u', uid);
      await artifacts.remove(found.map(({ key }) => key));
    },

    async destroyByAccount(accountId) {
      const { own, shared } = await artifacts.heldByAccount(accountId);
      // The account's own artifacts lead to the shared ones: they go last, so that a second call finds what a first one left.
      await artifacts.remove(shared);
      await artifacts.remove(own);
    },

    // Expiry is Redis' own.
    sweep: async () => 0,

    async heldByAccount(accountId, grantIds = []) {
      const own = await bearing(await listed(byAccount(accountId)), 'a', accountId);
      const ownNames = new Set(own.map(({ key }) => nameOf(key)));
      const grants = new Set([...grantIds, ...own.flatMap(({ grantId }) => grantId ?? [])]);
      const shared = await Promise.all(
        Array.from(grants, async (grantId) => bearing(await listed(byGrantId(grantId)), 'g', grantId)),
      );
      return {
        own: own.map(({ key }) => key),
        shared: shared.flatMap((found) => found.map(({ key }) => key)).filter((key) => !ownNames.has(nameOf(key))),
      };
    },

    fence: (keys) => each(keys, (key) => redis.artifactFence(recordKey(key), FENCE_MS)),
    remove: (keys) => each(keys, (key) => redis.unlink(recordKey(key))),
  };
  return artifacts;
};
