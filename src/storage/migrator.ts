// Applies prisma/migrations to a database and records them where Prisma's own command line looks for them. (That one fetches an
// engine from the internet before it migrates.)
import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ClientBase, Pool, PoolClient } from 'pg';

/** A migration that cannot be applied, or was not applied as it now stands. The message is for the operator. */
export class MigrationError extends Error {
  override name = 'MigrationError';
}

type Migration = { name: string; sql: string /** SHA-256 of the file, in hex. */; checksum: string };
type Row = { checksum: string; finished: boolean };

const MIGRATIONS = new URL('../../prisma/migrations/', import.meta.url);

// The key that Prisma's migration engine locks too: the two exclude each other.
const ADVISORY_LOCK = 72_707_369;

/**
 * A change of a table waits for the queries on it, and whoever comes after waits for the change: longer than this, and people would
 * notice a long query for which nobody but the migration had to wait.
 */
const LOCK_WAIT_MS = 1_000;
const LOCK_PAUSE_MS = 500;
const LOCK_ATTEMPTS = 60;
const LOCK_NOT_AVAILABLE = '55P03';

// A pool for requests may give its queries seconds; a migration, or waiting for another process's, takes as long as it takes.
const patiently = (text: string) => ({ text, query_timeout: 2 ** 31 - 1 });

const readMigrations = async (dir: URL): Promise<Migration[]> => {
  const entries = await readdir(dir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    // Code unit order, as Prisma sorts them, whatever the locale.
    names.sort().map(async (name) => {
      const file = await readFile(new URL(`${encodeURIComponent(name)}/migration.sql`, dir)).catch((cause: unknown) => {
        throw new MigrationError(`Migration ${name} has no readable migration.sql in ${fileURLToPath(dir)}.`, {
          cause,
        });
      });
      return { name, sql: file.toString('utf8'), checksum: createHash('sha256').update(file).digest('hex') };
    }),
  );
};

// Column for column what Prisma creates.
const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id                  VARCHAR(36) PRIMARY KEY NOT NULL,
  checksum            VARCHAR(64) NOT NULL,
  finished_at         TIMESTAMPTZ,
  migration_name      VARCHAR(255) NOT NULL,
  logs                TEXT,
  rolled_back_at      TIMESTAMPTZ,
  started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
  applied_steps_count INTEGER NOT NULL DEFAULT 0
)`;

/** True when the migration is in the database. */
const isApplied = ({ name, checksum }: Migration, row: Row | undefined): boolean => {
  if (!row) return false;
  // Prisma's command line leaves such a row; what has run of that migration, only a person can find out.
  if (!row.finished)
    throw new MigrationError(
      `Migration ${name} was started by another program and has not finished: it failed, or is still running. ` +
        'If it failed, repair the database and settle the record with "prisma migrate resolve".',
    );
  if (row.checksum !== checksum)
    throw new MigrationError(
      `Migration ${name} was changed after it was applied. Restore the file, and put the change into a new migration.`,
    );
  return true;
};

const recorded = async (db: Pool | ClientBase): Promise<Map<string, Row>> => {
  const { rows } = await db.query<Row & { name: string }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
       FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  );
  return new Map(rows.map((row) => [row.name, row]));
};

/** The migrations there are, by name, with the checksum that is recorded of each. */
export const migrationChecksums = async (dir: URL = MIGRATIONS): Promise<Map<string, string>> =>
  new Map((await readMigrations(dir)).map(({ name, checksum }) => [name, checksum]));

/** The migrations that a database has, by name, with their checksums; none where it has never been migrated. */
export const appliedMigrations = async (db: Pool | ClientBase): Promise<Map<string, string>> => {
  const table = await db.query<{ there: boolean }>(`SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`);
  const rows = table.rows[0]?.there ? await recorded(db) : new Map<string, Row>();
  return new Map([...rows].map(([name, { checksum }]) => [name, checksum]));
};

/**
 * Names of the migrations that the database lacks, in the order of their application. Migrations of the database that are unknown
 * here do not count: during a rolling deployment older code runs on a newer database.
 *
 * @throws {MigrationError} when a file was changed after it was applied.
 */
export const pendingMigrations = async (pool: Pool, dir: URL = MIGRATIONS): Promise<string[]> => {
  const migrations = await readMigrations(dir);
  const table = await pool.query<{ there: boolean }>(`SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`);
  const rows = table.rows[0]?.there ? await recorded(pool) : new Map<string, Row>();
  return migrations.filter((migration) => !isApplied(migration, rows.get(migration.name))).map(({ name }) => name);
};

/** The line of the SQL that the database complains about; it counts characters, from 1. */
const lineOf = (sql: string, error: unknown): string => {
  const position = error instanceof Error && 'position' in error ? Number(error.position) : Number.NaN;
  return position > 0
    ? ` (line ${[...sql].slice(0, position - 1).filter((character) => character === '\n').length + 1})`
    : '';
};

/** One migration and its record, in one transaction: both or neither. */
const applyOne = async (client: PoolClient, migration: Migration): Promise<boolean> => {
  const { name, sql, checksum } = migration;
  const startedAt = new Date();
  await client.query('BEGIN');
  try {
    await client.query(CREATE_TABLE);
    // On the embedded database all connections are one session, which an advisory lock does not keep out: this looks again,
    // with every other migrate() shut out by the table.
    await client.query(patiently('LOCK TABLE _prisma_migrations IN SHARE ROW EXCLUSIVE MODE'));
    const applied = isApplied(migration, (await recorded(client)).get(name));
    if (!applied) {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_WAIT_MS}`);
      await client.query(patiently(sql)).catch((cause: unknown) => {
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new MigrationError(`Migration ${name} failed and was rolled back${lineOf(sql, cause)}: ${reason}`, {
          cause,
        });
      });
      await client.query(
        `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
         VALUES ($1, $2, $3, $4, clock_timestamp(), 1)`,
        [randomUUID(), checksum, name, startedAt],
      );
    }
    await client.query('COMMIT');
    return !applied;
  } catch (error) {
    // If this fails the connection is gone, and the transaction with it.
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
};

