// The service as two processes of src/main.ts on one PostgreSQL and one Redis of their own; and beside them a server inside the test,
// on the same stores, for what a test has to arrange.
import type { AppSettings } from '../../src/app.ts';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { testDatabase } from './database.ts';
import { privateRedis } from './redis.ts';
import { startServer } from './server.ts';
import { type Environment, freePort, type Service, startService } from './service.ts';

/** Why a test of two processes is left out. */
export const NO_PROCESSES = 'no PostgreSQL or no redis-server: set TEST_DATABASE_URL, and install redis-server';

const KEYS = {
  MASTER_KEY: 'a master key for tests, 32 bytes or more',
  JWT_SECRET_KEY: 'a JWT secret for tests, 32 bytes or more',
};
/** What is tried a hundred times at once is no flood here. */
const MANY = { points: 1_000_000, seconds: 900 };

export type TwoProcesses = Exclude<Awaited<ReturnType<typeof startTwoProcesses>>, undefined>;

/**
 * @param env Of both processes, on top of what they have in common.
 * @param overrides The same for the server inside the test.
 * @returns undefined where a store is missing.
 */
export const startTwoProcesses = async (env: Environment = {}, overrides: Partial<AppSettings> = {}) => {
  if (!process.env.TEST_DATABASE_URL) return undefined;
  const redis = await privateRedis();
  if (!redis) return undefined;
  const database = await testDatabase();
  const ports = [await freePort(), await freePort()] as const;
  const issuer = `http://localhost:${ports[0]}`;
  const names = Object.keys(DEFAULT_LIMITS) as (keyof typeof DEFAULT_LIMITS)[];
  const common = {
    ...KEYS,
    ISSUER: issuer,
    DATABASE_URL: database.connectionString,
    REDIS_URL: redis.url,
    LOG_LEVEL: 'warn',
    RATE_LIMITS: names.map((name) => `${name}=${MANY.points}/${MANY.seconds}`).join(','),
    ...env,
  };
  const start = (port: number): Promise<Service> => startService({ ...common, PORT: String(port) });
  const processes = await Promise.all([start(ports[0]), start(ports[1])]);
  const server = await startServer(
    {
      rateLimits: Object.fromEntries(names.map((name) => [name, MANY])) as AppSettings['rateLimits'],
      ...overrides,
    },
    { issuer, database, redis },
  );

  return {
    /** Arranges and looks; nothing is redeemed here. Browsers go to the first process. */
    server,
    redis,
    /** Where the two are reached. */
    origins: processes.map(({ origin }) => origin) as [string, string],

    /** Does so many at once, taking turns between the processes. */
    at: <T>(count: number, work: (origin: string, index: number) => Promise<T>): Promise<T[]> =>
      Promise.all(Array.from({ length: count }, (_, index) => work(processes[index % 2 === 0 ? 0 : 1].origin, index))),

    /** As kill -9, without another in its place. */
    kill: (which: 0 | 1): Promise<void> => processes[which].kill(),

    async close(): Promise<void> {
      await Promise.all(processes.map((one) => one.kill()));
      await server.close();
      await database.close();
      await redis.close();
    },
  };
};
