// A PostgreSQL and a Redis of this run's own: the only ones that may be stopped, paused and killed.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { freePort } from '../helpers/service.ts';

const run = promisify(execFile);

/** Said in one sentence, for whoever has to install something. */
export class Missing extends Error {}

export type Store = {
  port: number;
  start(): Promise<void>;
  /** As an operator stops it, with everything put in order. */
  stop(): Promise<void>;
  /** As kill -9, or the power switch. */
  kill(): Promise<void>;
  pause(): void;
  resume(): void;
};

const POSTGRES_HOME = '/usr/lib/postgresql';

const postgresBinaries = (): string => {
  const versions = existsSync(POSTGRES_HOME) ? readdirSync(POSTGRES_HOME) : [];
  const found = versions
    .map((version) => join(POSTGRES_HOME, version, 'bin'))
    .filter((bin) => existsSync(join(bin, 'initdb')))
    .sort((a, b) => Number.parseInt(b.split('/')[4] ?? '', 10) - Number.parseInt(a.split('/')[4] ?? '', 10));
  if (!found[0]) throw new Missing('PostgreSQL is not installed (Debian: apt-get install postgresql).');
  return found[0];
};

/** PostgreSQL refuses to run as root: then it runs as the user that its package has made. */
const postgresUser = async (): Promise<{ uid?: number; gid?: number }> => {
  if (process.getuid?.() !== 0) return {};
  const id = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
};

/** The process and whatever it has started: PostgreSQL's backends are in no group with it. */
const familyOf = (pid: number): number[] => {
  const parents = readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return [{ pid: Number(name), parent: Number(parent) }];
    } catch {
      return [];
    }
  });
  return [pid, ...parents.filter(({ parent }) => parent === pid).map(({ pid: child }) => child)];
};

const signalAll = (child: ChildProcess | undefined, signal: NodeJS.Signals): void => {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  for (const pid of familyOf(child.pid))
    try {
      process.kill(pid, signal);
    } catch {
      // Gone in between.
    }
};

const until = async (what: string, ready: () => Promise<unknown>): Promise<void> => {
  for (const deadline = Date.now() + 60_000; ; await sleep(50))
    try {
      await ready();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what} does not answer`, { cause: error });
    }
};

const managed = (port: number, spawnIt: () => ChildProcess, polite: NodeJS.Signals, ready: () => Promise<unknown>) => {
  let child: ChildProcess | undefined;
  const gone = async (signal: NodeJS.Signals, all: boolean): Promise<void> => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    if (all) signalAll(child, signal);
    else child.kill(signal);
    await exited;
  };
  return {
    port,
    async start() {
      child = spawnIt();
      await until(`the store on port ${port}`, ready);
    },
    async stop() {
      signalAll(child, 'SIGCONT');
      await gone(polite, false);
    },
    kill: () => gone('SIGKILL', true),
    pause: () => signalAll(child, 'SIGSTOP'),
    resume: () => signalAll(child, 'SIGCONT'),
  };
};

export const createPostgres = async (dir: string): Promise<Store & { url: (port: number) => string }> => {
  const bin = postgresBinaries();
  const user = await postgresUser();
  const port = await freePort();
  const home = join(dir, 'postgres');
  mkdirSync(home);
  if (user.uid !== undefined && user.gid !== undefined) chownSync(home, user.uid, user.gid);
  const data = join(home, 'data');
  const initdb = ['-D', data, '-U', 'postgres', '--auth=trust', '-E', 'UTF8', '--no-sync'];
  await run(join(bin, 'initdb'), initdb, { ...user, cwd: home });
  const log = openSync(join(dir, 'postgres.log'), 'a');
  // What it has acknowledged is with the operating system, and so outlives its processes; a power cut is not among the faults.
  const options = ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', home, '-c', 'fsync=off'];
  const url = (at: number) => `postgresql://postgres@127.0.0.1:${at}/postgres`;
  const start = () => spawn(join(bin, 'postgres'), options, { ...user, cwd: home, stdio: ['ignore', log, log] });
  const ready = async () => {
    const client = new Client({ connectionString: url(port), connectionTimeoutMillis: 1_000 });
    client.on('error', () => {});
    await client.connect();
    await client.end();
  };
  return { ...managed(port, start, 'SIGINT', ready), url };
};

export const createRedis = async (dir: string): Promise<Store & { wipe(): void; flush(): Promise<void> }> => {
  await run('redis-server', ['--version']).catch(() => {
    throw new Missing('Redis is not installed (Debian: apt-get install redis-server).');
  });
  const port = await freePort();
  const home = join(dir, 'redis');
  mkdirSync(home);
  const log = openSync(join(dir, 'redis.log'), 'a');
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--dir', home, '--save', '', '--appendonly', 'yes'];
  const start = () => spawn('redis-server', options, { stdio: ['ignore', log, log] });
  const ask = async (question: (client: Redis) => Promise<unknown>) => {
    const client = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: null, commandTimeout: 5_000 });
    client.on('error', () => {});
    try {
      await client.connect();
      await question(client);
    } finally {
      client.disconnect();
    }
  };
  return {
    ...managed(port, start, 'SIGTERM', () => ask((client) => client.ping())),
    /** While it is stopped: it comes back empty. */
    wipe() {
      rmSync(home, { recursive: true, force: true });
      mkdirSync(home);
    },
    flush: () => ask((client) => client.flushall()),
  };
};
