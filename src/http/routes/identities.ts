import { Router } from '@koa/router';
import type { Identities } from '../../domain/identities.ts';
import { identityJson } from '../account-json.ts';
import { NoBody } from '../operations/fields.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { idOf, jsonBody, jsonOf, queryOf } from '../validate.ts';

/** Whom the caller is at other providers. They are added in a browser, on the account page. */
export const identityRoutes = (identities: Identities, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/users/me/identities' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePerson, requireScope('read:profile'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = (await identities.list(ctx.state.user.id)).map(identityJson);
    })
    .delete('/:id', requirePerson, requireScope('write:profile'), async (ctx) => {
      jsonOf(ctx, NoBody);
      await identities.unlink(ctx.state.user, idOf(ctx.params.id));
      ctx.status = 204;
    });
