// JWTs that the clients of a run sign: assertions, request objects and DPoP proofs, with whatever claims and header are asked for.
import { createHash, createPrivateKey, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { kty, crv, x, y } = publicKey.export({ format: 'jwk' });

/** What the clients register. */
export const JWK = { kty, crv, x, y, kid: 'fuzz', alg: 'ES256', use: 'sig' };
const PUBLIC = { kty, crv, x, y };
/** @see RFC 7638 */
export const THUMBPRINT = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value) ?? 'null').toString('base64url');

const signed = (header: object, claims: object): string => {
  const text = `${encode(header)}.${encode(claims)}`;
  const key = createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }));
  return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
};

/** What is different from what would be right. */
export type Odd = { header?: Record<string, unknown>; claims?: Record<string, unknown> };

export const wrap = (kind: 'assertion' | 'request' | 'dpop', odd: Odd): string =>
  `{{sign.${kind}.${Buffer.from(JSON.stringify(odd)).toString('hex')}}}`;

/** What `wrap` stands for, by its name without the braces; undefined for any other name. */
export const signedAs = (name: string, issuer: string, clientId: string): string | undefined => {
  const [, kind, text] = /^sign\.(assertion|request|dpop)(?:\.([0-9a-f]*))?$/.exec(name) ?? [];
  if (kind === undefined) return undefined;
  const { header = {}, claims = {} }: Odd = text ? JSON.parse(Buffer.from(text, 'hex').toString()) : {};
  const now = Math.floor(Date.now() / 1000);
  if (kind === 'dpop')
    return signed(
      { typ: 'dpop+jwt', alg: 'ES256', jwk: PUBLIC, ...header },
      { jti: randomUUID(), htm: 'POST', htu: `${issuer}/oauth/token`, iat: now, ...claims },
    );
  const common = { iss: clientId, aud: issuer, jti: randomUUID(), iat: now, nbf: now, exp: now + 60 };
  if (kind === 'assertion')
    return signed({ alg: 'ES256', kid: 'fuzz', ...header }, { ...common, sub: clientId, ...claims });
  return signed(
    { alg: 'ES256', kid: 'fuzz', typ: 'oauth-authz-req+jwt', ...header },
    {
      ...common,
      client_id: clientId,
      response_type: 'code',
      redirect_uri: 'https://app.example/callback',
      scope: 'openid',
      ...claims,
    },
  );
};
