import type { Pool, PoolClient } from 'pg';
import { type Backup, BackupError, quoted } from './backup.ts';
import { appliedMigrations, migrate, migrationChecksums } from './migrator.ts';

/** Rows that are written at a time. */
const BATCH = 1_000;
/** What migrations put in by themselves. */
const FILLED_BY_MIGRATIONS = new Set(['roles']);

/** Every table after those that its rows refer to. */
const inOrder = async (db: PoolClient, tables: string[]): Promise<string[]> => {
  const { rows } = await db.query<{ from: string; to: string }>(
    `SELECT conrelid::regclass::text AS from, confrelid::regclass::text AS to FROM pg_constraint
      WHERE contype = 'f' AND conrelid <> confrelid`,
  );
  const plain = (name: string): string => name.replace(/^"(.*)"$/, '$1');
  const done: string[] = [];
  const visit = (table: string): void => {
    if (done.includes(table)) return;
    for (const { from, to } of rows) if (plain(from) === table) visit(plain(to));
    done.push(table);
  };
  for (const table of tables) visit(table);
  return done.filter((table) => tables.includes(table));
};

/** @throws {BackupError} where somebody's data are. */
const insistOnEmpty = async (pool: Pool): Promise<void> => {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
  );
  for (const { name } of rows) {
    if (name === '_prisma_migrations' || FILLED_BY_MIGRATIONS.has(name)) continue;
    const { rowCount } = await pool.query(`SELECT FROM ${quoted(name)} LIMIT 1`);
    if (rowCount)
      throw new BackupError(
        `The database is not empty: there are rows in ${name}. Nothing is overwritten: restore into a new one, or move this one away.`,
      );
  }
};

/** @throws {BackupError} where this code cannot make the schema that the backup is of. */
const insistOnSchema = async (pool: Pool, backup: Backup, dir: URL | undefined): Promise<void> => {
  const known = await migrationChecksums(dir);
  for (const [name, checksum] of Object.entries(backup.header.migrations)) {
    if (!known.has(name))
      throw new BackupError(
        `The backup was made by a newer version (${backup.header.version}): its migration ${name} is not known here. Restore it with that version.`,
      );
    if (known.get(name) !== checksum)
      throw new BackupError(`Migration ${name} is another one here than in the backup. Restore the file.`);
  }
  for (const name of (await appliedMigrations(pool)).keys())
    if (!(name in backup.header.migrations))
      throw new BackupError(
        `The database is ahead of the backup, by the migration ${name}. Restore into a new database: it is migrated afterwards.`,
      );
};

const fill = async (db: PoolClient, { header, rows }: Backup): Promise<void> => {
  for (const table of await inOrder(db, Object.keys(header.tables))) {
    const all = rows.get(table) ?? [];
    const columns = (header.tables[table] ?? []).map(quoted).join(', ');
    if (FILLED_BY_MIGRATIONS.has(table)) await db.query(`DELETE FROM ${quoted(table)}`);
    for (let from = 0; from < all.length; from += BATCH)
      await db.query(
        `INSERT INTO ${quoted(table)} (${columns})
         SELECT ${columns} FROM json_populate_recordset(NULL::${quoted(table)}, $1::json)`,
        [`[${all.slice(from, from + BATCH).join(',')}]`],
      );
    const { rows: counted } = await db.query<{ n: string }>(`SELECT count(*)::text AS n FROM ${quoted(table)}`);
    if (Number(counted[0]?.n) !== all.length) throw new BackupError(`Not every row of ${table} was restored.`);
  }
};

/**
 * Makes an empty database what another one was when the backup was made, and brings it up to date.
 *
 * @returns the migrations that were applied on top of the backup.
 * @throws {BackupError} and leaves the database without a row.
 */
export const restore = async (pool: Pool, backup: Backup, dir?: URL): Promise<string[]> => {
  await insistOnSchema(pool, backup, dir);
  await insistOnEmpty(pool);
  await migrate(pool, dir, (name) => name in backup.header.migrations);
  const db = await pool.connect();
  try {
    await db.query('BEGIN');
    await fill(db, backup);
    await db.query('COMMIT');
  } catch (error) {
    await db.query('ROLLBACK').catch(() => {});
    throw error;
  } finally {
    db.release();
  }
  return migrate(pool, dir);
};
