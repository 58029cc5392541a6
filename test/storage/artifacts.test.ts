// One suite for every backend of the artifacts contract, then what only Redis and only the layers promise.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';
import type { ArtifactEntry, Artifacts } from '../../src/storage/artifacts.ts';
import { createLayeredArtifacts } from '../../src/storage/artifacts-layered.ts';
import { createPostgresArtifacts, type PostgresArtifacts } from '../../src/storage/artifacts-postgres.ts';
import { createRedisArtifacts, type RedisArtifacts } from '../../src/storage/artifacts-redis.ts';
import { testDatabase } from '../helpers/database.ts';
import { keysOf, NO_REDIS, type TestRedis, testRedis, testRedisCluster } from '../helpers/redis.ts';

const [database, server, cluster] = await Promise.all([testDatabase(), testRedis(), testRedisCluster()]);
const postgres = createPostgresArtifacts(database.pool);

test.after.always(async () => {
  await server?.close();
  await cluster?.close();
  await database.close();
});

const nowSeconds = () => Math.floor(Date.now() / 1000);
const entry = (over: Partial<ArtifactEntry> = {}): ArtifactEntry => ({
  payload: 'sealed',
  expiresAt: nowSeconds() + 60,
  ...over,
});
/** Only in serial tests: others may keep each other waiting for longer than this. */
const inTwoSeconds = () => Date.now() / 1000 + 2;
const until = (epochSeconds: number) => sleep(Math.max(0, epochSeconds * 1000 - Date.now()) + 50);

// ---------------------------------------------------------------------------------------------------------------------
// Every backend
// ---------------------------------------------------------------------------------------------------------------------

const onRedis = ({ client, prefix }: Pick<TestRedis, 'client' | 'prefix'>) => createRedisArtifacts(client, { prefix });

type Backend = { name: string; artifacts: Artifacts | undefined; without: string; mustRunInCi: boolean };
const backends: Backend[] = [
  { name: 'Postgres', artifacts: postgres, without: '', mustRunInCi: true },
  { name: 'Redis', artifacts: server && onRedis(server), without: NO_REDIS, mustRunInCi: true },
  {
    name: 'Redis Cluster',
    artifacts: cluster && createRedisArtifacts(cluster.client, { prefix: cluster.prefix }),
    without: 'install redis-server; TEST_REDIS_URL does not do for a cluster',
    mustRunInCi: false,
  },
  {
    name: 'Layered',
    artifacts: server && createLayeredArtifacts(onRedis({ ...server, prefix: `${server.prefix}layered:` }), postgres),
    without: NO_REDIS,
    mustRunInCi: true,
  },
];

/** In CI a backend that must be there fails the run, elsewhere it is left out for everyone to see. */
const leaveOut = (name: string, why: string, mustRunInCi: boolean) => {
  if (mustRunInCi && process.env.CI === 'true') test(name, (t) => t.fail(why));
  else test.skip(`${name} — SKIPPED, ${why}`, (t) => t.pass());
};

// Serial, and first: it counts what has expired, whoever left it.
for (const { name, artifacts } of backends.filter((backend) => ['Postgres', 'Layered'].includes(backend.name))) {
  if (!artifacts) continue;
  test.serial(
    `${name}: a sweep deletes what has expired, no more than its limit, and nothing that lives`,
    async (t) => {
      const live = randomUUID();
      await artifacts.upsert('Grant', live, entry());
      for (let row = 0; row < 25; row += 1) {
        await artifacts.upsert('RefreshToken', randomUUID(), entry({ expiresAt: nowSeconds() - 1 - row }));
      }
      t.deepEqual([await artifacts.sweep(10), await artifacts.sweep(10), await artifacts.sweep(10)], [10, 10, 5]);
      t.is(await artifacts.sweep(), 0);
      t.truthy(await artifacts.find('Grant', live));
    },
  );
}

