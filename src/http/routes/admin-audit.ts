import { Router } from '@koa/router';
import { z } from 'zod';
import type { Audit } from '../../domain/audit.ts';
import type { Cursors } from '../cursors.ts';
import { AuditQuery } from '../operations/admin-audit.ts';
import { type RequireUser, requirePermission, type SignedIn } from '../require-user.ts';
import { queryOf } from '../validate.ts';

const LIST = 'admin-audit';

// The log keeps its times in UTC, in this form, and compares them as text.
const utc = (moment: string | undefined): string | undefined => moment && new Date(moment).toISOString();

/** What happened. */
export const adminAuditRoutes = (audit: Audit, cursors: Cursors, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/admin/audit' })
    .use(requireUser)
    .get('/', requirePermission('read:audit'), async (ctx) => {
      const query = queryOf(ctx, AuditQuery);
      const { type, actor, target, client, from, to, limit } = query;
      const filter = { type, actor, target, client, from: utc(from), to: utc(to) };
      // One more than is shown tells whether there is a next page.
      const found = await audit.list(filter, cursors.read(LIST, query, z.int().positive()), limit + 1);
      const items = found.slice(0, limit);
      const more = found.length > limit;
      ctx.body = { items, next_cursor: more ? cursors.write(LIST, query, items.at(-1)?.seq) : null };
    });
