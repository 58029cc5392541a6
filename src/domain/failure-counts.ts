import type { Budget, RateLimit } from '../storage/rate-limits.ts';

const INNOCENT_MS = 1_000;
/** Networks and clients that a process remembers at once. */
const REMEMBERED = 10_000;

/** Failures by key. Who has hardly failed is not asked after again for a second: honest traffic costs no round trip. */
export const createFailureCounts = (bound: RateLimit) => {
  const innocents = new Map<string, { until: number; budget: Budget }>();
  const lastFailures = new Map<string, Promise<unknown>>();
  return {
    /** @param use Called before any other failure can be counted: what it is given still holds. */
    async look<T>(key: string, use: (budget: Budget) => T): Promise<T> {
      const innocent = innocents.get(key);
      if (innocent && innocent.until > Date.now()) return use(innocent.budget);
      for (;;) {
        const last = lastFailures.get(key);
        await last;
        const budget = await bound.look(key);
        // One that was counted meanwhile may be in it or not. They come to an end: who fails was let in before.
        if (lastFailures.get(key) !== last) continue;
        if (innocents.size >= REMEMBERED) innocents.clear();
        if (budget.remaining > budget.limit / 2) innocents.set(key, { until: Date.now() + INNOCENT_MS, budget });
        return use(budget);
      }
    },
    /** @param counted Called as soon as who looks sees it. */
    failed(key: string, counted = () => {}): Promise<Budget> {
      innocents.delete(key);
      if (lastFailures.size >= REMEMBERED) lastFailures.clear();
      const spent = bound.spend(key).finally(counted);
      lastFailures.set(key, Promise.allSettled([lastFailures.get(key), spent]));
      return spent;
    },
  };
};
