import { Router } from '@koa/router';
import type { BrowserSession } from '../../oidc/browser-session.ts';
import type { Pages } from '../pages.ts';

/** The front door, and the direct way to sign in. */
export const homeRoutes = (issuer: string, session: BrowserSession, pages: Pages) =>
  new Router()
    .get('/', (ctx) =>
      pages.render(ctx, 'home', { issuer, discoveryUrl: `${issuer}/.well-known/openid-configuration` }),
    )
    .get('/login', (ctx) => {
      ctx.status = 303;
      ctx.redirect(session.signInUrl);
    });
