import { Router } from '@koa/router';
import { z } from 'zod';
import type { Administration } from '../../domain/administration.ts';
import { administeredJson } from '../account-json.ts';
import type { Cursors } from '../cursors.ts';
import { UserListQuery } from '../operations/admin-users.ts';
import { type RequireUser, requirePermission, type SignedIn } from '../require-user.ts';
import { jsonBody, queryOf } from '../validate.ts';

const LIST = 'admin-users';
const Place = z.object({ key: z.string(), id: z.uuid() });
const SORT_KEY = { created_at: 'created_at', email: 'email', username: 'username' } as const;

/** Other people's accounts. */
export const adminUserRoutes = (administration: Administration, cursors: Cursors, requireUser: RequireUser) => {
  const reader = requirePermission('read:users');

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
    });
};
