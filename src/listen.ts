import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { boundRequests, type RequestBounds } from './request-bounds.ts';

export type Listener = {
  /** The port that was taken, when any free one was asked for. */
  port: number;
  /** Takes no new connection, finishes the requests under way, and cuts off what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
};

/**
 * Serves HTTP.
 *
 * @throws the system's error when the address cannot be listened on.
 */
export const listen = async (
  app: RequestListener,
  port: number,
  host: string,
  bounds?: Partial<RequestBounds>,
): Promise<Listener> => {
  const server = createServer(app);
  boundRequests(server, bounds);
  // Node takes a connection on which nothing was said yet for a busy one; browsers open some in advance.
  const unused = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    unused.add(socket);
    socket.once('close', () => unused.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    unused.delete(socket);
    // Kept alive for a next request, its connection would be waited for.
    response.once('finish', () => {
      if (!server.listening) setImmediate(() => server.closeIdleConnections());
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close(graceMs) {
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of unused) socket.destroy();
      await closed;
      clearTimeout(cut);
    },
  };
};
