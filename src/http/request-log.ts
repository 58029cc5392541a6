import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { Middleware } from 'koa';
import type { Logger } from 'pino';

// An identifier from a proxy in front is kept, so that one request has one name everywhere; anything odd is not.
const REQUEST_ID = /^[\w.-]{8,64}$/;

// An interaction's identifier is half of what resumes a sign-in: it stays out of the log, as query strings do.
const withoutIdentifiers = (path: string): string =>
  path.startsWith('/interaction/') || path.startsWith('/oauth/authorize/')
    ? path.replace(/^(\/interaction|\/oauth\/authorize)\/[^/]+/, '$1/:uid')
    : path;

/** What a request is called in the log, and in its answer. */
export const requestIdOf = (given: string): string => (REQUEST_ID.test(given) ? given : randomUUID());

type Asked = {
  requestId: string;
  method: string;
  /** Asked when it is answered: by then it has the one spelling that it goes by. */
  path: () => string;
  /** By `performance.now()`. */
  startedAt: number;
  /** Only where the line may name it. */
  ip?: string | undefined;
};

/** Once the request is answered, a line in the log. */
export const logWhenAnswered = (
  log: Logger,
  response: ServerResponse,
  { requestId, method, path: pathOf, startedAt, ip }: Asked,
): void => {
  response.once('close', () => {
    const path = pathOf();
    const line = {
      request_id: requestId,
      method,
      path: withoutIdentifiers(path),
      status: response.writableFinished ? response.statusCode : 499,
      ms: Math.round((performance.now() - startedAt) * 10) / 10,
      ...(ip !== undefined && { ip }),
    };
    if (path === '/health') log.debug(line, 'request');
    else log.info(line, 'request');
  });
};

/**
 * Gives each request an id and, when it is answered, a line in the log: no query, no header, no body, no token.
 *
 * @param withAddress Whether the line names the client's network address.
 */
export const requestLog =
  (log: Logger, withAddress = false): Middleware =>
  (ctx, next) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(ctx.get('x-request-id'));
    ctx.state.requestId = requestId;
    ctx.set('X-Request-Id', requestId);
    const { method } = ctx;
    const path = () => ctx.path;
    logWhenAnswered(log, ctx.res, { requestId, method, path, startedAt, ip: withAddress ? ctx.ip : undefined });
    // Not awaited: what goes before every answer costs no promise of its own.
    return next();
  };
