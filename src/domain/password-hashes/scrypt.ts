import { scrypt, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import {
  bytesOf,
  checkedDigest,
  checkedSalt,
  digestOf,
  type Family,
  malformed,
  numberOf,
  parametersOf,
  tooCostly,
} from './form.ts';

const MAX_MEMORY_BYTES = 256 * 1024 * 1024;
/** What is filled in all lanes together. */
const MAX_WORK_BYTES = 4 * MAX_MEMORY_BYTES;

export type ScryptCost = { n: number; r: number; p: number };

/** @throws {HashError} for parameters that scrypt does not have, or that cost too much. */
export const checkScryptCost = ({ n, r, p }: ScryptCost): void => {
  if (n < 2 || !Number.isInteger(Math.log2(n)) || r < 1 || p < 1)
    throw malformed('scrypt needs n to be a power of 2, r ≥ 1 and p ≥ 1');
  if (128 * n * r > MAX_MEMORY_BYTES || 128 * n * r * p > MAX_WORK_BYTES)
    throw tooCostly(`at most 128 × n × r = ${MAX_MEMORY_BYTES}, times p ${MAX_WORK_BYTES}, is taken`);
};

/** @see [RFC 7914](https://www.rfc-editor.org/rfc/rfc7914.html) */
export const deriveScrypt = (password: string, salt: Buffer, bytes: number, { n, r, p }: ScryptCost): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    // OpenSSL counts its small change as well.
    const maxmem = 128 * r * (n + p + 2) + 1024;
    scrypt(Buffer.from(password), salt, bytes, { N: n, r, p, maxmem }, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });

const scryptHash = (cost: ScryptCost, salt: Buffer, digest: Buffer) => {
  checkScryptCost(cost);
  checkedSalt(salt);
  return {
    verify: async (password: string) =>
      timingSafeEqual(await deriveScrypt(password, salt, digest.length, cost), digest),
  };
};

/** scrypt as passlib writes it (`$scrypt$ln=16,r=8,p=1$salt$digest`) and as Django does (`scrypt$n$salt$r$p$digest`). */
export const scryptFamily: Family = (text) => {
  const passlib = /^\$scrypt\$([^$]+)\$([^$]+)\$([^$]+)$/.exec(text);
  if (passlib) {
    const [, parameters = '', salt = '', digest = ''] = passlib;
    const { ln, r, p } = parametersOf(parameters, ['ln', 'r', 'p']);
    const cost = { n: 2 ** numberOf(ln, 'ln'), r: numberOf(r, 'r'), p: numberOf(p, 'p') };
    return scryptHash(cost, bytesOf(salt, 'salt'), digestOf(digest));
  }
  const django = /^scrypt\$([^$]+)\$([^$]+)\$([^$]+)\$([^$]+)\$([^$]+)$/.exec(text);
  if (django) {
    const [, n, salt = '', r, p, digest = ''] = django;
    const cost = { n: numberOf(n, 'n'), r: numberOf(r, 'r'), p: numberOf(p, 'p') };
    return scryptHash(cost, Buffer.from(salt), digestOf(digest));
  }
  if (/^\$?scrypt\$/.test(text))
    throw malformed('an scrypt hash is $scrypt$ln=…,r=…,p=…$salt$digest or scrypt$n$salt$r$p$digest');
  return undefined;
};

/** scrypt as an object; `salt` and `hash` in base64. */
export const ScryptObject = z.strictObject({
  algorithm: z.literal('scrypt'),
  hash: z.string(),
  salt: z.string(),
  n: z.int().min(2),
  r: z.int().min(1),
  p: z.int().min(1),
  key_length: z.int().min(1).optional(),
});

/** The object as the text that `scryptFamily` reads. @throws {HashError} */
export const scryptText = (given: z.infer<typeof ScryptObject>): string => {
  const [salt, digest] = [checkedSalt(bytesOf(given.salt, 'salt')), checkedDigest(bytesOf(given.hash, 'hash'))];
  if (given.key_length !== undefined && given.key_length !== digest.length)
    throw malformed('key_length is not the length of the hash');
  checkScryptCost(given);
  const text = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '');
  return `$scrypt$ln=${Math.log2(given.n)},r=${given.r},p=${given.p}$${text(salt)}$${text(digest)}`;
};
