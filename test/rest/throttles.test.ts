// Past a limit the answer is 429 with the seconds to wait; the limits are counted apart from each other.
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { DEFAULT_LIMITS, type LimitName } from '../../src/domain/throttles.ts';
import { createBrowser } from '../helpers/browser.ts';
import { type Answer, createRest } from '../helpers/rest.ts';
import { startServer } from '../helpers/server.ts';

const limited = async (t: { teardown(fn: () => Promise<void>): void }, name: LimitName, points: number) => {
  const server = await startServer({ rateLimits: { ...DEFAULT_LIMITS, [name]: { points, seconds: 600 } } });
  t.teardown(server.close);
  return { server, rest: createRest(server.origin) };
};
const isTooMany = ({ status, body, headers }: Answer): boolean => {
  const seconds = Number(headers.get('retry-after'));
  return status === 429 && body.code === 'too_many_attempts' && seconds > 0 && seconds <= 600;
};
const token = () => randomBytes(32).toString('base64url');

test.serial('registrations from one network are bounded, and say what is left', async (t) => {
  const { rest } = await limited(t, 'register-network', 2);
  for (const [n, left] of ['1', '0'].entries()) {
    const { status, headers } = await rest.post('/auth/register', { email: `n${n}@example.com`, password: 'secret1' });
    t.is(status, 201);
    t.is(headers.get('ratelimit-limit'), '2');
    t.is(headers.get('ratelimit-remaining'), left);
    t.true(Number(headers.get('ratelimit-reset')) > 0);
  }
  t.true(isTooMany(await rest.post('/auth/register', { email: 'n3@example.com', password: 'secret1' })));
});

test.serial(
  'registrations with one address are bounded, in any letter case; another address is not concerned',
  async (t) => {
    const { rest } = await limited(t, 'register-account', 2);
    const register = (email: string) => rest.post('/auth/register', { email, password: 'secret1' });
    t.is((await register('a@example.com')).status, 201);
    t.is((await register('A@example.com')).status, 409);
    t.true(isTooMany(await register('a@EXAMPLE.com')));
    t.is((await register('b@example.com')).status, 201);
  },
);

test.serial('mails with links are bounded by network, for known and unknown addresses alike', async (t) => {
  const { server, rest } = await limited(t, 'mail-network', 3);
  await server.accounts.create({ email: 'a@example.com', password: 'secret1' });
  t.is((await rest.post('/auth/forgot-password', { email: 'a@example.com' })).status, 202);
  t.is((await rest.post('/auth/forgot-password', { email: 'nobody@example.com' })).status, 202);
  t.is((await rest.post('/auth/resend-verification', { email: 'a@example.com' })).status, 202);
  for (const email of ['a@example.com', 'nobody@example.com']) {
    t.true(isTooMany(await rest.post('/auth/forgot-password', { email })));
    t.true(isTooMany(await rest.post('/auth/resend-verification', { email })));
  }
});

test.serial('past the limit of an address nothing is mailed to it, and the answer stays the same', async (t) => {
  const { server, rest } = await limited(t, 'mail-account', 2);
  await server.accounts.create({ email: 'a@example.com', password: 'secret1' });
  const answers = [];
  for (let i = 0; i < 4; i += 1) answers.push(await rest.post('/auth/forgot-password', { email: 'A@example.com' }));
  t.deepEqual(new Set(answers.map(({ status, body }) => `${status} ${JSON.stringify(body)}`)).size, 1);
  t.is((await server.mail.kept()).length, 2);
});

test.serial('links that are none are counted by network, over REST and on the pages together', async (t) => {
  const { server, rest } = await limited(t, 'link-network', 4);
  t.is((await rest.post('/auth/verify-email', { token: token() })).status, 422);
  t.is((await rest.post('/auth/reset-password', { token: token(), new_password: 'secret2' })).status, 422);
  const browser = createBrowser(server.origin);
  for (const path of ['/verify-email', '/reset-password'])
    t.is((await browser.go(`${path}?token=${token()}`)).status, 400);
  t.true(isTooMany(await rest.post('/auth/verify-email', { token: token() })));
  const page = await browser.go(`/reset-password?token=${token()}`);
  t.is(page.status, 429);
});

