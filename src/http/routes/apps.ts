import { Router } from '@koa/router';
import type { ConnectedApps } from '../../oidc/connected-apps.ts';
import { appJson } from '../account-json.ts';
import { NoBody } from '../operations/fields.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, queryOf } from '../validate.ts';

/** The apps that the caller has let use their account. */
export const appRoutes = (apps: ConnectedApps, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/users/me/apps' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePerson, requireScope('read:profile'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = (await apps.list(ctx.state.user.id)).map(appJson);
    })
    .delete('/:clientId', requirePerson, requireScope('write:profile'), async (ctx) => {
      jsonOf(ctx, NoBody);
      await apps.disconnect(ctx.state.user.id, String(ctx.params.clientId));
      ctx.status = 204;
    });
