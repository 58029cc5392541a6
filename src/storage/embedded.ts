// The embedded default: PostgreSQL inside this process (PGlite) on DATA_DIR, served on a unix socket in it, so that everything
// connects with pg as it would to a server elsewhere. Opening and closing
// is here; how connections take turns is in embedded-turns.ts, how processes keep off one directory in embedded-lock.ts.
//
// What differs from a server of its own: all connections share one session. Named prepared statements, SET, LISTEN and session
// advisory locks are common to all, and an open transaction makes every other connection wait.
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PGlite } from '@electric-sql/pglite';
import { codeOf, DataDirError, openDataDir } from './data-dir.ts';
import { type Holder, type Lock, type Mode, reach, takeLock } from './embedded-lock.ts';
import { servePostgres } from './embedded-turns.ts';

export type Embedded = {
  connectionString: string;
  /** True when this process runs the database. */
  owner: boolean;
  /** The owner stops the database and gives the directory free. May be called more than once. */
  close(): Promise<void>;
};

/** Another live process has the data directory. */
export class EmbeddedInUseError extends DataDirError {
  override name = 'EmbeddedInUseError';
}

const SOCKET = '.s.PGSQL.5432';
// sun_path holds 104 bytes on some systems and 108 on others, and what does not fit is cut off without a word.
const SOCKET_PATH_MAX_BYTES = 100;
const SERVER_WAITS_FOR_SCRIPT_MS = 10_000;
const SCRIPT_WAITS_FOR_DATABASE_MS = 30_000;
const SCRIPT_WAITS_FOR_GUESTS_MS = 8_000;

// The port and sslmode are named, or PGPORT and PGSSLMODE would choose them.
const connectionStringOf = (dir: string) =>
  `postgresql://postgres@localhost:5432/postgres?host=${encodeURIComponent(dir)}&sslmode=disable`;

const fits = (dir: string): boolean => Buffer.byteLength(join(dir, SOCKET)) <= SOCKET_PATH_MAX_BYTES;

/** The directory by a path that is short enough for a socket in it: where its own is not, by a link in the temp directory. */
const shortPath = async (dir: string): Promise<string> => {
  if (fits(dir)) return dir;
  const link = join(tmpdir(), `user-auth-${createHash('sha256').update(dir).digest('hex').slice(0, 12)}`);
  await symlink(dir, link).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error;
  });
  // The temp directory is everybody's: a link that somebody else put there could lead anywhere.
  const { uid } = await lstat(link);
  if (fits(link) && uid === process.getuid?.() && (await readlink(link).catch(() => '')) === dir) return link;
  throw new DataDirError(
    `DATA_DIR ${dir} is too long a path for the unix socket in it, and ${link} is no link to it. ` +
      'Choose a shorter DATA_DIR.',
  );
};