const expires = async (t: ExecutionContext, { name, artifacts }: Backend, model: string) => {
  if (!artifacts) return;
  const said = `${name}, ${model}`;
  const [id, uid, userCodeHash, expiresAt] = [randomUUID(), randomUUID(), randomUUID(), inTwoSeconds()];
  const found = () =>
    Promise.all([
      artifacts.find(model, id),
      artifacts.findByUid(model, uid),
      artifacts.findByUserCode(model, userCodeHash),
    ]);
  await artifacts.upsert(model, id, entry({ expiresAt, uid, userCodeHash }));
  t.deepEqual(await found(), Array(3).fill({ payload: 'sealed' }), said);
  t.true(await artifacts.consume(model, id), said);
  await until(expiresAt);
  t.deepEqual(await found(), Array(3).fill(undefined), said);
  t.false(await artifacts.consume(model, id), said);
  await artifacts.upsert(model, id, entry({ uid, userCodeHash }));
  t.deepEqual(await found(), Array(3).fill({ payload: 'sealed' }), `${said}: the mark should have expired too`);
  t.true(await artifacts.consume(model, id), said);
};
test.serial(
  'All: what has expired is gone, whichever way it is looked for, and its consumed mark with it',
  async (t) => {
    await Promise.all(
      backends.flatMap((backend) => [expires(t, backend, 'DeviceCode'), expires(t, backend, 'RefreshToken')]),
    );
  },
);

