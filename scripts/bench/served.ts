// What the benchmarks share: a server of ours in a process of its own, load on it, and medians.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { AS_STARTED } from '../as-started.ts';

/** A process that serves, until it is stopped. */
export type Served = { origin: string; stop(): Promise<void> };

/** Starts `file`, and waits until `path` answers. @param by A command that starts it. @throws when it does not within 30 s. */
export const serve = async (
  file: string,
  port: number,
  path: string,
  env: Record<string, string> = {},
  parameters: string[] = [],
  by: string[] = [],
): Promise<Served> => {
  // By env(1): the environment is handed on unread.
  const variables = Object.entries({ PORT: port, ...env }).map(([name, value]) => `${name}=${value}`);
  const command = [process.execPath, ...AS_STARTED, fileURLToPath(new URL(file, import.meta.url)), ...parameters];
  const child = spawn('env', [...variables, ...by, ...command], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const origin = `http://localhost:${port}`;
  for (const deadline = Date.now() + 30_000; ; ) {
    const answers = await fetch(origin + path).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answers) break;
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`${file} did not start`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    origin,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
};

export type Requests = Pick<autocannon.Options, 'url' | 'method' | 'headers' | 'body' | 'setupClient'>;

export type Load = { requestsPerSecond: number; p99Ms: number; statuses: Record<string, number> };

/** Sends as many requests as are answered, over so many connections, for so long. */
export const load = async (options: Requests, connections: number, seconds: number): Promise<Load> => {
  const result = await autocannon({ ...options, connections, duration: seconds });
  const statuses = Object.fromEntries(
    Object.entries(result.statusCodeStats ?? {}).map(([status, { count }]) => [status, count ?? 0]),
  );
  const answered = Object.values(statuses).reduce((sum, count) => sum + count, 0);
  return { requestsPerSecond: Math.round((answered / result.duration) * 10) / 10, p99Ms: result.latency.p99, statuses };
};

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
