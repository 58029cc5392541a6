import type { Context, Middleware } from 'koa';

const EXCHANGE = '/auth/exchange';
const PREFLIGHT_SECONDS = 600;
const WELL_KNOWN = /^\/\.well-known\/(oauth-authorization-server|openid-configuration|oauth-protected-resource)\//;

/** Answers a browser that asks beforehand; false where it asks for something else. */
const preflight = (ctx: Context, methods: string, headers: string): boolean => {
  if (ctx.method !== 'OPTIONS' || ctx.get('access-control-request-method') === '') return false;
  ctx.set('Access-Control-Allow-Methods', methods);
  ctx.set('Access-Control-Allow-Headers', headers);
  ctx.set('Access-Control-Max-Age', String(PREFLIGHT_SECONDS));
  ctx.status = 204;
  return true;
};

/**
 * Lets any page call these, by the method named: what is there is for everybody, and asks for no cookie.
 *
 * @see [Fetch §3.3](https://fetch.spec.whatwg.org/#http-cors-protocol)
 */
export const openCors =
  (methods: ReadonlyMap<string, string>): Middleware =>
  (ctx, next) => {
    // RFC 8414 §3.1: below these there is nothing, which a page has to be able to read before it tries the next.
    const method = methods.get(ctx.path) ?? (WELL_KNOWN.test(ctx.path) ? 'GET' : undefined);
    if (method === undefined) return next();
    ctx.set('Access-Control-Allow-Origin', '*');
    ctx.set('Access-Control-Expose-Headers', 'Retry-After, WWW-Authenticate');
    return preflight(ctx, method, '*') ? undefined : next();
  };

/**
 * Lets the platform's own apps exchange their codes from the pages where these arrive, and nobody else. No cookie is read there.
 *
 * @see [Fetch §3.3](https://fetch.spec.whatwg.org/#http-cors-protocol)
 */
export const exchangeCors = (firstPartyOrigins: readonly string[]): Middleware => {
  const origins = new Set(firstPartyOrigins);
  return (ctx, next) => {
    if (ctx.path !== EXCHANGE) return next();
    ctx.vary('Origin');
    const origin = ctx.get('origin');
    if (!origins.has(origin)) return next();
    ctx.set('Access-Control-Allow-Origin', origin);
    return preflight(ctx, 'POST', 'content-type') ? undefined : next();
  };
};
