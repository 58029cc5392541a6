// The oidc room: everything that knows oidc-provider. Stores reach it as arguments, by their types.
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK } from 'jose';
import type { Secrets } from '../domain/secrets.ts';
import type { SigningKeyRecord, SigningKeys } from '../storage/signing-keys.ts';

/** The signing keys cannot be used; the message is for the operator. */
export class SigningKeysError extends Error {}

type Algorithm = 'RS256' | 'ES256' | 'EdDSA';

const generate = async (alg: Algorithm, secrets: Secrets): Promise<SigningKeyRecord> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 });
  const publicJwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const named = { kid, alg, use: 'sig' };
  const sealedJwk = secrets.seal(JSON.stringify({ ...(await exportJWK(privateKey)), ...named }), `signing-key:${kid}`);
  return { kid, alg, publicJwk: { ...publicJwk, ...named }, sealedJwk };
};

/** The public halves, as the JWKS endpoint shows them. */
export const publicKeys = (keys: JWK[]): JSONWebKeySet => ({
  // What is public is named, so that nothing else can slip through.
  keys: keys.map(({ kty, crv, x, y, n, e, kid, alg, use }) => ({ kty, crv, x, y, n, e, kid, alg, use })),
});

/**
 * The private signing keys, one of each algorithm, generated when first asked for; sealed in the database.
 *
 * @throws {SigningKeysError} when the keys were sealed under another MASTER_KEY (or JWT_SECRET_KEY) than today's.
 */
export const loadSigningKeys = async (
  store: SigningKeys,
  secrets: Secrets,
  algorithms: readonly Algorithm[] = ['RS256', 'ES256', 'EdDSA'],
): Promise<JWK[]> => {
  let records = await store.list();
  const missing = algorithms.filter((alg) => !records.some((record) => record.alg === alg));
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
