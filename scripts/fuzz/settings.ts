// What a run is told from outside. These are no settings of the service, which reads its own in src/config.ts.
import { randomInt } from 'node:crypto';

const whole = (name: string, text: string | undefined, otherwise: number): number => {
  if (text === undefined || text === '') return otherwise;
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`${name} must be a whole number from 1 to 999999999`);
  return Number(text);
};

export type Settings = {
  requests: number;
  /** Ends sooner, where there is less time than requests. */
  minutes: number;
  /** What all requests follow from: the same seed makes the same ones. */
  seed: number;
  databaseUrl: string | undefined;
  redisUrl: string | undefined;
};

/** @throws where a variable is no number. */
export const settingsOf = (): Settings => ({
  requests: whole('FUZZ_REQUESTS', process.env.FUZZ_REQUESTS, 100_000),
  minutes: whole('FUZZ_MINUTES', process.env.FUZZ_MINUTES, 600),
  seed: whole('FUZZ_SEED', process.env.FUZZ_SEED, randomInt(1, 1_000_000_000)),
  databaseUrl: process.env.TEST_DATABASE_URL || undefined,
  redisUrl: process.env.TEST_REDIS_URL || undefined,
});
