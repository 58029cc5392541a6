import { type Client, type JWKS, type KoaContextWithOIDC, Provider } from 'oidc-provider';

import type { Accounts } from '../domain/accounts.ts';
import { type Secrets, sha256 } from '../domain/secrets.ts';
import { POLL_SECONDS, type Throttles } from '../domain/throttles.ts';
import type { Stores } from '../storage/stores.ts';
import { createAdapterFactory } from './adapter.ts';
import { createConfiguration, type EnginePages, type EngineSettings } from './configuration.ts';
import { corsOrigins } from './cors-origins.ts';
import { guardDecoupled } from './decoupled-requests.ts';
import { createEndedSessions } from './ended-sessions.ts';
import {
  allowRedirectUris,
  compareHashedClientSecrets,
  deriveSuccessors,
  detectReplays,
  introspectAccessTokensFirst,
  markEndedSessions,
  readResources,
  refuseResponseTypes,
  revokeGrantsFirst,
  takeFormerKeys,
  takeIdTokensAlone,
} from './engine-internals.ts';
import { errorWords } from './error-words.ts';
import type { Decoupled } from './features/decoupled.ts';
import { pairwise } from './features/pairwise.ts';
import { requestedResources } from './features/resources.ts';
import { JWKS_MAX_AGE_SECONDS } from './keyring.ts';
import type { KnownClients } from './known-clients.ts';
import { createOutbound } from './outbound.ts';
import { nameResourceMetadata } from './own-resource.ts';
import { isRegisteredButForPort } from './redirect-uris.ts';
import { nameRefusals } from './refusals.ts';
import { createReplays } from './replays.ts';
import type { ResourceRegistry } from './resource-servers.ts';
import { guardSecrets, throttleTokenEndpoints } from './throttle-clients.ts';

export type { Client, EnginePages, EngineSettings, Provider };

/** The authorization server: oidc-provider with our stores, keys, accounts and pages. */
export const createProvider = (
  settings: EngineSettings,
  jwks: JWKS,
  stores: Stores,
  knownClients: KnownClients,
  resources: ResourceRegistry,
  secrets: Secrets,
  accounts: Accounts,
  pages: EnginePages,
  throttles: Throttles,
  decoupled: Decoupled,
): Provider => {
  const outbound = createOutbound(settings.outbound ?? {});
  const provider = new Provider(settings.issuer, {
    ...createConfiguration(settings, jwks, secrets, accounts, stores.consents, resources, pages, outbound, decoupled),
    ...pairwise(secrets, accounts, stores.pairwiseSubjects),
    adapter: createAdapterFactory(
      stores.artifacts,
      knownClients,
      secrets,
      settings.refreshRetrySeconds,
      settings.sessionMaxSeconds,
    ),
  });
  compareHashedClientSecrets(provider, secrets, guardSecrets(throttles.clientSecrets));
  deriveSuccessors(provider, secrets);
  revokeGrantsFirst(provider);
  markEndedSessions(provider, createEndedSessions(stores.artifacts).mark);
  introspectAccessTokensFirst(provider);
  takeFormerKeys(provider);
  takeIdTokensAlone(provider);
  detectReplays(provider, createReplays(stores.replays).unique);
  allowRedirectUris(provider, isRegisteredButForPort);
  readResources(provider, requestedResources(settings.issuer));
  refuseResponseTypes(provider);
  provider.use(nameRefusals);
  provider.use((ctx, next) => knownClients.askedFrom(ctx.ip, next));
  provider.use(corsOrigins(stores.registrations.isOrigin));
  provider.use(throttleTokenEndpoints(throttles.tokenEndpoints));
  provider.use(errorWords);
  provider.use(guardDecoupled(provider, throttles));
  // Emitted just before the answer is rendered. With response_mode=form_post that is a page whose form goes to the app.
  const leaving = (ctx: KoaContextWithOIDC): void => {
    const uri = ctx.oidc?.params?.redirect_uri;
    if (typeof uri === 'string' && ctx.oidc.client?.redirectUriAllowed(uri)) pages.leavingFor(ctx, uri);
  };
  provider.on('device_authorization.success', (_ctx, answer) => {
    answer.interval = POLL_SECONDS;
  });
  // RFC 9207 §2: in every answer; the engine leaves it out beside an ID token. A signed answer has it inside.
  provider.on('authorization.success', (ctx, answer) => {
    if (answer && !ctx.oidc.responseMode?.includes('jwt')) answer.iss = provider.issuer;
  });
  provider.on('authorization.success', leaving);
  provider.on('authorization.error', leaving);
  provider.on('server_error', leaving);
  provider.on('server_error', (ctx, error) => pages.failed(ctx, error));
  provider.use(async (ctx, next) => {
    await next();
    if (ctx.oidc?.route !== 'jwks') return;
    // Whoever verifies may keep it for as long as a new key is published before it signs.
    ctx.set('Cache-Control', `public, max-age=${JWKS_MAX_AGE_SECONDS}`);
    ctx.set('ETag', `"${sha256(JSON.stringify(ctx.body))}"`);
    // RFC 9110 §13.1.2
    if (ctx.fresh) ctx.status = 304;
  });
  provider.use(nameResourceMetadata(settings.issuer));
  provider.use(async (ctx, next) => {
    await next();
    // Nobody is signed in, so there is nothing to confirm: go where confirming leads. (The engine would send a form that
    // submits itself by JavaScript.)
    if (ctx.path !== '/oauth/logout' || ctx.status !== 200 || ctx.oidc.session?.accountId !== undefined) return;
    const { postLogoutRedirectUri, state } = ctx.oidc.session?.state ?? {};
    const target = new URL(String(postLogoutRedirectUri ?? ctx.oidc.urlFor('end_session_success')));
    if (postLogoutRedirectUri !== undefined && state !== undefined) target.searchParams.set('state', String(state));
    ctx.status = 303;
    ctx.redirect(target.href);
  });
  return provider;
};
