import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { networkOf } from './domain/networks.ts';

export type ConnectionBounds = {
  /** Connections at once. */
  most: number;
  /** Of these from one network: an IPv4 address or an IPv6 /64. Behind a proxy all are the proxy's. */
  mostPerNetwork: number;
  /** How long a request's head may take to arrive. */
  headMs: number;
  /** How long nothing may go either way, with an answer on its way that is not read. */
  silentMs: number;
};

/** Each costs a file descriptor and a few kilobytes; a page in a browser has six at most, for seconds. */
export const CONNECTION_BOUNDS: ConnectionBounds = {
  most: 10_000,
  mostPerNetwork: 1_000,
  headMs: 20_000,
  silentMs: 120_000,
};

/** How often Node is to look who is overdue: an option of a server's making. */
export const lookEvery = ({ headMs = CONNECTION_BOUNDS.headMs }: Partial<ConnectionBounds> = {}): number => headMs / 4;

/** The other end of a connection, which TLS wraps into a socket of another identity. */
const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}|${remotePort}`;

/**
 * Bounds how many connections there are. When there is no room for another, the one goes that has said nothing whole for longest: a flood
 * of silent connections makes room for those who speak.
 */
export const boundConnections = (server: Server, bounds: Partial<ConnectionBounds> = {}) => {
  const { most, mostPerNetwork, headMs, silentMs } = { ...CONNECTION_BOUNDS, ...bounds };
  server.headersTimeout = headMs;
  server.timeout = silentMs;
  let open = 0;
  const perNetwork = new Map<string, number>();
  // Node takes a connection on which nothing was said yet for a busy one; browsers open some in advance. The oldest first.
  const unused = new Map<string, Socket>();

  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    const network = networkOf(socket.remoteAddress ?? '');
    const ofNetwork = (perNetwork.get(network) ?? 0) + 1;
    const [oldest] = open < most ? [] : unused;
    if (ofNetwork > mostPerNetwork || (open >= most && !oldest)) {
      socket.destroy();
      return;
    }
    if (oldest) {
      // At once, since it closes later: the next one must not count on it again.
      unused.delete(oldest[0]);
      oldest[1].destroy();
    }
    open += 1;
    perNetwork.set(network, ofNetwork);
    unused.set(peer, socket);
    socket.once('close', () => {
      open -= 1;
      const left = (perNetwork.get(network) ?? 1) - 1;
      if (left > 0) perNetwork.set(network, left);
      else perNetwork.delete(network);
      if (unused.get(peer) === socket) unused.delete(peer);
    });
  });
  server.on('request', ({ socket }) => {
    if (unused.size > 0) unused.delete(peerOf(socket));
  });

  return {
    /** Hangs up where nothing was said yet. */
    closeUnused(): void {
      for (const socket of unused.values()) socket.destroy();
    },
  };
};
