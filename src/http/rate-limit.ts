import type { Context, Middleware } from 'koa';
import { DomainError } from '../domain/errors.ts';
import type { Budget, Throttles } from '../domain/throttles.ts';

/**
 * What is left of a caller's budget.
 *
 * @see [draft-ietf-httpapi-ratelimit-headers-06](https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-06)
 */
export const budgetHeaders = ({ limit, remaining, resetSeconds }: Budget): [name: string, value: string][] => [
  ['RateLimit-Limit', String(limit)],
  ['RateLimit-Remaining', String(remaining)],
  ['RateLimit-Reset', String(resetSeconds)],
];

/** Tells the caller what is left of their budget. */
export const tellBudget =
  (ctx: Context) =>
  (budget: Budget): void => {
    for (const [name, value] of budgetHeaders(budget)) ctx.set(name, value);
  };

/** Bounds how many mails one network asks for. */
export const limitMails =
  ({ mail }: Throttles): Middleware =>
  async (ctx, next) => {
    await mail.spend(ctx.ip, undefined, tellBudget(ctx));
    await next();
  };

/** A link of a mail turned out to be none: what `limitLinks` counts where a page says so. */
export const linkFailed = (ctx: Context): void => {
  ctx.state.linkFailed = true;
};

/** Slows down whoever tries out what links in mails hold. */
export const limitLinks =
  ({ links }: Throttles): Middleware =>
  async (ctx, next) => {
    const report = tellBudget(ctx);
    await links.check(ctx.ip, undefined, report);
    try {
      await next();
      if (ctx.state.linkFailed) await links.failed(ctx.ip, undefined, report);
    } catch (error) {
      if (error instanceof DomainError && error.code === 'invalid_one_time_token')
        await links.failed(ctx.ip, undefined, report);
      throw error;
    }
  };
