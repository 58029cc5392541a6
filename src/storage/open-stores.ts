import { Redis } from 'ioredis';
import { createAdministrationStore } from './administration.ts';
import { createApiKeys } from './api-keys.ts';
import type { Artifacts } from './artifacts.ts';
import { createLayeredArtifacts } from './artifacts-layered.ts';
import { createPostgresArtifacts } from './artifacts-postgres.ts';
import { createRedisArtifacts } from './artifacts-redis.ts';
import { createWriteTogether } from './artifacts-written.ts';
import { createAuditLog } from './audit.ts';
import { createClientDocuments } from './client-documents.ts';
import { createClients } from './clients.ts';
import { createConsents } from './consents.ts';
import { openDataDir } from './data-dir.ts';
import { createDenials } from './denials.ts';
import { openEmbedded } from './embedded.ts';
import { createIdentities } from './identities.ts';
import { createInitialAccessTokens } from './initial-access-tokens.ts';
import { migrate, pendingMigrations } from './migrator.ts';
import { createOneTimeTokens } from './one-time-tokens.ts';
import { createOutgoingCalls } from './outgoing-calls.ts';
import { createOutgoingMails } from './outgoing-mails.ts';
import { createPairwiseSubjects } from './pairwise-subjects.ts';
import { openPool } from './postgres-pool.ts';
import { openPrisma } from './prisma.ts';
import { createRateLimits } from './rate-limits.ts';
import { createRegistrations } from './registrations.ts';
import { createReplays } from './replays.ts';
import { createResourceServers } from './resource-servers.ts';
import { createRoles } from './roles.ts';
import { createSessionClients } from './session-clients.ts';
import { createSignIns } from './sign-ins.ts';
import { createSigningKeys } from './signing-keys.ts';
import {
  stampedAdministration,
  stampedClients,
  stampedIdentities,
  stampedOneTimeTokens,
  stampedRegistrations,
  stampedUsers,
} from './stamped.ts';
import { createMemoryStamps, createRedisStamps, unitStamps } from './stamps.ts';
import type { StoreState, Stores } from './stores.ts';
import { createUnits } from './units.ts';
import { createUserImports } from './user-imports.ts';
import { createUserRead } from './user-read.ts';
import { createUserSearch } from './user-search.ts';
import { createUsers } from './users.ts';
import { createVouchedRead } from './vouched.ts';

export type StoreSettings = {
  databaseUrl?: string | undefined;
  redisUrl?: string | undefined;
  /** Before every key, so that installations (or tests) can share a Redis. */
  redisPrefix?: string | undefined;
  /** Where the embedded database lives when there is no databaseUrl. */
  dataDir: string;
  /** The server owns an embedded database; a script shares it with a server that is running. */
  mode: 'serve' | 'share';
  /** What to do with a database that is behind. */
  migrations: 'apply' | 'require';
  onError(store: 'postgres' | 'redis', error: Error): void;
  /** How many users, clients and keys each process keeps at hand, of each kind; 10,000 when absent. */
  cacheEntries?: number | undefined;
  /** How many times as long as usual the stores are waited for: for tests, which share a machine with others. */
  patience?: number | undefined;
};

/** A store that could not be opened, in words for the operator. */
export class StoreError extends Error {}

const REFUSED = 'ECONNREFUSED';

// Connection errors come as AggregateError when a name has several addresses.
const codeOf = (error: unknown): string | undefined => {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors[0]);
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
};

/** What the operator can mend, in words. */
const reasonOf = (code: string | undefined, error: unknown): string | undefined => {
  if (code === '28P01' || code === '28000') return 'the user name or the password is wrong';
  if (code === '3D000') return 'there is no such database';
  if (/NOAUTH|WRONGPASS/.test(String(error))) return 'the password is missing or wrong';
  return undefined;
};

const unreachable = (name: string, variable: string, url: string, defaultPort: string, error: unknown): StoreError => {
  const { hostname, port } = new URL(url);
  const at = `port ${port || defaultPort} (host ${hostname || 'local socket'}, from ${variable})`;
  const code = codeOf(error);
  if (code === REFUSED) return new StoreError(`${name}: Connection refused on ${at}. Is it running?`);
  const reason = reasonOf(code, error);
  if (reason) return new StoreError(`${name}: cannot connect on ${at}: ${reason}.`);
  // The driver's message may quote the connection string: only its code goes out.
  return new StoreError(`${name}: cannot connect on ${at}${code ? `: ${code}` : ''}.`);
};

const openRedis = async (url: string, onError: StoreSettings['onError'], patience: number): Promise<Redis> => {
  const redis = new Redis(url, {
    enableAutoPipelining: true,
    lazyConnect: true,
    connectTimeout: 2_000 * patience,
    // A request must fail soon rather than wait for a store that may not come back.
    commandTimeout: 1_000 * patience,
    // A connection over which nothing comes any more is given up: after a fail-over it may lead nowhere, and never say so.
    socketTimeout: 1_500 * patience,
    // What was under way when a connection broke may have been done: asked again, a code would look as if it were redeemed twice.
    maxRetriesPerRequest: 0,
    // What was the primary is a replica now.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    retryStrategy: (attempt) => Math.min(attempt * 100, 500),
  });
  let reported: Error | undefined;
  redis.on('error', (error: Error) => {
    reported = error;
    onError('redis', error);
  });
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    throw unreachable('Redis', 'REDIS_URL', url, '6379', reported ?? error);
  }
  // From now on a command without a connection fails at once, instead of waiting for one.
  redis.options.enableOfflineQueue = false;
  return redis;
};

