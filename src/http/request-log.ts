import { randomUUID } from 'node:crypto';
import type { Middleware } from 'koa';
import type { Logger } from 'pino';

// An identifier from a proxy in front is kept, so that one request has one name everywhere; anything odd is not.
const REQUEST_ID = /^[\w.-]{8,64}$/;

// An interaction's identifier is half of what resumes a sign-in: it stays out of the log, as query strings do.
const withoutIdentifiers = (path: string): string =>
  path.startsWith('/interaction/') || path.startsWith('/oauth/authorize/')
    ? path.replace(/^(\/interaction|\/oauth\/authorize)\/[^/]+/, '$1/:uid')
    : path;

/**
 * Gives each request an id and, when it is answered, a line in the log: no query, no header, no body, no token.
 *
 * @param withAddress Whether the line names the client's network address.
 */
export const requestLog =
  (log: Logger, withAddress = false): Middleware =>
  (ctx, next) => {
    const start = performance.now();
    const given = ctx.get('x-request-id');
    const requestId = REQUEST_ID.test(given) ? given : randomUUID();
    ctx.state.requestId = requestId;
    ctx.set('X-Request-Id', requestId);
    ctx.res.once('close', () => {
      const line = {
        request_id: requestId,
        method: ctx.method,
        path: withoutIdentifiers(ctx.path),
        status: ctx.res.writableFinished ? ctx.res.statusCode : 499,
        ms: Math.round((performance.now() - start) * 10) / 10,
        ...(withAddress && { ip: ctx.ip }),
      };
      if (ctx.path === '/health') log.debug(line, 'request');
      else log.info(line, 'request');
    });
    // Not awaited: what goes before every answer costs no promise of its own.
    return next();
  };
