import test from 'ava';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createBrowser } from '../helpers/browser.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  // All tests come from one network; those that are about it are elsewhere.
  server = await startServer({ rateLimits: { ...DEFAULT_LIMITS, 'login-network': { points: 10_000, seconds: 900 } } });
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

let count = 0;
const account = async () => {
  const email = `guessed${++count}-${process.pid}-${Date.now()}@example.com`;
  await server.accounts.create({ email, password: 'secret1' });
  return email;
};
const login = (email: string, password: string) => rest.post('/auth/login', { email, password });

test('after five failures an account has to wait, the right password included, and is told how long', async (t) => {
  const email = await account();
  for (let i = 0; i < 5; i += 1) t.is((await login(email, 'wrong12')).status, 401);
  const refused = await login(email, 'secret1');
  t.is(refused.status, 429);
  t.is(refused.body.code, 'too_many_attempts');
  const seconds = Number(refused.headers.get('retry-after'));
  t.true(seconds > 0 && seconds <= 30, String(seconds));
  t.is((await login(email.toUpperCase(), 'secret1')).status, 429, 'in capitals it is the same account');
  t.is((await login(await account(), 'secret1')).status, 200, 'another account is not concerned');
});

test('an account that does not exist has to wait in the same way', async (t) => {
  const email = `nobody-${process.pid}-${Date.now()}@example.com`;
  for (let i = 0; i < 5; i += 1) t.is((await login(email, 'wrong12')).status, 401);
  t.is((await login(email, 'wrong12')).status, 429);
});

test('parallel guesses are bounded, and count as well as guesses in a row', async (t) => {
  const email = await account();
  const answers = await Promise.all(Array.from({ length: 35 }, () => login(email, 'wrong12')));
  t.true(answers.every(({ status }) => status === 401 || status === 429));
  t.true(answers.filter(({ status }) => status === 401).length <= 25);
  t.is((await login(email, 'secret1')).status, 429);
});

test('twenty sign-ins to one account at once, all with the right password, all succeed', async (t) => {
  const email = await account();
  const answers = await Promise.all(Array.from({ length: 20 }, () => login(email, 'secret1')));
  t.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
});

test('a right password gives the whole budget back', async (t) => {
  const email = await account();
  for (let round = 0; round < 3; round += 1) {
    for (let i = 0; i < 4; i += 1) await login(email, 'wrong12');
    t.is((await login(email, 'secret1')).status, 200);
  }
});

test('strangers who guess do not lock the owner’s own browser out', async (t) => {
  const email = await account();
  const owner = createBrowser(server.origin);
  const signedIn = await owner.submit(await owner.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  t.is(signedIn.url.pathname, '/account');
  await owner.submit(await owner.submit(signedIn, 'sign-out'), 'sign-out');

  for (let i = 0; i < 6; i += 1) await login(email, 'wrong12');
  t.is((await login(email, 'secret1')).status, 429);
  const stranger = createBrowser(server.origin);
  const page = await stranger.submit(await stranger.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  t.is(page.status, 429);
  t.regex(page.html, /Too many attempts/);
  t.truthy(page.headers.get('retry-after'));

  const again = await owner.submit(await owner.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  t.is(again.url.pathname, '/account');
});

test('a device mark of one account, or a made-up one, opens no other account’s budget', async (t) => {
  const [one, other] = [await account(), await account()];
  const browser = createBrowser(server.origin);
  await browser.submit(await browser.go('/login'), 'sign-in', { login: one, password: 'secret1' });
  for (let i = 0; i < 5; i += 1) await login(other, 'wrong12');
  for (const value of [browser.cookies().find(({ name }) => name === 'device')?.value ?? '', 'made-up']) {
    const thief = createBrowser(server.origin, {});
    thief.setCookies([{ name: 'device', value, path: '/', host: new URL(server.origin).host }]);
    const page = await thief.submit(await thief.go('/login'), 'sign-in', { login: other, password: 'secret1' });
    t.is(page.status, 429);
  }
});

const person = async () => {
  const [email, username] = [`both${++count}-${process.pid}@example.com`, `both.${count}.${process.pid}`];
  const { id } = await server.accounts.create({ email, username, password: 'secret1' });
  return { id, email, username };
};
const byName = (username: string, password: string, headers = {}) =>
  rest.post('/auth/login', { username, password }, headers);

test('an account has one budget, by whichever of its names it is guessed at', async (t) => {
  const { email, username } = await person();
  for (let i = 0; i < 3; i += 1) t.is((await login(email, 'wrong12')).status, 401);
  for (let i = 0; i < 2; i += 1) t.is((await byName(username, 'wrong12')).status, 401);
  t.is((await login(email, 'secret1')).status, 429);
  t.is((await byName(username.toUpperCase(), 'secret1')).status, 429);
});

const deviceOf = ({ headers }: { headers: Headers }) => /device=[^;]+/.exec(headers.get('set-cookie') ?? '')?.[0] ?? '';

test('a browser is known to an account by whichever of its names it signed in with', async (t) => {
  const { email, username } = await person();
  const cookie = deviceOf(await byName(username, 'secret1'));
  for (let i = 0; i < 5; i += 1) await login(email, 'wrong12');
  t.is((await login(email, 'secret1')).status, 429);
  t.is((await rest.post('/auth/login', { email, password: 'secret1' }, { cookie })).status, 200);
});

test('two browsers of one account have a budget each', async (t) => {
  const { email } = await person();
  const [one, other] = [deviceOf(await login(email, 'secret1')), deviceOf(await login(email, 'secret1'))];
  t.not(one, other);
  const from = (cookie: string, password: string) => rest.post('/auth/login', { email, password }, { cookie });
  for (let i = 0; i < 5; i += 1) t.is((await from(one, 'wrong12')).status, 401);
  t.is((await from(one, 'secret1')).status, 429);
  t.is((await from(other, 'secret1')).status, 200);
});

for (const how of ['changed', 'reset'])
  test(`a browser is no longer known once the password is ${how}`, async (t) => {
    const { email } = await person();
    const signedIn = await login(email, 'secret1');
    const cookie = deviceOf(signedIn);
    if (how === 'reset') {
      await rest.post('/auth/forgot-password', { email });
      const token = await tokenTo(server, email, 'reset_password');
      await rest.post('/auth/reset-password', { token, new_password: 'secret2' });
    } else {
      const change = { current_password: 'secret1', new_password: 'secret2' };
      t.is((await rest.put('/users/me/password', change, bearer(signedIn.body.access_token))).status, 204);
    }
    for (let i = 0; i < 5; i += 1) await login(email, 'wrong12');
    t.is((await rest.post('/auth/login', { email, password: 'secret2' }, { cookie })).status, 429);
  });

test('signing in tells what is left, for an account and for none alike', async (t) => {
  const { email } = await person();
  for (const name of [email, `none-${process.pid}@example.com`]) {
    const told = [];
    for (let i = 0; i < 5; i += 1) {
      const { headers } = await login(name, 'wrong12');
      t.is(headers.get('ratelimit-limit'), '5');
      t.true(Number(headers.get('ratelimit-reset')) > 0);
      told.push(headers.get('ratelimit-remaining'));
    }
    t.deepEqual(told, ['4', '3', '2', '1', '0']);
    t.is((await login(name, 'wrong12')).headers.get('ratelimit-remaining'), '0');
  }
});
