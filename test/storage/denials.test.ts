import { randomUUID } from 'node:crypto';
import test from 'ava';
import type { ArtifactRecord } from '../../src/storage/artifacts.ts';
import { createPostgresArtifacts } from '../../src/storage/artifacts-postgres.ts';
import { createDenials } from '../../src/storage/denials.ts';
import { type TestDatabase, testDatabase } from '../helpers/database.ts';
import { keysOf, NO_REDIS, testRedis, withRedisOf } from '../helpers/redis.ts';

const redis = await testRedis();
const { withRedis, suffix } = withRedisOf(redis);
let database: TestDatabase;

test.before(async () => {
  database = await testDatabase();
});
test.after.always(async () => {
  await database.close();
  await redis?.close();
});

const now = () => Date.now() / 1000;

test('without Redis the database remembers what was revoked', async (t) => {
  const denials = createDenials(createPostgresArtifacts(database.pool));
  const id = randomUUID();
  t.false(await denials.isDenied(id, now()));
  await denials.deny(id, now() + 60);
  t.true(await denials.isDenied(id, now()));
});

test('what was revoked stays so for who believes that it has not expired yet', async (t) => {
  const durable = createPostgresArtifacts(database.pool);
  const every = [
    createDenials(durable),
    ...(redis ? [createDenials(durable, redis.client, `${redis.prefix}late:`)] : []),
  ];
  for (const denials of every) {
    const id = randomUUID();
    await denials.deny(id, now() - 30);
    t.true(await denials.isDenied(id, now() - 1_800));
    t.true(await denials.isDenied(id, now() + 600), 'by Redis alone, where there is one');
  }
});

const scene = () => {
  if (!redis) throw new Error(NO_REDIS);
  const prefix = `${redis.prefix}${randomUUID()}:`;
  const durable = createPostgresArtifacts(database.pool);
  let questions = 0;
  const counted = {
    upsert: durable.upsert,
    find: (...asked: Parameters<typeof durable.find>): Promise<ArtifactRecord | undefined> => {
      questions += 1;
      return durable.find(...asked);
    },
  };
  const denials = createDenials(counted, redis.client, prefix);
  return {
    denials,
    prefix,
    client: redis.client,
    questions: () => questions,
    empty: async () => {
      for (const key of await keysOf(redis.client, prefix)) await redis.client.unlink(key);
    },
  };
};

withRedis(`a token that was revoked stays so when Redis has lost everything${suffix}`, async (t) => {
  const { denials, empty } = scene();
  const id = randomUUID();
  await denials.deny(id, now() + 60);
  t.true(await denials.isDenied(id, now()));
  await empty();
  t.true(await denials.isDenied(id, now()));
  t.true(await denials.isDenied(id, now()), 'also once Redis has begun to remember again');
});

withRedis(`Redis alone answers for tokens that are younger than its memory${suffix}`, async (t) => {
  const { denials, questions } = scene();
  await denials.isDenied(randomUUID(), now());
  const before = questions();
  // Clocks may differ by five minutes: these are certainly younger.
  t.false(await denials.isDenied(randomUUID(), now() + 400));
  const id = randomUUID();
  await denials.deny(id, now() + 900);
  t.true(await denials.isDenied(id, now() + 400));
  t.is(questions(), before);
  await denials.isDenied(randomUUID(), now() + 200);
  t.is(questions(), before + 1, 'of the others the database is asked');
});

withRedis(`while Redis does not answer, the database does${suffix}`, async (t) => {
  const { prefix, client, denials } = scene();
  const id = randomUUID();
  await denials.deny(id, now() + 60);
  const away = client.duplicate({ lazyConnect: true, enableOfflineQueue: false, retryStrategy: () => null });
  const without = createDenials(createPostgresArtifacts(database.pool), away, prefix);
  away.disconnect();
  t.true(await without.isDenied(id, now()));
  t.false(await without.isDenied(randomUUID(), now()));
  await t.throwsAsync(without.deny(randomUUID(), now() + 60), undefined, 'it is not acknowledged');
});

withRedis(`everything in Redis expires by itself${suffix}`, async (t) => {
  const { denials, prefix, client } = scene();
  await denials.isDenied(randomUUID(), now());
  await denials.deny(randomUUID(), now() + 60);
  const keys = await keysOf(client, prefix);
  t.is(keys.length, 2);
  for (const key of keys) t.true((await client.ttl(key)) > 0, key);
});
