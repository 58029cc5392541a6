import type { Redis } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

/** What is left of a budget. */
export type Budget = {
  allowed: boolean;
  limit: number;
  remaining: number;
  /** Until it is whole again. */
  resetSeconds: number;
};

/** Points per key and window. */
export type RateLimit = {
  /** Spends points (one, unless said otherwise); without enough of them it is not allowed, and they count all the same. */
  spend(key: string, points?: number): Promise<Budget>;
  /**
   * As `spend`, with points taken from the store a hundredth of the limit at a time: most calls ask nobody. Other processes see
   * what this one has taken and not spent as spent. At once, where nobody is asked.
   */
  spendAhead(key: string): Budget | Promise<Budget>;
  /** As `spendAhead`, of what is taken already; undefined, and nothing is spent, where that is none. */
  spendTaken(key: string): Budget | undefined;
  /** What `spend` would find, without spending. */
  look(key: string): Promise<Budget>;
  /** Gives a point back. */
  refund(key: string): Promise<void>;
  /** No points for this long. */
  block(key: string, seconds: number): Promise<void>;
  /** The whole budget again. */
  clear(key: string): Promise<void>;
};

/** @param windowSeconds After the first point spent, until the budget is whole again. */
export type RateLimits = (name: string, points: number, windowSeconds: number) => RateLimit;

/** Keys whose points a process has taken ahead at once. */
const REMEMBERED = 10_000;

const secondsOf = ({ msBeforeNext }: RateLimiterRes): number => Math.max(1, Math.ceil(msBeforeNext / 1000));

/** In Redis, so that all processes count together; in memory without one, and for as long as it does not answer. */
export const createRateLimits =
  (redis?: Redis, prefix = ''): RateLimits =>
  (name, points, windowSeconds) => {
    const options = { points, duration: windowSeconds, keyPrefix: `${prefix}limit:${name}` };
    const memory = new RateLimiterMemory(options);
    const limiter = redis ? new RateLimiterRedis({ ...options, storeClient: redis, insuranceLimiter: memory }) : memory;
    const budget = (left: RateLimiterRes, allowed: boolean): Budget => ({
      allowed,
      limit: points,
      remaining: allowed ? left.remainingPoints : 0,
      resetSeconds: secondsOf(left),
    });
    const spend = async (key: string, cost = 1): Promise<Budget> => {
      try {
        return budget(await limiter.consume(key, cost), true);
      } catch (refused) {
        if (!(refused instanceof RateLimiterRes)) throw refused;
        return budget(refused, false);
      }
    };

    const ahead = Math.max(1, Math.floor(points / 100));
    const taken = new Map<string, { budget: Budget; left: number; until: number }>();
    const refills = new Map<string, Promise<void>>();

    const refill = async (key: string): Promise<void> => {
      const budget = await spend(key, ahead);
      if (taken.size >= REMEMBERED) taken.clear();
      taken.set(key, { budget, left: budget.allowed ? ahead : 0, until: Date.now() + budget.resetSeconds * 1000 });
    };

    const spendTaken = (key: string): Budget | undefined => {
      const mine = taken.get(key);
      const now = Date.now();
      if (!mine || mine.until <= now || (mine.left === 0 && mine.budget.allowed)) return undefined;
      if (mine.left > 0) mine.left -= 1;
      const { allowed, limit, remaining } = mine.budget;
      return { allowed, limit, remaining: remaining + mine.left, resetSeconds: Math.ceil((mine.until - now) / 1000) };
    };

    const refilled = async (key: string): Promise<Budget> => {
      for (;;) {
        const spent = spendTaken(key);
        if (spent) return spent;
        // Those who come at once wait for one and the same refill.
        let underWay = refills.get(key);
        if (!underWay) {
          underWay = refill(key).finally(() => refills.delete(key));
          refills.set(key, underWay);
        }
        await underWay;
      }
    };
    const spendAhead = (key: string): Budget | Promise<Budget> => spendTaken(key) ?? refilled(key);

    return {
      spend,
      spendAhead: ahead > 1 ? spendAhead : spend,
      spendTaken,
      async look(key) {
        const left = await limiter.get(key);
        return left
          ? budget(left, left.remainingPoints > 0)
          : { allowed: true, limit: points, remaining: points, resetSeconds: windowSeconds };
      },
      async refund(key) {
        await limiter.reward(key);
      },
      async block(key, seconds) {
        await limiter.block(key, seconds);
      },
      async clear(key) {
        await limiter.delete(key);
      },
    };
  };
