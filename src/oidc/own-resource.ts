import { createSecretKey } from 'node:crypto';
import type { Middleware } from 'koa';
import type { ResourceServer } from 'oidc-provider';
import type { User } from '../domain/accounts.ts';
import { KEY_SCOPES } from '../domain/claims.ts';

/** The built-in client of the platform's own apps: POST /auth/login signs in under it, and /login in a browser. */
export const FIRST_PARTY_CLIENT_ID = 'user-auth';

/** What signs and checks first-party access tokens. */
export type JwtSettings = {
  issuer: string;
  jwtAlgorithm: 'HS256' | 'RS256' | 'ES256' | 'EdDSA';
  jwtSecretKey: string;
  accessTokenTtlSeconds: number;
  refreshTokenTtlSeconds: number;
};

/** Whom a first-party access token is being issued to, where that is known: its claims then need no second look. */
export const holders = new WeakMap<object, User>();

/** When the person signed in whom a first-party access token is being issued to, in epoch seconds. */
export const signInTimes = new WeakMap<object, number>();

/** What every first-party token may do; a role's further permissions are added to it. */
export const FIRST_PARTY_SCOPE = 'read:profile write:profile';

// In the form that signing wants it in: from any other one is made for every token.
const signingKey = (secret: string) =>
  createSecretKey(Buffer.from(secret)).toCryptoKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);

/** The resource server that first-party tokens are for, as oidc-provider wants it: ourselves. */
export const ownResourceServer = ({ issuer, jwtAlgorithm, jwtSecretKey, accessTokenTtlSeconds }: JwtSettings) =>
  ({
    audience: issuer,
    scope: KEY_SCOPES.join(' '),
    accessTokenFormat: 'jwt' as const,
    accessTokenTTL: accessTokenTtlSeconds,
    jwt: {
      sign: jwtAlgorithm === 'HS256' ? { alg: jwtAlgorithm, key: signingKey(jwtSecretKey) } : { alg: jwtAlgorithm },
    },
  }) satisfies ResourceServer;

/** What our own API says of itself (RFC 9728). */
export const PROTECTED_RESOURCE_METADATA = '/.well-known/oauth-protected-resource';

/** RFC 9728 §5.1: what a 401 or 403 says besides its scheme, so that whoever is refused finds out where tokens come from. */
export const resourceMetadataOf = (issuer: string): string =>
  `resource_metadata="${issuer}${PROTECTED_RESOURCE_METADATA}"`;

/** The same for the one endpoint of the engine's that takes access tokens. */
export const nameResourceMetadata =
  (issuer: string): Middleware =>
  async (ctx, next) => {
    await next();
    if (ctx.path !== '/oauth/userinfo') return;
    // One for each scheme, with its parameters.
    const challenges = [ctx.res.getHeader('WWW-Authenticate') ?? []].flat();
    if (challenges.length > 0)
      ctx.set(
        'WWW-Authenticate',
        challenges.map((one) => `${one}, ${resourceMetadataOf(issuer)}`),
      );
  };
