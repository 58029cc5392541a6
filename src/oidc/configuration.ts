import type { Configuration, JWKS, KoaContextWithOIDC } from 'oidc-provider';
import type { Accounts } from '../domain/accounts.ts';
import { SCOPES } from '../domain/claims.ts';
import type { Secrets } from '../domain/secrets.ts';
import type { Consents } from '../storage/consents.ts';
import type { ExternalKey } from './external-keys.ts';
import { authorizationDetails } from './features/authorization-details.ts';
import { type ClientSettings, clientFeatures } from './features/clients.ts';
import type { Decoupled } from './features/decoupled.ts';
import { mtlsAliases } from './features/mtls.ts';
import { type RequestAndKeySettings, requestsAndKeys } from './features/requests-and-keys.ts';
import { resourceIndicators } from './features/resources.ts';
import { exchanged } from './features/token-exchange.ts';
import { findClient } from './find-client.ts';
import { ACR_PASSWORD, createInteractionPolicy } from './interaction-policy.ts';
import { createLoadGrant } from './load-grant.ts';
import type { Outbound, OutboundSettings } from './outbound.ts';
import { FIRST_PARTY_CLIENT_ID, holders, type JwtSettings, signInTimes } from './own-resource.ts';
import { inHelpfulWords } from './refusals.ts';
import type { ResourceRegistry } from './resource-servers.ts';
import { renewedFor } from './session-age.ts';

/** The pages the engine asks for; http renders them. */
export type EnginePages = {
  /** The engine has answered a failure of ours; `ctx.body` is what it says, where that is JSON. */
  failed(ctx: KoaContextWithOIDC, cause: Error): void;
  /** The answer to an app is about to leave, perhaps as a page whose form posts itself there. */
  leavingFor(ctx: KoaContextWithOIDC, redirectUri: string): void;
  error(ctx: KoaContextWithOIDC, told: { error: string; error_description?: string }, cause: Error): void;
  logout(ctx: KoaContextWithOIDC): void | Promise<void>;
  loggedOut(ctx: KoaContextWithOIDC): void | Promise<void>;
};

export type EngineSettings = JwtSettings &
  ClientSettings &
  RequestAndKeySettings & {
    externalKeys: readonly ExternalKey[];
    sessionTtlSeconds: number;
    /** How long a session lasts, however much it is used. */
    sessionMaxSeconds: number;
    refreshRetrySeconds: number;
    /** How addresses that clients name are fetched. */
    outbound?: OutboundSettings | undefined;
  };

/** Clients prove who they are in the same ways at every endpoint. */
const endpointAuthentication = ({ clientAuthMethods, enabledJWA }: ReturnType<typeof requestsAndKeys>) =>
  Object.fromEntries(
    ['introspection', 'revocation'].flatMap((endpoint) => [
      [`${endpoint}_endpoint_auth_methods_supported`, clientAuthMethods],
      [`${endpoint}_endpoint_auth_signing_alg_values_supported`, enabledJWA.clientAuthSigningAlgValues],
    ]),
  );

const DAY = 86_400;
const HOUR = 3_600;

