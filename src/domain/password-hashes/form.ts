// Password hashes that other systems made: a strict parser for each family, all of which refuse what would cost too much to
// verify. Only domain/password-hashes/foreign.ts is for the rest of the domain.

/** A hash that was understood. */
export type ForeignHash = {
  /** Whether it was made of this password, to the byte. */
  verify(password: string): Promise<boolean>;
};

/** Reads one family's spellings; undefined for a text of another family. @throws {HashError} for one that is broken. */
export type Family = (text: string) => ForeignHash | undefined;

/** Why a hash cannot be taken. */
export class HashError extends Error {
  readonly code: 'unsupported_hash' | 'malformed_hash' | 'hash_too_costly';

  constructor(code: HashError['code'], message: string) {
    super(message);
    this.name = 'HashError';
    this.code = code;
  }
}

export const malformed = (message: string): HashError => new HashError('malformed_hash', message);
export const tooCostly = (message: string): HashError => new HashError('hash_too_costly', message);

/** A shorter one fits too many passwords by chance. */
const MIN_DIGEST_BYTES = 16;
const MAX_DIGEST_BYTES = 128;
const MAX_SALT_BYTES = 1024;

/**
 * Base64 as the text says it, strictly: standard letters, or passlib's "adapted" ones with a dot for the plus; with its
 * padding or without. Buffer.from would skip what it does not know.
 */
export const bytesOf = (text: string, what: string): Buffer => {
  const plain = text.replaceAll('.', '+').replace(/={1,2}$/, '');
  const bytes = Buffer.from(plain, 'base64');
  // Back again, up to the last digit's unused bits.
  if (bytes.toString('base64').replace(/=+$/, '').slice(0, -1) !== plain.slice(0, -1) || plain.length % 4 === 1)
    throw malformed(`the ${what} is not base64`);
  return bytes;
};

export const digestOf = (text: string): Buffer => checkedDigest(bytesOf(text, 'digest'));

export const checkedDigest = (digest: Buffer): Buffer => {
  if (digest.length < MIN_DIGEST_BYTES || digest.length > MAX_DIGEST_BYTES)
    throw malformed(`the digest has ${MIN_DIGEST_BYTES} to ${MAX_DIGEST_BYTES} bytes`);
  return digest;
};

export const checkedSalt = (salt: Buffer): Buffer => {
  if (salt.length === 0 || salt.length > MAX_SALT_BYTES) throw malformed(`the salt has 1 to ${MAX_SALT_BYTES} bytes`);
  return salt;
};

/** A whole number as parameters are written: no sign, no leading zero. */
export const numberOf = (text: string | undefined, what: string): number => {
  if (text === undefined || !/^(0|[1-9]\d{0,9})$/.test(text)) throw malformed(`${what} is not a whole number`);
  return Number(text);
};

/** `a=1,b=2`, in any order, with exactly these names. */
export const parametersOf = <const Names extends readonly string[]>(
  text: string,
  names: Names,
): Record<Names[number], string> => {
  const pairs = text.split(',').map((pair) => pair.split('='));
  const given = new Map(pairs.map(([name = '', value = '']) => [name, value]));
  if (pairs.some((pair) => pair.length !== 2) || given.size !== pairs.length || pairs.length !== names.length)
    throw malformed(`the parameters are ${names.join(', ')}`);
  if (!names.every((name) => given.has(name))) throw malformed(`the parameters are ${names.join(', ')}`);
  return Object.fromEntries(given) as Record<Names[number], string>;
};
