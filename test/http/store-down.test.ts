import { connect, createServer } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { storeDown } from '../../src/http/store-down.ts';
import { openPool } from '../../src/storage/postgres-pool.ts';
import { openPrisma, type PrismaClient } from '../../src/storage/prisma.ts';
import { NO_POSTGRES } from '../helpers/service.ts';

const server = process.env.TEST_DATABASE_URL;
const withPostgres = server ? test : test.skip;
const suffix = server ? '' : ` (${NO_POSTGRES})`;

const failed = (fields: object, message = 'hunter2') => Object.assign(new Error(message), fields);

test('a store that is down is known by what its driver reports, however deep', (t) => {
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'ETIMEDOUT', 'EPIPE', 'P1001', 'P2024', '57P01', '57P03', '53300'])
    t.true(storeDown(failed({ code })), code);
  for (const message of [
    'Command timed out',
    'Connection is closed.',
    'Reached the max retries per request limit (which is 1). Refer to "maxRetriesPerRequest" option for details.',
    'Query read timeout',
    'Connection terminated unexpectedly',
    'timeout exceeded when trying to connect',
  ])
    t.true(storeDown(new Error(message)), message);
  t.true(storeDown(new Error('outer', { cause: new Error('middle', { cause: failed({ code: 'ECONNREFUSED' }) }) })));
  t.false(storeDown(new Error('outer', { cause: 'ECONNREFUSED' })));
});

test('a bug is not taken for a store that is down', (t) => {
  for (const error of [
    new TypeError("Cannot read properties of undefined (reading 'id')"),
    failed({ code: '23505' }, 'duplicate key value violates unique constraint'),
    failed({ code: 'P2002' }, 'Unique constraint failed'),
    failed({ code: '42P01' }, 'relation "users" does not exist'),
    failed({ code: 'ERR_INVALID_ARG_TYPE' }, 'bad argument'),
  ])
    t.false(storeDown(error), error.message);
});

test('several addresses that all refuse are a store that is down', (t) => {
  // What connecting to a name with an IPv4 and an IPv6 address throws: the code is on it as well.
  const both = Object.assign(new AggregateError([failed({ code: 'ECONNREFUSED' }), failed({ code: 'ECONNREFUSED' })]), {
    code: 'ECONNREFUSED',
  });
  t.true(storeDown(both));
});

test('what Prisma hands on of its driver’s failure as it came, at a COMMIT, is read too', (t) => {
  const driverError = (cause: object, message: string) => failed({ name: 'DriverAdapterError', cause }, message);
  t.true(storeDown(driverError({ kind: 'ConnectionClosed' }, 'ConnectionClosed')));
  t.true(
    storeDown(
      driverError({ kind: 'postgres', code: '57P01', originalCode: '57P01', message: 'terminating' }, 'terminating'),
    ),
  );
  t.false(storeDown(driverError({ kind: 'postgres', code: '23514', message: 'violates check' }, 'violates check')));
});

/** A way to the server that breaks at the first statement that begins with `word`, as when the server's machine goes. */
const brokenAt = async (t: ExecutionContext, word: string): Promise<string> => {
  const url = new URL(server ?? '');
  const { hostname, port } = url;
  const way = createServer((near) => {
    const far = connect(Number(port || 5432), hostname);
    for (const socket of [near, far]) socket.on('error', () => {});
    near.on('data', (bytes) => (bytes.includes(word) ? near.resetAndDestroy() : far.write(bytes)));
    near.on('close', () => far.destroy());
    far.on('data', (bytes) => near.write(bytes));
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((listening) => way.listen(0, '127.0.0.1', listening));
  t.teardown(() => way.close());
  url.hostname = '127.0.0.1';
  url.port = String(Object(way.address()).port);
  return url.href;
};

const openedAt = (t: ExecutionContext, url: string): PrismaClient => {
  const database = openPool(url, () => {}, false);
  t.teardown(() => database.close());
  return openPrisma(database.pool);
};

for (const word of ['BEGIN', 'SELECT 1', 'COMMIT'])
  withPostgres(`a connection that breaks at ${word} is a store that is down${suffix}`, async (t) => {
    const prisma = openedAt(t, await brokenAt(t, word));
    const error = await t.throwsAsync(prisma.$transaction((tx) => tx.$queryRaw`SELECT 1`));
    t.true(error && storeDown(error), String(error));
  });

withPostgres(`so is one that breaks at a model’s query${suffix}`, async (t) => {
  const prisma = openedAt(t, await brokenAt(t, 'SELECT'));
  const error = await t.throwsAsync(prisma.user.count());
  t.true(error && storeDown(error), String(error));
});

withPostgres(`so is a server that goes while it commits${suffix}`, async (t) => {
  const prisma = openedAt(t, server ?? '');
  const goes = prisma.$transaction(async (tx) => {
    await tx.$executeRaw`CREATE TEMPORARY TABLE last_words (said int)`;
    // At the COMMIT, and not before, the connection's own process is ended, as a restart ends it.
    await tx.$executeRaw`CREATE FUNCTION pg_temp.go() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END'`;
    await tx.$executeRaw`CREATE CONSTRAINT TRIGGER goes AFTER INSERT ON last_words
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.go()`;
    await tx.$executeRaw`INSERT INTO last_words VALUES (1)`;
  });
  const error = await t.throwsAsync(goes);
  t.true(error && storeDown(error), String(error));
});

withPostgres(`so is a server that has no connection left${suffix}`, async (t) => {
  const role = `crowded_${process.pid}`;
  const owner = openedAt(t, server ?? '');
  await owner.$executeRawUnsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${role}' CONNECTION LIMIT 0`);
  t.teardown(() => owner.$executeRawUnsafe(`DROP ROLE ${role}`));
  const url = new URL(server ?? '');
  url.username = role;
  url.password = role;
  const crowded = openedAt(t, url.href);
  for (const work of [
    crowded.user.count(),
    crowded.$queryRaw`SELECT 1`,
    crowded.$transaction((tx) => tx.$queryRaw`SELECT 1`),
  ]) {
    const error = await t.throwsAsync(Promise.resolve(work));
    t.true(error && storeDown(error), String(error));
  }
});
