import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import type { Provider } from 'oidc-provider';
import { z } from 'zod';
import type { Accounts } from '../domain/accounts.ts';
import { sha256 } from '../domain/secrets.ts';
import type { Stores } from '../storage/stores.ts';
import { findClient } from './find-client.ts';
import { ALGORITHMS } from './keys.ts';
import type { ResourceRegistry } from './resource-servers.ts';

// RFC 9068 §2.2, and the grant that the token lives and dies with; a client's own token has none.
const Claims = z.looseObject({
  aud: z.string(),
  sub: z.string(),
  client_id: z.string(),
  grant_id: z.string().optional(),
  jti: z.string(),
  iat: z.number(),
  exp: z.number(),
});

/** An access token for an API, as a JWT, that verifies and is live. */
export type LiveResourceJwt = z.infer<typeof Claims> & {
  introspectionClients: readonly string[];
  /** Whose it is; undefined for a client's own. */
  accountId: string | undefined;
};

export type ResourceTokens = ReturnType<typeof createResourceTokens>;

/** The JWTs that APIs are called with: they verify by themselves, and whether they live still is asked here. */
export const createResourceTokens = (
  provider: Provider,
  { denials }: Pick<Stores, 'denials'>,
  accounts: Accounts,
  registry: ResourceRegistry,
  publicKeys: () => JSONWebKeySet,
) => ({
  /** @returns undefined for anything that is not live: forged, expired, revoked, of a user or client who is gone or banned. */
  async introspect(token: string): Promise<LiveResourceJwt | undefined> {
    let claims: z.infer<typeof Claims>;
    try {
      // RFC 8725 §3.1 and §3.11: our algorithms, and one type; the token has no say in either.
      const verified = await jwtVerify(token, createLocalJWKSet(publicKeys()), {
        issuer: provider.issuer,
        typ: 'at+jwt',
        algorithms: [...ALGORITHMS],
      });
      claims = Claims.parse(verified.payload);
    } catch {
      return undefined;
    }
    const { aud, client_id, grant_id, jti, iat } = claims;
    const [resource, client, grant, denied] = await Promise.all([
      registry.find(aud),
      findClient(provider, client_id),
      grant_id === undefined ? undefined : provider.Grant.find(grant_id),
      denials.isDenied(sha256(jti), iat),
    ]);
    if (!resource || !client || denied) return undefined;
    if (grant_id !== undefined) {
      // By the grant, not by `sub`: that may be a name which is the app's alone.
      if (grant?.clientId !== client_id || !(await accounts.find(grant.accountId ?? ''))) return undefined;
    }
    return { ...claims, introspectionClients: resource.introspectionClients, accountId: grant?.accountId };
  },
});
