import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import test from 'ava';
import { Client, type Pool } from 'pg';
import { readBackupFile, writeBackupFile } from '../../scripts/backup-file.ts';
import { backupLines, readBackup } from '../../src/storage/backup.ts';
import { restore } from '../../src/storage/restore.ts';
import { testDatabase } from '../helpers/database.ts';

const dir = await mkdtemp(join(tmpdir(), 'ua-backup-'));
const [full, empty, later] = [await testDatabase(), await testDatabase(), await testDatabase()];
const USER = '00000000-0000-4000-8000-000000000001';
// What a detour by JavaScript's numbers and dates would change, and what lines and quotes would break.
await full.pool.query(
  `INSERT INTO users (id, email, email_key, name, address, created_at)
   VALUES ($1, 'Ada@Example.com', 'ada@example.com', E'two\nlines "and" \\\\ 标\t', '{"n": 12345678901234567890.123, "a": [null, "\\n"]}', '2026-01-02 03:04:05.678+00')`,
  [USER],
);
await full.pool.query(
  `INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes, allowed_networks)
   VALUES ($1, $1, 'key', 'uak_', 'hash', ARRAY['a','b c','"d"'], '{}')`,
  [USER],
);
await full.pool.query(`INSERT INTO roles VALUES ('auditor', ARRAY['read:audit'])`);
await full.pool.query(`UPDATE roles SET permissions = ARRAY['read:profile'] WHERE name = 'user'`);
await full.pool.query(
  `INSERT INTO audit_events (seq, event, mac) VALUES (9007199254740993, '{"time":"t","type":"x"}', 'mac')`,
);

test.after.always(async () => {
  await Promise.all([full.close(), empty.close(), later.close()]);
  await rm(dir, { recursive: true, force: true });
});

const linesOf = async (connectionString: string): Promise<string> => {
  const db = new Client({ connectionString });
  await db.connect();
  let text = '';
  for await (const part of backupLines(db, { version: '0.0.1' })) text += part;
  await db.end();
  return text;
};
const rowsOf = async (pool: Pool): Promise<string[]> => {
  const found: string[] = [];
  for (const table of ['roles', 'users', 'api_keys', 'audit_events']) {
    const { rows } = await pool.query(`SELECT row_to_json(r)::text AS row FROM ${table} r ORDER BY 1`);
    found.push(...rows.map(({ row }) => `${table} ${row}`));
  }
  return found;
};

test.serial('every row comes back to the letter, and nothing is written over', async (t) => {
  const text = await linesOf(full.connectionString);
  const backup = readBackup(text);
  t.is(backup.header.version, '0.0.1');
  t.deepEqual(await restore(empty.pool, backup), []);
  t.deepEqual(await rowsOf(empty.pool), await rowsOf(full.pool));
  t.is(
    (await empty.pool.query(`SELECT type FROM audit_events`)).rows[0].type,
    'x',
    'generated columns come by themselves',
  );

  await t.throwsAsync(restore(empty.pool, backup), { message: /is not empty: there are rows in/ });
  t.deepEqual(await rowsOf(empty.pool), await rowsOf(full.pool));
});

test.serial('an older backup is restored as it was, and migrated with its rows in it', async (t) => {
  const backup = readBackup(await linesOf(full.connectionString));
  const migrations = join(dir, 'migrations');
  await cp(fileURLToPath(new URL('../../prisma/migrations', import.meta.url)), migrations, { recursive: true });
  await mkdir(join(migrations, '99990101000000_later'));
  const sql = `ALTER TABLE users ADD COLUMN shouted TEXT; UPDATE users SET shouted = upper(email);`;
  await writeFile(join(migrations, '99990101000000_later', 'migration.sql'), sql);
  const url = pathToFileURL(`${migrations}/`);
  t.deepEqual(await restore(later.pool, backup, url), ['99990101000000_later']);
  t.is((await later.pool.query('SELECT shouted FROM users')).rows[0].shouted, 'ADA@EXAMPLE.COM');

  await later.pool.query('DELETE FROM users');
  await t.throwsAsync(restore(later.pool, backup, url), { message: /is ahead of the backup, by the migration 9999/ });
});