for (const { name, artifacts, without, mustRunInCi } of backends) {
  if (!artifacts) {
    leaveOut(`${name}: the artifacts contract`, without, mustRunInCi);
    continue;
  }
  const promise = (title: string, keep: (t: ExecutionContext) => Promise<void>) => test(`${name}: ${title}`, keep);
  const gone = async (t: ExecutionContext, model: string, ...ids: string[]) => {
    for (const id of ids) t.is(await artifacts.find(model, id), undefined, `${model} ${id} is still there`);
  };
  const there = async (t: ExecutionContext, model: string, ...ids: string[]) => {
    for (const id of ids) t.truthy(await artifacts.find(model, id), `${model} ${id} is gone`);
  };

  // One model that the layers keep in Redis alone, and one of those they keep in Postgres.
  for (const model of ['DeviceCode', 'RefreshToken']) {
    promise(`of 100 concurrent consumptions of one ${model} exactly one succeeds`, async (t) => {
      const id = randomUUID();
      await artifacts.upsert(model, id, entry());
      const outcomes = await Promise.all(Array.from({ length: 100 }, () => artifacts.consume(model, id)));
      t.is(outcomes.filter(Boolean).length, 1);
      t.false(await artifacts.consume(model, id));
      const consumedAt = (await artifacts.find(model, id))?.consumedAt ?? 0;
      t.true(Number.isInteger(consumedAt) && Math.abs(consumedAt - nowSeconds()) <= 5, `consumed at ${consumedAt}`);
    });

    promise(`when a ${model} was consumed is told by the store’s clock`, async (t) => {
      const id = randomUUID();
      await artifacts.upsert(model, id, entry());
      t.false(await artifacts.consumedWithin(model, id, 60), 'unspent');
      t.false(await artifacts.consumedWithin(model, randomUUID(), 60), 'unknown');
      await artifacts.consume(model, id);
      const { now } = Date;
      // Of the process that asks, whatever it shows. Nothing else is asked meanwhile.
      Date.now = () => now() + 86_400_000;
      const asked = artifacts.consumedWithin(model, id, 60);
      Date.now = now;
      t.true(await asked);
      t.false(await artifacts.consumedWithin(model, id, 0), 'not a moment');
    });

    promise(
      `a ${model} is replaced where it is, mark and all, and one that was ended meanwhile stays so`,
      async (t) => {
        const [id, grantId] = [randomUUID(), randomUUID()];
        await artifacts.upsert(model, id, entry({ grantId }));
        t.truthy(await artifacts.find(model, id));
        await artifacts.consume(model, id);
        t.true(await artifacts.replace(model, id, entry({ payload: 'anew', grantId })));
        const replaced = await artifacts.find(model, id);
        t.is(replaced?.payload, 'anew');
        t.truthy(replaced?.consumedAt);
        await artifacts.revokeByGrantId(model, grantId);
        t.false(await artifacts.replace(model, id, entry({ payload: 'once more', grantId })));
        t.is(await artifacts.find(model, id), undefined);
        t.false(await artifacts.replace(model, randomUUID(), entry()), 'never was');
      },
    );

    promise(`an account's ${model}s are found, all that live, and nobody else's`, async (t) => {
      const [accountId, other] = [randomUUID(), randomUUID()];
      const ids = Array.from({ length: 5 }, () => randomUUID());
      const [first = '', second = '', third = '', fourth = '', fifth = ''] = ids;
      await artifacts.upsert(model, first, entry({ payload: 'first', accountId }));
      await artifacts.upsert(model, second, entry({ payload: 'second', accountId, grantId: randomUUID() }));
      await artifacts.upsert(model, third, entry({ accountId, expiresAt: nowSeconds() - 1 }));
      await artifacts.upsert(model, fourth, entry({ accountId: other }));
      await artifacts.upsert(model, fifth, entry({ accountId }));
      await artifacts.destroy(model, fifth);
      await artifacts.upsert('AccessToken', randomUUID(), entry({ accountId }));
      const payloads = async (whose: string) =>
        (await artifacts.findByAccount(model, whose)).map(({ payload }) => payload).sort();
      t.deepEqual(await payloads(accountId), ['first', 'second']);
      t.deepEqual(await payloads(other), ['sealed']);
      t.deepEqual(await payloads(randomUUID()), []);
      // A replace that takes the name away.
      await artifacts.upsert(model, second, entry({ accountId: other }));
      t.deepEqual(await payloads(accountId), ['first']);
      await artifacts.consume(model, first);
      t.is((await artifacts.findByAccount(model, accountId))[0]?.consumedAt !== undefined, true);
      await artifacts.destroyByAccount(accountId);
      t.deepEqual(await payloads(accountId), []);
    });

    promise(`an unknown or expired ${model} cannot be consumed`, async (t) => {
      t.false(await artifacts.consume(model, randomUUID()));
      const id = randomUUID();
      await artifacts.upsert(model, id, entry({ expiresAt: nowSeconds() - 1 }));
      t.is(await artifacts.find(model, id), undefined);
      t.false(await artifacts.consume(model, id));
    });

    promise(`a ${model} replaced has the new payload and keeps its consumed mark`, async (t) => {
      const id = randomUUID();
      await artifacts.upsert(model, id, entry());
      await artifacts.consume(model, id);
      const consumed = await artifacts.find(model, id);
      await artifacts.upsert(model, id, entry({ payload: 'replaced' }));
      t.deepEqual(await artifacts.find(model, id), { payload: 'replaced', consumedAt: consumed?.consumedAt });
      t.false(await artifacts.consume(model, id));
    });

    promise(`a ${model} destroyed is gone, for good, and can be destroyed again`, async (t) => {
      const [id, other] = [randomUUID(), randomUUID()];
      await artifacts.upsert(model, id, entry());
      await artifacts.upsert(model, other, entry());
      await artifacts.destroy(model, id);
      await artifacts.destroy(model, id);
      await gone(t, model, id);
      t.false(await artifacts.consume(model, id));
      await there(t, model, other);
    });

    promise(`a ${model} stored again after it was destroyed is found, unspent`, async (t) => {
      const id = randomUUID();
      await artifacts.upsert(model, id, entry());
      await artifacts.consume(model, id);
      await artifacts.destroy(model, id);
      await artifacts.upsert(model, id, entry({ payload: 'again' }));
      t.deepEqual(await artifacts.find(model, id), { payload: 'again' });
      t.true(await artifacts.consume(model, id));
    });

    promise(`revoking a grant's ${model}s leaves other models and other grants alone`, async (t) => {
      const [first, second, elsewhere, ofAnotherModel] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
      const grantId = randomUUID();
      await artifacts.upsert(model, first, entry({ grantId }));
      await artifacts.upsert(model, second, entry({ grantId }));
      await artifacts.upsert(model, elsewhere, entry({ grantId: randomUUID() }));
      await artifacts.upsert('AccessToken', ofAnotherModel, entry({ grantId }));
      await artifacts.upsert('Grant', grantId, entry({ grantId }));
      await artifacts.revokeByGrantId(model, grantId);
      await artifacts.revokeByGrantId(model, grantId);
      await gone(t, model, first, second);
      await there(t, model, elsewhere);
      await there(t, 'AccessToken', ofAnotherModel);
      await there(t, 'Grant', grantId);
    });

    promise(`a ${model}'s payload of a megabyte beyond ASCII comes back as it was`, async (t) => {
      const id = randomUUID();
      const payload = 'Žluťoučký 漢字 🔐 "\\\r\n\t\u2028'.repeat(40_000);
      t.true(Buffer.byteLength(payload) > 1024 * 1024);
      await artifacts.upsert(model, id, entry({ payload }));
      // Read twice: the layers answer the second time from a copy.
      t.true((await artifacts.find(model, id))?.payload === payload);
      t.true((await artifacts.find(model, id))?.payload === payload);
    });

    promise(`a uid and a user code find the ${model} that bears them now`, async (t) => {
      const [id, uid, userCodeHash] = [randomUUID(), randomUUID(), randomUUID()];
      await artifacts.upsert(model, id, entry({ uid, userCodeHash }));
      await artifacts.consume(model, id);
      const { consumedAt } = (await artifacts.find(model, id)) ?? {};
      t.deepEqual(await artifacts.findByUid(model, uid), { payload: 'sealed', consumedAt });
      t.deepEqual(await artifacts.findByUserCode(model, userCodeHash), { payload: 'sealed', consumedAt });
      t.is(await artifacts.findByUid('Interaction', uid), undefined);
      await artifacts.upsert(model, id, entry({ uid: randomUUID() }));
      t.is(await artifacts.findByUid(model, uid), undefined);
      t.is(await artifacts.findByUserCode(model, userCodeHash), undefined);
    });

    promise(`what bears a uid is destroyed by it, of ${model}s only`, async (t) => {
      const [id, other, ofAnotherModel, uid] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
      await artifacts.upsert(model, id, entry({ uid }));
      await artifacts.upsert(model, other, entry({ uid: randomUUID() }));
      await artifacts.upsert('Session', ofAnotherModel, entry({ uid }));
      await artifacts.destroyByUid(model, uid);
      await artifacts.destroyByUid(model, uid);
      await gone(t, model, id);
      t.is(await artifacts.findByUid(model, uid), undefined);
      await there(t, model, other);
      await there(t, 'Session', ofAnotherModel);
    });
  }

  promise('a session that changed its identifier is found by its uid', async (t) => {
    const [before, after, uid] = [randomUUID(), randomUUID(), randomUUID()];
    // The engine destroys the former session first, then saves the new one, which need not live longer.
    await artifacts.upsert('Session', before, entry({ uid, payload: 'before', expiresAt: nowSeconds() + 90 }));
    await artifacts.destroy('Session', before);
    await artifacts.upsert('Session', after, entry({ uid, payload: 'after' }));
    t.deepEqual(await artifacts.findByUid('Session', uid), { payload: 'after' });
    await artifacts.destroy('Session', after);
    t.is(await artifacts.findByUid('Session', uid), undefined);
  });

  promise('an account loses everything it holds, and nobody else anything', async (t) => {
    const holdings = async (accountId: string) => {
      const [grantId, lapsedGrantId, id] = [randomUUID(), randomUUID(), randomUUID()];
      await artifacts.upsert('Grant', grantId, entry({ grantId, accountId }));
      await artifacts.upsert('Session', id, entry({ uid: randomUUID(), accountId }));
      await artifacts.upsert('RefreshToken', id, entry({ grantId, accountId }));
      // These name the grant only.
      await artifacts.upsert('AccessToken', id, entry({ grantId }));
      await artifacts.upsert('DeviceCode', id, entry({ grantId, userCodeHash: id }));
      await artifacts.upsert('RefreshToken', grantId, entry({ grantId }));
      // A grant whose own record is gone still shows in a token of the account's.
      await artifacts.upsert('AuthorizationCode', id, entry({ grantId: lapsedGrantId, accountId }));
      await artifacts.upsert('AccessToken', grantId, entry({ grantId: lapsedGrantId }));
      return [
        ['Grant', grantId],
        ['Session', id],
        ['RefreshToken', id],
        ['AccessToken', id],
        ['DeviceCode', id],
        ['RefreshToken', grantId],
        ['AuthorizationCode', id],
        ['AccessToken', grantId],
      ] as const;
    };
    const account = randomUUID();
    const theirs = [...(await holdings(account)), ...(await holdings(account))];
    const others = await holdings(randomUUID());
    const nobodys = randomUUID();
    await artifacts.upsert('ClientCredentials', nobodys, entry());

    await artifacts.destroyByAccount(account);
    await artifacts.destroyByAccount(account);
    for (const [model, id] of theirs) await gone(t, model, id);
    for (const [model, id] of others) await there(t, model, id);
    await there(t, 'ClientCredentials', nobodys);
  });

  promise('an artifact that passed to another account does not go with the former one', async (t) => {
    const [id, uid, before, after] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    await artifacts.upsert('Session', id, entry({ uid, accountId: before }));
    await artifacts.upsert('Session', id, entry({ uid, accountId: after }));
    await artifacts.destroyByAccount(before);
    await there(t, 'Session', id);
    await artifacts.destroyByAccount(after);
    await gone(t, 'Session', id);
  });

  promise('deletions of the same artifacts at the same time do not get in each other’s way', async (t) => {
    const [accountId, grantId] = [randomUUID(), randomUUID()];
    const ids = Array.from({ length: 40 }, () => randomUUID());
    await Promise.all(
      ids.map((id) => artifacts.upsert('RefreshToken', id, entry({ accountId, grantId, uid: grantId }))),
    );
    await t.notThrowsAsync(
      Promise.all([
        ...Array.from({ length: 4 }, () => artifacts.destroyByAccount(accountId)),
        ...Array.from({ length: 4 }, () => artifacts.revokeByGrantId('RefreshToken', grantId)),
        ...Array.from({ length: 4 }, () => artifacts.destroyByUid('RefreshToken', grantId)),
        ...ids.map((id) => artifacts.destroy('RefreshToken', id)),
      ]),
    );
    await gone(t, 'RefreshToken', ...ids);
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Redis
// ---------------------------------------------------------------------------------------------------------------------

/** Redis and the layers over keys of their own, so that a test may forget or count them. */
const ownLayers = ({ client, prefix: shared }: TestRedis) => {
  const prefix = `${shared}${randomUUID()}:`;
  const redis = createRedisArtifacts(client, { prefix });
  return {
    redis,
    layered: createLayeredArtifacts(redis, postgres),
    keys: () => keysOf(client, prefix),
    async flush() {
      for (const key of await keysOf(client, prefix)) await client.unlink(key);
    },
  };
};

if (server) {
  const { client } = server;
  const indexesOf = async (keys: string[]) => {
    const types = await Promise.all(keys.map((key) => client.type(key)));
    return keys.filter((_, position) => types[position] === 'zset');
  };

  test('Redis: every key has a TTL, whatever was done', async (t) => {
    const { redis, layered, keys } = ownLayers(server);
    for (const [model, artifacts] of [
      ['DeviceCode', redis],
      ['RefreshToken', layered],
    ] as const) {
      const all = { grantId: randomUUID(), uid: randomUUID(), userCodeHash: randomUUID(), accountId: randomUUID() };
      const [kept, consumed, destroyed, replaced] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
      for (const id of [kept, consumed, destroyed, replaced]) await artifacts.upsert(model, id, entry(all));
      await artifacts.upsert(model, randomUUID(), entry({ ...all, expiresAt: nowSeconds() - 1 }));
      await artifacts.upsert(model, replaced, entry({ ...all, payload: 'replaced' }));
      for (const id of [consumed, randomUUID()]) await artifacts.consume(model, id);
      for (const id of [destroyed, randomUUID()]) await artifacts.destroy(model, id);
      for (const id of [kept, consumed, destroyed, randomUUID()]) await artifacts.find(model, id);
      await artifacts.findByUid(model, randomUUID());
      await artifacts.revokeByGrantId(model, randomUUID());
    }
    const ttls = await Promise.all((await keys()).map(async (key) => [key, await client.pttl(key)] as const));
    t.true(ttls.length >= 12);
    // -2: expired between the scan and the question.
    t.deepEqual(
      ttls.filter(([, ttl]) => ttl !== -2 && ttl <= 0),
      [],
    );
  });

  test('Redis: an index lives as long as the longest-lived artifact in it', async (t) => {
    const { redis, keys } = ownLayers(server);
    const all = { grantId: randomUUID(), uid: randomUUID(), userCodeHash: randomUUID(), accountId: randomUUID() };
    const [short, long] = [nowSeconds() + 30, nowSeconds() + 90];
    const lifetimes = async () => {
      const indexes = await indexesOf(await keys());
      return Promise.all(indexes.map((key) => client.pexpiretime(key)));
    };
    await redis.upsert('DeviceCode', randomUUID(), entry({ ...all, expiresAt: short }));
    t.deepEqual(await lifetimes(), Array(4).fill(short * 1000));
    await redis.upsert('DeviceCode', randomUUID(), entry({ ...all, expiresAt: long }));
    t.deepEqual(await lifetimes(), Array(4).fill(long * 1000));
    await redis.upsert('DeviceCode', randomUUID(), entry({ ...all, expiresAt: short }));
    t.deepEqual(await lifetimes(), Array(4).fill(long * 1000));
  });

  test.serial('Redis: an index sheds what has expired when it is met', async (t) => {
    const { redis, keys } = ownLayers(server);
    const [grantId, uid, expiresAt] = [randomUUID(), randomUUID(), inTwoSeconds()];
    const sizes = async () => {
      const indexes = await indexesOf(await keys());
      return Promise.all(indexes.map((key) => client.zcard(key)));
    };
    await redis.upsert('Session', randomUUID(), entry({ grantId, uid, expiresAt }));
    await redis.upsert('Session', randomUUID(), entry({ grantId, uid }));
    t.deepEqual(await sizes(), [2, 2]);
    await until(expiresAt);
    await redis.findByUid('Session', uid);
    await redis.upsert('Session', randomUUID(), entry({ grantId }));
    t.deepEqual((await sizes()).sort(), [1, 2]);
  });

  test('Redis: a copy is made where there is neither a record nor a fence, and nowhere else', async (t) => {
    const { redis } = ownLayers(server);
    const [id, fenced] = [randomUUID(), randomUUID()];
    await redis.copy('Grant', id, entry({ payload: 'first' }));
    await redis.copy('Grant', id, entry({ payload: 'second' }));
    t.deepEqual(await redis.findCopy('Grant', id), { payload: 'first' });
    await redis.fence([{ model: 'Grant', idHash: fenced }]);
    await redis.copy('Grant', fenced, entry());
    t.is(await redis.findCopy('Grant', fenced), 'fenced');
    t.is(await redis.find('Grant', fenced), undefined);
    t.is(await redis.findCopy('Grant', randomUUID()), undefined);
  });

  test('Redis: a server that forgot its scripts is taught them again', async (t) => {
    const { redis } = ownLayers(server);
    const id = randomUUID();
    await redis.upsert('AuthorizationCode', id, entry({ grantId: id }));
    await client.script('FLUSH');
    await redis.upsert('AuthorizationCode', id, entry({ grantId: id }));
    await client.script('FLUSH');
    t.true(await redis.consume('AuthorizationCode', id));
    await client.script('FLUSH');
    await redis.revokeByGrantId('AuthorizationCode', id);
    t.is(await redis.find('AuthorizationCode', id), undefined);
  });
}

// ---------------------------------------------------------------------------------------------------------------------
// Layered
// ---------------------------------------------------------------------------------------------------------------------

/** The store, but the first call of `method` does its work and then keeps the answer back until `release`. */
const holding = <Store extends object, Method extends keyof Store>(store: Store, method: Method) => {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const original = store[method] as (...args: unknown[]) => Promise<unknown>;
  const held = async (...args: unknown[]) => {
    const answer = await original(...args);
    reached.resolve();
    await released.promise;
    return answer;
  };
  return { store: { ...store, [method]: held }, reached: reached.promise, release: released.resolve };
};

/** The store, but the call of `method` with that number (from 1) fails without doing anything. */
const failing = <Store extends object, Method extends keyof Store>(store: Store, method: Method, number: number) => {
  let calls = 0;
  const original = store[method] as (...args: unknown[]) => Promise<unknown>;
  const failingOnce = async (...args: unknown[]) => {
    calls += 1;
    if (calls === number) throw new Error('cut off');
    return original(...args);
  };
  return { ...store, [method]: failingOnce };
};

if (server) {
  test('Layered: a Redis that was flushed loses no grant, no refresh token and no consumption', async (t) => {
    const { layered, flush } = ownLayers(server);
    const [grantId, spent, accountId] = [randomUUID(), randomUUID(), randomUUID()];
    await layered.upsert('Grant', grantId, entry({ grantId, accountId, payload: 'consent' }));
    await layered.upsert('RefreshToken', grantId, entry({ grantId, accountId, payload: 'unspent' }));
    await layered.upsert('RefreshToken', spent, entry({ grantId, accountId, payload: 'spent' }));
    t.true(await layered.consume('RefreshToken', spent));
    const { consumedAt } = (await layered.find('RefreshToken', spent)) ?? {};
    await flush();
    // The second time round from the copies that the first one left.
    for (const _ of [1, 2]) {
      t.deepEqual(await layered.find('Grant', grantId), { payload: 'consent' });
      t.deepEqual(await layered.find('RefreshToken', grantId), { payload: 'unspent' });
      t.deepEqual(await layered.find('RefreshToken', spent), { payload: 'spent', consumedAt });
    }
    t.false(await layered.consume('RefreshToken', spent));
    await flush();
    // Without Redis' indexes, the grants in Postgres lead to what was issued since.
    await layered.upsert('AccessToken', spent, entry({ grantId }));
    await layered.destroyByAccount(accountId);
    t.is(await layered.find('AccessToken', spent), undefined);
    t.is(await layered.find('Grant', grantId), undefined);
    t.is(await layered.find('RefreshToken', grantId), undefined);
  });

  test('Layered: a grant is read from Redis, and Postgres is asked only when Redis has no copy', async (t) => {
    const { redis, flush } = ownLayers(server);
    let asked = 0;
    const counting: PostgresArtifacts = {
      ...postgres,
      read(model, idHash) {
        asked += 1;
        return postgres.read(model, idHash);
      },
      find: () => Promise.reject(new Error('no fence here')),
    };
    const layered = createLayeredArtifacts(redis, counting);
    const id = randomUUID();
    await layered.upsert('Grant', id, entry());
    await layered.find('Grant', id);
    await layered.find('Grant', id);
    t.is(asked, 0);
    await flush();
    await layered.find('Grant', id);
    await layered.find('Grant', id);
    t.is(asked, 1);
  });

  // A reader has the row from Postgres, and the row changes before the reader can leave a copy in Redis.
  const changes: Record<string, (artifacts: Artifacts, id: string) => Promise<unknown>> = {
    'destroyed by its identifier': (artifacts, id) => artifacts.destroy('RefreshToken', id),
    'revoked with its grant': (artifacts, id) => artifacts.revokeByGrantId('RefreshToken', id),
    'destroyed by its uid': (artifacts, id) => artifacts.destroyByUid('RefreshToken', id),
    'destroyed with its account': (artifacts, id) => artifacts.destroyByAccount(id),
    consumed: (artifacts, id) => artifacts.consume('RefreshToken', id),
    replaced: (artifacts, id) => artifacts.upsert('RefreshToken', id, entry({ payload: 'replaced' })),
  };
  for (const [change, make] of Object.entries(changes)) {
    test(`Layered: a reader in between does not bring back what was ${change}`, async (t) => {
      const { redis, layered, flush } = ownLayers(server);
      const id = randomUUID();
      await layered.upsert('RefreshToken', id, entry({ grantId: id, uid: id, accountId: id }));
      await flush();
      const { store, reached, release } = holding(postgres, 'read');
      const reading = createLayeredArtifacts(redis, store).find('RefreshToken', id);
      await reached;
      await make(layered, id);
      release();
      t.deepEqual(await reading, { payload: 'sealed' }, 'what the reader saw was true when it asked');
      t.is(await redis.findCopy('RefreshToken', id), 'fenced');
      t.deepEqual(await layered.find('RefreshToken', id), await postgres.find('RefreshToken', id));
    });

    test(`Layered: a writer in between does not bring back what was ${change}`, async (t) => {
      const { redis, layered } = ownLayers(server);
      const id = randomUUID();
      const { store, reached, release } = holding(postgres, 'write');
      const writing = createLayeredArtifacts(redis, store).upsert(
        'RefreshToken',
        id,
        entry({ grantId: id, uid: id, accountId: id }),
      );
      await reached;
      await make(layered, id);
      release();
      await writing;
      t.is(await redis.findCopy('RefreshToken', id), 'fenced');
      t.deepEqual(await layered.find('RefreshToken', id), await postgres.find('RefreshToken', id));
    });
  }

  // Wherever a deletion breaks off, repeating it ends everything.
  const account = async (artifacts: Artifacts) => {
    const id = randomUUID();
    await artifacts.upsert('Grant', id, entry({ grantId: id, accountId: id }));
    await artifacts.upsert('RefreshToken', id, entry({ grantId: id, accountId: id, uid: id }));
    await artifacts.upsert('AccessToken', id, entry({ grantId: id }));
    await artifacts.upsert('Session', id, entry({ accountId: id }));
    return id;
  };
  const breaks: [string, (redis: RedisArtifacts) => Artifacts][] = [
    ['Postgres is asked for grants', (redis) => createLayeredArtifacts(redis, failing(postgres, 'grantIdsOf', 1))],
    ['Redis deletes', (redis) => createLayeredArtifacts(failing(redis, 'remove', 1), postgres)],
    ['Redis fences', (redis) => createLayeredArtifacts(failing(redis, 'fence', 1), postgres)],
    ['Postgres deletes', (redis) => createLayeredArtifacts(redis, failing(postgres, 'removeByAccount', 1))],
    ['Redis fences again', (redis) => createLayeredArtifacts(failing(redis, 'fence', 2), postgres)],
  ];
  for (const [step, broken] of breaks) {
    test(`Layered: ending an account that broke off where ${step} is completed by a repetition`, async (t) => {
      const { redis, layered } = ownLayers(server);
      const id = await account(layered);
      const artifacts = broken(redis);
      await t.throwsAsync(artifacts.destroyByAccount(id), { message: 'cut off' });
      // A record may be there or not, but Redis must not know one that Postgres does not.
      if (!(await postgres.find('Grant', id))) t.is(await layered.find('Grant', id), undefined);
      await artifacts.destroyByAccount(id);
      for (const model of ['Grant', 'RefreshToken', 'AccessToken', 'Session']) {
        t.is(await layered.find(model, id), undefined, model);
      }
    });
  }

  test('Layered: with Redis down, consents and refresh tokens can be read, and nothing can be written', async (t) => {
    const { layered } = ownLayers(server);
    const id = await account(layered);
    const down = new Redis('redis://127.0.0.1:1', {
      enableAutoPipelining: true,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    down.on('error', () => undefined);
    const artifacts = createLayeredArtifacts(createRedisArtifacts(down), postgres);

    t.deepEqual(await artifacts.find('Grant', id), { payload: 'sealed' });
    t.deepEqual(await artifacts.find('RefreshToken', id), { payload: 'sealed' });
    t.is(await artifacts.find('RefreshToken', randomUUID()), undefined);
    t.deepEqual(await artifacts.findByUid('RefreshToken', id), { payload: 'sealed' });
    await t.throwsAsync(artifacts.find('Session', id));
    await t.throwsAsync(artifacts.upsert('Grant', randomUUID(), entry()));
    await t.throwsAsync(artifacts.upsert('Session', randomUUID(), entry()));
    await t.throwsAsync(artifacts.consume('RefreshToken', id));
    await t.throwsAsync(artifacts.destroy('Grant', id));
    await t.throwsAsync(artifacts.revokeByGrantId('RefreshToken', id));
    await t.throwsAsync(artifacts.destroyByUid('RefreshToken', id));
    await t.throwsAsync(artifacts.destroyByAccount(id));
    // None of them went half-way.
    for (const model of ['Grant', 'RefreshToken', 'AccessToken', 'Session']) {
      t.deepEqual(await layered.find(model, id), { payload: 'sealed' }, model);
    }
  });
}
