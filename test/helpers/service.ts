// The service as people start it: src/main.ts and the scripts as processes of their own, in an empty working directory
// and with nothing of this process's environment but the way to Node.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createDatabase } from './database.ts';

export type Environment = Record<string, string | undefined>;
export type Ended = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string };

/** Said wherever tests are left out for want of these stores. */
export const NO_POSTGRES = 'no PostgreSQL: set TEST_DATABASE_URL';
export const NO_STORES = 'no PostgreSQL and Redis: set TEST_DATABASE_URL and TEST_REDIS_URL';

/** A first start on a busy machine takes this long at the very most. */
const READY_MS = 90_000;

// Dozens of processes compile the same files: kept, that takes half the time.
const COMPILE_CACHE = fileURLToPath(new URL('../../node_modules/.cache/compile', import.meta.url));
// As AVA's own processes have it (package.json): hardly one lives long enough to gain by optimising the embedded database.
const V8_FLAGS = ['--wasm-tiering-budget=200000000'];

const children = new Set<ChildProcess>();
const directories = new Set<string>();
// AVA ends tests that take too long by a signal, on which 'exit' would not come.
process.once('SIGTERM', () => process.exit(1));
process.once('exit', () => {
  killAll();
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Ends what a failed test has left running: for `after.always` of every file that starts something. */
export const killAll = (): void => {
  for (const child of children) child.kill('SIGKILL');
};

/** A directory that goes when the tests end. Its path is short enough for the unix socket of an embedded database. */
export const temporaryDir = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'ua-svc-'));
  directories.add(directory);
  return directory;
};

/** A port on which nobody listened a moment ago. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
};

const start = (path: string, args: string[], env: Environment) => {
  const child = spawn(
    process.execPath,
    [...V8_FLAGS, fileURLToPath(new URL(`../../${path}`, import.meta.url)), ...args],
    {
      cwd: temporaryDir(),
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    },
  );
  children.add(child);
  // A process that ends before it has read its input is not this one's trouble.
  child.stdin.on('error', () => {});
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      output[stream] += text;
    });
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    children.delete(child);
    return { code, signal, ...output };
  });
  return { child, output, ended };
};

/** Runs one of the scripts, or src/main.ts where it is expected to refuse, until it ends by itself. */
export const run = async (path: string, args: string[], env: Environment, input = ''): Promise<Ended> => {
  const { child, ended } = start(path, args, env);
  child.stdin.end(input);
  const stop = new AbortController();
  const overdue = sleep(READY_MS, undefined, { signal: stop.signal }).catch(() => 'ended');
  if ((await Promise.race([ended.then(() => 'ended'), overdue])) === undefined) child.kill('SIGKILL');
  stop.abort();
  return ended;
};

export type Service = {
  /** Where browsers reach it, which is its issuer too unless ISSUER says otherwise. */
  origin: string;
  port: number;
  dataDir: string;
} & Running;

export type Running = {
  pid: number;
  /** What it has written so far, on both streams. */
  output(): string;
  /** Waits until it has written this. */
  wrote(pattern: RegExp): Promise<void>;
  /** Leaves what it writes from now on to nobody, as a log collector that has died does. */
  stopReading(): void;
  ended: Promise<Ended>;
  signal(signal: NodeJS.Signals): void;
  /** As kill -9: no chance to put anything in order. */
  kill(): Promise<void>;
  /** As an operator does: SIGTERM. */
  stop(): Promise<Ended>;
};

const startUntil = async (path: string, env: Environment, ready: RegExp, args: string[] = []): Promise<Running> => {
  const { child, output, ended } = start(path, args, env);
  child.stdin.end();
  let over = false;
  ended.then(() => {
    over = true;
  });
  const text = () => output.stdout + output.stderr;
  const wrote = async (pattern: RegExp): Promise<void> => {
    for (const deadline = Date.now() + READY_MS; !pattern.test(text()); await sleep(10))
      if (over || Date.now() > deadline) throw new Error(`it did not write ${pattern}, but:\n${text()}`);
  };
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  await wrote(ready).catch(async (error: Error) => {
    await kill();
    throw error;
  });
  return {
    pid: child.pid ?? 0,
    output: text,
    wrote,
    stopReading() {
      child.stdout.destroy();
      child.stderr.destroy();
    },
    ended,
    signal: (signal) => void child.kill(signal),
    kill,
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
  };
};

/**
 * Starts src/main.ts on a free port and waits until it is ready.
 *
 * @param env On top of DATA_DIR (a new one), PORT, and nothing else.
 * @throws with everything it has written when it ends instead.
 */
export const startService = async (env: Environment = {}): Promise<Service> => {
  const port = env.PORT ? Number(env.PORT) : await freePort();
  const dataDir = env.DATA_DIR ?? join(temporaryDir(), 'data');
  const settings = { ...env, DATA_DIR: dataDir, PORT: String(port) };
  const running = await startUntil('src/main.ts', settings, /User Auth is ready|"msg":"ready"/);
  return { origin: `http://localhost:${port}`, port, dataDir, ...running };
};

/** Starts scripts/demo-rp.ts, which listens where src/demo.ts says. */
export const startDemo = (env: Environment): Promise<Running> => startUntil('scripts/demo-rp.ts', env, /Demo app: /);

/** Starts a script that goes on running, and waits until it has written that it is `ready`. */
export const startScript = startUntil;

/** What a start-up card says, by the name of the line. */
export const cardOf = (output: string): Record<string, string> =>
  Object.fromEntries([...output.matchAll(/^ {2}(\S+(?: \S+)*) {2,}(\S.*)$/gm)].map(([, name, value]) => [name, value]));

/** An empty database on the server of TEST_DATABASE_URL: not even migrated. */
export const emptyDatabase = async (): Promise<{ url: string; close(): Promise<void> }> => {
  const server = process.env.TEST_DATABASE_URL;
  if (!server) throw new Error(NO_POSTGRES);
  return createDatabase(server);
};
