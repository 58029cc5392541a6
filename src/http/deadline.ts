import type { Context, Middleware } from 'koa';
import type { Logger } from 'pino';

/** Whoever asks has an answer within five seconds, whatever is broken behind us, also from a process that has much to do. */
export const ANSWER_MS = 4_000;

/** So much longer where another provider is asked, which has nearly all of the five seconds (see `PROVIDER_MS` in `federation/providers.ts`). */
export const PROVIDER_MORE_MS = 500;
const ASKS_PROVIDER =
  /^\/(oauth\/[\w-]+\/(login|callback)|interaction\/[\w-]+\/with\/[\w-]+|account\/link\/[\w-]+)\/*$/;

/** Thrown in place of an answer that did not come in time; what was to give it may still go on. */
export class Overdue extends Error {
  constructor() {
    super('there was no answer in time');
  }
}

/** What takes as long as it takes: a file of a million users. */
const UNBOUNDED = new Set(['POST /admin/users/import']);

/**
 * Gives up on an answer that takes too long, counted from when all of the request is there: how long that may take is bounded elsewhere.
 * Each store has its own time limit; here is what a request that meets several of them has in all.
 */
export const deadline = (log: Logger, ms = ANSWER_MS): Middleware => {
  type Settle = { timer?: NodeJS.Timeout; isOver?: boolean };
  const overdue = (ctx: Context, allowed: number, started: number, settle: Settle) =>
    new Promise<never>((_, reject) => {
      const check = () => {
        if (ctx.req.complete || ctx.req.destroyed) reject(new Overdue());
        else ctx.req.once('end', () => wait(allowed));
      };
      const wait = (left: number) => {
        if (!settle.isOver) settle.timer = setTimeout(check, left);
      };
      wait(started + allowed - performance.now());
    });

  return async (ctx, next) => {
    if (UNBOUNDED.has(`${ctx.method} ${ctx.path}`.replace(/\/+$/, ''))) return next();
    const settle: Settle = {};
    const allowed = ASKS_PROVIDER.test(ctx.path) ? ms + PROVIDER_MORE_MS : ms;
    const work = next();
    try {
      await Promise.race([work, overdue(ctx, allowed, performance.now(), settle)]);
    } catch (error) {
      if (error instanceof Overdue)
        work.catch((late) => log.debug({ request_id: ctx.state.requestId, err: late }, 'failed after its answer'));
      throw error;
    } finally {
      settle.isOver = true;
      clearTimeout(settle.timer);
    }
  };
};