const tokenRequest = (origin: string, secret: string, clientId: string, basic: boolean) =>
  fetch(`${origin}/oauth/token`, {
    method: 'POST',
    headers: basic ? { authorization: `Basic ${Buffer.from(`${clientId}:${secret}`).toString('base64')}` } : {},
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      ...(!basic && { client_id: clientId, client_secret: secret }),
    }),
  });
const SERVICE = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };

for (const basic of [true, false])
  test.serial(
    `wrong secrets of one client are bounded, the right one included; another client goes on (${basic ? 'basic' : 'post'})`,
    async (t) => {
      const { server } = await limited(t, 'client-account', 3);
      const [guessed, other] = [await server.clients.register(SERVICE), await server.clients.register(SERVICE)];
      const ask = (client: typeof guessed, secret = String(client.client_secret)) =>
        tokenRequest(server.origin, secret, client.client_id, basic);
      t.is((await ask(guessed)).status, 200);
      for (let i = 0; i < 3; i += 1) t.is((await ask(guessed, token())).status, 401);
      const refused = await ask(guessed);
      t.is(refused.status, 429);
      t.true(Number(refused.headers.get('retry-after')) > 0);
      t.like(await refused.json(), { error: 'temporarily_unavailable' });
      t.is((await ask(other)).status, 200);
    },
  );

test.serial('wrong client credentials from one network are bounded, whichever client they name', async (t) => {
  const { server } = await limited(t, 'client-network', 3);
  const client = await server.clients.register(SERVICE);
  for (let i = 0; i < 3; i += 1) t.is((await tokenRequest(server.origin, token(), `nobody${i}`, true)).status, 401);
  const refused = await tokenRequest(server.origin, String(client.client_secret), client.client_id, true);
  t.is(refused.status, 429);
  t.true(Number(refused.headers.get('retry-after')) > 0);
  t.like(await refused.json(), { error: 'temporarily_unavailable' });
});

test.serial('codes and refresh tokens that are no good are counted for nobody', async (t) => {
  const { server } = await limited(t, 'client-network', 2);
  const client = await server.clients.register({
    redirect_uris: ['https://app.example.com/cb'],
    grant_types: ['authorization_code', 'refresh_token'],
  });
  for (let i = 0; i < 5; i += 1) {
    const answer = await fetch(`${server.origin}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'refresh_token',
        refresh_token: token(),
        client_id: client.client_id,
        client_secret: String(client.client_secret),
      }),
    });
    t.is(answer.status, 400);
  }
});

test.serial('refresh tokens that are none are counted by network; every answer says what is left', async (t) => {
  const { server, rest } = await limited(t, 'refresh-network', 3);
  await server.accounts.create({ email: 'a@example.com', password: 'secret1' });
  const { body } = await rest.post('/auth/login', { email: 'a@example.com', password: 'secret1' });
  const refreshed = await rest.post('/auth/refresh', { refresh_token: body.refresh_token });
  t.is(refreshed.status, 200);
  t.is(refreshed.headers.get('ratelimit-limit'), '3');
  t.is(refreshed.headers.get('ratelimit-remaining'), '3');
  for (const left of ['2', '1', '0']) {
    const { status, headers } = await rest.post('/auth/refresh', { refresh_token: token() });
    t.is(status, 401);
    t.is(headers.get('ratelimit-remaining'), left);
  }
  t.true(isTooMany(await rest.post('/auth/refresh', { refresh_token: refreshed.body.refresh_token })));
});

test.serial('links of mails and the token endpoints say what is left', async (t) => {
  const { server, rest } = await limited(t, 'client-network', 10);
  for (const [path, body] of [
    ['/auth/verify-email', { token: token() }],
    ['/auth/reset-password', { token: token(), new_password: 'secret2' }],
    ['/auth/forgot-password', { email: 'a@example.com' }],
    ['/auth/resend-verification', { email: 'a@example.com' }],
  ] as const) {
    const { headers } = await rest.post(path, body);
    for (const name of ['limit', 'remaining', 'reset']) t.regex(headers.get(`ratelimit-${name}`) ?? '', /^\d+$/, path);
  }
  const client = await server.clients.register(SERVICE);
  const ask = (secret: string) => tokenRequest(server.origin, secret, client.client_id, true);
  const [right, wrong] = [await ask(String(client.client_secret)), await ask(token())];
  t.deepEqual([right.headers.get('ratelimit-remaining'), wrong.headers.get('ratelimit-remaining')], ['10', '9']);
});
