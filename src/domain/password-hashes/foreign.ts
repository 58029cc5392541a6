import { z } from 'zod';
import type { Secrets } from '../secrets.ts';
import { argon2Family } from './argon2.ts';
import { bcryptFamily } from './bcrypt.ts';
import { FirebaseObject, firebaseScrypt } from './firebase-scrypt.ts';
import { type ForeignHash, HashError } from './form.ts';
import { pbkdf2Family } from './pbkdf2.ts';
import { ScryptObject, scryptFamily, scryptText } from './scrypt.ts';

export { HashError };

/** A password hash as other systems export it: a text that says what it is, or an object for those that do not. */
export const ExportedHash = z.union(
  [z.string().regex(/^[\x20-\x7e]{1,4096}$/), z.discriminatedUnion('algorithm', [ScryptObject, FirebaseObject])],
  'is no password hash: a text, or an object with an algorithm (scrypt, firebase-scrypt) and its parameters',
);
export type ExportedHash = z.infer<typeof ExportedHash>;

export type ForeignHashes = ReturnType<typeof createForeignHashes>;

/** Hashes that people bring along from elsewhere, until they sign in for the first time. */
export const createForeignHashes = (secrets: Secrets) => {
  const firebase = firebaseScrypt(secrets);
  const families = [argon2Family, bcryptFamily, scryptFamily, pbkdf2Family, firebase.family];

  const parse = (text: string): ForeignHash | undefined => {
    for (const family of families) {
      const hash = family(text);
      if (hash) return hash;
    }
    return undefined;
  };

  return {
    /**
     * The text that such a hash is stored as.
     *
     * @throws {HashError} `unsupported_hash`, `malformed_hash`, `hash_too_costly`; what it says repeats nothing of the hash.
     */
    accept(given: ExportedHash): string {
      if (typeof given !== 'string') return given.algorithm === 'scrypt' ? scryptText(given) : firebase.text(given);
      // Sealed by us; nobody else can have one.
      if (firebase.sealed(given) || !parse(given))
        throw new HashError(
          'unsupported_hash',
          'the hash is of no form that is known here: argon2, bcrypt, scrypt, PBKDF2, as a PHC string or as Django or passlib write them',
        );
      // Our own hashes begin with $argon2id$, and are of passwords in Unicode's NFKC. This one is of the password as typed.
      return given.startsWith('$argon2') ? `argon2${given}` : given;
    },

    /** Whether a stored hash was made elsewhere. */
    isForeign: (stored: string): boolean => !stored.startsWith('$argon2'),

    /** @returns false also for a hash that cannot be read, such as one sealed under a master key that is gone. */
    async verify(stored: string, password: string): Promise<boolean> {
      let hash: ForeignHash | undefined;
      try {
        hash = parse(stored);
      } catch {
        return false;
      }
      return (await hash?.verify(password)) ?? false;
    },
  };
};
