// What vouches for copies is replaced with every change before that is acknowledged.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createIdentities } from '../../src/storage/identities.ts';
import { openPrisma } from '../../src/storage/prisma.ts';
import { createRegistrations } from '../../src/storage/registrations.ts';
import { stampedIdentities, stampedRegistrations } from '../../src/storage/stamped.ts';
import { createMemoryStamps, createRedisStamps } from '../../src/storage/stamps.ts';
import { type TestDatabase, testDatabase } from '../helpers/database.ts';
import { NO_REDIS, testRedis, withRedisOf } from '../helpers/redis.ts';

const redis = await testRedis();
const { withRedis, suffix } = withRedisOf(redis);
let database: TestDatabase;

test.before(async () => {
  database = await testDatabase();
});
test.after.always(async () => {
  await database?.close();
  await redis?.close();
});

const stampsOf = (client = redis?.client) => {
  if (!redis || !client) throw new Error(NO_REDIS);
  return createRedisStamps(client, redis.prefix, 10_000);
};

withRedis(
  `while something is changed there is no stamp, and afterwards another one, in every process${suffix}`,
  async (t) => {
    const [one, two] = [stampsOf(), stampsOf()];
    const id = randomUUID();
    const before = await two.read(id);
    t.is(typeof before, 'string');
    await one.changing(id, async () => t.is(await stampsOf().read(id), undefined));
    const after = await stampsOf().read(id);
    t.is(typeof after, 'string');
    t.not(after, before);
    await t.throwsAsync(
      one.changing(id, async () => Promise.reject(new Error('refused'))),
      { message: 'refused' },
    );
    t.not(await stampsOf().read(id), after, 'what failed may have been done');
  },
);

withRedis(`a change whose stamp cannot be replaced is not said to be done${suffix}`, async (t) => {
  if (!redis) return t.fail();
  const lost = redis.client.duplicate({ lazyConnect: true, enableOfflineQueue: false, retryStrategy: () => null });
  lost.on('error', () => {});
  await lost.connect();
  const id = randomUUID();
  let changed = false;
  const change = stampsOf(lost).changing(id, async () => {
    // Another change of the same user, from beginning to end: there is a stamp again, under which this one was not seen yet.
    await stampsOf().changing(id, async () => {});
    t.is(typeof (await stampsOf().read(id)), 'string');
    changed = true;
    lost.disconnect();
  });
  await t.throwsAsync(change);
  t.true(changed);
});

test('clients that are removed because nobody uses them, and new registration tokens, end the copies of all processes', async (t) => {
  const prisma = openPrisma(database.pool);
  t.teardown(() => prisma.$disconnect());
  const stamps = createMemoryStamps();
  const registrations = stampedRegistrations(createRegistrations(prisma), stamps);
  const changes = async (id: string) => String(await stamps.read(`client:${id}`)).split('.')[0];
  const [old, young] = [randomUUID(), randomUUID()];
  for (const [id, days] of [
    [old, 31],
    [young, 1],
  ] as const) {
    await prisma.client.create({ data: { clientId: id, metadata: { client_id: id }, firstParty: false } });
    await registrations.mark(id, 'open', 'a hash');
    await database.pool.query(
      `UPDATE oauth_clients SET created_at = now() - make_interval(days => $2), updated_at = now() - make_interval(days => $2) WHERE client_id = $1`,
      [id, days],
    );
  }
  t.deepEqual(await registrations.removeUnused(30, 100), [old]);
  t.not(await changes(old), '0');
  t.is(await changes(young), '0');
  t.true(await registrations.replaceToken(young, 'a hash', 'another'));
  t.not(await changes(young), '0');
});

test('taking a way in off an account ends the copies of its user, whose sign-ins have ended', async (t) => {
  const prisma = openPrisma(database.pool);
  t.teardown(() => prisma.$disconnect());
  const stamps = createMemoryStamps();
  const identities = stampedIdentities(createIdentities(prisma), stamps);
  const id = randomUUID();
  const user = await prisma.user.create({
    data: { id, email: `${id}@example.com`, emailKey: `${id}@example.com`, passwordHash: 'a hash', role: 'user' },
  });
  const identity = await prisma.identity.create({
    data: { id: randomUUID(), userId: id, provider: 'acme', issuer: 'https://acme.example', subject: id, profile: {} },
  });
  const changes = async () => String(await stamps.read(id)).split('.')[0];
  t.is(await changes(), '0');
  t.is(Object(await identities.unlink(user, identity.id, [])).id, identity.id);
  t.not(await changes(), '0');
  const after = await prisma.user.findUnique({ where: { id } });
  t.is(after?.credentialsEpoch, user.credentialsEpoch + 1);
});

test('without Redis, who was changed long ago is forgotten, and no stamp comes twice', async (t) => {
  const stamps = createMemoryStamps();
  const seen = new Set<string>();
  for (let turn = 0; turn < 40; turn += 1) {
    await stamps.changing('ada', async () => {});
    const stamp = String(await stamps.read('ada'));
    t.false(seen.has(stamp));
    seen.add(stamp);
    if (turn % 10 === 0) {
      await sleep(turn === 0 ? 2_100 : 300);
      await stamps.changing('somebody else', async () => {});
    }
  }
});
