import type { Context } from 'koa';
import { isUnverified } from '../oidc/features/clients.ts';
import type { Client, EnginePages } from '../oidc/provider.ts';
import { isLoopbackUri } from '../oidc/redirect-uris.ts';
import { isUnreadableRequestObject } from '../oidc/request-objects.ts';
import type { ClientCard, Pages } from './pages.ts';
import { allowFormTarget } from './security-headers.ts';

/** An app as the pages show it. */
export const clientCard = (client: Client): ClientCard => {
  const unverified = isUnverified(client);
  return {
    name: client.clientName ?? client.clientId,
    logoUri: client.logoUri,
    clientUri: client.clientUri,
    policyUri: client.policyUri,
    tosUri: client.tosUri,
    contacts: client.contacts,
    firstParty: client.first_party === true,
    unverified,
    address: client.registration === 'document' ? client.clientId : undefined,
    localOnly: unverified && (client.redirectUris ?? []).every(isLoopbackUri),
  };
};

type EngineContext = Parameters<EnginePages['error']>[0];
type Told = { error: string; error_description?: string | undefined };

/** What the engine says of a sign-out form that was sent before, or is too old. */
const OVER: ReadonlySet<string> = new Set(['could not find logout details', 'xsrf token invalid']);

/** OAuth has a name for it (RFC 6749 §4.1.2.1), and a caller should know that trying again will help. */
const unavailable = (ctx: Context): Told => {
  ctx.status = 503;
  ctx.set('Retry-After', '5');
  return { error: 'temporarily_unavailable', error_description: 'a store is not available' };
};

const FAILED: Told = { error: 'server_error', error_description: 'something went wrong on our side' };

/** What the engine takes for a failure of its own, and is none. */
const explained = (ctx: EngineContext, cause: Error, isStoreDown: (error: Error) => boolean): Told | undefined => {
  if (isStoreDown(cause)) return unavailable(ctx as unknown as Context);
  if (!isUnreadableRequestObject(ctx, cause)) return undefined;
  ctx.status = 400;
  return { error: 'invalid_request_object', error_description: 'a claim of the request object is no text' };
};

/** The pages oidc-provider asks for in the middle of its own routes. */
export const createEnginePages = (
  pages: Pages,
  labelOf: (accountId: string) => Promise<string | undefined>,
  isStoreDown: (error: Error) => boolean,
): EnginePages => ({
  leavingFor: (ctx, redirectUri) => allowFormTarget(ctx as unknown as Context, redirectUri),

  failed(ctx, cause) {
    const { body } = ctx as { body: unknown };
    if (typeof body !== 'object' || body === null || !('error' in body) || body.error !== 'server_error') return;
    ctx.body = explained(ctx, cause, isStoreDown) ?? FAILED;
  },

  error(ctx, { error, error_description }, cause) {
    const told: Told =
      error === 'server_error' ? (explained(ctx, cause, isStoreDown) ?? { error }) : { error, error_description };
    // The words that the predecessor's users look for.
    if (error === 'invalid_redirect_uri') told.error_description = `Invalid redirect_uri: ${error_description}`;
    if (ctx.accepts('html', 'json') === 'json') {
      ctx.body = told;
      return;
    }
    // A form sent twice, an old tab, a link from yesterday: the app did nothing wrong.
    const over = cause.name === 'SessionNotFound' || OVER.has(String(error_description));
    const signingOut = ctx.path.startsWith('/oauth/logout') && told.error === 'invalid_request';
    pages.render(ctx as unknown as Context, 'error', {
      code: over ? 'session_not_found' : told.error,
      ...(signingOut && !over && { words: 'invalid_logout' }),
      description: told.error_description,
      requestId: ctx.state.requestId,
    });
  },

  async logout(ctx) {
    const { session, client, params } = ctx.oidc;
    const label = session?.accountId === undefined ? undefined : await labelOf(session.accountId);
    ctx.state.uiLocales = params?.ui_locales;
    const target = params?.post_logout_redirect_uri;
    allowFormTarget(ctx as unknown as Context, typeof target === 'string' ? target : undefined);
    pages.render(ctx as unknown as Context, 'logout', {
      action: ctx.oidc.urlFor('end_session_confirm'),
      xsrf: String(session?.state?.secret),
      client: client && clientCard(client),
      account: label === undefined ? undefined : { label },
    });
  },

  async loggedOut(ctx) {
    const { client, provider } = ctx.oidc;
    // Who chose to stay is told so: only the app's own session has ended.
    const { accountId } = await provider.Session.get(ctx);
    pages.render(ctx as unknown as Context, 'logged-out', {
      client: client && clientCard(client),
      stillSignedIn: accountId !== undefined,
    });
  },
});
