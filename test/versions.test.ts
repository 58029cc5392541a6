// Two releases on one database, under traffic: the one before, taken out of git by its tag, and this one.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Pool } from 'pg';
import { pendingMigrations } from '../src/storage/migrator.ts';
import { startBalancer } from './helpers/balancer.ts';
import { checkOut, previousRelease } from './helpers/releases.ts';
import {
  emptyDatabase,
  freePort,
  killAll,
  NO_STORES,
  type Running,
  run,
  startScript,
  temporaryDir,
} from './helpers/service.ts';
import { createTraffic, TRAFFIC_CLIENT } from './helpers/traffic.ts';

const { TEST_DATABASE_URL, TEST_REDIS_URL } = process.env;
const release = previousRelease();
const why = 'why' in release ? release.why : TEST_DATABASE_URL && TEST_REDIS_URL ? undefined : NO_STORES;
const compared = why === undefined ? test.serial : test.serial.skip;
const beside = 'ref' in release ? release.ref : 'the release before';

test.after.always(killAll);

compared(
  `under traffic, ${beside} goes on while this code migrates its database, both serve it, and either alone${why ? ` (${why})` : ''}`,
  async (t) => {
    if ('why' in release) return;
    t.timeout(300_000, 'two releases, five starts');
    const former = checkOut(release);
    const database = await emptyDatabase();
    t.teardown(database.close);
    const pool = new Pool({ connectionString: database.url });
    t.teardown(() => pool.end());
    const balancer = await startBalancer();
    t.teardown(balancer.close);
    const env = {
      ...TRAFFIC_CLIENT,
      ISSUER: balancer.origin,
      DATABASE_URL: database.url,
      REDIS_URL: TEST_REDIS_URL,
      MASTER_KEY: 'one master key for both of them, 32 bytes',
      JWT_SECRET_KEY: 'one JWT secret for both of them, 32 bytes',
      RATE_LIMITS: 'register-network=10000/900,login-network=10000/900',
      LOG_LEVEL: 'error',
      DATA_DIR: temporaryDir(),
    };
    const start = async (path: string): Promise<Running & { port: number }> => {
      const port = await freePort();
      const running = await startScript(path, { ...env, PORT: String(port) }, /User Auth is ready/);
      return { ...running, port };
    };
    /** As a deployment does: no new requests, then SIGTERM. */
    const retire = async (server: Running & { port: number }, ...stay: number[]): Promise<void> => {
      balancer.lead(...stay);
      // What was sent there just before is on its way: a connection on which nothing has arrived yet is hung up on.
      await sleep(250);
      const { code, stderr } = await server.stop();
      t.is(code, 0, stderr);
      t.notRegex(server.output(), /ERROR/);
    };
    const traffic = createTraffic(balancer.origin);
    t.teardown(traffic.stop);

    // As the former release leaves it: its schema, its process.
    const migrated = await run(former('scripts/migrate.ts'), [], env);
    t.is(migrated.code, 0, migrated.stderr);
    const first = await start(former('src/main.ts'));
    balancer.lead(first.port);
    traffic.start(2);
    await traffic.passed(1);

    // This code comes up on that schema and brings it up to date, with the former one at work on it.
    const missing = await pendingMigrations(pool);
    const second = await start('src/main.ts');
    t.deepEqual(await pendingMigrations(pool), []);
    t.log(`${missing.length} migrations that ${beside} does not know: ${missing.join(', ') || 'none'}`);
    await traffic.passed(1);
    balancer.lead(first.port, second.port);
    await traffic.passed(4);
    await retire(first, second.port);
    await traffic.passed(1);

    // And back: the former release starts on the new schema, beside this one and alone.
    const third = await start(former('src/main.ts'));
    balancer.lead(second.port, third.port);
    await traffic.passed(3);
    await retire(second, third.port);
    await traffic.passed(1);
    await traffic.stop();
    t.deepEqual(await traffic.lost(), [], 'what either has acknowledged, the former one knows');

    const fourth = await start('src/main.ts');
    balancer.lead(fourth.port);
    t.deepEqual(await traffic.lost(), [], 'and so does this one');
    t.deepEqual(traffic.failures, []);
    for (const { port } of [first, second, third]) t.true(balancer.served(port) > 20);
    await retire(third, fourth.port);
    await fourth.stop();
    t.log(`${traffic.people.length} people, no request refused`);
  },
);
