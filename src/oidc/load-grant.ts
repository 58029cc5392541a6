import type { Client, Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { DEFAULT_SCOPE } from '../domain/claims.ts';
import type { Consents } from '../storage/consents.ts';

/** Claims that are given without being asked for; the engine's consent prompt leaves them out as well. */
const ALWAYS: ReadonlySet<string> = new Set(['sub', 'sid', 'auth_time', 'acr', 'amr', 'iss']);

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Whether any program on the person's machine could pass for this client: it has no secret, and its answers go to a port or a scheme
 * that whoever is first may take.
 *
 * @see [RFC 8252 §8.6](https://www.rfc-editor.org/rfc/rfc8252.html#section-8.6)
 */
const canBeImpersonated = (client: Client, redirectUri: unknown): boolean => {
  if (client.applicationType === 'native') return true;
  if (client.clientAuthMethod !== 'none') return false;
  const url = typeof redirectUri === 'string' ? URL.parse(redirectUri) : null;
  return url?.protocol !== 'https:' || LOOPBACK.has(url.hostname);
};

const covers = (consent: { scopes: string[]; claims: string[] }, { oidc }: KoaContextWithOIDC): boolean =>
  [...oidc.requestParamOIDCScopes].every((scope) => consent.scopes.includes(scope)) &&
  [...oidc.requestParamClaims].every((claim) => ALWAYS.has(claim) || consent.claims.includes(claim)) &&
  Object.keys(oidc.resourceServers ?? {}).length === 0;

/**
 * What an authorization request may build on: the grant of this browser session; for the platform's own apps one that holds whatever they
 * ask for; for an app that the person has allowed all of it before, wherever that was, one that holds what they allowed.
 */
export const createLoadGrant =
  (consents: Consents): NonNullable<Configuration['loadExistingGrant']> =>
  async (ctx) => {
    const { client, result, session, provider, account, params } = ctx.oidc;
    // RFC 6749 §3.3, for a request that was pushed or signed; provider.ts sees to those that are in the address.
    const { trusted = [] } = ctx.oidc as { trusted?: string[] };
    const enclosed = 'PushedAuthorizationRequest' in ctx.oidc.entities || trusted.length > 0;
    if (enclosed && params && client && !params.scope)
      params.scope = (client.scope ?? DEFAULT_SCOPE).replace(/\boffline_access\b/, '').trim();
    const grantId = result?.consent?.grantId ?? (client && session?.grantIdFor(client.clientId));
    const existing = grantId ? await provider.Grant.find(grantId) : undefined;
    if (!client || !account) return existing;
    if (client.first_party) {
      // The platform's own apps are not asked for consent: what they request is granted.
      const grant = existing ?? new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
      const before = JSON.stringify(grant.openid);
      grant.addOIDCScope([...ctx.oidc.requestParamOIDCScopes].join(' '));
      grant.addOIDCClaims([...ctx.oidc.requestParamClaims]);
      if (!existing || JSON.stringify(grant.openid) !== before) await grant.save();
      return grant;
    }
    if (existing || canBeImpersonated(client, params?.redirect_uri)) return existing;
    const consent = await consents.find(account.accountId, client.clientId);
    if (!consent || !covers(consent, ctx)) return undefined;
    const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
    grant.addOIDCScope(consent.scopes.join(' '));
    grant.addOIDCClaims(consent.claims);
    await grant.save();
    return grant;
  };
