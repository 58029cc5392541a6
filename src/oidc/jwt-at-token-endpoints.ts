import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Audit } from '../domain/audit.ts';
import type { AccessJwts } from './access-jwts.ts';
import { introspectionJwt } from './engine-internals.ts';
import type { FirstPartyTokens, LiveJwt } from './first-party-tokens.ts';
import type { LiveResourceJwt, ResourceTokens } from './resource-tokens.ts';

const INTROSPECTION_JWT = 'application/token-introspection+jwt';

const introspected = (claims: LiveJwt | LiveResourceJwt | undefined, withheld: boolean, issuer: string | undefined) => {
  if (!claims || withheld) return { active: false };
  const { grant_id: _, introspectionClients: __, accountId: ___, ...told } = claims;
  const { jkt } = Object(told.cnf) as { jkt?: unknown };
  return { active: true, ...told, iss: issuer, token_type: jkt ? 'DPoP' : 'Bearer' };
};

/**
 * Introspection and revocation of JWTs, those of the platform's own apps and those for other APIs. The engine authenticates the client and then refuses any JWT as
 * `unsupported_token_type`: that refusal is where this begins.
 *
 * @see [RFC 7662 §2.2](https://www.rfc-editor.org/rfc/rfc7662.html#section-2.2)
 * @see [RFC 9701 §5](https://www.rfc-editor.org/rfc/rfc9701.html#section-5)
 * @see [RFC 7009 §2.1](https://www.rfc-editor.org/rfc/rfc7009.html#section-2.1)
 */
export const jwtAtTokenEndpoints =
  (tokens: FirstPartyTokens, resourceTokens: ResourceTokens, jwts: AccessJwts, audit: Audit): Middleware =>
  async (context, next) => {
    await next();
    const ctx = context as unknown as KoaContextWithOIDC;
    const refused = (ctx.body as { error?: unknown } | undefined)?.error === 'unsupported_token_type';
    const { client, params, provider, route } = refused ? ctx.oidc : {};
    if (!client) return;
    const presented = String(params?.token);
    const claims = (await tokens.introspect(presented)) ?? (await resourceTokens.introspect(presented));
    // A client without credentials may only ask about its own tokens.
    const own = claims?.client_id === client.clientId;

    ctx.status = 200;
    if (route === 'revocation') {
      // Somebody else's token stays as it is, and nothing is said about it.
      if (claims && own) {
        await jwts.deny(claims);
        await audit.record({ type: 'token.revoked', target: claims.sub, client: client.clientId });
      }
      ctx.body = '';
      return;
    }
    const asJwt = ctx.accepts('json', INTROSPECTION_JWT) === INTROSPECTION_JWT;
    if (client.introspectionEncryptedResponseAlg !== undefined && !asJwt) {
      ctx.status = 400;
      const error_description = `introspection must be requested with Accept: ${INTROSPECTION_JWT} for this client`;
      ctx.body = { error: 'invalid_request', error_description };
      return;
    }
    // What an API's tokens say is for that API: the clients it is registered with ask, and whom a token was issued to.
    const askers = claims?.introspectionClients as readonly string[] | undefined;
    const withheld = !own && (client.clientAuthMethod === 'none' || askers?.includes(client.clientId) === false);
    ctx.body = introspected(claims, withheld, provider?.issuer);
    if (!asJwt) return;
    // RFC 9701 §5, as the engine answers for its own tokens.
    ctx.body = await introspectionJwt(ctx, ctx.body as Record<string, unknown>);
    ctx.type = `${INTROSPECTION_JWT}; charset=utf-8`;
  };
