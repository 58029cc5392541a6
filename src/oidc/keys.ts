// The oidc room: everything that knows oidc-provider. Stores reach it as arguments, by their types.
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from 'jose';
import type { Secrets } from '../domain/secrets.ts';
import type { SigningKeyRecord, SigningKeys } from '../storage/signing-keys.ts';

/** The signing keys cannot be used; the message is for the operator. */
export class SigningKeysError extends Error {}

const ALGORITHMS = ['RS256', 'ES256'] as const;

const generate = async (alg: (typeof ALGORITHMS)[number], secrets: Secrets): Promise<SigningKeyRecord> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 });
  const publicJwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const named = { kid, alg, use: 'sig' };
  const sealedJwk = secrets.seal(JSON.stringify({ ...(await exportJWK(privateKey)), ...named }), `signing-key:${kid}`);
  return { kid, alg, publicJwk: { ...publicJwk, ...named }, sealedJwk };
};

/**
 * The private signing keys, one RSA and one P-256 generated on the first start; sealed in the database.
 *
 * @throws {SigningKeysError} when the keys were sealed under another MASTER_KEY (or JWT_SECRET_KEY) than today's.
 */
export const loadSigningKeys = async (store: SigningKeys, secrets: Secrets): Promise<JWK[]> => {
  let records = await store.list();
  const missing = ALGORITHMS.filter((alg) => !records.some((record) => record.alg === alg));
  if (missing.length > 0) {
    await store.addFirst(await Promise.all(missing.map((alg) => generate(alg, secrets))));
    records = await store.list();
  }
  return records.map(({ kid, sealedJwk }) => {
    try {
      return JSON.parse(secrets.open(sealedJwk, `signing-key:${kid}`));
    } catch (cause) {
      throw new SigningKeysError(
        'The signing keys in the database do not open with this MASTER_KEY (or JWT_SECRET_KEY): it was changed, or the database belongs to another installation.',
        { cause },
      );
    }
  });
};
