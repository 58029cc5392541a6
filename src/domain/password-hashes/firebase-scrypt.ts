import { createCipheriv, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { Secrets } from '../secrets.ts';
import { bytesOf, checkedDigest, checkedSalt, type Family, malformed } from './form.ts';
import { checkScryptCost, deriveScrypt } from './scrypt.ts';

const PREFIX = '$firebase-scrypt$';
const CONTEXT = 'users.password_hash:firebase-scrypt';

/** What Firebase exports for a user, and of its project's parameters; bytes in base64. */
export const FirebaseObject = z.strictObject({
  algorithm: z.literal('firebase-scrypt'),
  hash: z.string(),
  salt: z.string(),
  signer_key: z.string(),
  salt_separator: z.string().default(''),
  rounds: z.int().min(1).max(32),
  mem_cost: z.int().min(1).max(24),
});
type FirebaseObject = z.infer<typeof FirebaseObject>;

// Firebase's export is in the standard alphabet, its console shows some values in the URL-safe one.
const bytes = (text: string, what: string) => bytesOf(text.replaceAll('-', '+').replaceAll('_', '/'), what);

/**
 * scrypt derives a key, which encrypts the project's signer key: that is the hash.
 *
 * @see [firebase/scrypt](https://github.com/firebase/scrypt)
 */
const firebaseHash = (given: FirebaseObject) => {
  const digest = checkedDigest(bytes(given.hash, 'hash'));
  const signerKey = checkedDigest(bytes(given.signer_key, 'signer_key'));
  if (signerKey.length !== digest.length) throw malformed('the hash is not as long as signer_key');
  const userSalt = checkedSalt(bytes(given.salt, 'salt'));
  const salt = checkedSalt(Buffer.concat([userSalt, bytes(given.salt_separator, 'salt_separator')]));
  const cost = { n: 2 ** given.mem_cost, r: given.rounds, p: 1 };
  checkScryptCost(cost);
  return {
    async verify(password: string): Promise<boolean> {
      const key = await deriveScrypt(password, salt, 32, cost);
      const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
      return timingSafeEqual(Buffer.concat([cipher.update(signerKey), cipher.final()]), digest);
    },
  };
};

/**
 * The signer key is a secret of the whole Firebase project, and with it in the clear a copy of the table could be guessed at
 * offline: it is sealed, along with the rest.
 */
export const firebaseScrypt = (secrets: Secrets) => ({
  sealed: (text: string): boolean => text.startsWith(PREFIX),

  family: ((text) => {
    if (!text.startsWith(PREFIX)) return undefined;
    return firebaseHash(FirebaseObject.parse(JSON.parse(secrets.open(text.slice(PREFIX.length), CONTEXT))));
  }) satisfies Family,

  /** @throws {HashError} */
  text(given: FirebaseObject): string {
    firebaseHash(given);
    return PREFIX + secrets.seal(JSON.stringify(given), CONTEXT);
  },
});
