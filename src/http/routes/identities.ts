import { Router } from '@koa/router';
import { DomainError } from '../../domain/errors.ts';
import { FRESH_SECONDS, type Identities } from '../../domain/identities.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import type { FirstPartyTokens } from '../../oidc/first-party-tokens.ts';
import { identityJson } from '../account-json.ts';
import { Unlinking } from '../operations/identities.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { idOf, jsonBody, jsonOf, queryOf } from '../validate.ts';

/** Whom the caller is at other providers. They are added in a browser, on the account page. */
export const identityRoutes = (
  identities: Identities,
  signIn: SignIn,
  tokens: FirstPartyTokens,
  requireUser: RequireUser,
) =>
  new Router<SignedIn>({ prefix: '/users/me/identities' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePerson, requireScope('read:profile'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = (await identities.list(ctx.state.user.id)).map(identityJson);
    })
    .delete('/:id', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { user, grantId = '', authTime = 0 } = ctx.state;
      const { current_password: password } = jsonOf(ctx, Unlinking);
      if (password !== undefined) await signIn.confirm(user, password, { ip: ctx.ip });
      else if (Date.now() / 1000 - authTime > FRESH_SECONDS)
        throw new DomainError('stale_sign_in', 'This needs current_password, or a sign-in of the last ten minutes');
      const keep = await tokens.keeper(grantId);
      await keep(await identities.unlink(user, idOf(ctx.params.id)));
      ctx.status = 204;
    });
