// The lock that keeps two processes off one data directory, and ends with its process however that ends.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readlink, rm, symlink, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, DataDirError } from './data-dir.ts';

/** A server opens the directory for as long as it runs, a script shares it with whoever has it. */
export type Mode = 'serve' | 'share';

const HOLDER_ANSWERS_MS = 10_000;

/** Listens on a unix socket. */
export const listen = async (server: Server, path: string): Promise<void> => {
  server.listen(path);
  await once(server, 'listening');
};

/** What a process says of itself to whoever connects to its lock. */
export type Holder = { pid: number; mode: Mode; closing: boolean };

export type Lock = {
  /** Tells newcomers that the lock is about to be free. */
  announceClosing(): void;
  /** How many processes keep a connection to this lock, because they use what it guards. */
  guests(): number;
  release(): Promise<void>;
};

const LOCK = 'lock.sock';

/** A connection, or undefined when nobody listens. A process that has been killed does not listen; a busy one does. */
export const reach = async (path: string): Promise<Socket | undefined> => {
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
