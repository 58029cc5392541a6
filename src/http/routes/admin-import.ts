import { Router } from '@koa/router';
import type { ImportLine, UserImport } from '../../domain/user-import.ts';
import { ndjson, TooManyLines } from '../ndjson.ts';
import { ImportedUser, ImportQuery, MAX_LINE_BYTES, MAX_LINES } from '../operations/admin-import.ts';
import { type RequireUser, requireScope, type SignedIn } from '../require-user.ts';
import { BodyError, queryOf, ValidationError } from '../validate.ts';

/** Users from another system, as a stream. */
export const adminImportRoutes = (userImport: UserImport, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/admin/users' })
    .use(requireUser)
    .post('/import', requireScope('write:users'), async (ctx) => {
      const encoding = ctx.get('content-encoding');
      if (!ctx.is('application/x-ndjson') || (encoding !== '' && encoding !== 'identity'))
        throw new BodyError(415, 'The body must be application/x-ndjson.');
      const { dry_run } = queryOf(ctx, ImportQuery);
      const limits = { maxBytes: MAX_LINE_BYTES, maxLines: MAX_LINES };
      // Left open when reading stops early: the answer goes out over the same connection.
      const body = ctx.req.iterator({ destroyOnReturn: false });
      const lines = async function* (): AsyncGenerator<ImportLine> {
        for await (const item of ndjson(body, ImportedUser, limits))
          yield 'value' in item ? { line: item.line, user: item.value } : item;
      };
      try {
        ctx.body = await userImport.run(lines(), { dryRun: dry_run === 'true', role: ctx.state.user.role });
      } catch (error) {
        if (error instanceof TooManyLines) {
          const message = `more than ${MAX_LINES} lines: send them in parts; who was imported already will be skipped`;
          throw new ValidationError([{ path: '', message }], 413);
        }
        // The client went away, which is no failure of a store.
        if (ctx.req.errored) throw new BodyError(400, 'The body ended early.');
        throw error;
      }
    });
