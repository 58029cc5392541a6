// The service under fire: src/main.ts in a process of its own, with a database of its own, its log read and its memory looked into.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createDatabase } from '../../test/helpers/database.ts';
import { freePort } from '../../test/helpers/service.ts';

const READY_MS = 90_000;
/** Limits would hide the routes behind them. */
const NO_LIMITS = Object.keys(DEFAULT_LIMITS)
  .map((name) => `${name}=999999999/86400`)
  .join(',');

export type Stores = { databaseUrl: string | undefined; redisUrl: string | undefined };

/** A database of Redis that nobody else counts in. */
const apart = (redisUrl: string, seed: number): string => {
  const url = new URL(redisUrl);
  url.pathname = `/${1 + (seed % 15)}`;
  return url.href;
};

const script = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export type Served = Awaited<ReturnType<typeof startServed>>;

/** @throws with what it has written, when it does not start. */
export const startServed = async (
  { databaseUrl, redisUrl }: Stores,
  seed: number,
  more: Record<string, string> = {},
) => {
  const directory = mkdtempSync(join(tmpdir(), 'ua-fuzz-'));
  const database = databaseUrl ? await createDatabase(databaseUrl) : undefined;
  const port = await freePort();
  const env: Record<string, string> = {
    PORT: String(port),
    DATA_DIR: join(directory, 'data'),
    LOG_LEVEL: 'warn',
    RATE_LIMITS: NO_LIMITS,
    // Full long before the end: what grows after that is no cache.
    CACHE_ENTRIES: '200',
    ACCESS_TOKEN_EXPIRE_MINUTES: '1440',
    SESSION_EXPIRE_SECONDS: '86400',
    OUTBOUND_LOOPBACK: 'true',
    FIRST_PARTY_ORIGINS: 'https://platform.example',
    ...(database && { DATABASE_URL: database.url }),
    ...(redisUrl && { REDIS_URL: apart(redisUrl, seed) }),
    ...more,
  };
  const child = spawn(process.execPath, ['--inspect=127.0.0.1:0', script('src/main.ts')], {
    cwd: directory,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let over: string | undefined;
  const ended = new Promise<void>((resolve) =>
    child.once('close', (code, signal) => {
      over = `it ended by itself (${signal ?? code})`;
      resolve();
    }),
  );
  const written: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => written.push(text));
  const log = () => written.join('');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  // On a signal 'exit' would not come by itself.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  for (const deadline = Date.now() + READY_MS; !log().includes('User Auth is ready'); await sleep(50))
    if (over !== undefined || Date.now() > deadline) {
      kill();
      throw new Error(`the service did not start:\n${log()}`);
    }
  const debuggerUrl = /Debugger listening on (ws:\S+)/.exec(log())?.[1] ?? '';

  return {
    origin: `http://localhost:${port}`,
    port,
    debuggerUrl,
    /** Says how it ended, when it has. */
    over: () => over,
    log,
    /** Runs one of the scripts beside it. */
    async run(path: string, args: string[]): Promise<Record<string, unknown>> {
      const { DATA_DIR, DATABASE_URL, REDIS_URL } = env;
      const settings = Object.fromEntries(
        Object.entries({ DATA_DIR, DATABASE_URL, REDIS_URL }).filter(([, value]) => value !== undefined),
      );
      const beside = spawn(process.execPath, [script(path), ...args], {
        cwd: directory,
        env: settings,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      beside.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      const code = await new Promise((resolve) => beside.once('close', resolve));
      if (code !== 0) throw new Error(`${path} failed`);
      return JSON.parse(output);
    },
    async stop() {
      child.kill('SIGTERM');
      const overdue = setTimeout(kill, 20_000);
      await ended;
      clearTimeout(overdue);
      process.off('exit', kill);
      await database?.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
};

/** What is said of a store that is late: a busy machine's doing, where the same request is answered afterwards. */
const LATE =
  /"message": "(Command timed out|Query read timeout|timeout exceeded when trying to connect|Transaction API error: Unable to start)|store connection failed/;

/** The entries of the log that are errors, each with the lines that belong to it. */
export const errorsIn = (log: string): string[] =>
  log
    .split(/\n(?=\[\d\d:\d\d:\d\d)/)
    .filter((entry) => /^\[\d\d:\d\d:\d\d[^\]]*\] (ERROR|FATAL)/.test(entry.trimStart()) && !LATE.test(entry));

/** How often which warning was logged. */
export const warningsIn = (log: string): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const [, words = ''] of log.matchAll(/^\[\d\d:\d\d:\d\d[^\]]*\] WARN: ([^{\n]*)/gm))
    counts[words.trim()] = (counts[words.trim()] ?? 0) + 1;
  return counts;
};
