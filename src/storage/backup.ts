// A database as lines of JSON: first what it is a backup of, then every row of every table, then that it is complete. The tables
// themselves come back from the migrations, so that a backup can be restored by any later version, into any PostgreSQL.
import type { ClientBase } from 'pg';
import { z } from 'zod';
import { appliedMigrations } from './migrator.ts';

/** A backup that cannot be made, read or restored. The message is for the operator. */
export class BackupError extends Error {
  override name = 'BackupError';
}

export const FORMAT = 'user-auth-backup/1';

const Header = z.strictObject({
  format: z.literal(FORMAT),
  made_at: z.string(),
  /** Of the code that made it. */
  version: z.string(),
  /** Name → checksum. */
  migrations: z.record(z.string(), z.string()),
  /** Table → the columns that its rows have. */
  tables: z.record(z.string(), z.array(z.string()).min(1)),
  /** Files of the data directory, where they were asked for. */
  files: z.record(z.string(), z.unknown()).optional(),
});
export type BackupHeader = z.infer<typeof Header>;

const End = z.strictObject({ complete: z.literal(true), rows: z.int().min(0) });

/** Rows that are read at a time. */
const BATCH = 2_000;

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** Every table of ours with the columns that can be written: what is generated comes back by itself. */
const tablesOf = async (db: ClientBase): Promise<Record<string, string[]>> => {
  const { rows } = await db.query<{ name: string; columns: string[] }>(
    `SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
       FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> '_prisma_migrations'
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
      GROUP BY c.relname ORDER BY c.relname`,
  );
  return Object.fromEntries(rows.map(({ name, columns }) => [name, columns]));
};

/**
 * The lines of a backup: one state of the database, whoever writes to it meanwhile.
 *
 * @param db A connection of its own, without a time-out.
 * @throws {BackupError} when there is nothing to back up.
 */
export async function* backupLines(
  db: ClientBase,
  about: Pick<BackupHeader, 'version' | 'files'>,
): AsyncGenerator<string, void, undefined> {
  await db.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    const migrations = await appliedMigrations(db);
    if (migrations.size === 0) throw new BackupError('There is no database yet: nothing to back up.');
    const header: BackupHeader = {
      format: FORMAT,
      made_at: new Date().toISOString(),
      ...about,
      migrations: Object.fromEntries(migrations),
      tables: await tablesOf(db),
    };
    yield `${JSON.stringify(header)}\n`;
    let total = 0;
    for (const [table, columns] of Object.entries(header.tables)) {
      // As text, and never parsed: numbers past what JavaScript can count stay as they are.
      await db.query(
        `DECLARE backup_rows NO SCROLL CURSOR FOR
         SELECT row_to_json(r)::text AS row FROM (SELECT ${columns.map(quoted).join(', ')} FROM ${quoted(table)}) r`,
      );
      for (;;) {
        const { rows } = await db.query<{ row: string }>(`FETCH ${BATCH} FROM backup_rows`);
        if (rows.length === 0) break;
        total += rows.length;
        yield rows.map(({ row }) => `${JSON.stringify(table)}\t${row}\n`).join('');
      }
      await db.query('CLOSE backup_rows');
    }
    yield `${JSON.stringify({ complete: true, rows: total })}\n`;
  } finally {
    await db.query('ROLLBACK');
  }
}

export type Backup = {
  header: BackupHeader;
  /** By table, each as JSON. */
  rows: Map<string, string[]>;
  total: number;
};

const parsed = (line: string | undefined): unknown => {
  try {
    return JSON.parse(line ?? '');
  } catch {
    return undefined;
  }
};

/** @throws {BackupError} for what is no backup, or not a whole one. */
export const readBackup = (text: string): Backup => {
  const lines = text.split('\n');
  const { data: header } = Header.safeParse(parsed(lines[0]));
  if (!header) throw new BackupError('This is no backup that this version can read.');
  const rows = new Map<string, string[]>(Object.keys(header.tables).map((table) => [table, []]));
  const { data: end } = End.safeParse(parsed(lines.at(-2)));
  const body = lines.slice(1, -2);
  if (lines.at(-1) !== '' || end?.rows !== body.length)
    throw new BackupError('The backup is not complete: it was cut off, or was changed.');
  for (const line of body) {
    const tab = line.indexOf('\t');
    const list = rows.get(String(parsed(line.slice(0, tab))));
    if (tab < 0 || !list) throw new BackupError('The backup has a row of no table of its own: it was changed.');
    list.push(line.slice(tab + 1));
  }
  return { header, rows, total: body.length };
};
