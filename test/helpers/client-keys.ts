// The keys of a client under test: what it registers, and what it signs by hand where a library would not do wrong.
import { randomUUID } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';

export type ClientKey = Awaited<ReturnType<typeof newKey>>;

export const newKey = async (alg = 'ES256') => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { alg, kid, privateKey, jwk: { ...jwk, kid, alg }, jwks: { keys: [{ ...jwk, kid, alg, use: 'sig' }] } };
};

/** A JWT as given; `header` adds to what the key says. */
export const signed = (
  claims: JWTPayload,
  { alg, kid, privateKey }: Pick<ClientKey, 'alg' | 'kid' | 'privateKey'>,
  header: Record<string, unknown> = {},
): Promise<string> => new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);

/** A client assertion (RFC 7523 §3) as it should be, and what is changed about it; undefined takes out. */
export const assertion = (
  clientId: string,
  issuer: string,
  changes: Record<string, unknown> = {},
): Record<string, unknown> => {
  const now = Math.floor(Date.now() / 1000);
  return { iss: clientId, sub: clientId, aud: issuer, jti: randomUUID(), iat: now, exp: now + 60, ...changes };
};

/** A DPoP proof (RFC 9449 §4.2) as it should be, and what is changed about it; undefined takes out. */
export const dpopProof = (
  key: ClientKey,
  method: string,
  url: string,
  changes: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> => {
  const { kid: _, alg: __, ...jwk } = key.jwk;
  const claims = { jti: randomUUID(), htm: method, htu: url, iat: Math.floor(Date.now() / 1000), ...changes };
  return new SignJWT(claims).setProtectedHeader({ alg: key.alg, typ: 'dpop+jwt', jwk, ...header }).sign(key.privateKey);
};

/** The parameters by which a client presents an assertion. */
export const presented = (client_assertion: string) => ({
  client_assertion,
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
});
