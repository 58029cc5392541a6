// How far a provider's metadata may send us: no further inside than where the provider itself was when it answered.
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

/** The further inside, the greater: on the internet, in a network that is not for everybody, on this machine and its link. */
const DEPTH = { public: 0, private: 1, own: 2 } as const;
export type Reach = keyof typeof DEPTH;
export const ANYWHERE: Reach = 'own';

/**
 * What asks the servers of providers. It is handed in, with the one list of special addresses that everything goes by which leaves this
 * server.
 */
export type Network = {
  reachOf(address: string): Reach;
  /** One request; it connects to no address that is not allowed, follows no redirect, and tells which address answered. */
  request(
    url: URL,
    asked: { method?: string; headers?: Record<string, string>; body?: string; signal: AbortSignal },
    isAllowed: (address: string) => boolean,
  ): Promise<{ status: number; text: string; address: string }>;
};

const THIS_MACHINE: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Whether what is sent there stays between us and them: https, or this very machine. */
export const isConfidential = ({ protocol, hostname }: URL): boolean =>
  protocol === 'https:' || (protocol === 'http:' && THIS_MACHINE.has(hostname));

/** What may be asked on behalf of somebody who is at `from`: nothing further inside. */
export const within =
  ({ reachOf }: Network, from: Reach) =>
  (address: string): boolean =>
    DEPTH[reachOf(address)] <= DEPTH[from];

/** Whether somebody who is at `from` may send us, or the browser, to `url`. A host that nobody knows leads nowhere. */
export const mayLeadTo = async (network: Network, from: Reach, url: URL): Promise<boolean> => {
  if (!isConfidential(url)) return false;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host.endsWith('.localhost')) return from === ANYWHERE;
  const found = isIP(host) ? [{ address: host }] : await lookup(host, { all: true }).catch(() => []);
  return found.every(({ address }) => within(network, from)(address));
};
