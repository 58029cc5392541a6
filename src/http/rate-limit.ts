import type { Context } from 'koa';
import type { Budget } from '../domain/throttles.ts';

/**
 * Tells the caller what is left of their budget.
 *
 * @see [draft-ietf-httpapi-ratelimit-headers-06](https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-06)
 */
export const tellBudget =
  (ctx: Context) =>
  ({ limit, remaining, resetSeconds }: Budget): void => {
    ctx.set('RateLimit-Limit', String(limit));
    ctx.set('RateLimit-Remaining', String(remaining));
    ctx.set('RateLimit-Reset', String(resetSeconds));
  };
