import { Router } from '@koa/router';
import type { SignInList } from '../../oidc/sign-ins.ts';
import { sessionJson } from '../account-json.ts';
import { NoBody } from '../operations/fields.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { idOf, jsonBody, jsonOf, queryOf } from '../validate.ts';

/** Where the caller is signed in. */
export const sessionRoutes = (signIns: SignInList, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/users/me/sessions' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePerson, requireScope('read:profile'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = (await signIns.list(ctx.state.user.id, ctx.state.grantId)).map(sessionJson);
    })
    .delete('/:id', requirePerson, requireScope('write:profile'), async (ctx) => {
      jsonOf(ctx, NoBody);
      await signIns.end(ctx.state.user.id, idOf(ctx.params.id));
      ctx.status = 204;
    });
