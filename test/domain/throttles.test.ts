import test from 'ava';
import { createThrottles, DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createRateLimits, type RateLimits } from '../../src/storage/rate-limits.ts';

const IP = '192.0.2.1';

/** A network may fail five times. What is asked of the store, and what it answers, can be held up. */
const attempts = () => {
  const heldUp: { look?: Promise<void>; spend?: Promise<void> } = {};
  const inMemory = createRateLimits();
  const rateLimits: RateLimits = (name, points, seconds) => {
    const limit = inMemory(name, points, seconds);
    return {
      ...limit,
      async look(key) {
        const found = await limit.look(key);
        await heldUp.look;
        return found;
      },
      async spend(key) {
        await heldUp.spend;
        return limit.spend(key);
      },
    };
  };
  const { logins } = createThrottles(rateLimits, { ...DEFAULT_LIMITS, 'login-network': { points: 5, seconds: 600 } });
  const begin = () => logins.begin(IP);
  return {
    begin,
    async fail(times: number) {
      for (let i = 0; i < times; i += 1) {
        const { failed, over } = await begin();
        await failed();
        over();
      }
    },
    /** @returns what lets go. */
    holdUp(call: 'look' | 'spend') {
      const { promise, resolve } = Promise.withResolvers<void>();
      heldUp[call] = promise;
      return () => {
        delete heldUp[call];
        resolve();
      };
    },
  };
};

const turnOfTheLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

test('a failure counts for who was looking at the budget while it was counted', async (t) => {
  const { begin, fail, holdUp } = attempts();
  await fail(3);
  const [first, second] = [await begin(), await begin()];
  t.true(first.budget.allowed && second.budget.allowed);
  const letGo = holdUp('look');
  const third = begin();
  await turnOfTheLoop();
  await first.failed();
  first.over();
  letGo();
  t.false((await third).budget.allowed);
});

test('a budget that a failure has overtaken is not remembered', async (t) => {
  const { begin, holdUp } = attempts();
  const first = await begin();
  const letGo = holdUp('spend');
  const failure = first.failed();
  const second = begin();
  await turnOfTheLoop();
  letGo();
  await failure;
  first.over();
  t.true((await second).budget.allowed);
  for (const allowed of [true, true, true, false]) t.is((await begin()).budget.allowed, allowed);
});

test('an attempt that has failed is not counted twice until it is over', async (t) => {
  const { begin, fail } = attempts();
  await fail(3);
  const first = await begin();
  t.is((await first.failed()).remaining, 1);
  const second = await begin();
  t.true(second.budget.allowed);
  first.over();
  t.false((await begin()).budget.allowed, 'and not taken off twice');
});
