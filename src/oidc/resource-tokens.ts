import type { JWTVerifyGetKey } from 'jose';
import type { Provider } from 'oidc-provider';
import { z } from 'zod';
import type { Accounts } from '../domain/accounts.ts';
import type { AccessJwts } from './access-jwts.ts';
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
  accounts: Accounts,
  registry: ResourceRegistry,
  jwts: AccessJwts,
  publicKey: JWTVerifyGetKey,
) => ({
  /** @returns undefined for anything that is not live: forged, expired, revoked, of a user or client who is gone or banned. */
  async introspect(token: string): Promise<LiveResourceJwt | undefined> {
    const claims = await jwts.verify(token, Claims, { key: publicKey, algorithms: ALGORITHMS });
    if (!claims) return undefined;
    const { aud, client_id, grant_id } = claims;
    const [resource, client, grant, denied] = await Promise.all([
      registry.find(aud),
      findClient(provider, client_id),
      grant_id === undefined ? undefined : provider.Grant.find(grant_id),
      jwts.isDenied(claims),
    ]);
    if (!resource || !client || denied) return undefined;
    if (grant_id !== undefined) {
      // By the grant, not by `sub`: that may be a name which is the app's alone.
      if (grant?.clientId !== client_id || !(await accounts.find(grant.accountId ?? ''))) return undefined;
    }
    return { ...claims, introspectionClients: resource.introspectionClients, accountId: grant?.accountId };
  },
});