const namesIn = async (dir: string): Promise<string[]> => {
  try {
    return await readdir(dir);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
};

const damaged = async (data: string, error: unknown): Promise<DataDirError> => {
  const version = await readFile(join(data, 'PG_VERSION'), 'utf8').catch(() => '');
  const reason = (error instanceof Error && error.message) || codeOf(error) || 'unknown reason';
  return new DataDirError(
    `The embedded database in ${data} cannot be opened (${reason}). ` +
      `${version.trim() && `It was written by PostgreSQL ${version.trim().slice(0, 20)}. `}` +
      'It is left as it is: restore it from a backup, or move it away to start with an empty one.',
    { cause: error },
  );
};

const openPGlite = async (dir: string): Promise<PGlite> => {
  const data = join(dir, 'postgres');
  // There from before a first start until it is complete: what an interrupted one has left is of no use, and nobody has seen it.
  const incomplete = join(dir, 'postgres.incomplete');
  try {
    if ((await readdir(dir)).includes('postgres.incomplete')) await rm(data, { recursive: true, force: true });
    const names = await namesIn(data);
    if (names.length === 0) await writeFile(incomplete, '');
    else if (!names.includes('PG_VERSION')) throw new Error('there is no PG_VERSION in it');
    await mkdir(data, { recursive: true, mode: 0o700 });
    // Here, so that whoever uses another database does not load this one.
    const { PGlite } = await import('@electric-sql/pglite');
    const db = await PGlite.create(data);
    await chmod(data, 0o700);
    await rm(incomplete, { force: true });
    return db;
  } catch (error) {
    throw await damaged(data, error);
  }
};

/** A script stays until the scripts that came to use its database have finished. */
const guestsGone = async (lock: Lock): Promise<void> => {
  const deadline = Date.now() + SCRIPT_WAITS_FOR_GUESTS_MS;
  while (lock.guests() > 0 && Date.now() < deadline) await sleep(20);
};

const openOwned = async (dir: string, mode: Mode, lock: Lock): Promise<Embedded> => {
  const socket = join(dir, SOCKET);
  try {
    await rm(socket, { force: true });
    const db = await openPGlite(dir);
    const stopServing = await servePostgres(db, socket).catch(async (error: unknown) => {
      await db.close();
      throw error;
    });
    let closed: Promise<void> | undefined;
    const close = async () => {
      lock.announceClosing();
      try {
        if (mode === 'share') await guestsGone(lock);
        await stopServing();
        await db.close();
        await rm(socket, { force: true });
      } finally {
        await lock.release();
      }
    };
    return {
      connectionString: connectionStringOf(dir),
      owner: true,
      close() {
        closed ??= close();
        return closed;
      },
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
};

/** Waits until the holder serves, which it does not yet while it opens the database. False when it went away, or time is up. */
const served = async (dir: string, holder: Socket, deadline: number): Promise<boolean> => {
  while (!holder.closed && Date.now() < deadline) {
    const socket = await reach(join(dir, SOCKET));
    if (socket) {
      socket.destroy();
      return true;
    }
    await sleep(50);
  }
  return false;
};

const inUse = (dir: string, holder: Holder | undefined): EmbeddedInUseError => {
  const who = `${holder?.mode === 'share' ? 'script' : 'server'} (process ${holder?.pid ?? 'unknown: it does not answer'})`;
  return new EmbeddedInUseError(
    `DATA_DIR ${dir} is in use by another ${who}. Stop that process, or give this one a DATA_DIR of its own.`,
  );
};

/**
 * Opens the embedded database in a directory of this user alone, creating it on first use. It comes back whole after kill -9;
 * a power cut may cost the last writes, since PGlite does not force them to the disk.
 *
 * @param mode 'serve' for the server: another live server in the directory is an error, a script is waited for (10 s).
 *   'share' for scripts: connects to whoever has the directory (waiting up to 30 s until it serves), or opens it itself.
 * @throws {EmbeddedInUseError} naming the process that has the directory.
 * @throws {DataDirError} when the directory is damaged or cannot be used.
 */
export const openEmbedded = async (dataDir: string, mode: Mode): Promise<Embedded> => {
  const dir = await shortPath(await openDataDir(dataDir));
  const deadline = Date.now() + (mode === 'serve' ? SERVER_WAITS_FOR_SCRIPT_MS : SCRIPT_WAITS_FOR_DATABASE_MS);
  for (;;) {
    const taken = await takeLock(dir, mode);
    if ('lock' in taken) return openOwned(dir, mode, taken.lock);
    const { connection, holder } = taken;
    if (mode === 'share' && !holder?.closing && (await served(dir, connection, deadline))) {
      // Kept open, so that a script which has the database waits for this one; it does not keep this process alive.
      connection.unref();
      return { connectionString: connectionStringOf(dir), owner: false, close: async () => void connection.destroy() };
    }
    const { closed } = connection;
    connection.destroy();
    if (closed) continue;
    const leaving = holder?.closing || holder?.mode === 'share';
    if (Date.now() >= deadline || (mode === 'serve' && !leaving)) throw inUse(dir, holder);
    await sleep(100);
  }
};
