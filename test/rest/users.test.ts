import argon2 from 'argon2';
import test from 'ava';
import { newApiKey } from '../../src/domain/api-keys.ts';
import { createBrowser } from '../helpers/browser.ts';
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
const signedIn = async () => {
  const email = `user${++count}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1', username: `user${count}` });
  const tokens = await rest.post('/auth/login', { email, password: 'secret1' });
  return { id: String(body.id), email, auth: bearer(tokens.body.access_token) };
};
const keyOf = async (auth: Record<string, string>, body: object) => {
  const made = await rest.post('/users/api-keys', { name: 'a key', ...body }, auth);
  return { id: String(made.body.id), header: { 'X-API-Key': String(made.body.key) }, made };
};

test('a profile takes OIDC’s standard claims, keeps what is not mentioned, and clears what is null', async (t) => {
  const { auth } = await signedIn();
  const profile = {
    name: 'Ada Lovelace',
    given_name: 'Ada',
    website: 'https://example.com/ada',
    birthdate: '1815-12-10',
    zoneinfo: 'Europe/London',
    locale: 'en-GB',
    phone_number: '+442071234567',
    address: { country: 'UK' },
  };
  const first = await rest.put('/users/me', profile, auth);
  t.is(first.status, 200);
  t.like(first.body, profile);
  t.is(first.body.phone_number_verified, false);
  const second = await rest.put('/users/me', { name: null, address: null, username: 'Ada' }, auth);
  t.like(second.body, { given_name: 'Ada', username: 'Ada' });
  t.false('name' in second.body || 'address' in second.body);
});

for (const [field, value] of Object.entries({
  role: 'admin',
  email_verified: true,
  id: 'x',
  website: 'javascript:alert(1)',
  picture: 'data:image/png;base64,AAAA',
  birthdate: '10.12.1815',
  zoneinfo: 'Mars/Olympus',
  phone_number: '12345',
  address: { planet: 'Mars' },
  name: 'x'.repeat(201),
  nickname: 'a\0b',
  family_name: 'a\u001bb',
}))
  test(`a profile refuses ${field}: ${JSON.stringify(value).slice(0, 40)} and changes nothing`, async (t) => {
    const { auth } = await signedIn();
    const before = await rest.get('/users/me', auth);
    const answer = await rest.put('/users/me', { gender: 'changed', [field]: value }, auth);
    t.is(answer.status, 422);
    t.true((answer.body.errors as { path: string }[]).every(({ path }) => path.startsWith(field)));
    t.deepEqual((await rest.get('/users/me', auth)).body, before.body);
  });

test('a time zone goes by each of its names, today’s included', async (t) => {
  const { auth } = await signedIn();
  const names = ['Asia/Kolkata', 'Asia/Calcutta', 'Europe/Kyiv', 'Asia/Ho_Chi_Minh', 'America/Argentina/Buenos_Aires'];
  for (const zoneinfo of [...names, 'America/Port-au-Prince', 'Etc/GMT+5', 'UTC'])
    t.is((await rest.put('/users/me', { zoneinfo }, auth)).body.zoneinfo, zoneinfo);
  for (const zoneinfo of ['+05:30', 'asia/kolkata', 'Asia', 'Asia/Kolkata ', ''])
    t.is((await rest.put('/users/me', { zoneinfo }, auth)).status, 422, zoneinfo);
});

test('a username that somebody has is a conflict', async (t) => {
  const [one, two] = [await signedIn(), await signedIn()];
  await rest.put('/users/me', { username: 'wanted' }, one.auth);
  const answer = await rest.put('/users/me', { username: 'WANTED' }, two.auth);
  t.is(answer.status, 409);
  t.is(answer.body.code, 'username_taken');
});

test('changing the password needs the old one and signs out everywhere', async (t) => {
  const { auth, email } = await signedIn();
  t.is(
    (await rest.put('/users/me/password', { current_password: 'wrong', new_password: 'changed1' }, auth)).status,
    401,
  );
  t.is((await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'x' }, auth)).status, 422);
  t.is(
    (await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'changed1' }, auth)).status,
    204,
  );
  t.is((await rest.get('/users/me', auth)).status, 401);
  t.is((await rest.post('/auth/login', { email, password: 'secret1' })).status, 401);
  t.is((await rest.post('/auth/login', { email, password: 'changed1' })).status, 200);
});

test('a key is shown once, listed without its secret, and nowhere in the database', async (t) => {
  const { auth } = await signedIn();
  const { made } = await keyOf(auth, { scopes: ['read:profile'] });
  const secret = String(made.body.key);
  t.regex(secret, /^uak_[0-9A-Za-z]{49}$/);
  const list = await rest.get('/users/api-keys', auth);
  t.false(JSON.stringify(list.body).includes(secret));
  t.is((list.body as unknown as { prefix: string }[])[0]?.prefix, secret.slice(0, 10));
  const { rows } = await server.database.pool.query('SELECT row_to_json(k)::text AS row FROM api_keys k');
  t.false(rows.some(({ row }) => row.includes(secret)));
});

test('a key that is mistyped, unknown, expired, deleted or of a banned user is refused', async (t) => {
  const { auth, id } = await signedIn();
  const [expired, deleted, live] = await Promise.all([keyOf(auth, {}), keyOf(auth, {}), keyOf(auth, {})]);
  await server.database.pool.query('UPDATE api_keys SET expires_at = now() WHERE id = $1', [expired.id]);
  t.is((await rest.delete(`/users/api-keys/${deleted.id}`, undefined, auth)).status, 204);
  const typo = String(live.made.body.key).replace(/.$/, (c) => (c === 'a' ? 'b' : 'a'));
  for (const header of [
    expired.header,
    deleted.header,
    { 'X-API-Key': typo },
    { 'X-API-Key': newApiKey() },
    { 'X-API-Key': 'uak_' },
  ]) {
    const { status, body } = await rest.get('/users/me', header);
    t.is(status, 401);
    t.is(body.detail, 'Could not validate credentials');
  }
  t.is((await rest.get('/users/me', live.header)).status, 200);
  await server.stores.administration.change(id, () => ({ columns: { bannedAt: new Date() } }));
  t.is((await rest.get('/users/me', live.header)).status, 401);
});

test('a key does what its scopes say and its owner’s role permits, as of now', async (t) => {
  const { auth } = await signedIn();
  const reader = await keyOf(auth, { scopes: ['read:profile'] });
  const writer = await keyOf(auth, { scopes: ['write:profile'] });
  const refused = await rest.put('/users/me', { nickname: 'x' }, reader.header);
  t.is(refused.status, 403);
  t.is(refused.body.code, 'insufficient_scope');
  t.regex(refused.headers.get('www-authenticate') ?? '', /scope="write:profile"/);
  t.is((await rest.put('/users/me', { nickname: 'x' }, writer.header)).status, 200);
  await server.database.pool.query(`INSERT INTO roles VALUES ('guest', ARRAY['read:profile']) ON CONFLICT DO NOTHING`);
  await server.database.pool.query(`UPDATE users SET role = 'guest' WHERE nickname = 'x'`);
  t.is((await rest.put('/users/me', { nickname: 'y' }, writer.header)).status, 403);
});

test('a key cannot make keys, list them, or change the password', async (t) => {
  const { auth } = await signedIn();
  const { header } = await keyOf(auth, { scopes: ['read:profile', 'write:profile'] });
  t.is((await rest.post('/users/api-keys', { name: 'child' }, header)).status, 403);
  t.is((await rest.get('/users/api-keys', header)).status, 403);
  t.is(
    (await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'secret2' }, header)).status,
    403,
  );
});

test('a key for a network works from there alone', async (t) => {
  const { auth } = await signedIn();
  const here = await keyOf(auth, { allowed_networks: ['127.0.0.0/8', '::1/128'] });
  const elsewhere = await keyOf(auth, { allowed_networks: ['192.0.2.0/24', '2001:db8::/32'] });
  t.is((await rest.get('/users/me', here.header)).status, 200);
  t.is((await rest.get('/users/me', elsewhere.header)).status, 401);
  for (const network of ['127.0.0.1', '127.0.0.0/33', 'localhost/8', '::1/129', '/8', '1.2.3.4/-1'])
    t.is((await keyOf(auth, { allowed_networks: [network] })).made.status, 422, network);
});

test('rotating leaves both keys working for the overlap, and the old one gone after it', async (t) => {
  const { auth } = await signedIn();
  const old = await keyOf(auth, { scopes: ['write:profile'] });
  const rotated = await rest.post(`/users/api-keys/${old.id}/rotate`, {}, auth);
  t.is(rotated.status, 201);
  t.deepEqual(rotated.body.scopes, ['write:profile']);
  t.is((await rest.get('/users/me', old.header)).status, 200);
  t.is((await rest.get('/users/me', { 'X-API-Key': String(rotated.body.key) })).status, 200);
  const again = await rest.post(`/users/api-keys/${String(rotated.body.id)}/rotate`, { overlap_seconds: 0 }, auth);
  t.is(again.status, 201);
  t.is((await rest.get('/users/me', { 'X-API-Key': String(rotated.body.key) })).status, 401);
});

test('a key that is rotated once more, for a lost answer, has a successor that lasts as long as it would have', async (t) => {
  const { auth } = await signedIn();
  for (const expires_at of [null, '2099-01-01T00:00:00.000Z']) {
    const old = await keyOf(auth, { ...(expires_at && { expires_at }) });
    const rotate = () => rest.post(`/users/api-keys/${old.id}/rotate`, {}, auth);
    for (const { status, body } of [await rotate(), await rotate(), await rotate()]) {
      t.is(status, 201);
      t.is(body.expires_at, expires_at);
    }
    t.is((await rest.get('/users/me', old.header)).status, 200);
    const listed = (await rest.get('/users/api-keys', auth)).body as unknown as { id: string; expires_at: string }[];
    const ends = Date.parse(listed.find(({ id }) => id === old.id)?.expires_at ?? '');
    t.true(ends <= Date.now() + 86_400_000);
  }
});

test('a key that works is listed, however many others have expired since it was made', async (t) => {
  const { auth, id } = await signedIn();
  const old = await keyOf(auth, { name: 'old' });
  await server.database.pool.query(
    `INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes, allowed_networks, created_at, expires_at)
     SELECT gen_random_uuid(), $1::uuid, 'expired', 'uak_expire', $1::text || n, '{}', '{}', now() + interval '1 s', now() FROM generate_series(1, 250) AS n`,
    [id],
  );
  const listed = (await rest.get('/users/api-keys', auth)).body as unknown as { id: string }[];
  t.is(listed.length, 101);
  t.is(listed.at(-1)?.id, old.id);
});

test('somebody else’s key can be neither deleted nor rotated, and is not told apart from none', async (t) => {
  const [owner, stranger] = [await signedIn(), await signedIn()];
  const key = await keyOf(owner.auth, {});
  for (const id of [key.id, 'nonsense', '00000000-0000-4000-8000-000000000000']) {
    t.is((await rest.delete(`/users/api-keys/${id}`, undefined, stranger.auth)).status, 404, id);
    t.is((await rest.post(`/users/api-keys/${id}/rotate`, {}, stranger.auth)).status, 404, id);
  }
  t.is((await rest.get('/users/me', key.header)).status, 200);
});

test('50 keys at most, also when they are made in parallel', async (t) => {
  const { auth } = await signedIn();
  const made = await Promise.all(Array.from({ length: 60 }, () => keyOf(auth, {})));
  t.is(made.filter((key) => key.made.status === 201).length, 50);
  t.is(made.filter((key) => key.made.status === 409 && key.made.body.code === 'too_many_api_keys').length, 10);
});

test('a key and a token at once are refused: which of them was meant?', async (t) => {
  const { auth } = await signedIn();
  const { header } = await keyOf(auth, {});
  t.is((await rest.get('/users/me', { ...auth, ...header })).status, 401);
});

test('a third-party app cannot make keys or change the password, whatever it was allowed', async (t) => {
  const { email } = await signedIn();
  const client = await server.clients.register({
    redirect_uris: ['https://app.example/cb'],
    token_endpoint_auth_method: 'client_secret_post',
  });
  const browser = createBrowser(server.origin);
  const query = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    redirect_uri: 'https://app.example/cb',
    scope: 'read:profile write:profile',
  });
  const login = await browser.go(`/oauth/authorize?${query}`);
  const consent = await browser.submit(login, 'sign-in', { login: email, password: 'secret1' });
  const arrived = await browser.submit(consent, 'allow');
  const response = await fetch(`${server.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code: arrived.url.searchParams.get('code') ?? '',
      redirect_uri: 'https://app.example/cb',
      client_id: client.client_id,
      client_secret: String(client.client_secret),
    }),
  });
  const { access_token } = (await response.json()) as { access_token: string };
  const auth = bearer(access_token);
  t.is((await rest.get('/users/me', auth)).status, 200);
  t.is((await rest.put('/users/me', { nickname: 'by the app' }, auth)).status, 200);
  t.is((await rest.post('/users/api-keys', { name: 'x', scopes: ['write:profile'] }, auth)).status, 403);
  t.is((await rest.get('/users/api-keys', auth)).status, 403);
  t.is(
    (await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'stolen1' }, auth)).status,
    403,
  );
});

