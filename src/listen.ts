import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TlsSettings } from './config-tls.ts';
import { boundConnections, type ConnectionBounds, lookEvery } from './connection-bounds.ts';
import { boundRequests, type RequestBounds } from './request-bounds.ts';

/** How long a connection may take to agree on TLS. */
const HANDSHAKE_MS = 10_000;
/** How often connections are looked for that have no request left, once no new ones are taken. */
const IDLE_MS = 20;
/** How long a connection on which nothing was said yet has to say it, once no new ones are taken: its request may be on its way. */
const UNUSED_MS = 250;
/** How long a request may take to arrive: its body has 100 KiB at most, unless it is a stream. */
const REQUEST_MS = 60_000;

export type Listener = {
  /** The port that was taken, when any free one was asked for. */
  port: number;
  /** Takes no new connection, finishes the requests under way, and cuts off what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
};

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
  bounds?: Partial<RequestBounds & ConnectionBounds>,
): Promise<Listener> => {
  const options = { connectionsCheckingInterval: lookEvery(bounds) };
  const server = tls
    ? createTlsServer({ ...options, ...tls, handshakeTimeout: HANDSHAKE_MS }, app)
    : createServer(options, app);
  boundRequests(server, { totalMs: REQUEST_MS, ...bounds });
  const connections = boundConnections(server, bounds);
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
      const unused = setTimeout(connections.closeUnused, UNUSED_MS);
      await closed;
      clearTimeout(cut);
      clearTimeout(unused);
      clearInterval(idle);
    },
  };
};
