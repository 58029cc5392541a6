// A Redis for one test file: the one TEST_REDIS_URL names, or a private one where a redis-server is installed.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { access, constants, mkdtemp } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Cluster, Redis } from 'ioredis';

/** Said wherever tests are left out for want of a Redis. */
export const NO_REDIS = 'no Redis: set TEST_REDIS_URL or install redis-server';

/** For tests that need a Redis: left out where there is none, which `suffix` says in their titles. */
export const withRedisOf = (redis: object | undefined) =>
  redis ? { withRedis: test, suffix: '' } : { withRedis: test.skip, suffix: ` (${NO_REDIS})` }; // Said in the title: there is none.

export type TestRedis<Client extends Redis | Cluster = Redis> = {
  url: string;
  client: Client;
  /** Random. Whoever uses `url` should begin every key with it: close deletes those keys, and no others. */
  prefix: string;
  close(): Promise<void>;
};

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
};

/** Every key that begins with the prefix; on a cluster, one of a single node. */
export const keysOf = async (client: Redis | Cluster, prefix: string): Promise<string[]> => {
  const node = client instanceof Cluster ? client.nodes('master')[0] : client;
  const keys = new Set<string>();
  for await (const page of node?.scanStream({ match: `${prefix}*`, count: 1000 }) ?? []) {
    for (const key of page) keys.add(key);
  }
  return [...keys];
};

type Server = { port: number; stop(): Promise<void> };

const isInstalled = async (command: string): Promise<boolean> => {
  const directories = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  const found = await Promise.allSettled(
    directories.map((directory) => access(join(directory, command), constants.X_OK)),
  );
  return found.some(({ status }) => status === 'fulfilled');
};

// The shell waits for its input to end: so the server goes when this process does, even killed.
const UNTIL_INPUT_ENDS =
  'dir=$1; shift; redis-server "$@" --dir "$dir" & read -r _; kill -9 $!; wait $!; rm -rf "$dir"';

/** A server of our own that keeps nothing, or undefined where none is installed. */
const startServer = async (clustered: boolean): Promise<Server | undefined> => {
  if (!(await isInstalled('redis-server'))) return undefined;
  const dir = await mkdtemp(join(tmpdir(), 'test-redis-'));
  const port = await freePort();
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  if (clustered) {
    options.push('--cluster-enabled', 'yes', '--cluster-port', String(await freePort()));
    options.push('--cluster-announce-ip', '127.0.0.1');
  }
  const shell = spawn('sh', ['-c', UNTIL_INPUT_ENDS, 'sh', dir, ...options], { stdio: ['pipe', 'ignore', 'ignore'] });
  const stopped = once(shell, 'exit');
  return {
    port,
    async stop() {
      shell.stdin.end();
      await stopped;
    },
  };
};

/** Waits until it is ready, five seconds at most. */
const answering = async (client: Redis | Cluster, isReady: () => Promise<boolean>): Promise<void> => {
  // Refused connections are expected until the server listens.
  client.on('error', () => undefined);
  const deadline = Date.now() + 5_000;
  while (Date.now() < deadline) {
    const answer = isReady().catch(() => false);
    if (await Promise.race([answer, sleep(deadline - Date.now(), false, { ref: false })])) return;
    await sleep(20);
  }
  throw new Error('Redis does not answer');
};

const opened = <Client extends Redis | Cluster>(
  url: string,
  client: Client,
  stop: () => Promise<void>,
): TestRedis<Client> => {
  const prefix = `test:${randomUUID()}:`;
  return {
    url,
    client,
    prefix,
    async close() {
      for (const key of await keysOf(client, prefix)) await client.unlink(key);
      client.disconnect();
      await stop();
    },
  };
};

/**
 * @returns undefined where there is neither TEST_REDIS_URL nor a redis-server: skip then, saying NO_REDIS.
 * @throws when the Redis does not answer, or is older than 7.
 */
export const testRedis = async (): Promise<TestRedis | undefined> => {
  const named = process.env.TEST_REDIS_URL;
  const server = named ? undefined : await startServer(false);
  if (!named && !server) return undefined;
  const url = named || `redis://127.0.0.1:${server?.port}`;
  const client = new Redis(url, { enableAutoPipelining: true });
  await answering(client, async () => (await client.ping()) === 'PONG');
  const version = /redis_version:(\d+)/.exec(await client.info('server'))?.[1];
  if (Number(version) < 7) throw new Error(`Redis 7 or later is needed, TEST_REDIS_URL names a Redis ${version}`);
  return opened(url, client, async () => server?.stop());
};

/**
 * A private cluster of one node: it refuses commands over several slots as a large one does.
 *
 * @returns undefined where no redis-server is installed.
 */
export const testRedisCluster = async (): Promise<TestRedis<Cluster> | undefined> => {
  const server = await startServer(true);
  if (!server) return undefined;
  const { port } = server;
  const node = new Redis(port, '127.0.0.1');
  await answering(node, async () => (await node.ping()) === 'PONG');
  await node.cluster('ADDSLOTSRANGE', 0, 16_383);
  await answering(node, async () => (await node.cluster('INFO')).includes('cluster_state:ok'));
  node.disconnect();
  const client = new Cluster([{ host: '127.0.0.1', port }], { enableAutoPipelining: true });
  await answering(client, async () => (await client.ping()) === 'PONG');
  return opened(`redis://127.0.0.1:${port}`, client, server.stop);
};

/**
 * A server that is the caller's own, whatever TEST_REDIS_URL says: one to flush, and to read whole.
 *
 * @returns undefined where no redis-server is installed.
 */
export const privateRedis = async (): Promise<TestRedis | undefined> => {
  const server = await startServer(false);
  if (!server) return undefined;
  const url = `redis://127.0.0.1:${server.port}`;
  const client = new Redis(url, { enableAutoPipelining: true });
  await answering(client, async () => (await client.ping()) === 'PONG');
  return { ...opened(url, client, server.stop), prefix: '' };
};
