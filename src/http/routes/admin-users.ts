import { Router } from '@koa/router';
import { z } from 'zod';
import type { Administration } from '../../domain/administration.ts';
import { administeredJson } from '../account-json.ts';
import type { Cursors } from '../cursors.ts';
import { Ban, NewUser, UserChanges, UserListQuery } from '../operations/admin-users.ts';
import { NoBody } from '../operations/fields.ts';
import { type RequireUser, requirePermission, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, jsonUnder, queryOf } from '../validate.ts';

const LIST = 'admin-users';
const Place = z.object({ key: z.string(), id: z.uuid() });
const SORT_KEY = { created_at: 'created_at', email: 'email', username: 'username' } as const;

/** Other people's accounts. */
export const adminUserRoutes = (administration: Administration, cursors: Cursors, requireUser: RequireUser) => {
  const reader = requirePermission('read:users');
  const writer = requirePermission('write:users');

  return new Router<SignedIn>({ prefix: '/admin/users' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', reader, async (ctx) => {
      const query = queryOf(ctx, UserListQuery);
      const { q, created_from, created_to, email_verified, sort, status, role, provider, limit } = query;
      const { users, next, total, isEstimate } = await administration.list(
        {
          search: q,
          status,
          role,
          provider,
          emailVerified: email_verified,
          createdFrom: created_from === undefined ? undefined : new Date(created_from),
          createdTo: created_to === undefined ? undefined : new Date(created_to),
        },
        { by: SORT_KEY[sort.replace('-', '') as keyof typeof SORT_KEY], descending: sort.startsWith('-') },
        cursors.read(LIST, query, Place),
        limit,
      );
      ctx.body = {
        items: users.map(administeredJson),
        next_cursor: next ? cursors.write(LIST, query, next) : null,
        total,
        total_is_estimate: isEstimate,
      };
    })
    .post('/', writer, async (ctx) => {
      const requested = await jsonUnder(ctx, NewUser, (rest) => administration.check(ctx.state.user, rest));
      const { email, password, username, role, email_verified, ...profile } = requested;
      const account = { email, password, username, role, emailVerified: email_verified, profile };
      const user = await administration.create(ctx.state.user, account);
      ctx.status = 201;
      ctx.body = administeredJson(user);
    })
    .get('/:id', reader, async (ctx) => {
      ctx.body = administeredJson(await administration.find(ctx.params.id ?? ''));
    })
    .put('/:id', writer, async (ctx) => {
      const changes = await jsonUnder(ctx, UserChanges, ({ email, role }) =>
        administration.check(ctx.state.user, { email, role }),
      );
      ctx.body = administeredJson(await administration.update(ctx.state.user, ctx.params.id ?? '', changes));
    })
    .delete('/:id', writer, async (ctx) => {
      jsonOf(ctx, NoBody);
      await administration.erase(ctx.state.user, ctx.params.id ?? '');
      ctx.status = 204;
    })
    .post('/:id/ban', writer, async (ctx) => {
      const { reason, until } = jsonOf(ctx, Ban);
      const terms = { reason, until: until === undefined ? undefined : new Date(until) };
      ctx.body = administeredJson(await administration.ban(ctx.state.user, ctx.params.id ?? '', terms));
    })
    .post('/:id/unban', writer, async (ctx) => {
      jsonOf(ctx, NoBody);
      ctx.body = administeredJson(await administration.unban(ctx.state.user, ctx.params.id ?? ''));
    })
    .post('/:id/sign-out', writer, async (ctx) => {
      jsonOf(ctx, NoBody);
      await administration.signOut(ctx.state.user, ctx.params.id ?? '');
      ctx.status = 204;
    })
    .post('/:id/password-reset', writer, async (ctx) => {
      jsonOf(ctx, NoBody);
      await administration.mailPasswordReset(ctx.state.user, ctx.params.id ?? '');
      ctx.status = 202;
      ctx.body = {};
    });
};
