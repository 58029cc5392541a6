import type { Router } from '@koa/router';
import type { Context, Middleware, Next } from 'koa';

const PARAMETER = /[:(*{]/;

/** /users/me → users; undefined for a route whose first segment is a parameter. */
const headOf = (path: string): string | undefined => {
  const [, head = ''] = path.split('/', 2);
  return PARAMETER.test(head) ? undefined : head;
};

/** One after the other, as Koa itself does. */
const inOrder =
  (chain: readonly Middleware[]): Middleware =>
  (ctx, next) => {
    const from = (index: number): Promise<unknown> => {
      const serve = chain[index];
      return serve ? serve(ctx, (() => from(index + 1)) as Next) : next();
    };
    return from(0);
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

  return (ctx: Context, next: Next) => {
    const serve =
      fixed.get(`${ctx.method} ${ctx.path}`) ?? byHead.get(ctx.path.split('/', 2)[1] ?? '') ?? byHead.get(undefined);
    return serve ? serve(ctx, next) : next();
  };
};
