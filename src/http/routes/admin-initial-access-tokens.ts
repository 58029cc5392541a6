import { Router } from '@koa/router';
import type { InitialAccessTokens, ShownInitialAccessToken } from '../../domain/initial-access-tokens.ts';
import { NewInitialAccessToken } from '../operations/admin-initial-access-tokens.ts';
import { NoBody } from '../operations/fields.ts';
import { NoQuery } from '../page-query.ts';
import { type RequireUser, requirePermission, type SignedIn } from '../require-user.ts';
import { idOf, jsonBody, jsonOf, queryOf } from '../validate.ts';

const tokenJson = ({ value, ...token }: ShownInitialAccessToken & { value?: string }) => ({
  id: token.id,
  name: token.name,
  uses_left: token.usesLeft,
  created_by: token.createdBy,
  created_at: token.createdAt.toISOString(),
  expires_at: token.expiresAt.toISOString(),
  last_used_at: token.lastUsedAt?.toISOString() ?? null,
  ...(value !== undefined && { initial_access_token: value }),
});

/** What lets somebody register clients. */
export const adminInitialAccessTokenRoutes = (tokens: InitialAccessTokens, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/admin/initial-access-tokens' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePermission('read:clients'), async (ctx) => {
      queryOf(ctx, NoQuery);
      ctx.body = { items: (await tokens.list()).map(tokenJson) };
    })
    .post('/', requirePermission('write:clients'), async (ctx) => {
      const { name, uses, expires_in: expiresInSeconds } = jsonOf(ctx, NewInitialAccessToken);
      ctx.status = 201;
      ctx.body = tokenJson(await tokens.create({ name, uses, expiresInSeconds }, ctx.state.user.id));
    })
    .delete('/:id', requirePermission('write:clients'), async (ctx) => {
      jsonOf(ctx, NoBody);
      await tokens.revoke(idOf(ctx.params.id));
      ctx.status = 204;
    });
