import type { Middleware } from 'koa';

const EXCHANGE = '/auth/exchange';
const PREFLIGHT_SECONDS = 600;

/**
 * Lets the platform's own apps exchange their codes from the pages where these arrive, and nobody else. No cookie is read there.
 *
 * @see [Fetch §3.3](https://fetch.spec.whatwg.org/#http-cors-protocol)
 */
export const exchangeCors = (firstPartyOrigins: readonly string[]): Middleware => {
  const origins = new Set(firstPartyOrigins);
  return async (ctx, next) => {
    if (ctx.path !== EXCHANGE) return next();
    ctx.vary('Origin');
    const origin = ctx.get('origin');
    if (!origins.has(origin)) return next();
    ctx.set('Access-Control-Allow-Origin', origin);
    if (ctx.method !== 'OPTIONS' || ctx.get('access-control-request-method') === '') return next();
    ctx.set('Access-Control-Allow-Methods', 'POST');
    ctx.set('Access-Control-Allow-Headers', 'content-type');
    ctx.set('Access-Control-Max-Age', String(PREFLIGHT_SECONDS));
    ctx.status = 204;
  };
};
