import type { Context } from 'koa';
import type { Client, EnginePages } from '../oidc/provider.ts';
import type { ClientCard, Pages } from './pages.ts';
import { allowFormTarget } from './security-headers.ts';

/** An app as the pages show it. */
export const clientCard = (client: Client): ClientCard => ({
  name: client.clientName ?? client.clientId,
  logoUri: client.logoUri,
  clientUri: client.clientUri,
  policyUri: client.policyUri,
  tosUri: client.tosUri,
  firstParty: client.first_party === true,
});

/** The pages oidc-provider asks for in the middle of its own routes. */
export const createEnginePages = (
  pages: Pages,
  labelOf: (accountId: string) => Promise<string | undefined>,
  isStoreDown: (error: Error) => boolean,
): EnginePages => ({
  leavingFor: (ctx, redirectUri) => allowFormTarget(ctx as unknown as Context, redirectUri),

  error(ctx, { error, error_description }, cause) {
    let code = error;
    if (error === 'server_error' && isStoreDown(cause)) {
      // OAuth has a name for it (RFC 6749 §4.1.2.1), and a caller should know that trying again will help.
      code = 'temporarily_unavailable';
      ctx.status = 503;
      ctx.set('Retry-After', '5');
    }
    if (ctx.accepts('html', 'json') === 'json') {
      ctx.body = { error: code, error_description };
      return;
    }
    pages.render(ctx as unknown as Context, 'error', {
      code,
      description: error_description,
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
