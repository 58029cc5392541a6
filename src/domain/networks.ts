// Whom an address stands for, where many of them are one subscriber's.
import { isIPv6 } from 'node:net';

/** An IPv4 address as an IPv6 one (RFC 4291 §2.5.5.2). */
const MAPPED = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/;

// An IPv6 subscriber has a /64 at least: counting single addresses would give each of them 2^64 tries.
export const networkOf = (ip: string): string => {
  if (!isIPv6(ip)) return ip;
  // However a proxy spells it, it is one address.
  const plain = new URL(`http://[${ip.replace(/%.*/, '')}]`).hostname.slice(1, -1);
  const [, high, low] = MAPPED.exec(plain) ?? [];
  if (high !== undefined && low !== undefined) {
    const bytes = [high, low].flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
    return bytes.join('.');
  }
  const [head = '', tail] = plain.split('::');
  const groups = head.split(':').filter(Boolean);
  const rest = (tail ?? '').split(':').filter(Boolean);
  while (tail !== undefined && groups.length + rest.length < 8) groups.push('0');
  return [...groups, ...rest].slice(0, 4).join(':');
};
