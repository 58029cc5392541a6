import { Router } from '@koa/router';
import type { Context } from 'koa';
import type { Accounts } from '../../domain/accounts.ts';
import type { BrowserSession } from '../../oidc/browser-session.ts';
import type { Pages } from '../pages.ts';

/** The front door, the direct way to sign in, and where that ends. */
export const homeRoutes = (issuer: string, session: BrowserSession, accounts: Accounts, pages: Pages) => {
  const signedIn = async (ctx: Context) => {
    const id = await session.accountId(ctx.req, ctx.res);
    return id === undefined ? undefined : accounts.find(id);
  };
  return new Router()
    .get('/', (ctx) =>
      pages.render(ctx, 'home', { issuer, discoveryUrl: `${issuer}/.well-known/openid-configuration` }),
    )
    .get('/login', (ctx) => {
      ctx.status = 303;
      ctx.redirect(session.signInUrl);
    })
    .get('/account', async (ctx) => {
      const user = await signedIn(ctx);
      if (user) return pages.render(ctx, 'account', { account: { label: user.username ?? user.email } });
      // Nobody signed in, or they turned back: the front door.
      ctx.status = 303;
      ctx.redirect('/');
    });
};
