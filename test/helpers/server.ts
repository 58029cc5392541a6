// The whole service on a free port of its own, with a database of its own, inside the test's process.
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { type AppSettings, createApp } from '../../src/app.ts';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { ANSWER_MS } from '../../src/http/deadline.ts';
import { logOptions } from '../../src/log.ts';
import { openStores } from '../../src/storage/open-stores.ts';
import type { Stores } from '../../src/storage/stores.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { testRedis } from './redis.ts';

export type TestServer = Awaited<ReturnType<typeof createApp>> & {
  issuer: string;
  /** Where it listens, whatever the issuer says. */
  origin: string;
  stores: Stores;
  database: TestDatabase;
  redis: Awaited<ReturnType<typeof testRedis>> | undefined;
  /** What was logged so far. */
  log(): string;
  close(): Promise<void>;
};

/** How many times as long as usual things may take: how busy the machine is, is not what these tests are about. */
const PATIENCE = 5;

/** @param beside Another one, whose stores this one shares, as another process would. It has to be closed after this one. */
export const startServer = async (
  overrides: Partial<AppSettings> = {},
  beside?: Pick<TestServer, 'issuer' | 'database' | 'redis'>,
): Promise<TestServer> => {
  const database = beside?.database ?? (await testDatabase());
  const redis = beside ? beside.redis : process.env.TEST_REDIS_URL ? await testRedis() : undefined;
  const stores = await openStores({
    databaseUrl: database.connectionString,
    redisUrl: redis?.url,
    redisPrefix: redis?.prefix,
    dataDir: '',
    mode: 'share',
    migrations: 'require',
    onError: () => {},
    patience: PATIENCE,
  });

  const http = createHttpServer();
  await new Promise<void>((resolve) => http.listen(0, 'localhost', resolve));
  const issuer = overrides.issuer ?? beside?.issuer ?? `http://localhost:${(http.address() as AddressInfo).port}`;

  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  const wired = await createApp(
    {
      issuer,
      production: false,
      masterKey: 'a master key for tests, 32 bytes or more',
      jwtSecretKey: 'a JWT secret for tests, 32 bytes or more',
      keyEncryptionSecrets: [],
      keyRotationDays: 90,
      registration: 'open',
      externalKeys: [],
      jwtAlgorithm: 'HS256',
      trustProxy: 0,
      passwordMinLength: 6,
      // The least that argon2 takes: what a test waits for is hardly ever the cost of a password.
      answerMs: PATIENCE * ANSWER_MS,
      passwordCost: { memoryCost: 1024, timeCost: 2 },
      mailFrom: 'User Auth <no-reply@id.example.com>',
      passwordBlocklist: false,
      accessTokenTtlSeconds: 1800,
      refreshTokenTtlSeconds: 604_800,
      sessionTtlSeconds: 3600,
      sessionMaxSeconds: 2_592_000,
      refreshRetrySeconds: 60,
      // Tests try out many links and trips from one network; those that are about limits set their own.
      rateLimits: {
        ...DEFAULT_LIMITS,
        'link-network': { points: 10_000, seconds: 900 },
        'federation-network': { points: 10_000, seconds: 900 },
        'exchange-network': { points: 10_000, seconds: 900 },
        'register-network': { points: 10_000, seconds: 900 },
      },
      federation: { openid: [] },
      firstPartyOrigins: [],
      version: 'test',
      ...overrides,
    },
    stores,
    pino(logOptions({ logLevel: 'debug', logPii: false }), sink),
  ).catch(async (error: unknown) => {
    http.close();
    await stores.close();
    throw error;
  });
  http.on('request', wired.listener);

  return {
    ...wired,
    issuer,
    origin: `http://localhost:${(http.address() as AddressInfo).port}`,
    stores,
    database,
    redis,
    log: () => lines.join(''),
    async close() {
      wired.keyring.stop();
      wired.resources.stop();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
      await stores.close();
      if (beside) return;
      await database.close();
      await redis?.close();
    },
  };
};
