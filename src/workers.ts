import cluster from 'node:cluster';
import type { Logger } from 'pino';

/** A worker that dies sooner than this after its start would only die again: everything stops, with its exit code. */
const STABLE_MS = 5_000;

/**
 * Runs `count` processes that share one port. A worker that dies is replaced; SIGTERM and SIGINT reach all of them,
 * and this process ends when the last one has.
 */
export const superviseWorkers = (count: number, log: Logger): void => {
  let closing = false;
  const fork = () => {
    const started = Date.now();
    const worker = cluster.fork();
    worker.once('exit', (code) => {
      if (closing) return;
      if (Date.now() - started < STABLE_MS) {
        closing = true;
        process.exitCode = code || 1;
        for (const other of Object.values(cluster.workers ?? {})) other?.kill('SIGTERM');
        return;
      }
      log.error({ worker: worker.process.pid, code }, 'worker died; starting another');
      fork();
    });
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      closing = true;
      for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill(signal);
    });
  for (let index = 0; index < count; index += 1) fork();
};
