// POST /auth/login against the raw rate of argon2id at the same cost, and what other requests feel of a flood of sign-ins:
// node scripts/bench/login.ts [--rounds 3] [--seconds 8] [--warm-up 90] [--core N]. Starts a server on PORT, on the stores that DATABASE_URL and REDIS_URL name.
// With --core the service has that one to itself, and so has the raw hashing (Linux, by taskset); the load has the others. The stores are
// for whoever runs this to keep off it: taskset -a -p -c 1 PID.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import argon2 from 'argon2';
import { loadConfig } from '../../src/config.ts';
import { argumentsOf, script, UsageError, withApp } from '../with-app.ts';
import { load, median, type Requests, serve } from './served.ts';

const USAGE = '[--rounds 3] [--seconds 8] [--warm-up 90] [--core N]';
const PASSWORD = randomBytes(12).toString('base64url');
/** Each request signs in another: what one's sign-ins wait for of each other is none of a service's ordinary load. */
const USERS = 200;
/** So many that one always waits for a hash, whatever else the others wait for, and none is refused. */
const CONNECTIONS = 20;
/** Far more than are served: the queue is full all the time. */
const FLOOD = 150;

/** Keeps this process to these cores. */
const runOn = (cores: number[]): void => {
  execFileSync('taskset', ['-a', '-p', '-c', cores.join(), String(process.pid)], { stdio: 'ignore' });
};

/** Verifications a second, in this process, nothing else running. */
const rawRate = async (seconds: number, atOnce: number): Promise<number> => {
  const hash = await argon2.hash(PASSWORD, { type: argon2.argon2id, memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  let count = 0;
  const until = Date.now() + seconds * 1000;
  const worker = async () => {
    while (Date.now() < until) {
      await argon2.verify(hash, PASSWORD);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return Math.round((count / seconds) * 10) / 10;
};

await script(async () => {
  const option = { type: 'string' } as const;
  const given = argumentsOf({ rounds: option, seconds: option, 'warm-up': option, core: option }, USAGE);
  const { rounds: r = 3, seconds: s = 8, 'warm-up': w = 90, core: c = -1 } = given;
  const [rounds, seconds, warmUp, core] = [Number(r), Number(s), Number(w), Number(c)];
  if (![rounds, seconds, warmUp, core].every(Number.isSafeInteger)) throw new UsageError(`usage: ${USAGE}`);
  const cores = Array.from({ length: availableParallelism() }, (_, one) => one);
  const others = cores.filter((one) => one !== core);
  // As many at once as there are cores to hash on.
  const raw = async (): Promise<number> => {
    if (core < 0) return rawRate(seconds, Math.min(4, cores.length));
    runOn([core]);
    const rate = await rawRate(seconds, 1);
    runOn(others);
    return rate;
  };
  const { config } = loadConfig();
  const name = randomBytes(6).toString('hex');
  const emails = Array.from({ length: USERS }, (_, one) => `bench-${name}-${one}@bench.example`);
  const client = await withApp(async ({ accounts, clients }) => {
    for (const email of emails) await accounts.create({ email, password: PASSWORD });
    return clients.register({ redirect_uris: [], response_types: [], grant_types: ['client_credentials'] });
  });

  const server = await serve(
    '../../src/main.ts',
    config.port,
    '/health',
    {
      RATE_LIMITS: 'login-account=99999999/60,login-network=99999999/60',
    },
    [],
    core < 0 ? [] : ['taskset', '-c', String(core)],
  );
  if (core >= 0) runOn(others);
  try {
    const logins = emails.map((email) => ({
      method: 'POST' as const,
      path: '/auth/login',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password: PASSWORD }),
    }));
    let first = 0;
    const login: Requests = {
      url: server.origin,
      // Each connection begins with another user.
      setupClient: (connection) => {
        connection.setRequests([...logins.slice(first), ...logins.slice(0, first)]);
        first = (first + 7) % USERS;
      },
    };
    const token = {
      url: `${server.origin}/oauth/token`,
      method: 'POST' as const,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: client.client_id,
        client_secret: String(client.client_secret),
      }).toString(),
    };
    const figures = { raw: [] as number[], logins: [] as number[], ratios: [] as number[] };
    // What runs seventy times a second is compiled piece by piece, over a minute or more; the service goes on for months.
    if (warmUp > 0) await load(login, CONNECTIONS, warmUp);
    for (let round = 0; round < rounds; round += 1) {
      const rate = await raw();
      const { requestsPerSecond, statuses } = await load(login, CONNECTIONS, seconds);
      if (Object.keys(statuses).join() !== '200') throw new Error(`answers: ${JSON.stringify(statuses)}`);
      figures.raw.push(rate);
      figures.logins.push(requestsPerSecond);
      figures.ratios.push(Math.round((requestsPerSecond / rate) * 1000) / 1000);
    }
    const quiet = await load(token, 5, seconds);
    const [flood, beside] = await Promise.all([load(login, FLOOD, seconds), load(token, 5, seconds)]);
    return {
      median_per_second: { raw_argon2id: median(figures.raw), logins: median(figures.logins) },
      median_ratio: median(figures.ratios),
      ...figures,
      flood: { connections: FLOOD, statuses: flood.statuses, p99_ms: flood.p99Ms },
      token_requests: {
        quiet: { per_second: quiet.requestsPerSecond, p99_ms: quiet.p99Ms },
        beside_the_flood: { per_second: beside.requestsPerSecond, p99_ms: beside.p99Ms, statuses: beside.statuses },
      },
    };
  } finally {
    await server.stop();
  }
});
