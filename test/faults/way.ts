// A TCP proxy in front of a store, which can break the way in every way that networks do.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export type Way = Awaited<ReturnType<typeof openWay>>;

/** @param target The port on this machine that connections lead to. */
export const openWay = async (target: number) => {
  const pairs = new Set<{ inner: Socket; outer: Socket; silent: boolean }>();
  /** Also those of which one side is gone and the other has not heard of it. */
  const sockets = new Set<Socket>();
  const known = (socket: Socket): Socket => sockets.add(socket) && socket.once('close', () => sockets.delete(socket));
  /** What becomes of new connections. */
  let door: 'open' | 'refuse' | 'swallow' = 'open';
  let delayMs = 0;

  const server = createServer({ allowHalfOpen: true }, (outer) => {
    known(outer).on('error', () => {});
    if (door === 'refuse') {
      outer.resetAndDestroy();
      return;
    }
    if (door === 'swallow') {
      // Accepted, read, and never answered.
      outer.resume();
      const pair = { inner: outer, outer, silent: true };
      pairs.add(pair);
      outer.once('close', () => pairs.delete(pair));
      return;
    }
    const inner = known(connect(target, '127.0.0.1'));
    const pair = { inner, outer, silent: false };
    pairs.add(pair);
    const over = () => {
      pairs.delete(pair);
      // The end of one side reaches the other only where the way is whole.
      if (pair.silent) return;
      inner.destroy();
      outer.destroy();
    };
    const carry = (from: Socket, to: Socket) => {
      const underWay: Buffer[] = [];
      // Whichever is due, the first goes first: nothing overtakes on a connection.
      const arrive = () => {
        const chunk = underWay.shift();
        if (chunk && !pair.silent && !to.destroyed) to.write(chunk);
      };
      from.on('data', (chunk) => {
        if (pair.silent) return;
        underWay.push(chunk);
        if (delayMs === 0 && underWay.length === 1) arrive();
        else setTimeout(arrive, delayMs);
      });
      from.on('end', () => {
        if (!pair.silent) to.end();
      });
      from.on('error', over);
      from.on('close', over);
    };
    carry(outer, inner);
    carry(inner, outer);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    /** Resets every connection. */
    cut(): void {
      for (const { inner, outer } of pairs) {
        outer.resetAndDestroy();
        inner.destroy();
      }
      pairs.clear();
    },
    /** From now on nothing passes over the connections that there are, and neither side hears of it; new ones are `next`. */
    halfOpen(next: 'open' | 'swallow'): void {
      for (const pair of pairs) pair.silent = true;
      door = next;
    },
    refuse(): void {
      door = 'refuse';
    },
    delay(ms: number): void {
      delayMs = ms;
    },
    /** New connections pass again. Those that went silent stay so, as they do when a machine was replaced. */
    mend(): void {
      door = 'open';
      delayMs = 0;
    },
    async close(): Promise<void> {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
};
