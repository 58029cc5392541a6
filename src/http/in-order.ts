import type { Middleware, Next } from 'koa';

/** One after the other, as Koa itself does, without a promise for each: what goes before every answer mostly waits for nothing. */
export const inOrder =
  (chain: readonly Middleware[]): Middleware =>
  (ctx, next) => {
    const from = (index: number): Promise<unknown> => {
      const serve = chain[index];
      return serve ? serve(ctx, (() => from(index + 1)) as Next) : next();
    };
    return from(0);
  };
