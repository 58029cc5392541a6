import { Router } from '@koa/router';
import type { Keyring, ShownKey } from '../../oidc/keyring.ts';
import { KeyRotation } from '../operations/admin-keys.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePermission, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, queryOf } from '../validate.ts';

const keyJson = ({ kid, alg, state, createdAt, activeFrom, supersededAt }: ShownKey) => ({
  kid,
  alg,
  state,
  created_at: createdAt.toISOString(),
  active_from: activeFrom.toISOString(),
  superseded_at: supersededAt?.toISOString() ?? null,
});

/** The keys that tokens are signed with. */
export const adminKeyRoutes = (keyring: Keyring, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/admin/keys' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePermission('read:keys'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = { items: (await keyring.list()).map(keyJson) };
    })
    .post('/rotate', requirePermission('write:keys'), async (ctx) => {
      jsonOf(ctx, KeyRotation);
      ctx.body = { items: (await keyring.rotate()).map(keyJson) };
    });