test.serial('what this code cannot know is refused: a newer backup, and one of other migrations', async (t) => {
  const backup = readBackup(await linesOf(full.connectionString));
  const { header } = backup;
  const checksum = createHash('sha256').update('x').digest('hex');
  const newer = { ...header, version: '9.9.9', migrations: { ...header.migrations, '9999_newer': checksum } };
  await t.throwsAsync(restore(empty.pool, { ...backup, header: newer }), {
    message: /made by a newer version \(9\.9\.9\)/,
  });
  const [first = ''] = Object.keys(header.migrations);
  const other = { ...header, migrations: { ...header.migrations, [first]: checksum } };
  await t.throwsAsync(restore(empty.pool, { ...backup, header: other }), {
    message: /is another one here than in the backup/,
  });
});

test.serial('a restore that fails half-way leaves no row', async (t) => {
  const backup = readBackup(await linesOf(full.connectionString));
  await later.pool.query('DROP TABLE IF EXISTS consents CASCADE');
  await later.pool.query(`DELETE FROM _prisma_migrations WHERE migration_name LIKE '9999%'`);
  for (const table of ['api_keys', 'users']) await later.pool.query(`DELETE FROM ${table}`);
  await later.pool.query('ALTER TABLE audit_events DISABLE TRIGGER USER');
  await later.pool.query('DELETE FROM audit_events');
  await t.throwsAsync(restore(later.pool, backup), { message: /consents/ });
  for (const table of ['users', 'api_keys', 'audit_events'])
    t.is((await later.pool.query(`SELECT FROM ${table}`)).rowCount, 0, table);
});

test('a text that is no whole backup is refused', (t) => {
  const header = JSON.stringify({
    format: 'user-auth-backup/1',
    made_at: '',
    version: '',
    migrations: {},
    tables: { users: ['id'] },
  });
  const whole = `${header}\n"users"\t{"id":1}\n{"complete":true,"rows":1}\n`;
  t.is(readBackup(whole).total, 1);
  for (const [text, says] of [
    ['', /no backup/],
    ['{}\n', /no backup/],
    [header, /not complete/],
    [`${header}\n`, /not complete/],
    [whole.slice(0, -2), /not complete/],
    [whole.replace('"users"\t{"id":1}\n', ''), /not complete/],
    [whole.replace('"users"\t', '"roles"\t'), /no table of its own/],
    [whole.replace('user-auth-backup/1', 'user-auth-backup/2'), /no backup/],
  ] as const)
    t.throws(() => readBackup(text), { message: says }, text);
});

async function* lines() {
  yield 'a line\n';
  yield 'ada@example.com\n';
}

test('a backup file is this user’s alone, appears whole, and is never written over', async (t) => {
  const path = join(dir, 'plain');
  await writeBackupFile(path, lines());
  t.is((await stat(path)).mode & 0o777, 0o600);
  t.is(await readBackupFile(path), 'a line\nada@example.com\n');
  await t.throwsAsync(writeBackupFile(path, lines()), { message: /is there already/ });
  await t.throwsAsync(writeBackupFile(join(dir, 'nowhere', 'x'), lines()), { message: /cannot be written \(ENOENT\)/ });
  const broken = async function* () {
    yield 'a line\n';
    throw new Error('the database went away');
  };
  await t.throwsAsync(writeBackupFile(join(dir, 'half'), broken()), { message: /went away/ });
  await t.throwsAsync(stat(join(dir, 'half')), { code: 'ENOENT' });
  const bytes = await readFile(path);
  await writeFile(join(dir, 'cut'), bytes.subarray(0, -5));
  await t.throwsAsync(readBackupFile(join(dir, 'cut')), { message: /not a whole one/ });
  await t.throwsAsync(readBackupFile(join(dir, 'absent')), { message: /cannot be read \(ENOENT\)/ });
});

test('a sealed backup opens with its passphrase alone, and not when a bit of it was changed', async (t) => {
  const path = join(dir, 'sealed');
  const passphrase = 'correct horse battery';
  await writeBackupFile(path, lines(), passphrase);
  t.is(await readBackupFile(path, passphrase), 'a line\nada@example.com\n');
  await t.throwsAsync(readBackupFile(path), { message: /is sealed/ });
  await t.throwsAsync(readBackupFile(path, 'incorrect horse battery'), { message: /does not open/ });
  const bytes = await readFile(path);
  const changed = Buffer.from(bytes);
  changed[60] = (changed[60] ?? 0) ^ 1;
  await writeFile(join(dir, 'changed'), changed);
  await t.throwsAsync(readBackupFile(join(dir, 'changed'), passphrase), { message: /does not open/ });
  await writeFile(join(dir, 'short'), bytes.subarray(0, 40));
  await t.throwsAsync(readBackupFile(join(dir, 'short'), passphrase), { message: /not complete/ });
});
