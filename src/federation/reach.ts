// How far a provider's metadata may send us: no further inside than where the operator said that the provider is.
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';

const listOf = (...subnets: string[]): BlockList => {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', prefix] = subnet.split('/');
    list.addSubnet(address, Number(prefix), isIP(address) === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
};
const LOOPBACK = listOf('127.0.0.0/8', '::1/128');
// RFC 6890 and RFC 4193: networks of one's own, and the link, where clouds tell machines their credentials.
const PRIVATE = listOf(
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '169.254.0.0/16', '172.16.0.0/12', '192.168.0.0/16'],
  ...['::/128', 'fc00::/7', 'fe80::/10'],
);

/** The further inside, the greater. */
const DEPTH = { public: 0, private: 1, loopback: 2 } as const;
export type Reach = keyof typeof DEPTH;

const reachOfAddress = (address: string): Reach => {
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
  if (LOOPBACK.check(address, family)) return 'loopback';
  return PRIVATE.check(address, family) ? 'private' : 'public';
};

/** Where this URL leads: the furthest inside of all addresses that its host has. A host that nobody knows leads nowhere. */
export const reachOf = async ({ hostname }: URL): Promise<Reach> => {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (host === 'localhost' || host.endsWith('.localhost')) return 'loopback';
  const found = isIP(host) ? [{ address: host }] : await lookup(host, { all: true }).catch(() => []);
  const reaches = found.map(({ address }) => reachOfAddress(address));
  return reaches.sort((a, b) => DEPTH[b] - DEPTH[a])[0] ?? 'public';
};

/**
 * Whether somebody who is at `from` may send us to `url`: by https, and not further inside than they are themselves; by http only to this
 * machine, and only who is on it.
 */
export const mayLeadTo = async (from: Reach, url: URL): Promise<boolean> => {
  const to = await reachOf(url);
  const confidential = url.protocol === 'https:' || (url.protocol === 'http:' && to === 'loopback');
  return confidential && DEPTH[to] <= DEPTH[from];
};
