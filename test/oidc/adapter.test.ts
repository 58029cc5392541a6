// What the adapter keeps of the engine's artifacts where something happens between two of its steps.
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { createSecrets, sha256 } from '../../src/domain/secrets.ts';
import { createAdapterFactory } from '../../src/oidc/adapter.ts';
import { createEndedSessions } from '../../src/oidc/ended-sessions.ts';
import type { KnownClients } from '../../src/oidc/known-clients.ts';
import type { Artifacts } from '../../src/storage/artifacts.ts';
import { createPostgresArtifacts } from '../../src/storage/artifacts-postgres.ts';
import { createRedisArtifacts } from '../../src/storage/artifacts-redis.ts';
import { type TestDatabase, testDatabase } from '../helpers/database.ts';
import { testRedis, withRedisOf } from '../helpers/redis.ts';

const PUSHED = 'PushedAuthorizationRequest';
const secrets = createSecrets('a master key of at least 32 bytes, for tests');
const known = { generationOf: async () => 'the first' } as unknown as KnownClients;
const now = () => Math.floor(Date.now() / 1000);

const redis = await testRedis();
let database: TestDatabase;
test.before(async () => {
  database = await testDatabase();
});
test.after.always(async () => {
  await database?.close();
  await redis?.close();
});

const adapters = (artifacts: Artifacts, sessionMaxSeconds = 3600) =>
  createAdapterFactory(artifacts, known, secrets, 60, sessionMaxSeconds);

const { withRedis, suffix: withoutRedis } = withRedisOf(redis);
const stores = [
  { name: 'PostgreSQL', open: () => createPostgresArtifacts(database.pool), runs: test, suffix: '' },
  {
    name: 'Redis',
    open: () => redis && createRedisArtifacts(redis.client, { prefix: `${redis.prefix}oidc:` }),
    runs: withRedis,
    suffix: withoutRedis,
  },
];

for (const { name, open, runs, suffix } of stores) {
  runs(
    `${name}: a spent request that expires while an interaction with it is written does not come back${suffix}`,
    async (t) => {
      const artifacts = open();
      if (!artifacts) return t.fail();
      const id = randomUUID();
      // It ends just after it was looked at.
      const atTheEnd: Artifacts = {
        ...artifacts,
        async find(model, idHash) {
          const found = await artifacts.find(model, idHash);
          if (model === PUSHED) await artifacts.destroy(model, idHash);
          return found;
        },
      };
      await artifacts.upsert(PUSHED, sha256(id), { payload: 'sealed', expiresAt: now() + 60 });
      t.true(await artifacts.consume(PUSHED, sha256(id)));
      const interaction = adapters(atTheEnd)('Interaction');
      await interaction.upsert(randomUUID(), { parJti: id, exp: now() + 3600 }, 3600);
      t.is(await artifacts.find(PUSHED, sha256(id)), undefined);
      t.false(await artifacts.consume(PUSHED, sha256(id)), 'nor is it good again');
    },
  );

  runs(
    `${name}: a spent request that is there is remembered for as long as the interaction, as spent${suffix}`,
    async (t) => {
      const artifacts = open();
      if (!artifacts) return t.fail();
      const id = randomUUID();
      // Seconds are whole: of the three that it has, two are left at the least.
      await artifacts.upsert(PUSHED, sha256(id), { payload: 'sealed', expiresAt: now() + 3 });
      t.true(await artifacts.consume(PUSHED, sha256(id)));
      await adapters(artifacts)('Interaction').upsert(randomUUID(), { parJti: id, exp: now() + 3600 }, 3600);
      await new Promise((resolve) => setTimeout(resolve, 3_500));
      t.truthy((await artifacts.find(PUSHED, sha256(id)))?.consumedAt);
    },
  );

  runs(
    `${name}: a session that was ended is not brought back by a request that had found it before${suffix}`,
    async (t) => {
      const artifacts = open();
      if (!artifacts) return t.fail();
      const Session = adapters(artifacts)('Session');
      const [uid, former, latter] = [randomUUID(), randomUUID(), randomUUID()];
      const session = { uid, iat: now(), exp: now() + 600 };
      await Session.upsert(former, session, 600);
      t.truthy(await Session.find(former));
      await createEndedSessions(artifacts).mark(uid);
      await artifacts.destroyByUid('Session', uid);
      // Under the identifier that it had, and under another one, as after a page of ours.
      for (const id of [former, latter]) {
        await Session.upsert(id, session, 600);
        t.is(await Session.find(id), undefined);
      }
      t.is(await Session.findByUid(uid), undefined);
    },
  );
}

const sessions: [what: string, begun: { iat: number; loginTs?: number }, lives: boolean][] = [
  ['whose person signed in too long ago', { iat: 90, loginTs: 90 }, false],
  ['in which nobody signed in, and which began too long ago', { iat: 90 }, false],
  ['whose person signed in anew', { iat: 90, loginTs: 30 }, true],
  ['whose person signed in by a provider that has known them for longer', { iat: 30, loginTs: 1_000 }, true],
];
for (const [what, begun, lives] of sessions)
  test(`a session ${what} is ${lives ? 'there' : 'not there, however lately it was used'}`, async (t) => {
    const Session = adapters(createPostgresArtifacts(database.pool), 60)('Session');
    const [id, uid] = [randomUUID(), randomUUID()];
    const { iat, loginTs } = begun;
    const times = { iat: now() - iat, ...(loginTs !== undefined && { loginTs: now() - loginTs }) };
    await Session.upsert(id, { uid, jti: id, exp: now() + 600, ...times }, 600);
    t.is((await Session.find(id)) !== undefined, lives);
    t.is((await Session.findByUid(uid)) !== undefined, lives);
  });