test('a new password holds also where the old one was hashed at another cost', async (t) => {
  const { auth, email } = await signedIn();
  const weak = await argon2.hash('secret1', { memoryCost: 8192, timeCost: 2, parallelism: 1 });
  await server.database.pool.query('UPDATE users SET password_hash = $2 WHERE email = $1', [email, weak]);
  const changed = await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'changed1' }, auth);
  t.is(changed.status, 204);
  t.is((await rest.post('/auth/login', { email, password: 'changed1' })).status, 200);
  t.is((await rest.post('/auth/login', { email, password: 'secret1' })).status, 401);
});

test('of two changes of one password at once, only one is told that it holds', async (t) => {
  const { auth, email } = await signedIn();
  const change = (password: string) =>
    rest.put('/users/me/password', { current_password: 'secret1', new_password: password }, auth);
  const [one, two] = await Promise.all([change('changed1'), change('changed2')]);
  t.is([one, two].filter(({ status }) => status === 204).length, 1);
  const holds = one.status === 204 ? 'changed1' : 'changed2';
  t.is((await rest.post('/auth/login', { email, password: holds })).status, 200);
});

test('half a character is refused wherever text is stored', async (t) => {
  const { auth } = await signedIn();
  for (const body of [{ name: 'a\ud800' }, { address: { formatted: '\udfff' } }])
    t.is((await rest.put('/users/me', JSON.stringify(body), auth)).status, 422);
  const registered = await rest.post(
    '/auth/register',
    JSON.stringify({ email: 'a\ud800@example.com', password: 'secret1' }),
  );
  t.is(registered.status, 422);
});

test('rotating does not get round the limit', async (t) => {
  const { auth } = await signedIn();
  const { id } = await keyOf(auth, {});
  let newest = id;
  let refused: unknown;
  for (let i = 0; i < 110 && refused === undefined; i += 1) {
    const { status, body } = await rest.post(`/users/api-keys/${newest}/rotate`, { overlap_seconds: 2_592_000 }, auth);
    if (status === 201) newest = String(body.id);
    else refused = body.code;
  }
  t.is(refused, 'too_many_api_keys');
});
