// The embedded default: PostgreSQL inside this process (PGlite) on DATA_DIR, served on a unix socket in it, so that everything
// connects with pg as it would to a server elsewhere. Three parts: connections taking turns on PGlite's one session, the lock
// that keeps two processes off one directory, and opening and closing.
//
// What differs from a server of its own: all connections share one session. Named prepared statements, SET, LISTEN and session
// advisory locks are common to all, and an open transaction makes every other connection wait.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, readlink, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PGlite } from '@electric-sql/pglite';
import type { PGLiteSocketHandlerOptions } from '@electric-sql/pglite-socket';
import { codeOf, DataDirError, openDataDir } from './data-dir.ts';

export type Embedded = {
  connectionString: string;
  /** True when this process runs the database. */
  owner: boolean;
  /** The owner stops the database and gives the directory free. May be called more than once. */
  close(): Promise<void>;
};

/** A server opens the directory for as long as it runs, a script shares it with whoever has it. */
type Mode = 'serve' | 'share';

/** Another live process has the data directory. */
export class EmbeddedInUseError extends DataDirError {
  override name = 'EmbeddedInUseError';
}

const SOCKET = '.s.PGSQL.5432';
// sun_path holds 104 bytes on some systems and 108 on others, and what does not fit is cut off without a word.
const SOCKET_PATH_MAX_BYTES = 100;
const MAX_CONNECTIONS = 100;
const SERVER_WAITS_FOR_SCRIPT_MS = 10_000;
const SCRIPT_WAITS_FOR_DATABASE_MS = 30_000;
const SCRIPT_WAITS_FOR_GUESTS_MS = 8_000;
const HOLDER_ANSWERS_MS = 10_000;

// ---------------------------------------------------------------------------------------------------------------------
// Turns
// ---------------------------------------------------------------------------------------------------------------------

type Message = {
  connection: number;
  bytes: Uint8Array;
  onData(data: Uint8Array): void;
  resolve(sizeBytes: number): void;
  reject(error: unknown): void;
};

// Parse, Bind, Close, Describe, Execute and Flush: more of the same query follows, up to its Sync.
const EXTENDED_QUERY = new Set(Buffer.from('PBCDEH'));
// Sync, because after an error in an extended query all else is skipped; then Query.
const SYNC_AND_ROLLBACK = Buffer.from('S\0\0\0\x04Q\0\0\0\x0dROLLBACK\0', 'latin1');

/**
 * Lets many connections take turns on PGlite's one session. A connection keeps its turn from the first message of a query to the
 * last, and as long as its transaction is open. The library's own queue gives the turn away between the messages of a query, so
 * that one connection's values meet another's statement, and stops for good after an error.
 *
 * @see https://github.com/electric-sql/pglite/issues/1046
 */
const createTurns = (db: PGlite) => {
  let waiting: Message[] = [];
  let running: number | undefined;
  let holder: number | undefined;
  let stopped = false;

  const run = async ({ bytes, onData }: Message): Promise<number> => {
    let sizeBytes = 0;
    const onRawData = (data: Uint8Array) => {
      sizeBytes += data.length;
      onData(data);
    };
    await db.runExclusive(() => db.execProtocolRawStream(bytes, { onRawData }));
    return sizeBytes;
  };

  const drain = async () => {
    while (running === undefined) {
      const index = holder === undefined ? 0 : waiting.findIndex(({ connection }) => connection === holder);
      const message = index < 0 ? undefined : waiting.splice(index, 1)[0];
      if (!message) return;
      running = message.connection;
      try {
        const sizeBytes = await run(message);
        const more = EXTENDED_QUERY.has(message.bytes[0] ?? 0) || db.isInTransaction();
        holder = more ? message.connection : undefined;
        message.resolve(sizeBytes);
      } catch (error) {
        message.reject(error);
      }
      running = undefined;
    }
  };

  const push = (connection: number, bytes: Uint8Array, onData: Message['onData']) =>
    new Promise<number>((resolve, reject) => {
      waiting.push({ connection, bytes, onData, resolve, reject });
      void drain();
    });

  // The methods that PGLiteSocketHandler calls on its queue, by the names it calls them.
  return {
    async enqueue(connection: number, bytes: Uint8Array, onData: Message['onData']) {
      if (stopped) throw new Error('the database is closing');
      return push(connection, bytes, onData);
    },
    clearQueueForHandler(connection: number) {
      const dropped = waiting.filter((message) => message.connection === connection);
      waiting = waiting.filter((message) => message.connection !== connection);
      for (const { reject } of dropped) reject(new Error('disconnected'));
    },
    /** Ends what a connection that has gone left open; its last message may still be running. */
    async clearTransactionIfNeeded(connection: number) {
      if (holder === connection || running === connection) await push(connection, SYNC_AND_ROLLBACK, () => {});
    },
    stop() {
      stopped = true;
    },
  };
};

