// The http room: request in, response out. It calls oidc, federation and domain, and never a store.
import Koa, { type Context, type Middleware } from 'koa';
import type { Logger } from 'pino';
import { deadline } from './deadline.ts';
import { inOrder } from './in-order.ts';
import type { RequestContext } from './request-context.ts';
import { requestLog } from './request-log.ts';
import type { SecurityHeaders } from './security-headers.ts';
import { BodyError } from './validate.ts';

export type ServerSettings = {
  issuer: string;
  /** How many proxies in front are trusted to say who the client is. */
  trustProxy: number;
  /** Signs cookies; the engine's list, so that both read each other's. */
  cookieKeys: string[];
  /** How long an answer may take, in milliseconds; as long as it usually may, unless a test says otherwise. */
  answerMs?: number | undefined;
  /** Whether the log may name people's addresses. */
  logPii?: boolean | undefined;
};

/** POST to one of these is answered as GET: see `getInstead`. */
const GET_INSTEAD = new Set(['/oauth/authorize', '/oauth/logout']);

/**
 * OIDC Core §3.1.2.1 and RP-Initiated Logout §2 let an app send these requests by POST. Coming from another site, a POST bears no
 * SameSite=Lax cookie, so the person would look signed out; the same request by GET does. The form becomes the query.
 */
const getInstead =
  (parseForm: Middleware): Middleware =>
  (ctx, next) => {
    if (ctx.method !== 'POST' || !GET_INSTEAD.has(ctx.path)) return next();
    return redirect(ctx, parseForm);
  };

/** Node takes a head of 16 KiB, and a browser sends cookies and more along: past this the address would be refused without a word. */
const LONGEST_ADDRESS = 13 * 1024;

const redirect = async (ctx: Context, parseForm: Middleware): Promise<void> => {
  await parseForm(ctx, async () => {});
  const body = Object.entries(Object(ctx.request.body));
  const query = new URLSearchParams();
  for (const [name, value] of body)
    for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
  const address = `${ctx.path}?${query}`;
  if (address.length > LONGEST_ADDRESS)
    throw new BodyError(413, 'The request is too long. Push authorization requests of this size (RFC 9126).');
  ctx.status = 303;
  ctx.redirect(address);
};

/** A Koa application with everything that goes before the routes. */
export const createServer = (
  { issuer, trustProxy, cookieKeys, logPii, answerMs }: ServerSettings,
  log: Logger,
  parseForm: Middleware,
  errors: Middleware,
  context: RequestContext,
  securityHeaders: SecurityHeaders,
): Koa => {
  const app = new Koa({ proxy: trustProxy > 0, maxIpsCount: trustProxy });
  app.keys = cookieKeys;
  // An error past the error handler is a bug in it, or a client that went away while we wrote.
  app.on('error', (error: Error) => log.debug({ err: error }, 'response not delivered'));

  // The engine builds every URL it announces from the request. The issuer is the truth about our own name: whatever
  // Host, X-Forwarded-Host or X-Forwarded-Proto say, the request is read as one to it.
  const { protocol, host, hostname } = new URL(issuer);
  Object.defineProperties(app.request, {
    protocol: { get: () => protocol.slice(0, -1) },
    host: { get: () => host },
    hostname: { get: () => hostname },
    // A request line may hold a whole URL (RFC 9112 §3.2.2), with a host of its own choosing.
    href: {
      get(this: Koa.Request) {
        const url = URL.parse(this.originalUrl, issuer);
        return issuer + (url ? url.pathname + url.search : '/');
      },
    },
  });

  // The engine takes /oauth/logout/ for /oauth/logout; what goes before it must not tell them apart.
  const oneSpelling: Middleware = (ctx, next) => {
    if (ctx.path.startsWith('/oauth/')) ctx.path = ctx.path.replace(/\/+$/, '');
    return next();
  };
  app.use(
    inOrder([
      requestLog(log, logPii),
      context.middleware,
      securityHeaders.middleware,
      errors,
      deadline(log, answerMs),
      oneSpelling,
      getInstead(parseForm),
    ]),
  );
  return app;
};