const waitedInVain = ({ cause }: MigrationError): boolean =>
  cause instanceof Error && 'code' in cause && cause.code === LOCK_NOT_AVAILABLE;

/** Steps aside for those who are in the way, and tries again. */
const applyBetweenOthers = async (client: PoolClient, migration: Migration): Promise<boolean> => {
  for (let attempt = 1; ; attempt += 1)
    try {
      return await applyOne(client, migration);
    } catch (error) {
      if (!(error instanceof MigrationError) || !waitedInVain(error)) throw error;
      if (attempt === LOCK_ATTEMPTS)
        throw new MigrationError(
          `${error.message}. A long query or transaction is in the way: try again when it is over.`,
          { cause: error },
        );
      await sleep(LOCK_PAUSE_MS);
    }
};

/**
 * Brings the database up to date. Any number of processes may call this at the same time: each migration is applied once, and
 * every call returns when all are. A migration runs in a transaction and must not contain transaction commands of its own, nor
 * statements that refuse to run in one (CREATE INDEX CONCURRENTLY).
 *
 * @param only Those alone, where a database is to be as an older one was.
 * @returns the names of those that this call has applied, in order.
 * @throws {MigrationError} when one fails: it is rolled back whole, those before it stay.
 */
export const migrate = async (
  pool: Pool,
  dir: URL = MIGRATIONS,
  only: (name: string) => boolean = () => true,
): Promise<string[]> => {
  if (!(await pendingMigrations(pool, dir)).some(only)) return [];
  const client = await pool.connect();
  try {
    // A migration takes as long as it takes, and so does waiting for another process's.
    await client.query('SET lock_timeout = 0; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0');
    await client.query(patiently(`SELECT pg_advisory_lock(${ADVISORY_LOCK})`));
    const applied: string[] = [];
    for (const migration of await readMigrations(dir)) {
      if (only(migration.name) && (await applyBetweenOthers(client, migration))) applied.push(migration.name);
    }
    return applied;
  } finally {
    // One that cannot give the lock back does so by ending; and one without limits is not used for anything else.
    await client.query(`SELECT pg_advisory_unlock(${ADVISORY_LOCK})`).catch(() => {});
    client.release(true);
  }
};
