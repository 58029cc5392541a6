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
    return {
      async spend(key, cost = 1) {
        try {
          return budget(await limiter.consume(key, cost), true);
        } catch (refused) {
          if (!(refused instanceof RateLimiterRes)) throw refused;
          return budget(refused, false);
        }
      },
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
