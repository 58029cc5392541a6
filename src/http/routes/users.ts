import { Router } from '@koa/router';
import type { Context } from 'koa';
import type { Accounts } from '../../domain/accounts.ts';
import type { Alerts } from '../../domain/alerts.ts';
import type { Deletion } from '../../domain/deletion.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import type { Verification } from '../../domain/verification.ts';
import { accountJson, accountText } from '../account-json.ts';
import { deviceOf } from '../device-cookie.ts';
import { Deletion as DeletionRequest, NewPassword, Profile } from '../operations/users.ts';
import { tellBudget } from '../rate-limit.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, jsonUnder } from '../validate.ts';

const originOf = (ctx: Context) => ({ ip: ctx.ip, device: deviceOf(ctx), report: tellBudget(ctx) });

/** The caller's own account. */
export const userRoutes = (
  accounts: Accounts,
  signIn: SignIn,
  alerts: Alerts,
  verification: Verification,
  deletion: Deletion,
  requireUser: RequireUser,
) =>
  new Router<SignedIn>({ prefix: '/users/me' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', async (ctx) => {
      // A key may always ask whose it is.
      if (ctx.state.keyId === undefined && !ctx.state.scopes.has('read:profile'))
        return requireScope('read:profile')(ctx, async () => {});
      ctx.set('Content-Type', 'application/json; charset=utf-8');
      ctx.body = accountText(ctx.state.user);
    })
    .put('/', requireScope('write:profile'), async (ctx) => {
      const { id, username: former } = ctx.state.user;
      // One from before a rule may be sent back as it is.
      const rules = ({ email, username }: { email?: string | undefined; username?: string | undefined }) =>
        accounts.check({ email, username: username === former ? undefined : username });
      const { email, current_password, ...changes } = await jsonUnder(ctx, Profile, rules);
      if (email === undefined) {
        ctx.body = accountJson(await accounts.updateProfile(id, changes));
        return;
      }
      await requirePerson(ctx, async () => {});
      await rules({ email, username: changes.username });
      const shown = await signIn.confirm(ctx.state.user, current_password ?? '', originOf(ctx));
      const user = await accounts.updateProfile(id, changes, (changed) =>
        verification.requestChange(changed, email, shown),
      );
      ctx.body = accountJson(user);
    })
    .delete('/', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { current_password } = jsonOf(ctx, DeletionRequest);
      await deletion.schedule(await signIn.confirm(ctx.state.user, current_password, originOf(ctx)));
      ctx.status = 204;
    })
    .put('/password', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { current_password, new_password } = await jsonUnder(ctx, NewPassword, (rest) =>
        accounts.check({ password: rest.new_password }),
      );
      const user = await signIn.confirm(ctx.state.user, current_password, originOf(ctx));
      await accounts.changePassword(user, new_password, () => alerts.passwordChanged(user));
      ctx.status = 204;
    });
