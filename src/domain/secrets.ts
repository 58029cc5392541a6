// Everything that authenticates is stored hashed or sealed, under keys that are never in a store.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hash,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';

/** SHA-256 as base64url. For values with at least 128 random bits; anything a person chose needs `keyedHash` or argon2. */
export const sha256 = (value: string): string => hash('sha256', value, 'base64url');

/** A fresh random value of `bytes` bytes, as base64url. */
export const randomSecret = (bytes = 32): string => randomBytes(bytes).toString('base64url');

/** Compares without telling by its duration where two values differ. */
export const equalSecrets = (a: string, b: string): boolean =>
  timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));

export type Secrets = ReturnType<typeof createSecrets>;

/**
 * The keys derived from one master key, each for a single purpose.
 *
 * @param masterKey At least 32 bytes that exist in the process environment or DATA_DIR only.
 * @see [RFC 5869](https://www.rfc-editor.org/rfc/rfc5869.html) (HKDF)
 */
export const createSecrets = (masterKey: string) => {
  const derive = (purpose: string): Buffer =>
    Buffer.from(hkdfSync('sha256', masterKey, '', `user-auth:${purpose}`, 32));
  // As objects: every use of a key's bytes would make one.
  const sealingKey = createSecretKey(derive('seal'));
  const hashingKey = createSecretKey(derive('keyed-hash'));

  const keyedHash = (purpose: string, value: string): string =>
    createHmac('sha256', hashingKey).update(`${purpose}\0${value}`).digest('base64url');

  return {
    /** 32 bytes for one further purpose, the same in every process. */
    key: derive,

    /** Signs cookies. The list is for rotation: the first signs, all verify. */
    cookieKeys: [derive('cookies').toString('base64url')],

    /** HMAC-SHA256 as base64url; safe for values of low entropy as long as the key stays out of the stores. */
    keyedHash,

    /** Whether `value` has this `keyedHash`. */
    matches: (purpose: string, value: string, hash: string): boolean => equalSecrets(keyedHash(purpose, value), hash),

    /**
     * AES-256-GCM. The context (say `oauth_tokens:Grant:…`) is authenticated, so that a sealed value moved to another
     * row does not open.
     */
    seal(plaintext: string, context: string): string {
      const iv = randomBytes(12);
      const cipher = createCipheriv('aes-256-gcm', sealingKey, iv).setAAD(Buffer.from(context));
      const sealed = Buffer.concat([iv, cipher.update(plaintext, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `v1.${sealed.toString('base64url')}`;
    },

    /** @throws {Error} when the value was sealed under another key or for another context, or was altered. */
    open(sealed: string, context: string): string {
      const bytes = Buffer.from(sealed.slice(3), 'base64url');
      // One value has one spelling: base64url forgives what it does not need.
      if (`v1.${bytes.toString('base64url')}` !== sealed || bytes.length < 28) throw new Error('not a sealed value');
      const decipher = createDecipheriv('aes-256-gcm', sealingKey, bytes.subarray(0, 12), { authTagLength: 16 })
        .setAAD(Buffer.from(context))
        .setAuthTag(bytes.subarray(-16));
      return decipher.update(bytes.subarray(12, -16), undefined, 'utf8') + decipher.final('utf8');
    },
  };
};
