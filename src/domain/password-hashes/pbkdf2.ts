import { pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { bytesOf, checkedSalt, digestOf, type Family, malformed, numberOf, tooCostly } from './form.ts';

/** Rounds for each block of the digest, all blocks together. */
const MAX_ROUNDS = 5_000_000;

const derive = promisify(pbkdf2);

const BLOCK_BYTES = { sha1: 20, sha256: 32, sha512: 64 } as const;
type Hash = keyof typeof BLOCK_BYTES;

const pbkdf2Hash = (hash: Hash, roundsText: string, salt: Buffer, digestText: string) => {
  const rounds = numberOf(roundsText, 'the number of rounds');
  const digest = digestOf(digestText);
  checkedSalt(salt);
  if (rounds < 1) throw malformed('PBKDF2 needs a round at least');
  if (rounds * Math.ceil(digest.length / BLOCK_BYTES[hash]) > MAX_ROUNDS)
    throw tooCostly(`at most ${MAX_ROUNDS} rounds are taken`);
  return {
    verify: async (password: string) =>
      timingSafeEqual(await derive(Buffer.from(password), salt, rounds, digest.length, hash), digest),
  };
};

/** How PHC strings name the rounds, and perhaps the digest's length. */
const PHC_PARAMETERS = /^i=(\d+)(?:,l=(\d+))?$/;

/**
 * PBKDF2 as passlib writes it (`$pbkdf2-sha256$rounds$salt$digest`, its sha1 without a name), as a PHC string
 * (`$pbkdf2-sha256$i=rounds,l=length$salt$digest`), and as Django does (`pbkdf2_sha256$rounds$salt$digest`, the salt being text).
 *
 * @see [RFC 8018 §5.2](https://www.rfc-editor.org/rfc/rfc8018.html#section-5.2)
 */
export const pbkdf2Family: Family = (text) => {
  const passlib = /^\$pbkdf2(?:-(sha1|sha256|sha512))?\$([^$]+)\$([^$]+)\$([^$]+)$/.exec(text);
  if (passlib) {
    const [, hash = 'sha1', parameters = '', salt = '', digest = ''] = passlib;
    const [, rounds = parameters, length] = PHC_PARAMETERS.exec(parameters) ?? [];
    if (length !== undefined && numberOf(length, 'l') !== digestOf(digest).length)
      throw malformed('l is not the length of the digest');
    return pbkdf2Hash(hash as Hash, rounds, bytesOf(salt, 'salt'), digest);
  }
  const django = /^pbkdf2_(sha1|sha256|sha512)\$([^$]+)\$([^$]+)\$([^$]+)$/.exec(text);
  if (django) {
    const [, hash = '', rounds = '', salt = '', digest = ''] = django;
    return pbkdf2Hash(hash as Hash, rounds, Buffer.from(salt), digest);
  }
  if (/^\$?pbkdf2/.test(text))
    throw malformed('a PBKDF2 hash is $pbkdf2-sha256$rounds$salt$digest or pbkdf2_sha256$rounds$salt$digest');
  return undefined;
};
