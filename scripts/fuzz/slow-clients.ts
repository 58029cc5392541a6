// npm run fuzz:slow: what other callers feel of slow ones. 500 connections drip the heads of requests, then 500 drip bodies; meanwhile a few
// callers measure. Prints their p99 before and during each flood, and ends with 1 where it is 200 ms or more, or a request fails.
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCalls } from './calls.ts';
import { createSender } from './send.ts';
import { startServed } from './served.ts';
import { settingsOf } from './settings.ts';

const CONNECTIONS = 500;
const CALLERS = 4;
const SECONDS = 10;
const P99_MS = 200;

type Flood = { head: string; drop: string };
const FLOODS: Record<string, Flood> = {
  heads: { head: 'GET /users/me HTTP/1.1\r\nHost: x\r\n', drop: 'X-Drop: y\r\n' },
  bodies: {
    head: 'POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n',
    drop: ' ',
  },
};

const open = (port: number, { head, drop }: Flood) => {
  const sockets: Socket[] = [];
  const cut = new Set<Socket>();
  for (let i = 0; i < CONNECTIONS; i += 1) {
    const socket = connect(port, '127.0.0.1', () => socket.write(head));
    socket.on('error', () => {});
    socket.on('close', () => cut.add(socket));
    socket.resume();
    sockets.push(socket);
  }
  const dripping = setInterval(() => {
    for (const socket of sockets) if (socket.writable) socket.write(drop);
  }, 500);
  return {
    held: () => CONNECTIONS - cut.size,
    close() {
      clearInterval(dripping);
      for (const socket of sockets) socket.destroy();
    },
  };
};

const percentile = (values: number[], at: number): number =>
  Math.round((values.sort((a, b) => a - b)[Math.floor(values.length * at)] ?? 0) * 10) / 10;

const { seed, ...stores } = settingsOf();
const served = await startServed(stores, seed);
const sender = createSender(served.origin);
try {
  const email = 'slow@example.com';
  const password = 'the password of somebody quick';
  const calls = createCalls(served.origin);
  await calls.json('/auth/register', { email, password });
  const token = `Bearer ${(await calls.json('/auth/login', { email, password })).access_token}`;

  const measure = async (seconds: number) => {
    const took: number[] = [];
    const failures: string[] = [];
    const until = Date.now() + seconds * 1000;
    const caller = async () => {
      while (Date.now() < until) {
        const answer = await sender.send(
          { method: 'GET', target: '/users/me', headers: [['authorization', token]], body: undefined },
          'slow-clients',
        );
        took.push(answer.ms);
        if (!('status' in answer) || answer.status !== 200)
          failures.push('failed' in answer ? answer.failed : String(answer.status));
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    return {
      requests: took.length,
      p50_ms: percentile(took, 0.5),
      p99_ms: percentile(took, 0.99),
      failures: failures.length,
    };
  };

  await measure(3);
  const quiet = await measure(SECONDS);
  const during: Record<string, Awaited<ReturnType<typeof measure>> & { held: number }> = {};
  for (const [name, flood] of Object.entries(FLOODS)) {
    const slow = open(served.port, flood);
    await sleep(500);
    during[name] = { ...(await measure(SECONDS)), held: slow.held() };
    slow.close();
  }
  process.stdout.write(`${JSON.stringify({ connections: CONNECTIONS, quiet, during }, null, 2)}\n`);
  const bad = Object.values(during).filter(({ p99_ms, failures }) => p99_ms >= P99_MS || failures > 0);
  process.exitCode = bad.length === 0 ? 0 : 1;
} finally {
  sender.close();
  await served.stop();
}
