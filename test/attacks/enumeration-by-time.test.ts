// Whether the time of an answer tells who has an account (CWE-208; OWASP ASVS 5.0 §6.3.8). The samples of all kinds are taken in turns, in
// an order drawn anew each round, so that whatever else the machine does falls on all of them alike; and they are compared by ranks, which
// neither a slow answer nor a slow machine shifts.
import { randomInt } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import test, { type ExecutionContext } from 'ava';
import { createForeignHashes } from '../../src/domain/password-hashes/foreign.ts';
import { createPasswords } from '../../src/domain/passwords.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { ROOMY } from '../helpers/limits.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const SAMPLES = 200;
/** Accounts of each kind, so that what is kept of one attempt is as new or as old for each. */
const EACH = 20;
/**
 * In standard deviations. Two kinds that differ by nothing never come out so far apart, nor do two of which one takes a fraction of a
 * millisecond longer, as a row that is there does; two of which one is spared a hash, a mail or a transaction do, by far.
 */
const FAR_APART = 7;
/** A tenth of what argon2 costs in production, and many times what else an answer takes differs by. */
const COST = { memoryCost: 8192, timeCost: 2 };

let server: TestServer;
let rest: ReturnType<typeof createRest>;
let names: Record<'unknown' | 'known' | 'banned' | 'unverified', string[]>;

test.before(async () => {
  server = await startServer({ passwordCost: COST, rateLimits: ROOMY });
  rest = createRest(server.origin);
  const of = (kind: string) => Array.from({ length: EACH }, (_, index) => `${kind}-${index}@example.com`);
  names = { unknown: of('unknown'), known: of('known'), banned: of('banned'), unverified: of('unverified') };
  const password = 'a long password';
  for (const kind of ['known', 'banned', 'unverified'] as const)
    for (const email of names[kind])
      await server.accounts.create({ email, password, emailVerified: kind !== 'unverified' });
  await server.database.pool.query(`UPDATE users SET banned_at = now() WHERE email LIKE 'banned-%'`);
});
test.after.always(() => server?.close());

const shuffled = <T>(values: T[]): T[] => {
  const rest = [...values];
  return values.map(() => rest.splice(randomInt(rest.length), 1)[0] as T);
};

const medianOf = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;

/** How far apart two samples are, in standard deviations of what chance does (Mann and Whitney's rank sum; times are hardly ever equal). */
const apart = (one: number[], other: number[]): number => {
  const all = [...one.map((time) => ({ time, mine: 1 })), ...other.map((time) => ({ time, mine: 0 }))];
  all.sort((a, b) => a.time - b.time);
  const ranks = all.reduce((sum, { mine }, index) => sum + mine * (index + 1), 0);
  const [n, m] = [one.length, other.length];
  const u = ranks - (n * (n + 1)) / 2;
  return (u - (n * m) / 2) / Math.sqrt((n * m * (n + m + 1)) / 12);
};

type Samples = Record<string, { wall: number[]; work: number[] }>;

/** What each answer took: by the clock, and of this process's work, its hashing included, which no other program on the machine adds to. */
const samplesOf = async (ask: (email: string) => Promise<unknown>): Promise<Samples> => {
  const kinds = Object.entries(names);
  const samples: Samples = Object.fromEntries(kinds.map(([kind]) => [kind, { wall: [], work: [] }]));
  // The first ones open connections and compile.
  for (let sample = -5; sample < SAMPLES; sample += 1)
    for (const [kind, all] of shuffled(kinds)) {
      const [begun, worked] = [performance.now(), process.cpuUsage()];
      await ask(all[(sample + EACH) % EACH] ?? '');
      const [wall, { user, system }] = [performance.now() - begun, process.cpuUsage(worked)];
      if (sample < 0) continue;
      samples[kind]?.wall.push(wall);
      samples[kind]?.work.push((user + system) / 1000);
    }
  return samples;
};

const inseparable = (t: ExecutionContext, samples: Samples): void => {
  const { unknown = { wall: [], work: [] }, ...known } = samples;
  const medians = ({ wall, work }: { wall: number[]; work: number[] }) =>
    `${medianOf(wall).toFixed(2)} ms, ${medianOf(work).toFixed(2)} ms of work`;
  t.log(`unknown: ${medians(unknown)}`);
  for (const [kind, { wall, work }] of Object.entries(known)) {
    const [byTime, byWork] = [apart(wall, unknown.wall), apart(work, unknown.work)];
    const told = `${kind}: ${medians({ wall, work })}; ${byTime.toFixed(1)} and ${byWork.toFixed(1)} from unknown`;
    t.log(told);
    t.true(Math.abs(byTime) < FAR_APART && Math.abs(byWork) < FAR_APART, told);
  }
};

test.serial('a sign-in takes as long for an unknown, a known, a banned and an unverified account', async (t) => {
  t.timeout(300_000);
  const samples = await samplesOf(async (email) => {
    const { status } = await rest.post('/auth/login', { email, password: 'not the password' });
    t.is(status, 401);
  });
  inseparable(t, samples);

  // What this would show if the password of nobody were not looked at.
  const none = createForeignHashes(createSecrets('a master key for tests, 32 bytes or more'));
  const passwords = createPasswords({ minLength: 6, blocklist: false, cost: COST }, none);
  await passwords.verify(undefined, 'not the password');
  const cost = Array.from({ length: 9 }, () => 0);
  for (const round of cost.keys()) {
    const begun = process.cpuUsage();
    await passwords.verify(undefined, 'not the password');
    const { user, system } = process.cpuUsage(begun);
    cost[round] = (user + system) / 1000;
  }
  const cheaper = (samples.unknown?.work ?? []).map((work) => work - medianOf(cost));
  t.true(apart(samples.known?.work ?? [], cheaper) > FAR_APART, 'the control: a missing hash would be seen');
});

test.serial(
  'asking for a new password takes as long for an unknown, a known, a banned and an unverified account',
  async (t) => {
    t.timeout(300_000);
    const samples = await samplesOf(async (email) => {
      t.is((await rest.post('/auth/forgot-password', { email })).status, 202);
    });
    inseparable(t, samples);
  },
);
