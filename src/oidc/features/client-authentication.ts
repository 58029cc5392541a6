import { type Configuration, errors } from 'oidc-provider';
import { FAPI_ALGORITHMS, isOfTheFuture } from './fapi.ts';

/** RFC 7523 §3: an assertion is remembered until it expires, so it may not live for long. */
const LONGEST_SECONDS = 86_400;

/** How clients prove who they are by what they signed (RFC 7523): private_key_jwt, client_secret_jwt. */
export const clientAuthentication = {
  assertJwtClientAuthClaimsAndHeader(ctx, claims, header) {
    const refuse = (why: string): never => {
      throw new errors.InvalidClientAuth(why);
    };
    if (typeof claims.exp !== 'number' || claims.exp > Date.now() / 1000 + LONGEST_SECONDS)
      refuse('expiration of the client_assertion JWT must be within a day');
    if (typeof claims.jti !== 'string') refuse('jti (JWT ID) of the client_assertion JWT must be a string');
    // RFC 7523 §3: both name the client.
    if (claims.sub !== claims.iss) refuse('sub (JWT subject) must be the client_id');
    if (!ctx.oidc.isFapi('2.0')) return;
    // FAPI 2.0 Security Profile §5.3.2.1: the issuer, as a string, and nothing beside it.
    if (claims.aud !== ctx.oidc.issuer) refuse('audience (aud) must equal the issuer identifier');
    if (!FAPI_ALGORITHMS.includes(String(header.alg)))
      refuse('alg of the client_assertion JWT is not allowed by FAPI 2.0');
    if (isOfTheFuture(claims)) refuse('iat or nbf of the client_assertion JWT is in the future');
  },
} satisfies Pick<Configuration, 'assertJwtClientAuthClaimsAndHeader'>;
