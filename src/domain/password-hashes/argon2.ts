import { timingSafeEqual } from 'node:crypto';
import argon2 from 'argon2';
import { bytesOf, checkedSalt, digestOf, type Family, malformed, numberOf, parametersOf, tooCostly } from './form.ts';

const MAX_MEMORY_KIB = 1024 * 1024;
/** What is filled in all passes together. */
const MAX_WORK_KIB = 4 * MAX_MEMORY_KIB;
const MAX_LANES = 16;

const TYPES = { argon2d: argon2.argon2d, argon2i: argon2.argon2i, argon2id: argon2.argon2id } as const;

/**
 * Argon2 in the PHC string format, and as Django spells it, with `argon2` before.
 *
 * @see [PHC string format](https://github.com/P-H-C/phc-string-format/blob/master/phc-sf-spec.md)
 */
export const argon2Family: Family = (text) => {
  const [, type, version = '16', parameters = '', saltText = '', digestText = ''] =
    /^(?:argon2)?\$(argon2(?:id|i|d))(?:\$v=(\d+))?\$([^$]+)\$([^$]+)\$([^$]+)$/.exec(text) ?? [];
  if (type === undefined) {
    if (/^(argon2)?\$argon2/.test(text)) throw malformed('an Argon2 hash is $argon2id$v=19$m=…,t=…,p=…$salt$digest');
    return undefined;
  }
  if (version !== '16' && version !== '19') throw malformed('the version of Argon2 is 16 or 19');
  const { m, t, p } = parametersOf(parameters, ['m', 't', 'p']);
  const [memoryCost, timeCost, parallelism] = [numberOf(m, 'm'), numberOf(t, 't'), numberOf(p, 'p')];
  const [salt, digest] = [checkedSalt(bytesOf(saltText, 'salt')), digestOf(digestText)];
  if (timeCost < 1 || parallelism < 1 || memoryCost < 8 * parallelism || salt.length < 8)
    throw malformed('Argon2 needs t ≥ 1, p ≥ 1, m ≥ 8 × p and 8 bytes of salt');
  if (memoryCost > MAX_MEMORY_KIB || memoryCost * timeCost > MAX_WORK_KIB || parallelism > MAX_LANES)
    throw tooCostly(`at most m=${MAX_MEMORY_KIB}, m × t = ${MAX_WORK_KIB} and p=${MAX_LANES} are taken`);

  const options = {
    type: TYPES[type as keyof typeof TYPES],
    version: Number(version),
    memoryCost,
    timeCost,
    parallelism,
    salt,
    hashLength: digest.length,
  };
  return {
    verify: async (password) => timingSafeEqual(await argon2.hash(password, { ...options, raw: true }), digest),
  };
};
