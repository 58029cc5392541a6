import type { Context } from 'koa';
import { isUnverified } from '../oidc/features/clients.ts';
import type { Client, EnginePages } from '../oidc/provider.ts';
import { isLoopbackUri } from '../oidc/redirect-uris.ts';
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

type Told = { error: string; error_description?: string | undefined };

/** What the engine says of a sign-out form that was sent before, or is too old. */
const OVER: ReadonlySet<string> = new Set(['could not find logout details', 'xsrf token invalid']);

/** OAuth has a name for it (RFC 6749 §4.1.2.1), and a caller should know that trying again will help. */
const unavailable = (ctx: Context): Told => {
  ctx.status = 503;
  ctx.set('Retry-After', '5');
  return { error: 'temporarily_unavailable', error_description: 'a store is not available' };
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
    ctx.body = { error: 'server_error', error_description: 'something went wrong on our side' };
    if (isStoreDown(cause)) ctx.body = unavailable(ctx as unknown as Context);
  },

  error(ctx, { error, error_description }, cause) {
    let told: Told = { error, error_description };
    if (error === 'server_error') told = { error };
    if (error === 'server_error' && isStoreDown(cause)) told = unavailable(ctx as unknown as Context);
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
