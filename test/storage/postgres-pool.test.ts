// The pool of connections, and the ways to a server that break.
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { openPool } from '../../src/storage/postgres-pool.ts';
import { openPrisma } from '../../src/storage/prisma.ts';
import { openWay } from '../faults/way.ts';
import { NO_POSTGRES } from '../helpers/service.ts';

const server = process.env.TEST_DATABASE_URL;
const withPostgres = server ? test : test.skip;
const suffix = server ? '' : ` (${NO_POSTGRES})`;

const opened = async (t: ExecutionContext) => {
  const url = new URL(server ?? '');
  const way = await openWay(Number(url.port || 5432));
  url.hostname = '127.0.0.1';
  url.port = String(way.port);
  const database = openPool(url.href, () => {}, false);
  t.teardown(async () => {
    await way.close();
    await database.close();
  });
  return { way, database, pool: database.pool };
};
const took = async (work: Promise<unknown>): Promise<{ ms: number; failed: boolean }> => {
  const started = Date.now();
  const failed = await work.then(
    () => false,
    () => true,
  );
  return { ms: Date.now() - started, failed };
};

withPostgres(`connections that lead nowhere are given up together, and new ones made${suffix}`, async (t) => {
  const { way, pool } = await opened(t);
  await Promise.all(Array.from({ length: 5 }, () => pool.query('SELECT pg_sleep(0.1)')));
  way.halfOpen('open');
  const { ms, failed } = await took(pool.query('SELECT 1'));
  t.true(failed);
  t.true(ms < 4_500, `${ms} ms`);
  // All five led nowhere; none of them is tried again.
  await sleep(500);
  const next = await Promise.all(Array.from({ length: 5 }, () => took(pool.query('SELECT 1'))));
  t.true(next.every(({ failed: again, ms: waited }) => !again && waited < 2_000));
});

withPostgres(`a transaction does not give a connection back that leads nowhere${suffix}`, async (t) => {
  const { way, pool, database } = await opened(t);
  const prisma = openPrisma(pool);
  await prisma.$transaction((tx) => tx.$queryRaw`SELECT 1`);
  const failing = prisma.$transaction(async (tx) => {
    way.halfOpen('open');
    await tx.$queryRaw`SELECT 1`;
  });
  t.true((await took(failing)).failed);
  while (database.isAway()) await sleep(50);
  t.false((await took(prisma.$transaction((tx) => tx.$queryRaw`SELECT 1`))).failed);
});

withPostgres(
  `while nobody answers, who asks is told at once; and is served as soon as somebody does${suffix}`,
  async (t) => {
    const { way, pool, database } = await opened(t);
    await pool.query('SELECT 1');
    way.refuse();
    way.cut();
    await took(pool.query('SELECT 1'));
    t.true(database.isAway());
    const { ms, failed } = await took(pool.query('SELECT 1'));
    t.true(failed);
    t.true(ms < 500, `${ms} ms`);
    way.mend();
    for (const until = Date.now() + 5_000; database.isAway() && Date.now() < until; ) await sleep(20);
    t.false((await took(pool.query('SELECT 1'))).failed);
  },
);

withPostgres(`what a connection that is gone has locked is free again within seconds${suffix}`, async (t) => {
  const { way, pool } = await opened(t);
  const LOCK = 7_310_264_999;
  const client = await pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
  // The server never hears that nobody is there any more.
  way.halfOpen('open');
  client.release(true);
  let waited = await took(pool.query('SELECT pg_advisory_xact_lock($1)', [LOCK]));
  const started = Date.now();
  while (waited.failed && Date.now() - started < 6_000)
    waited = await took(pool.query('SELECT pg_advisory_xact_lock($1)', [LOCK]));
  t.false(waited.failed);
});

withPostgres(`a statement that takes too long is its own affair: nobody else is turned away${suffix}`, async (t) => {
  const { pool, database } = await opened(t);
  const slow = took(pool.query('SELECT pg_sleep(10)'));
  const answers: boolean[] = [];
  let isOver = false;
  const others = (async () => {
    while (!isOver) {
      answers.push(!(await took(pool.query('SELECT 1'))).failed && !database.isAway());
      await sleep(20);
    }
  })();
  t.true((await slow).failed);
  await sleep(300);
  isOver = true;
  await others;
  t.true(answers.length > 20);
  t.true(answers.every(Boolean));
});

withPostgres(`a statement that is kept is parsed once by each connection${suffix}`, async (t) => {
  const { pool, database } = await opened(t);
  const statement = (value: number) => ({
    keptAs: 'kept-for-a-test',
    text: 'SELECT $1::int AS value',
    values: [value],
  });
  const connection = await pool.connect();
  const kept = async () =>
    (await connection.query("SELECT FROM pg_prepared_statements WHERE name = 'kept-for-a-test'")).rowCount;
  // Until it is known whom it talks to, it keeps nothing.
  t.is((await connection.query(statement(1))).rows[0].value, 1);
  t.is(await kept(), 0);
  await database.begin();
  for (const value of [2, 3]) t.is((await connection.query(statement(value))).rows[0].value, value);
  t.is(await kept(), 1);
  connection.release();
});
