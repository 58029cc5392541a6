import type { Client } from 'pg';
import type { Config } from '../../src/config.ts';
import { appliedMigrations, migrationChecksums } from '../../src/storage/migrator.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const OLDEST = 150_000;

export const checkPostgres = async (db: Client, { databaseUrl }: Config): Promise<Finding[]> => {
  const start = performance.now();
  const { rows } = await db.query(
    `SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
            current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS durable,
            current_setting('synchronous_commit') <> 'off' AS waits,
            inet_server_addr() IS NOT NULL AND NOT inet_server_addr() <<= '127.0.0.0/8' AND inet_server_addr() <> '::1' AS remote,
            coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS tls`,
  );
  const ms = Math.round(performance.now() - start);
  const [{ version, encoding, durable, waits, remote, tls }] = rows;
  const found: Finding[] = [];
  if (version < OLDEST)
    found.push(
      fail('postgres', `PostgreSQL ${Math.floor(version / 10_000)} is too old.`, 'Use PostgreSQL 15 or later.'),
    );
  if (encoding !== 'UTF8')
    found.push(fail('postgres', `The database is encoded in ${encoding}.`, "Make it anew with ENCODING 'UTF8'."));
  // The embedded database is for development, and says so itself.
  if (databaseUrl && !(durable && waits))
    found.push(
      warn(
        'postgres',
        'PostgreSQL does not wait for the disk: a power cut loses what was acknowledged.',
        'Set fsync, full_page_writes and synchronous_commit to on.',
      ),
    );
  if (remote && !tls)
    found.push(
      warn(
        'postgres',
        'The connection to PostgreSQL crosses a network in the clear.',
        'Add ?sslmode=verify-full to DATABASE_URL, unless that network is yours alone.',
      ),
    );
  if (found.length > 0) return found;
  return [ok('postgres', `${databaseUrl ? new URL(databaseUrl).host : 'The embedded database'} answers in ${ms} ms.`)];
};

export const checkMigrations = async (db: Client): Promise<Finding[]> => {
  const applied = await appliedMigrations(db);
  const known = await migrationChecksums();
  const missing = [...known.keys()].filter((name) => !applied.has(name));
  const changed = [...known].filter(([name, checksum]) => applied.has(name) && applied.get(name) !== checksum);
  const newer = [...applied.keys()].filter((name) => !known.has(name));
  const found: Finding[] = [];
  if (missing.length > 0)
    found.push(
      fail('migrations', `The database lacks ${missing.length}, from ${missing[0]} on.`, 'Run: npm run migrate'),
    );
  for (const [name] of changed)
    found.push(
      fail(
        'migrations',
        `${name} was changed after it was applied.`,
        'Restore the file, and put the change into a new one.',
      ),
    );
  if (newer.length > 0)
    found.push(
      warn(
        'migrations',
        `The database has ${newer.length} that this version does not know, such as ${newer[0]}.`,
        'Run the newer version; beside it the former one may run for the time of a deployment.',
      ),
    );
  return found.length > 0 ? found : [ok('migrations', `All ${known.size} are applied, as they stand here.`)];
};

/** Who could mend anything, and whether those are there who should not be. */
export const checkPeople = async (db: Client, { production }: Config): Promise<Finding[]> => {
  const { rows } = await db.query<{ admins: number; demo: boolean }>(
    `SELECT (SELECT count(*)::int FROM users WHERE role = 'admin' AND banned_at IS NULL) AS admins,
            EXISTS (SELECT FROM users WHERE email_key = 'demo@example.com') AS demo`,
  );
  const found: Finding[] = [];
  if (production && rows[0]?.demo)
    found.push(
      fail('people', 'The demo user is in the database of a production.', 'Remove demo@example.com, at /admin/users.'),
    );
  if (!rows[0]?.admins)
    found.push(
      warn(
        'people',
        'There is no administrator.',
        'Make one: npm run create-user -- --email ADDRESS --password PASSWORD --role admin',
      ),
    );
  return found.length > 0 ? found : [ok('people', `Administrators: ${rows[0]?.admins}.`)];
};
