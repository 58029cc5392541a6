import type { Router } from '@koa/router';
import type { Context, Middleware, Next } from 'koa';
import { inOrder } from './in-order.ts';

const PARAMETER = /[:(*{]/;

/** /users/me → users; undefined for a route whose first segment is a parameter. */
const headOf = (path: string): string | undefined => {
  const [, head = ''] = path.split('/', 2);
  return PARAMETER.test(head) ? undefined : head;
};

/** What the engine can be asked by; it would answer anything else with 404. */
const ENGINE: Record<string, readonly string[]> = {
  '/oauth/authorize': ['HEAD', 'GET', 'POST'],
  '/oauth/token': ['POST'],
  '/oauth/introspect': ['POST'],
  '/oauth/par': ['POST'],
  '/oauth/revoke': ['POST'],
  '/oauth/userinfo': ['HEAD', 'GET', 'POST'],
  '/oauth/jwks': ['HEAD', 'GET'],
  '/oauth/device_authorization': ['POST'],
  '/oauth/backchannel': ['POST'],
  '/device': ['HEAD', 'GET', 'POST'],
  '/oauth/logout': ['HEAD', 'GET', 'POST'],
  '/.well-known/openid-configuration': ['HEAD', 'GET'],
  '/.well-known/oauth-authorization-server': ['HEAD', 'GET'],
};
/** Methods that something here is asked by, or that others are everywhere; of any other this server knows nothing. */
const KNOWN = new Set(['HEAD', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/**
 * Answers a method that the path does not have; false where it has it, or is nobody's.
 *
 * @see [RFC 9110 §15.5.6](https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.6), and §15.6.2 for methods known nowhere
 */
const refusedMethod = (ctx: Context, allowedAt: (path: string, method: string) => string[]): boolean => {
  const engine = ENGINE[ctx.path];
  // The engine answers a browser that asks beforehand (CORS) itself.
  if (engine?.includes(ctx.method) || (engine && ctx.method === 'OPTIONS')) return false;
  if (!KNOWN.has(ctx.method)) ctx.throw(501);
  const allowed = new Set([...allowedAt(ctx.path, ctx.method), ...(engine ?? [])]);
  if (allowed.size === 0 || allowed.has(ctx.method)) return false;
  ctx.set('Allow', [...allowed].sort().join(', '));
  if (ctx.method !== 'OPTIONS') ctx.throw(405);
  ctx.status = 204;
  return true;
};

/**
 * The routers as one middleware. There are many, and each would try all its patterns on every request: so a route without parameters
 * is looked up, its handlers found beforehand; any other request asks only the routers that have a route under its first segment.
 */
export const dispatch = (routers: readonly Router[]): Middleware => {
  const known = routers.map((router) => {
    const routes = router.stack
      .filter(({ methods }) => methods.length > 0)
      .map(({ methods, path }) => ({ methods, path: String(path) }));
    const heads = new Set(routes.map(({ path }) => headOf(path)));
    return { router, routes, heads, serve: router.routes() as unknown as Middleware };
  });
  const under = (head: string | undefined) => known.filter(({ heads }) => heads.has(undefined) || heads.has(head));

  const byHead = new Map<string | undefined, Middleware>();
  for (const head of new Set(known.flatMap(({ heads }) => [...heads])))
    byHead.set(head, inOrder(under(head).map(({ serve }) => serve)));

  const fixed = new Map<string, Middleware>();
  for (const { methods, path } of known.flatMap(({ routes }) => routes)) {
    if (PARAMETER.test(path)) continue;
    for (const method of methods) {
      const chain = under(headOf(path)).flatMap(({ router }) => {
        const { route, pathAndMethod } = router.match(path, method);
        return route ? pathAndMethod.flatMap(({ stack }) => stack as unknown as Middleware[]) : [];
      });
      fixed.set(`${method} ${path}`, inOrder(chain));
    }
  }

  /** What a path that is ours can be asked by; nothing for any other. */
  const allowedAt = (path: string, method: string): string[] =>
    under(path.split('/', 2)[1]).flatMap(({ router }) =>
      router.match(path, method).path.flatMap(({ methods }) => methods),
    );

  return (ctx: Context, next: Next) => {
    const known = fixed.get(`${ctx.method} ${ctx.path}`);
    if (known) return known(ctx, next);
    if (refusedMethod(ctx, allowedAt)) return Promise.resolve();
    const serve = byHead.get(ctx.path.split('/', 2)[1] ?? '') ?? byHead.get(undefined);
    return serve ? serve(ctx, next) : next();
  };
};
