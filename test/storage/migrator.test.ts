import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { Pool } from 'pg';
import { MigrationError, migrate, pendingMigrations } from '../../src/storage/migrator.ts';
import { testDatabase } from '../helpers/database.ts';

const database = await testDatabase();
const { pool } = database;
const root = await mkdtemp(join(tmpdir(), 'ua-migrations-'));

test.after.always(async () => {
  await database.close();
  await rm(root, { recursive: true, force: true });
});

let files = 0;
/** Names that no other test uses: they share one database. */
const unique = (name: string) => {
  files += 1;
  return `t${files}_${name}`;
};

const write = async (dir: URL, migrations: Record<string, string>) => {
  for (const [name, sql] of Object.entries(migrations)) {
    await mkdir(new URL(`${name}/`, dir), { recursive: true });
    await writeFile(new URL(`${name}/migration.sql`, dir), sql);
  }
};
const migrationsDir = async (migrations: Record<string, string>): Promise<URL> => {
  const dir = pathToFileURL(`${await mkdtemp(join(root, 'm-'))}/`);
  await writeFile(new URL('migration_lock.toml', dir), 'provider = "postgresql"\n');
  await write(dir, migrations);
  return dir;
};

const recordsOf = async (name: string) =>
  (await pool.query('SELECT * FROM _prisma_migrations WHERE migration_name = $1', [name])).rows;
const tableExists = async (name: string, on: Pool = pool) =>
  (await on.query('SELECT to_regclass($1) IS NOT NULL AS there', [name])).rows[0].there;

test.serial('the migrations of this repository are applied, and recorded as Prisma records them', async (t) => {
  const dir = new URL('../../prisma/migrations/', import.meta.url);
  const names = (await readdir(dir, { withFileTypes: true })).filter((e) => e.isDirectory()).map((e) => e.name);
  t.deepEqual(await pendingMigrations(pool), []);
  t.deepEqual(await migrate(pool), []);
  for (const name of names) {
    const [record, ...more] = await recordsOf(name);
    t.deepEqual(more, []);
    const file = await readFile(new URL(`${name}/migration.sql`, dir));
    t.is(record.checksum, createHash('sha256').update(file).digest('hex'));
    t.regex(record.id, /^[0-9a-f-]{36}$/);
    t.is(record.applied_steps_count, 1);
    t.is(record.rolled_back_at, null);
    t.is(record.logs, null);
    t.true(record.started_at <= record.finished_at);
  }
  const { rows } = await pool.query(
    `SELECT column_name, data_type, character_maximum_length AS length, is_nullable, column_default
       FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position`,
  );
  t.deepEqual(
    rows.map((row) => Object.values(row)),
    [
      ['id', 'character varying', 36, 'NO', null],
      ['checksum', 'character varying', 64, 'NO', null],
      ['finished_at', 'timestamp with time zone', null, 'YES', null],
      ['migration_name', 'character varying', 255, 'NO', null],
      ['logs', 'text', null, 'YES', null],
      ['rolled_back_at', 'timestamp with time zone', null, 'YES', null],
      ['started_at', 'timestamp with time zone', null, 'NO', 'now()'],
      ['applied_steps_count', 'integer', null, 'NO', '0'],
    ],
  );
});

test.serial('migrations are applied in the order of their names, and only those that are pending', async (t) => {
  const [a, b, c] = [unique('a'), unique('b'), unique('c')];
  const dir = await migrationsDir({ [b]: `INSERT INTO ${a} VALUES (1);`, [a]: `CREATE TABLE ${a} (n int); -- é\n` });
  t.deepEqual(await pendingMigrations(pool, dir), [a, b]);
  t.deepEqual(await migrate(pool, dir), [a, b]);
  t.deepEqual(await pendingMigrations(pool, dir), []);
  await write(dir, { [c]: `INSERT INTO ${a} VALUES (2);` });
  t.deepEqual(await pendingMigrations(pool, dir), [c]);
  t.deepEqual(await migrate(pool, dir), [c]);
  t.deepEqual((await pool.query(`SELECT n FROM ${a} ORDER BY n`)).rows, [{ n: 1 }, { n: 2 }]);
});

test.serial('asking for what is pending in an empty database changes nothing', async (t) => {
  const dir = await migrationsDir({ [unique('a')]: 'SELECT 1;' });
  const empty = unique('empty');
  await pool.query(`CREATE SCHEMA ${empty}`);
  const elsewhere = new Pool({ connectionString: database.connectionString, max: 1 });
  try {
    await elsewhere.query('BEGIN');
    await elsewhere.query(`SET LOCAL search_path = ${empty}`);
    t.is((await pendingMigrations(elsewhere, dir)).length, 1);
    t.false(await tableExists('_prisma_migrations', elsewhere));
    await elsewhere.query('ROLLBACK');
  } finally {
    await elsewhere.end();
  }
});

test.serial(
  'a migration that fails is rolled back whole, named, and can be repaired; those before it stay',
  async (t) => {
    const [a, b] = [unique('a'), unique('b')];
    const dir = await migrationsDir({
      [a]: `CREATE TABLE ${a} (n int);`,
      [b]: `CREATE TABLE ${b} (n int);\nINSERT INTO ${b} VALUES (1);\nSELECT * FROM no_such_table;`,
    });
    const error = await t.throwsAsync(migrate(pool, dir), { instanceOf: MigrationError });
    t.is(error.message, `Migration ${b} failed and was rolled back (line 3): relation "no_such_table" does not exist`);
    t.true(await tableExists(a));
    t.false(await tableExists(b));
    t.is((await recordsOf(a)).length, 1);
    t.deepEqual(await recordsOf(b), []);

    await write(dir, { [b]: `CREATE TABLE ${b} (n int);` });
    t.deepEqual(await migrate(pool, dir), [b]);
  },
);

