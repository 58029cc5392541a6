// Guessing passwords from one network and from many, and headers that pretend to come from elsewhere (OWASP ASVS 5.0 §6.3.1, §15.3.4).
import test from 'ava';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const PASSWORD = 'the password of somebody';
const POINTS = 12;
const rateLimits = { ...DEFAULT_LIMITS, 'login-network': { points: POINTS, seconds: 900 } };

/** Behind a proxy that says who is calling. */
let behind: TestServer;
/** With nothing in front. */
let open: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  behind = await startServer({ trustProxy: 1, rateLimits });
  open = await startServer({ rateLimits }, behind);
  rest = createRest(behind.origin);
});
test.after.always(async () => {
  await open?.close();
  await behind?.close();
});

let serial = 0;
const account = async (): Promise<string> => {
  const email = `brute-force-${++serial}@example.com`;
  await behind.accounts.create({ email, password: PASSWORD });
  return email;
};
const guess = (email: string, from: string, password = 'a guess', more: Record<string, string> = {}) =>
  rest.post('/auth/login', { email, password }, { 'x-forwarded-for': from, ...more });

test.serial('one network that guesses at many accounts is stopped; others are not', async (t) => {
  const [one, ...rest] = await Promise.all(Array.from({ length: 3 }, account));
  for (let tried = 0; tried < POINTS; tried += 1)
    t.is((await guess(`nobody-${tried}@example.com`, '198.51.100.7')).status, 401);
  const stopped = await guess(one ?? '', '198.51.100.7', PASSWORD);
  t.is(stopped.status, 429, 'the right password included');
  t.true(Number(stopped.headers.get('retry-after')) > 0);
  t.is((await guess(rest[0] ?? '', '198.51.100.8', PASSWORD)).status, 200);
});

test.serial('addresses of one IPv6 network are one', async (t) => {
  for (let tried = 0; tried < POINTS; tried += 1)
    t.is((await guess(`six-${tried}@example.com`, `2001:db8:1:2::${(tried + 1).toString(16)}`)).status, 401);
  t.is((await guess(await account(), '2001:db8:1:2:ffff:ffff:ffff:ffff', PASSWORD)).status, 429);
  t.is((await guess(await account(), '2001:DB8:0001:2:0::1', PASSWORD)).status, 429, 'however it is spelled');
  t.is((await guess(await account(), '2001:db8:1:3::1', PASSWORD)).status, 200);
  // Nor is an IPv4 address another one as an IPv6 one.
  for (let tried = 0; tried < POINTS; tried += 1)
    t.is(
      (
        await guess(
          `four-${tried}@example.com`,
          ['198.51.100.44', '::ffff:198.51.100.44', '::ffff:c633:642c'][tried % 3] ?? '',
        )
      ).status,
      401,
    );
  t.is((await guess(await account(), '198.51.100.44', PASSWORD)).status, 429);
  t.is((await guess(await account(), '::ffff:c633:642d', PASSWORD)).status, 200);
});

test.serial('many networks that guess at one account are stopped; its owner’s own browser goes on', async (t) => {
  const email = await account();
  const signedIn = await guess(email, '203.0.113.1', PASSWORD);
  const cookie = /device=[^;]+/.exec(signedIn.headers.get('set-cookie') ?? '')?.[0] ?? '';
  for (let tried = 0; tried < 5; tried += 1) t.is((await guess(email, `203.0.113.${10 + tried}`)).status, 401);
  const stopped = await guess(email, '203.0.113.99', PASSWORD);
  t.is(stopped.status, 429, 'from a network that has not guessed yet, with the right password');
  t.true(Number(stopped.headers.get('retry-after')) > 0);
  t.is((await guess(email, '203.0.113.99', PASSWORD, { cookie })).status, 200);
});

test.serial(
  'many networks that guess at one account at once get no more guesses than one after the other',
  async (t) => {
    const email = await account();
    const answers = await Promise.all(Array.from({ length: 60 }, (_, index) => guess(email, `192.0.2.${index + 1}`)));
    const looked = answers.filter(({ status }) => status === 401).length;
    t.true(looked <= 25, `${looked} passwords were looked at`);
    t.true(answers.every(({ status }) => status === 401 || status === 429));
    t.is((await guess(email, '192.0.2.200', PASSWORD)).status, 429);
  },
);

test.serial(
  'a header in the place of a proxy’s counts for nothing: neither without a proxy nor before its own',
  async (t) => {
    const headers = (index: number) => ({
      'x-forwarded-for': `198.18.0.${index + 1}`,
      'x-real-ip': `198.18.1.${index + 1}`,
      'x-client-ip': `198.18.2.${index + 1}`,
      'true-client-ip': `198.18.3.${index + 1}`,
      'cf-connecting-ip': `198.18.4.${index + 1}`,
      forwarded: `for=198.18.5.${index + 1}`,
    });
    const directly = createRest(open.origin);
    const ask = (index: number) =>
      directly.post('/auth/login', { email: `spoof-${index}@example.com`, password: 'x' }, headers(index));
    for (let index = 0; index < POINTS; index += 1) t.is((await ask(index)).status, 401);
    t.is((await ask(POINTS)).status, 429);
    // The proxy adds the address that it sees at the end; what the caller said comes before.
    for (let index = 0; index < POINTS; index += 1)
      t.is((await guess(`before-${index}@example.com`, `198.18.9.${index + 1}, 198.51.100.99`)).status, 401);
    t.is((await guess('before@example.com', '198.18.9.99, 198.51.100.99')).status, 429);
  },
);
