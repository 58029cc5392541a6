import type { Client, Configuration, KoaContextWithOIDC } from 'oidc-provider';
import type { Consents, ResourceScopes } from '../storage/consents.ts';
import { isLoopbackHost } from './loopback.ts';
import { renew } from './renewals.ts';

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
  return url?.protocol !== 'https:' || isLoopbackHost(url.hostname);
};

/** Identifier of a resource → what is asked for there. */
const askedOfResources = (oidc: KoaContextWithOIDC['oidc']): ResourceScopes =>
  Object.fromEntries(
    Object.entries(oidc.resourceServers ?? {}).map(([resource, { scope = '' }]) => {
      const known = scope.split(' ');
      return [resource, [...oidc.requestParamScopes].filter((one) => known.includes(one))];
    }),
  );

/**
 * What an authorization request may build on: the grant of this browser session; for the platform's own apps one that holds whatever they
 * ask for; for an app that the person has allowed something before, wherever that was, one that holds what they allowed.
 */
export const createLoadGrant =
  (consents: Consents): NonNullable<Configuration['loadExistingGrant']> =>
  async (ctx) => {
    const { client, result, session, provider, account, params } = ctx.oidc;
    const grantId = result?.consent?.grantId ?? (client && session?.grantIdFor(client.clientId));
    const existing = grantId ? await provider.Grant.find(grantId) : undefined;
    if (!client || !account) return existing;
    if (client.first_party) {
      // The platform's own apps are not asked for consent: what they request is granted.
      const grant = existing ?? new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
      const before = JSON.stringify([grant.openid, grant.resources]);
      grant.addOIDCScope([...ctx.oidc.requestParamOIDCScopes].join(' '));
      grant.addOIDCClaims([...ctx.oidc.requestParamClaims]);
      for (const [resource, scopes] of Object.entries(askedOfResources(ctx.oidc)))
        grant.addResourceScope(resource, scopes.join(' '));
      if (!existing) await grant.save();
      else if (JSON.stringify([grant.openid, grant.resources]) !== before) await renew(existing);
      return grant;
    }
    if (existing || canBeImpersonated(client, params?.redirect_uri)) return existing;
    const found = await consents.find(account.accountId, client.clientId);
    const consent = found && { ...found, resources: found.resources as ResourceScopes };
    if (!consent) return undefined;
    // Also one that holds less than is asked for: the person is asked for what is new alone.
    const grant = new provider.Grant({ accountId: account.accountId, clientId: client.clientId });
    grant.addOIDCScope(consent.scopes.join(' '));
    grant.addOIDCClaims(consent.claims);
    for (const [resource, scopes] of Object.entries(consent.resources))
      grant.addResourceScope(resource, scopes.join(' '));
    await grant.save();
    return grant;
  };