const timed = async (question: () => Promise<unknown>): Promise<StoreState> => {
  const start = performance.now();
  const latency = () => Math.round((performance.now() - start) * 10) / 10;
  let timer: NodeJS.Timeout | undefined;
  try {
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('timeout')), 2_000);
    });
    await Promise.race([question(), limit]);
    return { status: 'up', latency_ms: latency() };
  } catch {
    return { status: 'down', latency_ms: latency() };
  } finally {
    clearTimeout(timer);
  }
};

/**
 * Opens what the settings name, brings the database up to date or insists that it is, and returns the stores.
 *
 * @throws {StoreError} with one line for the operator.
 */
export const openStores = async (settings: StoreSettings): Promise<Stores> => {
  const { databaseUrl, redisUrl, redisPrefix = '', onError, patience = 1, cacheEntries = 10_000 } = settings;
  // Closed in reverse order, also when opening fails half-way.
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    while (closers.length > 0) await closers.pop()?.();
  };

  try {
    const serveEmbedded = async (): Promise<string> => {
      const embedded = await openEmbedded(await openDataDir(settings.dataDir), settings.mode);
      closers.push(() => embedded.close());
      return embedded.connectionString;
    };
    const connectionString = databaseUrl ?? (await serveEmbedded());
    const database = openPool(connectionString, onError, databaseUrl === undefined, patience);
    const { pool } = database;
    closers.push(database.close);
    try {
      await database.begin();
    } catch (error) {
      throw unreachable('PostgreSQL', 'DATABASE_URL', connectionString, '5432', error);
    }

    const appliedMigrations = settings.migrations === 'apply' ? await migrate(pool) : [];
    if (settings.migrations === 'require' && (await pendingMigrations(pool)).length > 0)
      throw new StoreError('Target database is not up to date. Run: npm run migrate');

    const together = createWriteTogether(pool);
    const durable = createPostgresArtifacts(pool, together);
    let artifacts: Artifacts = durable;
    let redis: Redis | undefined;
    if (redisUrl !== undefined) {
      const opened = await openRedis(redisUrl, onError, patience);
      redis = opened;
      closers.push(async () => opened.disconnect());
      artifacts = createLayeredArtifacts(createRedisArtifacts(redis, { prefix: `${redisPrefix}oidc:` }), durable);
    }

    const client = openPrisma(pool);
    closers.push(() => client.$disconnect());
    const units = createUnits(client, patience);
    const { prisma } = units;
    const stamps = unitStamps(
      redis ? createRedisStamps(redis, redisPrefix, cacheEntries) : createMemoryStamps(),
      units,
    );
    const vouched = redis && createVouchedRead(stamps, database, units, cacheEntries);
    const shown = databaseUrl ? `PostgreSQL at ${new URL(databaseUrl).host}` : 'embedded PostgreSQL (PGlite)';
    return {
      users: stampedUsers(createUsers(prisma, createUserRead(prisma, pool, units.current)), stamps, vouched),
      userImports: createUserImports(pool, prisma),
      userSearch: createUserSearch(pool, prisma),
      administration: stampedAdministration(createAdministrationStore(prisma), stamps),
      roles: createRoles(prisma),
      apiKeys: createApiKeys(prisma, stamps, cacheEntries),
      // Stamps of clients vouch for copies, and there are none without Redis.
      clients: vouched ? stampedClients(createClients(prisma), stamps, vouched) : createClients(prisma),
      registrations: vouched ? stampedRegistrations(createRegistrations(prisma), stamps) : createRegistrations(prisma),
      initialAccessTokens: createInitialAccessTokens(prisma),
      clientDocuments: createClientDocuments(prisma),
      resourceServers: createResourceServers(prisma),
      signingKeys: createSigningKeys(prisma),
      consents: createConsents(prisma),
      pairwiseSubjects: createPairwiseSubjects(prisma),
      signIns: createSignIns(prisma, pool, together),
      artifacts,
      denials: createDenials(durable, redis, redisPrefix),
      replays: createReplays(pool),
      rateLimits: createRateLimits(redis, redisPrefix),
      identities: stampedIdentities(createIdentities(prisma), stamps),
      oneTimeTokens: stampedOneTimeTokens(createOneTimeTokens(prisma), stamps),
      outgoingMails: createOutgoingMails(prisma, units),
      outgoingCalls: createOutgoingCalls(prisma, units),
      sessionClients: createSessionClients(prisma),
      auditLog: (macOf) => createAuditLog(pool, macOf, units.current),
      atomically: units.atomically,
      appliedMigrations,
      description: redisUrl ? `${shown}, Redis at ${new URL(redisUrl).host}` : shown,
      async check() {
        const questions = { postgres: () => pool.query('SELECT 1'), ...(redis && { redis: () => redis.ping() }) };
        const states = Object.entries(questions).map(async ([name, ask]) => [name, await timed(ask)] as const);
        return Object.fromEntries(await Promise.all(states));
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};