test.serial('a migration that was changed after it was applied is an error that names it', async (t) => {
  const [a, b] = [unique('a'), unique('b')];
  const dir = await migrationsDir({ [a]: `CREATE TABLE ${a} (n int);` });
  await migrate(pool, dir);
  await write(dir, { [a]: `CREATE TABLE ${a} (n bigint);`, [b]: `CREATE TABLE ${b} (n int);` });
  const changed = { instanceOf: MigrationError, message: new RegExp(`${a} was changed after it was applied`) };
  await t.throwsAsync(pendingMigrations(pool, dir), changed);
  await t.throwsAsync(migrate(pool, dir), changed);
  t.false(await tableExists(b));
});

test.serial('a database with migrations of a newer version is up to date for an older one', async (t) => {
  const [a, b] = [unique('a'), unique('b')];
  const older = { [a]: `CREATE TABLE ${a} (n int);` };
  await migrate(pool, await migrationsDir({ ...older, [b]: `CREATE TABLE ${b} (n int);` }));
  const dir = await migrationsDir(older);
  t.deepEqual(await pendingMigrations(pool, dir), []);
  t.deepEqual(await migrate(pool, dir), []);
});

test.serial(
  'a migration that another program has left unfinished is an error; one rolled back there is pending again',
  async (t) => {
    const a = unique('a');
    const dir = await migrationsDir({ [a]: `CREATE TABLE ${a} (n int);` });
    await pool.query(`INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, 'x', $1)`, [a]);
    await t.throwsAsync(migrate(pool, dir), { instanceOf: MigrationError, message: /was started by another program/ });
    await pool.query('UPDATE _prisma_migrations SET rolled_back_at = now() WHERE id = $1', [a]);
    t.deepEqual(await migrate(pool, dir), [a]);
  },
);

test.serial('a folder without migration.sql is an error that names it', async (t) => {
  const a = unique('a');
  const dir = await migrationsDir({ [a]: '' });
  await rm(new URL(`${a}/migration.sql`, dir));
  await t.throwsAsync(migrate(pool, dir), { instanceOf: MigrationError, message: new RegExp(`${a} has no readable`) });
});

test.serial(
  'of many calls at the same time each migration is applied by one, and all return when it is there',
  async (t) => {
    const names = [unique('a'), unique('b'), unique('c')];
    const dir = await migrationsDir(
      Object.fromEntries(names.map((n) => [n, `CREATE TABLE ${n} (n int); SELECT pg_sleep(0.05);`])),
    );
    const pools = Array.from({ length: 4 }, () => new Pool({ connectionString: database.connectionString, max: 2 }));
    const calls = [...pools, ...pools].map(async (each) => {
      const applied = await migrate(each, dir);
      for (const name of names) t.is((await recordsOf(name)).length, 1);
      return applied;
    });
    t.deepEqual((await Promise.all(calls)).flat().sort(), names);
    for (const each of pools) await each.end();
  },
);

test.serial('a pool that gives its queries little time still migrates', async (t) => {
  const a = unique('a');
  const dir = await migrationsDir({ [a]: 'SELECT pg_sleep(1.5);' });
  const hasty = new Pool({ connectionString: database.connectionString, query_timeout: 1_000 });
  t.deepEqual(await migrate(hasty, dir), [a]);
  await hasty.end();
});

test.serial('the advisory lock is given back, also after a failure', async (t) => {
  const [a, b] = [unique('a'), unique('b')];
  const dir = await migrationsDir({ [a]: 'SELECT 1;', [b]: 'SELECT nonsense;' });
  await t.throwsAsync(migrate(pool, dir));
  const { rows } = await pool.query('SELECT pg_try_advisory_lock(72707369) AS free, pg_advisory_unlock(72707369)');
  t.true(rows[0].free);
});

// The embedded database has one session, in which nobody waits for a lock.
const withPostgres = process.env.TEST_DATABASE_URL ? test.serial : test.serial.skip;

withPostgres(
  `a migration that a long query is in the way of holds nobody else up, and is done once that is over${process.env.TEST_DATABASE_URL ? '' : ' (no PostgreSQL: set TEST_DATABASE_URL)'}`,
  async (t) => {
    const [a, b] = [unique('a'), unique('b')];
    await migrate(pool, await migrationsDir({ [a]: `CREATE TABLE ${a} (n int);` }));
    const long = await pool.connect();
    await long.query('BEGIN');
    await long.query(`SELECT * FROM ${a}`);

    let done = false;
    const change = `ALTER TABLE ${a} ADD COLUMN m int; CREATE TABLE ${b} (n int);`;
    const migrating = migrate(pool, await migrationsDir({ [b]: change })).finally(() => {
      done = true;
    });
    let worstMs = 0;
    for (const until = Date.now() + 2_000; Date.now() < until; await sleep(20)) {
      const start = Date.now();
      await pool.query(`SELECT n FROM ${a}`);
      worstMs = Math.max(worstMs, Date.now() - start);
    }
    t.false(done);
    t.true(worstMs > 500, 'somebody did queue behind it');
    t.true(worstMs < 3_500, `${worstMs} ms`);
    await long.query('COMMIT');
    long.release();
    t.deepEqual(await migrating, [b]);
  },
);
