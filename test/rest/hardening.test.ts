// What a review found: each was a way to a failure of ours, or around a rule.
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createRateLimits } from '../../src/storage/rate-limits.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;
test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

let count = 0;
const signedIn = async (role: 'user' | 'admin' = 'user') => {
  const email = `hard${++count}@example.com`;
  const { id } = await server.accounts.create({ email, password: 'secret1', role, emailVerified: true });
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' });
  return { id, email, auth: bearer(body.access_token) };
};
const linkTo = async (address: string) => {
  const mail = (await server.mail.kept(1000)).find(({ to, message }) => to.email === address && 'link' in message);
  const link = mail && 'link' in mail.message ? mail.message.link : 'about:blank';
  return new URL(link).searchParams.get('token') ?? '';
};

test('a new password ends what was mailed for another password or another address', async (t) => {
  const { email, auth } = await signedIn();
  await rest.post('/auth/forgot-password', { email });
  const reset = await linkTo(email);
  const elsewhere = `elsewhere${count}@example.com`;
  await rest.put('/users/me', { email: elsewhere, current_password: 'secret1' }, auth);
  const change = await linkTo(elsewhere);
  const password = { current_password: 'secret1', new_password: 'secret2' };
  t.is((await rest.put('/users/me/password', password, auth)).status, 204);
  t.is((await rest.post('/auth/reset-password', { token: reset, new_password: 'secret3' })).status, 422);
  t.is((await rest.post('/auth/verify-email', { token: change })).status, 422);
  const back = await rest.post('/auth/login', { email, password: 'secret2' });
  t.is(back.status, 200);
  t.is((await rest.get('/users/me', bearer(back.body.access_token))).body.pending_email, undefined);
});

test('a reset by mail ends a change of address that somebody else had asked for', async (t) => {
  const { email, auth } = await signedIn();
  const elsewhere = `attacker${count}@example.com`;
  await rest.put('/users/me', { email: elsewhere, current_password: 'secret1' }, auth);
  const change = await linkTo(elsewhere);
  await rest.post('/auth/forgot-password', { email });
  t.is((await rest.post('/auth/reset-password', { token: await linkTo(email), new_password: 'secret2' })).status, 204);
  t.is((await rest.post('/auth/verify-email', { token: change })).status, 422);
});

test('who asks for one address after the other is stopped, and nobody is flooded', async (t) => {
  const { auth } = await signedIn();
  const ask = (n: number) => rest.put('/users/me', { email: `f${n}@third.example`, current_password: 'secret1' }, auth);
  const answers = [];
  for (let n = 0; n < 7; n += 1) answers.push(await ask(n));
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200, 429, 429],
  );
  t.true(Number(answers[6]?.headers.get('retry-after')) > 0);
});

for (const moment of ['9999-12-31T23:59:59-12:00', '0000-12-31T23:59:59Z', '0001-01-01T00:00:00+12:00'])
  test(`${moment}, which has no year of four digits in UTC, is refused everywhere`, async (t) => {
    const admin = await signedIn('admin');
    const { id } = await signedIn();
    t.is((await rest.post(`/admin/users/${id}/ban`, { reason: 'r', until: moment }, admin.auth)).status, 422);
    t.is((await rest.get(`/admin/users/${id}`, admin.auth)).body.status, 'active');
    t.is((await rest.post('/users/api-keys', { name: 'k', expires_at: moment }, admin.auth)).status, 422);
    t.is((await rest.get('/users/api-keys', admin.auth)).status, 200);
    t.is((await rest.get(`/admin/audit?from=${encodeURIComponent(moment)}`, admin.auth)).status, 422);
  });

test('a web address with a control character or half a character is refused', async (t) => {
  const { auth } = await signedIn();
  for (const url of ['https://x/\u0000', 'https://x/\ud800', 'https://x/\u0007'])
    for (const field of ['picture', 'profile', 'website'])
      t.is((await rest.put('/users/me', { [field]: url }, auth)).status, 422, JSON.stringify(url));
});

test('an encoded body is refused, whether it is what it says or not', async (t) => {
  const body = JSON.stringify({ email: 'a@example.com', password: 'secret1' });
  for (const [encoding, bytes] of [
    ['gzip', gzipSync(body)],
    ['gzip', body],
    ['br', body],
    ['deflate', body],
    ['nonsense', body],
  ] as const)
    for (const [path, type] of [
      ['/auth/login', 'application/json'],
      ['/forgot-password', 'application/x-www-form-urlencoded'],
    ] as const) {
      const headers = { 'content-type': type, 'content-encoding': encoding };
      const { status } = await fetch(server.origin + path, { method: 'POST', headers, body: bytes });
      t.is(status, 415, `${path} ${encoding}`);
    }
});

