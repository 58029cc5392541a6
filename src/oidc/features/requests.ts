import { type Configuration, errors } from 'oidc-provider';
import { FAPI_ALGORITHMS, isOfTheFuture } from './fapi.ts';

/** RFC 9101 §4 and §10.8: what a request object calls itself. Anything else was signed for another purpose. */
const TYPES: readonly unknown[] = [undefined, 'JWT', 'jwt', 'oauth-authz-req+jwt'];
/** CIBA Core §7.1.1; the issuer, the audience and the expiry are looked at for every request object. */
const REQUIRED_OF_CIBA = ['iat', 'nbf', 'jti'];
const HOUR = 3_600;

/**
 * How a request may come: pushed (RFC 9126), signed (RFC 9101), and how the answer may go back: signed (JARM). A request object is taken by
 * value, here or pushed; none is ever fetched from a URL (RFC 9101 §10.4).
 */
export const requests = {
  features: {
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: false },
    requestObjects: {
      enabled: true,
      assertJwtClaimsAndHeader(ctx, claims, header, client) {
        // What was pushed was looked at then.
        if ('PushedAuthorizationRequest' in ctx.oidc.entities) return;
        const refuse = (why: string): never => {
          throw new errors.InvalidRequestObject(why);
        };
        if (!TYPES.includes(header.typ)) refuse("Request Object 'typ' must be oauth-authz-req+jwt");
        // RFC 9101 §10.8: or a client assertion would pass for a request.
        if (claims.sub === client.clientId) refuse("Request Object must not have the client as its 'sub'");
        if (claims.exp === undefined) refuse("Request Object is missing the 'exp' claim");
        const ciba = ctx.oidc.route === 'backchannel_authentication';
        if (ciba)
          for (const name of REQUIRED_OF_CIBA)
            if (claims[name] === undefined) refuse(`Request Object is missing the '${name}' claim`);
        const fapi = ctx.oidc.isFapi('2.0') !== undefined;
        if (fapi && !FAPI_ALGORITHMS.includes(String(header.alg)))
          refuse('alg of the Request Object is not allowed by FAPI 2.0');
        if (fapi && isOfTheFuture(claims)) refuse("Request Object 'iat' or 'nbf' claim is in the future");
        if (!fapi && !ciba) return;
        // FAPI 2.0 Message Signing §5.3.1, FAPI-CIBA §5.2.2
        if (claims.nbf === undefined) refuse("Request Object is missing the 'nbf' claim");
        const lifetime = Number(claims.exp) - Number(claims.nbf);
        if (!(lifetime > 0 && lifetime <= HOUR)) refuse("Request Object 'exp' claim too far from 'nbf' claim");
        if (Date.now() / 1000 - Number(claims.nbf) > HOUR) refuse("Request Object 'nbf' claim is too long ago");
      },
    },
    jwtResponseModes: { enabled: true },
  },
} satisfies Pick<Configuration, 'features'>;
