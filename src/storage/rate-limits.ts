import type { Redis } from 'ioredis';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';

/** What is left of a budget. */
export type Budget = { allowed: boolean; remaining: number; retryAfterSeconds: number };

/** Points per key and window. */
export type RateLimit = {
  /** Spends points (one, unless said otherwise); without enough of them it is not allowed, and they count all the same. */
  spend(key: string, points?: number): Promise<Budget>;
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
    return {
      async spend(key, points = 1) {
        try {
          const left = await limiter.consume(key, points);
          return { allowed: true, remaining: left.remainingPoints, retryAfterSeconds: 0 };
        } catch (refused) {
          if (!(refused instanceof RateLimiterRes)) throw refused;
          return { allowed: false, remaining: 0, retryAfterSeconds: secondsOf(refused) };
        }
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
