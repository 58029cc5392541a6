import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsSettings } from './config-tls.ts';
import { boundRequests, type RequestBounds } from './request-bounds.ts';

/** How long a connection may take to agree on TLS. */
const HANDSHAKE_MS = 10_000;
/** How often connections are looked for that have no request left, once no new ones are taken. */
const IDLE_MS = 20;

export type Listener = {
  /** The port that was taken, when any free one was asked for. */
  port: number;
  /** Takes no new connection, finishes the requests under way, and cuts off what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
};

/** The other end of a connection, which TLS wraps into a socket of another identity. */
const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}|${remotePort}`;

/**
 * Serves HTTP.
 *
 * @param tls Absent: in the clear.
 * @throws the system's error when the address cannot be listened on.
 */
export const listen = async (
  app: RequestListener,
  port: number,
  host: string,
  tls?: TlsSettings,
  bounds?: Partial<RequestBounds>,
): Promise<Listener> => {
  const server = tls ? createTlsServer({ ...tls, handshakeTimeout: HANDSHAKE_MS }, app) : createServer(app);
  boundRequests(server, bounds);
  // Node takes a connection on which nothing was said yet for a busy one; browsers open some in advance.
  const unused = new Map<string, Socket>();
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    unused.set(peer, socket);
    socket.once('close', () => {
      if (unused.get(peer) === socket) unused.delete(peer);
    });
  });
  server.on('request', ({ socket }) => {
    if (unused.size > 0) unused.delete(peerOf(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async close(graceMs) {
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      // Kept alive for a next request, a connection would be waited for.
      const idle = setInterval(() => server.closeIdleConnections(), IDLE_MS);
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of unused.values()) socket.destroy();
      await closed;
      clearTimeout(cut);
      clearInterval(idle);
    },
  };
};