/** Serves PGlite on a unix socket. Closing ends every connection and rolls its transaction back; PGlite stays open. */
const servePostgres = async (db: PGlite, path: string) => {
  const { PGLiteSocketHandler } = await import('@electric-sql/pglite-socket');
  const turns = createTurns(db);
  const queryQueue = turns as unknown as PGLiteSocketHandlerOptions['queryQueue'];
  const handlers = new Set<InstanceType<typeof PGLiteSocketHandler>>();
  const server = createServer((socket) => {
    const handler = new PGLiteSocketHandler({ queryQueue, closeOnDetach: true });
    handlers.add(handler);
    // One of the two comes, whichever way the connection ends.
    for (const end of ['close', 'error']) handler.addEventListener(end, () => handlers.delete(handler));
    void handler.attach(socket);
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  await chmod(path, 0o600);
  return async () => {
    turns.stop();
    const closed = once(server, 'close');
    server.close();
    await Promise.all(Array.from(handlers, (handler) => handler.detach(true)));
    await closed;
  };
};

const listen = async (server: Server, path: string): Promise<void> => {
  server.listen(path);
  await once(server, 'listening');
};

// ---------------------------------------------------------------------------------------------------------------------
// The lock
// ---------------------------------------------------------------------------------------------------------------------

/** What a process says of itself to whoever connects to its lock. */
type Holder = { pid: number; mode: Mode; closing: boolean };

export type Lock = {
  /** Tells newcomers that the lock is about to be free. */
  announceClosing(): void;
  /** How many processes keep a connection to this lock, because they use what it guards. */
  guests(): number;
  release(): Promise<void>;
};

const LOCK = 'lock.sock';

/** A connection, or undefined when nobody listens. A process that has been killed does not listen; a busy one does. */
const reach = async (path: string): Promise<Socket | undefined> => {
  for (;;) {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      // An end without ceremony is an end: 'close' follows.
      return socket.on('error', () => {});
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') return undefined;
      // It listens, with more callers in its queue than fit; or it ended with this one in its queue. The next try tells.
      if (code !== 'EAGAIN' && code !== 'ECONNRESET') throw error;
      await sleep(20);
    }
  }
};

const targetOf = async (link: string): Promise<string | undefined> => {
  try {
    return await readlink(link);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new DataDirError(`${link} is in the way of this program's lock. Remove it.`, { cause: error });
  }
};

/**
 * Takes the lock `name` for the listening socket `self`, or connects to the one that has it.
 *
 * A lock is a symbolic link to a socket, and making one is atomic. The socket listens before it gets the link and its name is
 * never used again, so that one which refuses is dead for good. A dead lock is removed only by who holds the lock on its removal,
 * named after the dead socket: otherwise a process that was slow to act on what it saw could remove a live successor.
 */
const claim = async (dir: string, name: string, self: string): Promise<Socket | undefined> => {
  const link = join(dir, name);
  for (;;) {
    try {
      await symlink(self, link);
      return undefined;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const target = await targetOf(link);
    if (target === undefined) continue;
    const alive = await reach(join(dir, target));
    if (alive) return alive;

    const removal = `${target}.removal`;
    const rival = await claim(dir, removal, self);
    if (rival) {
      rival.destroy();
      await sleep(20);
      continue;
    }
    if ((await targetOf(link)) === target) await unlink(link);
    await rm(join(dir, target), { force: true });
    await unlink(join(dir, removal));
  }
};

/** What the holder says of itself; undefined when it is too busy to answer, or has just gone. */
const answerOf = async (connection: Socket): Promise<Holder | undefined> => {
  const stop = new AbortController();
  try {
    const { signal } = stop;
    const answer = await Promise.race([
      once(connection, 'data', { signal }),
      once(connection, 'close', { signal }),
      sleep(HOLDER_ANSWERS_MS, undefined, { signal }),
    ]);
    return answer?.[0] instanceof Buffer ? JSON.parse(answer[0].toString()) : undefined;
  } catch {
    // It went away in the middle.
    return undefined;
  } finally {
    stop.abort();
    connection.resume();
  }
};

/**
 * Takes the lock on a directory, which ends with the process, however that ends.
 *
 * @returns the lock, or a connection to the live process that has it. It counts as a guest of that process until destroyed.
 */
export const takeLock = async (
  dir: string,
  mode: Mode,
): Promise<{ lock: Lock } | { connection: Socket; holder: Holder | undefined }> => {
  const about: Holder = { pid: process.pid, mode, closing: false };
  const guests = new Set<Socket>();
  const server = createServer((socket) => {
    guests.add(socket);
    socket.on('error', () => {}).once('close', () => guests.delete(socket));
    socket.resume().unref();
    socket.write(JSON.stringify(about));
  });
  // Not longer than SOCKET: the path of that was measured.
  const self = `lock.${randomBytes(6).toString('base64url')}`;
  await listen(server, join(dir, self));
  server.unref();
  const stop = async () => {
    const closed = once(server, 'close');
    server.close();
    for (const guest of guests) guest.destroy();
    await closed;
  };

  let connection: Socket | undefined;
  try {
    connection = await claim(dir, LOCK, self);
  } catch (error) {
    await stop();
    throw error;
  }
  if (connection) {
    await stop();
    return { connection, holder: await answerOf(connection) };
  }
  let released: Promise<void> | undefined;
  const release = async () => {
    // The link first: while the socket listens, nobody else touches it.
    await rm(join(dir, LOCK), { force: true });
    await stop();
  };
  return {
    lock: {
      announceClosing() {
        about.closing = true;
      },
      guests: () => guests.size,
      release() {
        released ??= release();
        return released;
      },
    },
  };
};

// ---------------------------------------------------------------------------------------------------------------------
// Opening and closing
// ---------------------------------------------------------------------------------------------------------------------

// The port and sslmode are named, or PGPORT and PGSSLMODE would choose them.
const connectionStringOf = (dir: string) =>
  `postgresql://postgres@localhost:5432/postgres?host=${encodeURIComponent(dir)}&sslmode=disable`;

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
 * @throws {DataDirError} when the directory is damaged, cannot be used, or has too long a path for a unix socket.
 */
export const openEmbedded = async (dataDir: string, mode: Mode): Promise<Embedded> => {
  const sizeBytes = Buffer.byteLength(join(resolve(dataDir), SOCKET));
  if (sizeBytes > SOCKET_PATH_MAX_BYTES)
    throw new DataDirError(
      `DATA_DIR ${resolve(dataDir)} is too long a path for the unix socket in it ` +
        `(${sizeBytes} bytes with ${SOCKET}, at most ${SOCKET_PATH_MAX_BYTES}). Choose a shorter DATA_DIR.`,
    );
  const dir = await openDataDir(dataDir);
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
