// One server, as an operator starts it: src/main.ts as a process of its own.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AS_STARTED } from '../../scripts/as-started.ts';

const fileOf = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export type ServerProcess = ReturnType<typeof createServerProcess>;
export type Environment = Record<string, string | undefined>;

/** Runs one of the scripts to its end. */
export const runScript = async (path: string, args: string[], env: Environment, cwd: string) => {
  const child = spawn(process.execPath, [fileOf(path), ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const [code] = await once(child, 'close');
  return { code: code as number | null, output };
};

export const createServerProcess = (name: string, port: number, env: Environment, dir: string) => {
  const origin = `http://127.0.0.1:${port}`;
  const logFile = join(dir, `server-${name}.log`);
  const log = openSync(logFile, 'a');
  let child: ChildProcess | undefined;
  /** Moments at which its connections may break, for nobody answers; open while it is down. */
  const absences: { from: number; to: number }[] = [];

  const gone = async (signal: NodeJS.Signals): Promise<void> => {
    absences.push({ from: Date.now(), to: Number.POSITIVE_INFINITY });
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  };

  return {
    name,
    origin,
    async start(clockOffsetMs = 0): Promise<void> {
      const hook = clockOffsetMs === 0 ? [] : ['--import', fileOf('test/faults/skewed-clock.ts')];
      child = spawn(process.execPath, [...AS_STARTED, ...hook, fileOf('src/main.ts')], {
        cwd: dir,
        env: { ...env, PORT: String(port), CLOCK_OFFSET_MS: String(clockOffsetMs) },
        stdio: ['ignore', log, log],
      });
      for (const deadline = Date.now() + 90_000; ; await sleep(50)) {
        if (child.exitCode !== null) throw new Error(`server ${name} ended with ${child.exitCode}: see ${dir}`);
        if (Date.now() > deadline) throw new Error(`server ${name} did not start: see ${dir}`);
        const up = await fetch(`${origin}/health`).then(
          (answer) => answer.ok,
          () => false,
        );
        if (up) break;
      }
      for (const absence of absences) absence.to = Math.min(absence.to, Date.now());
    },
    /** As kill -9: no chance to put anything in order. */
    kill: () => gone('SIGKILL'),
    stop: () => gone('SIGTERM'),
    /** What it has logged of a request, as far as it tells what went wrong. */
    async saidOf(requestId: string): Promise<string> {
      // It may answer before it writes.
      await sleep(100);
      const lines = (await readFile(logFile, 'utf8')).split('\n').filter((line) => line.includes(requestId));
      return lines.map((line) => line.slice(0, 1_000)).join('\n');
    },
    isRunning: () => child !== undefined && child.exitCode === null && child.signalCode === null,
    /** Whether it was down, by our own doing, at some moment of these. */
    wasAway: (from: number, to: number): boolean => absences.some((one) => one.from <= to && from <= one.to),
  };
};
