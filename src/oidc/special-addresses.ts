import { BlockList, isIP, isIPv4 } from 'node:net';

// What the registries of special-purpose addresses (RFC 6890) keep from the public internet, multicast and what is reserved.
const SPECIAL_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
];
// Global unicast is 2000::/3; of that, what is special: Teredo and its neighbours, documentation, 6to4, which leads to any IPv4 address.
const GLOBAL_V6 = ['2000::/3'];
const SPECIAL_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'];

const listOf = (subnets: string[], family: 'ipv4' | 'ipv6'): BlockList => {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', prefix] = subnet.split('/');
    list.addSubnet(address, Number(prefix), family);
  }
  return list;
};

const specialV4 = listOf(SPECIAL_V4, 'ipv4');
const specialV6 = listOf(SPECIAL_V6, 'ipv6');
const globalV6 = listOf(GLOBAL_V6, 'ipv6');
const loopbackV4 = listOf(['127.0.0.0/8'], 'ipv4');

// This machine and its link, where clouds tell machines their credentials; nothing is further inside. 0.0.0.0 leads to the machine itself.
const own = listOf(['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16'], 'ipv4');
for (const [address, prefix] of [
  ['::', 127],
  ['fe80::', 10],
] as const)
  own.addSubnet(address, prefix, 'ipv6');

/** Whether this address is one of the public internet. What is no address at all is not. */
export const isPublicAddress = (address: string): boolean => {
  if (isIPv4(address)) return !specialV4.check(address, 'ipv4');
  return isIP(address) === 6 && globalV6.check(address, 'ipv6') && !specialV6.check(address, 'ipv6');
};

/** Whether this address is this very machine's. */
export const isLoopbackAddress = (address: string): boolean =>
  isIPv4(address) ? loopbackV4.check(address, 'ipv4') : address === '::1';

/** How far inside something is: on the internet, in a network that is not for everybody, or on this machine and its link. */
export type Reach = 'public' | 'private' | 'own';

/** What is no address at all may be anything. */
export const reachOfAddress = (address: string): Reach => {
  if (isPublicAddress(address)) return 'public';
  // An IPv4 address that is written as an IPv6 one is found as well.
  return isIP(address) === 0 || own.check(address, isIPv4(address) ? 'ipv4' : 'ipv6') ? 'own' : 'private';
};
