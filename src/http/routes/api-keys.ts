import { Router } from '@koa/router';
import type { ApiKeys } from '../../domain/api-keys.ts';
import { apiKeyJson } from '../account-json.ts';
import { NewKey, Rotation } from '../operations/api-keys.ts';
import { NoBody } from '../operations/fields.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { idOf, jsonBody, jsonOf, queryOf } from '../validate.ts';

/** The caller's API keys. */
export const apiKeyRoutes = (apiKeys: ApiKeys, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/users/api-keys' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePerson, requireScope('read:profile'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = (await apiKeys.list(ctx.state.user.id)).map(apiKeyJson);
    })
    .post('/', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { name, scopes, expires_at, allowed_networks } = jsonOf(ctx, NewKey);
      const expiresAt = expires_at === undefined ? undefined : new Date(expires_at);
      ctx.status = 201;
      ctx.body = apiKeyJson(
        await apiKeys.create(ctx.state.user.id, { name, scopes, expiresAt, allowedNetworks: allowed_networks }),
      );
    })
    .delete('/:id', requirePerson, requireScope('write:profile'), async (ctx) => {
      jsonOf(ctx, NoBody);
      await apiKeys.remove(ctx.state.user.id, idOf(ctx.params.id));
      ctx.status = 204;
    })
    .post('/:id/rotate', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { overlap_seconds } = jsonOf(ctx, Rotation);
      ctx.status = 201;
      ctx.body = apiKeyJson(await apiKeys.rotate(ctx.state.user.id, idOf(ctx.params.id), overlap_seconds));
    });
