// The oidc room: everything that knows oidc-provider. Stores reach it as arguments, by their types.
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JSONWebKeySet, type JWK } from 'jose';
import type { Secrets } from '../domain/secrets.ts';
import type { SigningKeyRecord, SigningKeys } from '../storage/signing-keys.ts';

/** The signing keys cannot be used; the message is for the operator. */
export class SigningKeysError extends Error {}

/** One key of each, whoever asks for which. */
export const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

/** Seals with one key; opens with any of them, the one that seals first, so that it can be changed. */
export type Sealing = { seal: Secrets['seal']; openers: readonly Pick<Secrets, 'open'>[] };

const contextOf = (kid: string): string => `signing-key:${kid}`;

/** A key pair that nobody has seen, its private half sealed. */
export const generateKey = async (alg: Algorithm, { seal }: Sealing): Promise<SigningKeyRecord> => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true, modulusLength: 2048 });
  const publicJwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(publicJwk);
  const named = { kid, alg, use: 'sig' };
  const sealedJwk = seal(JSON.stringify({ ...(await exportJWK(privateKey)), ...named }), contextOf(kid));
  return { kid, alg, publicJwk: { ...publicJwk, ...named }, sealedJwk };
};

/** The public halves, as the JWKS endpoint shows them. */
export const publicKeys = (keys: JWK[]): JSONWebKeySet => ({
  // What is public is named, so that nothing else can slip through.
  keys: keys.map(({ kty, crv, x, y, n, e, kid, alg, use }) => ({ kty, crv, x, y, n, e, kid, alg, use })),
});

/**
 * The private key of a record. One that was sealed under an older key is sealed anew under today's.
 *
 * @throws {SigningKeysError} when it opens under none of them.
 */
export const openKey = async (
  { kid, sealedJwk }: SigningKeyRecord,
  { seal, openers }: Sealing,
  store: Pick<SigningKeys, 'reseal'>,
): Promise<JWK> => {
  for (const [index, { open }] of openers.entries()) {
    let opened: string;
    try {
      opened = open(sealedJwk, contextOf(kid));
    } catch {
      continue;
    }
    if (index > 0) await store.reseal(kid, sealedJwk, seal(opened, contextOf(kid)));
    return JSON.parse(opened);
  }
  throw new SigningKeysError(
    'The signing keys in the database do not open with this MASTER_KEY (or JWT_SECRET_KEY, or KEY_ENCRYPTION_SECRET): it was changed, or the database belongs to another installation.',
  );
};
