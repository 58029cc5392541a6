import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type Koa from 'koa';
import type { Logger } from 'pino';
import type { ApiKeys } from '../domain/api-keys.ts';
import { accountText } from './account-json.ts';
import { budgetHeaders } from './rate-limit.ts';
import { logWhenAnswered, requestIdOf } from './request-log.ts';
import type { SecurityHeaders } from './security-headers.ts';

const PATH = '/users/me';

/**
 * Answers what services ask all day, whose key theirs is, before the pipeline that all other requests go through: in less than half the
 * time. It only ever says yes, by the rules that the pipeline goes by (`ApiKeys.atOnce`), and where nothing has to be waited for;
 * whatever else there is to say, the pipeline says, which has not been touched then. A test holds the answers of both against each other.
 *
 * @param logPii Whether the log may name people's addresses.
 */
export const withKeyShortcut = (
  app: Koa,
  apiKeys: ApiKeys,
  securityHeaders: SecurityHeaders,
  log: Logger,
  logPii = false,
): RequestListener => {
  const serve = app.callback();

  /** As everybody else is told it, behind proxies too. */
  const addressOf = (req: IncomingMessage): string => {
    const request: Koa.Request = Object.create(app.request);
    return Object.assign(request, { app, req }).ip;
  };

  /** Whose key it is, and what is left of its budget, where the answer is yes. */
  const found = (req: IncomingMessage) => {
    const { 'x-api-key': key, authorization } = req.headers;
    if (typeof key !== 'string' || authorization !== undefined) return undefined;
    try {
      return apiKeys.atOnce(key, addressOf(req));
    } catch {
      // Whatever it is, the pipeline has an answer to it.
      return undefined;
    }
  };

  const answer = (req: IncomingMessage, res: ServerResponse): boolean => {
    const startedAt = performance.now();
    const fixed = securityHeaders.forData();
    const holder = fixed && found(req);
    if (!holder) return false;
    const requestId = requestIdOf(String(req.headers['x-request-id'] ?? ''));
    const ip = logPii ? addressOf(req) : undefined;
    logWhenAnswered(log, res, { requestId, method: 'GET', path: () => PATH, startedAt, ip });
    const text = accountText(holder.user);
    const headers = [
      ['X-Request-Id', requestId],
      ...fixed,
      ...budgetHeaders(holder.budget),
      ['Cache-Control', 'no-store'],
      ['Content-Type', 'application/json; charset=utf-8'],
      ['Content-Length', String(Buffer.byteLength(text))],
    ];
    res.writeHead(200, headers.flat()).end(text);
    return true;
  };

  return (req, res) => {
    if (req.url !== PATH || req.method !== 'GET' || !answer(req, res)) serve(req, res);
  };
};
