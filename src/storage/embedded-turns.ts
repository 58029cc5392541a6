// Many connections on PGlite's one session, each in its turn.
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { PGlite } from '@electric-sql/pglite';
import type { PGLiteSocketHandlerOptions } from '@electric-sql/pglite-socket';
import { listen } from './embedded-lock.ts';

const MAX_CONNECTIONS = 100;

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
      if (holder !== connection && running !== connection) return;
      // Nobody waits for this. It fails only on a database that has been closed, which has rolled back by itself.
      await push(connection, SYNC_AND_ROLLBACK, () => {}).catch(() => {});
    },
    stop() {
      stopped = true;
    },
  };
};

/** Serves PGlite on a unix socket. Closing ends every connection and rolls its transaction back; PGlite stays open. */
export const servePostgres = async (db: PGlite, path: string) => {
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