test('a role taken away shows at introspection, of tokens that were made before', async (t) => {
  const { id, auth } = await signedIn('admin');
  await signedIn('admin');
  const client = await server.clients.register({ redirect_uris: [], response_types: [], grant_types: [] });
  const introspect = async () => {
    const body = new URLSearchParams({
      token: String(auth.authorization?.slice('Bearer '.length)),
      client_id: client.client_id,
      client_secret: String(client.client_secret),
    });
    return (await fetch(`${server.origin}/oauth/introspect`, { method: 'POST', body })).json();
  };
  t.like(await introspect(), { active: true, role: 'admin' });
  await server.stores.administration.change(id, () => ({ columns: { role: 'user' } }));
  t.like(await introspect(), { active: true, role: 'user', scope: 'read:profile write:profile' });
});

test('a key for an IPv6 network is not for IPv4, and a network with a zone is none', async (t) => {
  const { auth } = await signedIn();
  const make = (network: string) => rest.post('/users/api-keys', { name: 'k', allowed_networks: [network] }, auth);
  const wide = await make('::1/64');
  t.is(wide.status, 201);
  const response = await fetch(`${server.origin.replace('localhost', '127.0.0.1')}/users/me`, {
    headers: { 'x-api-key': String(wide.body.key) },
  }).catch(() => undefined);
  // Where the server listens on IPv6 alone, IPv4 does not get as far.
  if (response) t.is(response.status, 401);
  t.is((await make('::1%eth0/64')).status, 422);
  for (const mapped of ['::ffff:127.0.0.0/104', '::ffff:7f00:0/104', '0:0:0:0:0:ffff:127.0.0.1/128'])
    t.is((await make(mapped)).status, 422, 'nobody is ever there: it is 127.0.0.0/8');
});

test('an app that has signed in before keeps its own budget, whatever strangers do', async (t) => {
  const email = `hard${++count}@example.com`;
  await server.accounts.create({ email, password: 'secret1' });
  const login = (password: string, headers?: Record<string, string>) =>
    rest.post('/auth/login', { email, password }, headers);
  const [cookie = ''] = (await login('secret1')).headers.getSetCookie();
  const device = { cookie: cookie.split(';')[0] ?? '' };
  for (let i = 0; i < 5; i += 1) t.is((await login('wrong12')).status, 401);
  t.is((await login('secret1')).status, 429);
  t.is((await login('secret1', device)).status, 200);
});

test('guesses of one network at once are bounded as those one after the other are, and who signs in rightly is not counted', async (t) => {
  const rateLimits = { ...DEFAULT_LIMITS, 'login-network': { points: 5, seconds: 600 } };
  const limited = await startServer({ rateLimits });
  t.teardown(limited.close);
  await limited.accounts.create({ email: 'eve@example.com', password: 'secret1' });
  const rest = createRest(limited.origin);
  const login = async (email: string, password: string) => (await rest.post('/auth/login', { email, password })).status;
  for (let i = 0; i < 8; i += 1) t.is(await login('eve@example.com', 'secret1'), 200);
  const guesses = Array.from({ length: 20 }, (_, i) => login(`nobody${i}@example.com`, 'wrong12'));
  const statuses = (await Promise.all(guesses)).sort();
  t.deepEqual(statuses, [...Array(5).fill(401), ...Array(15).fill(429)]);
  t.is(await login('eve@example.com', 'secret1'), 429);
});

test('a network that may not try any more uses up nobody’s budget', async (t) => {
  const rateLimits = { ...DEFAULT_LIMITS, 'login-network': { points: 3, seconds: 600 } };
  const limited = await startServer({ rateLimits, trustProxy: 1 });
  t.teardown(limited.close);
  await limited.accounts.create({ email: 'ada@example.com', password: 'secret1' });
  const login = (password: string, ip: string) =>
    createRest(limited.origin).post('/auth/login', { email: 'ada@example.com', password }, { 'x-forwarded-for': ip });
  for (let i = 0; i < 3; i += 1) t.is((await login('wrong12', '192.0.2.1')).status, 401);
  for (let i = 0; i < 40; i += 1) t.is((await login('wrong12', '192.0.2.1')).status, 429);
  t.is((await login('secret1', '192.0.2.2')).status, 200);
});

test('points taken ahead are taken once for all who come at once', async (t) => {
  const limit = createRateLimits()('ahead', 1000, 600);
  const budgets = await Promise.all(Array.from({ length: 500 }, () => limit.spendAhead('key')));
  t.true(budgets.every(({ allowed }) => allowed));
  const rest = await Promise.all(Array.from({ length: 700 }, () => limit.spendAhead('key')));
  t.is(rest.filter(({ allowed }) => allowed).length, 500);
});

test('what is wrong with an address or a name says which field', async (t) => {
  const bad = await rest.post('/auth/register', { email: 'bad', password: 'secret1' });
  t.is(bad.status, 422);
  t.like(bad.body, { code: 'invalid_email', errors: [{ path: 'email' }] });
});
