// What a resource server has to do with a token: read where its issuer's keys are, and believe nothing that they have not signed
// for this very resource. jose and nothing of ours: any other API can do the same.
import { createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { z } from 'zod';

/** Who asks, by a token that holds. */
export type Holder = { sub: string; clientId: string; scopes: ReadonlySet<string> };

export type VerifyBearer = (authorization: string | undefined) => Promise<Holder | undefined>;

const Metadata = z.looseObject({ issuer: z.string(), jwks_uri: z.url() });
// RFC 9068 §2.2
const Claims = z.looseObject({ sub: z.string(), client_id: z.string(), scope: z.string().default('') });

/** RFC 6750 §2.1 */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;
const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];

/**
 * Verifies access tokens of `issuer` for `resource`.
 *
 * @throws when the issuer does not answer, or calls itself otherwise.
 * @see [RFC 9068 §4](https://www.rfc-editor.org/rfc/rfc9068.html#section-4)
 */
export const createVerifyBearer = async (issuer: string, resource: string): Promise<VerifyBearer> => {
  const answer = await fetch(`${issuer}/.well-known/oauth-authorization-server`, {
    signal: AbortSignal.timeout(5_000),
  });
  const metadata = Metadata.parse(await answer.json());
  // RFC 8414 §3.3
  if (metadata.issuer !== issuer) throw new Error(`${issuer} calls itself ${metadata.issuer}`);
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), { timeoutDuration: 5_000 });

  return async (authorization) => {
    const [, token] = BEARER.exec(authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    try {
      const { payload } = await jwtVerify(token, keys, {
        issuer,
        audience: resource,
        typ: 'at+jwt',
        algorithms: ALGORITHMS,
        requiredClaims: ['exp', 'iat', 'sub', 'client_id', 'jti'],
      });
      // A token that is bound to a key proves nothing without it (RFC 9449 §7.2, RFC 8705 §3), and no proof is checked here.
      if (payload.cnf !== undefined) return undefined;
      const { sub, client_id, scope } = Claims.parse(payload);
      return { sub, clientId: client_id, scopes: new Set(scope.split(' ').filter(Boolean)) };
    } catch (error) {
      // Anything else is no fault of the token: the issuer's keys could not be read.
      if (error instanceof z.ZodError || (error instanceof errors.JOSEError && !(error instanceof errors.JWKSTimeout)))
        return undefined;
      throw error;
    }
  };
};