/** oidc-provider's configuration. Where a default is overridden, the comment says why. */
export const createConfiguration = (
  settings: EngineSettings,
  jwks: JWKS,
  secrets: Secrets,
  accounts: Accounts,
  consents: Consents,
  resources: ResourceRegistry,
  pages: EnginePages,
  outbound: Outbound,
  decoupled: Decoupled,
): Configuration => {
  const https = settings.issuer.startsWith('https:');
  const refreshable = (scopes: ReadonlySet<string>): boolean => scopes.has('offline_access') || !scopes.has('openid');

  const registering = clientFeatures(settings, settings.issuer);
  const asking = requestsAndKeys(settings, secrets, outbound);

  return {
    ...asking,
    acrValues: [ACR_PASSWORD],
    claims: {
      iss: null,
      sid: null,
      // How sure, how and when: in every ID token, without being asked for.
      openid: [...SCOPES.openid, 'acr', 'amr', 'auth_time'],
      profile: SCOPES.profile,
      email: SCOPES.email,
      address: SCOPES.address,
      phone: SCOPES.phone,
    },
    scopes: Object.keys(SCOPES),
    clientBasedCORS: registering.clientBasedCORS,
    clients: [
      {
        // Signs a browser in at /login, which yields no code and no token; its tokens come from /auth/login alone.
        client_id: FIRST_PARTY_CLIENT_ID,
        client_name: 'User Auth',
        redirect_uris: [`${settings.issuer}/account`],
        post_logout_redirect_uris: [`${settings.issuer}/`],
        response_types: ['none'],
        grant_types: ['refresh_token'],
        token_endpoint_auth_method: 'none',
        first_party: true,
      },
    ],
    cookies: {
      keys: secrets.cookieKeys,
      // RFC 6265bis prefixes: the browser itself then refuses such a cookie from plain http or a sister domain.
      names: https
        ? { session: '__Host-session', interaction: '__Secure-interaction', resume: '__Secure-resume' }
        : { session: 'session', interaction: 'interaction', resume: 'resume' },
      long: { signed: true, httpOnly: true, sameSite: 'lax', secure: https, path: '/' },
      short: { signed: true, httpOnly: true, sameSite: 'lax', secure: https },
    },
    discovery: {
      ...registering.discovery,
      ...mtlsAliases(settings.mtls),
      // RFC 8414 §2: left out, they would be one by client_secret_basic alone, and the other by who knows what.
      ...endpointAuthentication(asking),
      // OpenID Connect Initiating User Registration §3
      prompt_values_supported: ['none', 'login', 'consent', 'select_account'],
      service_documentation: `${settings.issuer}/docs`,
      ui_locales_supported: ['en', 'zh-CN'],
      claim_types_supported: ['normal'],
      // RFC 9728 §4: our own API; others name us themselves.
      protected_resources: [settings.issuer],
    },
    // Offline access ends with its refresh token, not with the browser session (OIDC Core §11); neither does a plain
    // OAuth grant, which never was a login; nor what is allowed in one place for an app that runs in another.
    expiresWithSession: async (_ctx, token) => token.kind !== 'DeviceCode' && !refreshable(token.scopes),
    // What our own routes read off a first-party token, and the grant that they ask after.
    extraTokenClaims: async (ctx, token) => {
      if (token.kind !== 'AccessToken') return undefined;
      if (token.aud !== settings.issuer) {
        const isJwt = token.resourceServer?.accessTokenFormat === 'jwt';
        // RFC 8693 §4.4: for who is brought it, here or at the API.
        const mayAct = token.accountId === undefined ? undefined : ctx?.oidc?.client?.may_act;
        return {
          ...(isJwt && { grant_id: token.grantId }),
          ...(mayAct !== undefined && { may_act: mayAct }),
          ...exchanged.get(token),
        };
      }
      const user = holders.get(token) ?? (await accounts.find(token.accountId));
      // RFC 9068 §2.2.1. A token that is refreshed is of the sign-in that the first one was.
      const authTime = signInTimes.get(token) ?? ctx?.oidc?.entities?.RefreshToken?.authTime;
      return { grant_id: token.grantId, email: user?.email, role: user?.role, auth_time: authTime };
    },
    features: {
      ...asking.features,
      ...decoupled.features,
      claimsParameter: { enabled: true },
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: {
        enabled: true,
        allowedPolicy: async (ctx, client, token) => {
          // A client without credentials proves nothing by its id: it may only ask about its own tokens (RFC 7662 §2.1).
          if (client.clientAuthMethod === 'none' && token.clientId !== client.clientId) return false;
          // A refresh token is nobody's business but its own client's; no API ever sees one. The platform's own apps have no secret to ask with.
          const shared: readonly unknown[] = [client.clientId, FIRST_PARTY_CLIENT_ID];
          if (token.kind === 'RefreshToken' && !shared.includes(token.clientId)) return false;
          // What an API's tokens say is for that API: the clients it is registered with ask, and whom a token was issued to.
          const audience = 'aud' in token && typeof token.aud === 'string' ? token.aud : undefined;
          const resource = audience === undefined ? undefined : await resources.find(audience);
          if (
            resource &&
            token.clientId !== client.clientId &&
            !resource.introspectionClients.includes(client.clientId)
          )
            return false;
          // A token of a client or a user that is gone or banned is not active, whatever is left of it.
          if (!(await findClient(ctx.oidc.provider, token.clientId ?? ''))) return false;
          return !('accountId' in token) || (await accounts.find(String(token.accountId))) !== undefined;
        },
      },
      ...(settings.externalKeys.length > 0 && {
        externalSigningSupport: { enabled: true, ack: 'experimental-01' },
      }),
      resourceIndicators: resourceIndicators(settings, resources),
      richAuthorizationRequests: authorizationDetails(resources),
      revocation: {
        enabled: true,
        // RFC 7009 §2.1: a client revokes its own tokens. Somebody else's stays as it is, and nothing is said about it.
        allowedPolicy: async (_ctx, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx) => pages.logout(ctx),
        postLogoutSuccessSource: (ctx) => pages.loggedOut(ctx),
      },
    },
    interactions: { policy: createInteractionPolicy(), url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    issueRefreshToken: async (_ctx, client, source) =>
      client.grantTypeAllowed('refresh_token') && refreshable(source.scopes),
    jwks,
    loadExistingGrant: createLoadGrant(consents),
    renderError: (ctx, out, error) => pages.error(ctx, inHelpfulWords(ctx, out), error),
    routes: {
      ...decoupled.routes,
      authorization: '/oauth/authorize',
      token: '/oauth/token',
      revocation: '/oauth/revoke',
      userinfo: '/oauth/userinfo',
      introspection: '/oauth/introspect',
      jwks: '/oauth/jwks',
      end_session: '/oauth/logout',
      pushed_authorization_request: '/oauth/par',
    },
    ttl: {
      ...decoupled.ttl,
      AccessToken: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? settings.accessTokenTtlSeconds,
      AuthorizationCode: 60,
      ClientCredentials: (_ctx, token) => token.resourceServer?.accessTokenTTL ?? settings.accessTokenTtlSeconds,
      Grant: (_ctx, grant) =>
        // Outlives every refresh token it can have, each of which is renewed on use.
        refreshable(new Set(grant.openid?.scope?.split(' ') ?? [])) ? 365 * DAY : 14 * DAY,
      IdToken: HOUR,
      Interaction: HOUR,
      RefreshToken: settings.refreshTokenTtlSeconds,
      Session: (_ctx, session) => renewedFor(session, settings.sessionTtlSeconds, settings.sessionMaxSeconds),
    },
  };
};
