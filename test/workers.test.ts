// WEB_CONCURRENCY: several processes on one port, as one service.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { Client } from 'pg';
import { createBrowser } from './helpers/browser.ts';
import {
  cardOf,
  emptyDatabase,
  freePort,
  killAll,
  NO_POSTGRES,
  NO_STORES,
  run,
  type Service,
  startService,
  temporaryDir,
} from './helpers/service.ts';

const { TEST_DATABASE_URL, TEST_REDIS_URL } = process.env;
const withPostgres = TEST_DATABASE_URL ? test.serial : test.serial.skip;
const withStores = TEST_DATABASE_URL && TEST_REDIS_URL ? test.serial : test.serial.skip;
const noPostgres = TEST_DATABASE_URL ? '' : ` (${NO_POSTGRES})`;
const noStores = TEST_DATABASE_URL && TEST_REDIS_URL ? '' : ` (${NO_STORES})`;

test.after.always(killAll);

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test.serial('when no worker can start, everything stops with the reason and exit code 1', async (t) => {
  const port = await freePort();
  const { code, stderr } = await run('src/main.ts', [], {
    DATA_DIR: join(temporaryDir(), 'data'),
    PORT: String(await freePort()),
    WEB_CONCURRENCY: '2',
    DATABASE_URL: `postgres://app:hunter2@127.0.0.1:${port}/app`,
  });
  t.is(code, 1);
  t.regex(stderr, new RegExp(`^PostgreSQL: Connection refused on port ${port} `));
  t.notRegex(stderr, /hunter2/);
});

withPostgres(
  `two workers make one first start on an empty database: one card, one demo user${noPostgres}`,
  async (t) => {
    const database = await emptyDatabase();
    t.teardown(database.close);
    const service = await startService({ WEB_CONCURRENCY: '2', DATABASE_URL: database.url });
    t.is(service.output().match(/User Auth is ready/g)?.length, 1);
    const card = cardOf(service.output());
    const password = card['Demo user']?.split(' ').at(-1) ?? '';
    // Connections take turns between the workers, so these reach both; each must know what the other one made.
    for (let round = 0; round < 4; round += 1) {
      const browser = createBrowser(service.origin);
      const login = await browser.go('/login', { headers: { connection: 'close' } });
      const account = await browser.submit(login, 'sign-in', { login: 'demo@example.com', password });
      t.is(account.url.pathname, '/account', `${account.status}: ${account.html.replace(/<[^>]*>|\s+/g, ' ')}`);
    }
    const client = new Client({ connectionString: database.url });
    await client.connect();
    const count = async (table: string) => (await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n;
    t.is(await count('users'), 1);
    t.is(await count('oauth_clients'), 1);
    t.is(await count('signing_keys'), 4);
    await client.end();
    const { code, stderr } = await service.stop();
    t.is(code, 0);
    t.is(stderr, '');
  },
);

/** Two workers in production, whose log names the process of each line. */
const twoInProduction = async (t: ExecutionContext): Promise<Service> => {
  const database = await emptyDatabase();
  t.teardown(database.close);
  const env = {
    NODE_ENV: 'production',
    ISSUER: 'https://auth.example',
    JWT_SECRET_KEY: 'N7bq2XcV9sLmT4wRzK1yHd6uPf8jGa3eQo5iMn0t',
    DATABASE_URL: database.url,
    REDIS_URL: TEST_REDIS_URL,
    SMTP_URL: 'smtp://127.0.0.1:1',
    WEB_CONCURRENCY: '2',
  };
  t.is((await run('scripts/migrate.ts', [], env)).code, 0);
  return startService(env);
};

/** The processes that have said they are ready. */
const readyPids = (service: Service): number[] =>
  [...service.output().matchAll(/"pid":(\d+)[^\n]*"msg":"ready"/g)].map(([, pid]) => Number(pid));

const readyWorkers = async (service: Service, count: number): Promise<number[]> => {
  for (const deadline = Date.now() + 30_000; readyPids(service).length < count; await sleep(20))
    if (Date.now() > deadline) throw new Error(`not ${count} ready workers:\n${service.output()}`);
  return readyPids(service);
};

/** Which processes answer, asked on connections of their own. */
const answeringPids = async (service: Service): Promise<number[]> => {
  const ids = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const response = await fetch(`${service.origin}/oauth/jwks`, { headers: { connection: 'close' } });
      await response.arrayBuffer();
      return response.headers.get('x-request-id');
    }),
  );
  await sleep(100);
  const log = service.output().split('\n');
  const pids = ids.map((id) => /"pid":(\d+)/.exec(log.find((line) => line.includes(String(id))) ?? '')?.[1]);
  return [...new Set(pids.map(Number))].sort();
};

withStores(`a killed worker is replaced, and SIGTERM ends them all${noStores}`, async (t) => {
  const service = await twoInProduction(t);
  const [one = 0, two = 0] = await readyWorkers(service, 2);
  t.deepEqual(await answeringPids(service), [one, two].sort());

  // One that dies young would not be replaced.
  await sleep(5_500);
  process.kill(one, 'SIGKILL');
  await service.wrote(/"msg":"worker died; starting another"/);
  const line =
    service
      .output()
      .split('\n')
      .find((text) => text.includes('worker died')) ?? '';
  t.true(line.includes(String(one)), 'it is named');
  t.is(line.match(/"pid":/g)?.length, 1, 'and not under the name of who writes the line');
  t.is((await fetch(`${service.origin}/health`)).status, 200, 'the other one goes on');
  const [, , three = 0] = await readyWorkers(service, 3);
  t.deepEqual(await answeringPids(service), [two, three].sort());

  const { code, stderr } = await service.stop();
  t.is(code, 0);
  t.is(stderr, '');
  for (const pid of [one, two, three]) t.false(isAlive(pid));
  await t.throwsAsync(fetch(`${service.origin}/health`));
});

withStores(`workers do not outlive a supervisor that is killed${noStores}`, async (t) => {
  const service = await twoInProduction(t);
  const pids = await readyWorkers(service, 2);
  await service.kill();
  for (const deadline = Date.now() + 10_000; pids.some(isAlive) && Date.now() < deadline; ) await sleep(50);
  for (const pid of pids) t.false(isAlive(pid));
});
