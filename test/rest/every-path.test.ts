// Bad input: one answer names everything that is wrong with it, by its path.
import { request } from 'node:http';
import test from 'ava';
import { createPeople } from '../helpers/people.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;
let people: ReturnType<typeof createPeople>;

test.before(async () => {
  server = await startServer({ passwordBlocklist: true });
  rest = createRest(server.origin);
  people = createPeople(server);
});
test.after.always(() => server?.close());

const pathsOf = ({ body }: { body: Record<string, unknown> }) =>
  ((body.errors ?? []) as { path: string }[]).map(({ path }) => path).sort();

for (const [body, paths] of [
  [{}, ['email', 'password']],
  [{ password: 'secret1' }, ['email']],
  [{ email: 'a@example.com' }, ['password']],
  [{ email: 'a@example.com', username: 'ada', password: 'secret1' }, ['username']],
  [{ email: 7, password: 7, more: 1 }, ['email', 'more', 'password']],
  [{ more: 1 }, ['email', 'more', 'password']],
] as const)
  test(`signing in with ${JSON.stringify(body)} names ${paths}`, async (t) => {
    const answer = await rest.post('/auth/login', body);
    t.is(answer.status, 422);
    t.deepEqual(pathsOf(answer), paths);
  });

test('registering tells all that the rules have against it at once', async (t) => {
  const wrong = await rest.post('/auth/register', { email: 'nobody', username: 'a b', password: 'password' });
  t.is(wrong.status, 422);
  t.deepEqual(pathsOf(wrong), ['email', 'password', 'username']);
  const taken = { email: 'taken@example.com', username: 'taken', password: 'a long password' };
  t.is((await rest.post('/auth/register', taken)).status, 201);
  const again = await rest.post('/auth/register', taken);
  t.is(again.status, 409);
  t.deepEqual(pathsOf(again), ['email', 'username']);
});

test('what is wrong with a new password, a token or a code is told by its own name', async (t) => {
  const { auth } = await people.person();
  const change = { current_password: 'a long password', new_password: 'password' };
  const changed = await rest.put('/users/me/password', change, auth);
  t.deepEqual([changed.status, ...pathsOf(changed)], [422, 'new_password']);
  const token = 'x'.repeat(43);
  const reset = await rest.post('/auth/reset-password', { token, new_password: 'a long password' });
  t.deepEqual([reset.status, ...pathsOf(reset)], [422, 'token']);
  const exchanged = await rest.post('/auth/exchange', { code: token });
  t.deepEqual([exchanged.status, ...pathsOf(exchanged)], [422, 'code']);
});

test('a new address without the password is told along with whatever else is wrong', async (t) => {
  const { auth } = await people.person();
  const answer = await rest.put('/users/me', { email: 'new@example.com', gender: 7, more: 1 }, auth);
  t.is(answer.status, 422);
  t.deepEqual(pathsOf(answer), ['current_password', 'gender', 'more']);
});

test('a password with half of a character is refused: every other half would do for it', async (t) => {
  const { auth } = await people.person('admin');
  const half = 'secret\ud83d';
  const account = { email: 'half@example.com', password: half };
  for (const path of ['/auth/register', '/auth/login', '/admin/users'])
    t.deepEqual(pathsOf(await rest.post(path, account, auth)), ['password'], path);
  const chosen = { current_password: 'x', new_password: half };
  t.deepEqual(pathsOf(await rest.put('/users/me/password', chosen, auth)), ['new_password']);
});

test('an administrator hears of everything that is wrong with an account, its role included', async (t) => {
  const { auth, id } = await people.person('admin');
  const wrong = { email: 'x', username: 'a b', role: 'king' };
  const made = await rest.post('/admin/users', { ...wrong, password: 'x' }, auth);
  t.is(made.status, 422);
  t.deepEqual(pathsOf(made), ['email', 'password', 'role', 'username']);
  const changed = await rest.put(`/admin/users/${id}`, wrong, auth);
  t.is(changed.status, 422);
  t.deepEqual(pathsOf(changed), ['email', 'role', 'username']);
});

test('programs that ask for HTML first, as Java’s client does, hear what is wrong all the same', async (t) => {
  const accept = 'text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2';
  const { auth } = await people.person();
  const answer = await rest.post('/auth/register', { email: 7 }, { accept });
  t.deepEqual([answer.status, ...pathsOf(answer)], [422, 'email', 'password']);
  t.is((await rest.get('/users/me', { accept })).body.code, 'invalid_token');
  t.is((await rest.get('/admin/users', { ...auth, accept })).body.code, 'insufficient_scope');
});

test('what is wrong with a client is told by its field', async (t) => {
  const { auth } = await people.person('admin');
  const redirect_uris = ['https://app.example/callback'];
  const wrong: [body: object, path: string][] = [
    [{}, 'redirect_uris'],
    [{ redirect_uris: ['javascript:alert(1)'] }, 'redirect_uris'],
    [{ redirect_uris, grant_types: ['password'] }, 'grant_types'],
    [{ redirect_uris, token_endpoint_auth_method: 'private_key_jwt' }, 'jwks'],
  ];
  for (const [body, path] of wrong) {
    const answer = await rest.post('/admin/clients', body, auth);
    t.is(answer.status, 422);
    t.deepEqual(pathsOf(answer), [path], String(answer.body.detail));
  }
});

test('a list refuses parameters that it does not know, by their names', async (t) => {
  const { auth } = await people.person('admin');
  for (const path of [
    '/users/api-keys',
    '/users/me/sessions',
    '/users/me/apps',
    '/users/me/identities',
    '/admin/users',
    '/admin/clients',
    '/admin/audit',
  ]) {
    const answer = await rest.get(`${path}?page=2&sortby=name`, auth);
    t.is(answer.status, 422, path);
    t.deepEqual(pathsOf(answer), ['page', 'sortby'], path);
  }
  for (const limit of ['0', '201', '1e1', '0x10', '-1', '', '1.5'])
    t.deepEqual(pathsOf(await rest.get(`/admin/users?limit=${limit}`, auth)), ['limit'], limit);
});

test('what takes no body refuses one', async (t) => {
  const { auth } = await people.person('admin');
  for (const path of [
    '/users/api-keys/x',
    '/users/me/sessions/x',
    '/users/me/apps/x',
    '/admin/users/x',
    '/admin/clients/x',
  ])
    t.deepEqual(pathsOf(await rest.delete(path, { force: true }, auth)), ['force'], path);
});

for (const birthdate of ['2001-02-31', '1900-02-29', '2023-02-29', '0000-02-30', '2024-04-31', '0050-02-29'])
  test(`there is no ${birthdate}`, async (t) => {
    const { auth } = await people.person();
    const answer = await rest.put('/users/me', { birthdate }, auth);
    t.deepEqual([answer.status, ...pathsOf(answer)], [422, 'birthdate']);
  });
for (const birthdate of ['2000-02-29', '0000-02-29', '1999', '2024-12-31', '0004-02-29'])
  test(`there is ${birthdate}`, async (t) => {
    const { auth } = await people.person();
    t.is((await rest.put('/users/me', { birthdate }, auth)).body.birthdate, birthdate);
  });

test('scopes and networks of a key count once', async (t) => {
  const { auth } = await people.person();
  const { body } = await rest.post(
    '/users/api-keys',
    {
      name: 'twice',
      scopes: ['read:profile', 'write:profile', 'read:profile'],
      allowed_networks: ['192.0.2.0/24', '192.0.2.0/24'],
    },
    auth,
  );
  t.deepEqual(body.scopes, ['read:profile', 'write:profile']);
  t.deepEqual(body.allowed_networks, ['192.0.2.0/24']);
});

/** Past `fetch`, which sends no method that it does not know. */
const ask = (method: string, path: string): Promise<{ status: number; allow: string | undefined; type: string }> =>
  new Promise((resolve, reject) => {
    request(`${server.origin}${path}`, { method }, (response) => {
      response.resume();
      const { allow, 'content-type': type = '' } = response.headers;
      response.on('end', () => resolve({ status: response.statusCode ?? 0, allow, type }));
    })
      .on('error', reject)
      .end();
  });

for (const [method, path, allow] of [
  ['PATCH', '/users/me', 'DELETE, GET, HEAD, PUT'],
  ['GET', '/auth/login', 'POST'],
  ['DELETE', '/auth/register', 'POST'],
  ['PUT', '/users/api-keys', 'GET, HEAD, POST'],
  ['GET', '/users/api-keys/x', 'DELETE'],
  ['PATCH', '/admin/users/x', 'DELETE, GET, HEAD, PUT'],
  ['GET', '/admin/users/x/ban', 'POST'],
  ['DELETE', '/admin/audit', 'GET, HEAD'],
  ['POST', '/health', 'GET, HEAD'],
  ['POST', '/openapi.json', 'GET, HEAD'],
  ['GET', '/oauth/token', 'POST'],
  ['DELETE', '/oauth/userinfo', 'GET, HEAD, POST'],
  ['PUT', '/oauth/authorize', 'GET, HEAD, POST'],
  ['POST', '/oauth/jwks', 'GET, HEAD'],
  ['POST', '/.well-known/openid-configuration', 'GET, HEAD'],
] as const)
  test(`${method} ${path} is 405 and names what is allowed`, async (t) => {
    const answer = await ask(method, path);
    t.is(answer.status, 405);
    t.is(answer.allow, allow);
    t.regex(answer.type, /problem\+json/);
  });

test('a method that nothing here is asked by is 501, a path that is not there 404, and OPTIONS says what there is', async (t) => {
  t.is((await ask('PROPFIND', '/users/me')).status, 501);
  t.is((await ask('PROPFIND', '/nothing')).status, 501);
  t.is((await ask('PATCH', '/nothing')).status, 404);
  t.is((await ask('GET', '/admin/nothing')).status, 404);
  t.like(await ask('OPTIONS', '/users/me'), { status: 204, allow: 'DELETE, GET, HEAD, PUT' });
});

for (const [status, body, type, detail] of [
  [400, '{"email"', 'application/json', /not JSON/],
  [415, 'email=a', 'application/x-www-form-urlencoded', /must be application\/json/],
  [413, JSON.stringify({ email: 'a'.repeat(110_000) }), 'application/json', /too large/],
] as const)
  test(`a body that cannot be read is ${status}, in words`, async (t) => {
    const answer = await rest.post('/auth/login', body, { 'content-type': type });
    t.is(answer.status, status);
    t.regex(String(answer.body.detail), detail);
  });

test('a body is UTF-8, or refused', async (t) => {
  const send = async (password: Buffer, type = 'application/json') => {
    const body = Buffer.concat([Buffer.from('{"email":"a@example.com","password":"'), password, Buffer.from('"}')]);
    const response = await fetch(`${server.origin}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    return { status: response.status, detail: String(((await response.json()) as { detail: string }).detail) };
  };
  // 密码 in GBK, é in Latin-1, and what only begins a character.
  for (const bytes of [[0xc3, 0xdc, 0xc2, 0xeb], [0xe9], [0xe2, 0x82]])
    t.like(await send(Buffer.from(bytes)), { status: 400, detail: 'The body is not UTF-8.' });
  t.like(await send(Buffer.from('secret'), 'application/json; charset=utf-16le'), { status: 415 });
  for (const text of ['密码', '\uFFFD'])
    for (const type of ['application/json', 'application/json; charset=UTF-8'])
      t.is((await send(Buffer.from(text), type)).status, 401);
});

test('what the schema finds hides nothing of what the rules find, and the other way round', async (t) => {
  const { auth } = await people.person();
  const { auth: admin } = await people.person('admin');
  const faults: [
    method: 'post' | 'put',
    path: string,
    headers: Record<string, string>,
    body: object,
    wrong: string[],
  ][] = [
    ['post', '/auth/register', {}, { email: 1, username: 'a b', password: 'x' }, ['email', 'password', 'username']],
    ['post', '/auth/register', {}, { email: 'x', username: 'a b', more: 1 }, ['email', 'more', 'password', 'username']],
    ['post', '/auth/reset-password', {}, { new_password: 'x', more: 1 }, ['more', 'new_password', 'token']],
    [
      'put',
      '/users/me',
      auth,
      { username: 'a b', email: 'x', name: 1 },
      ['current_password', 'email', 'name', 'username'],
    ],
    ['put', '/users/me', auth, { username: 'a b', email: 'x', current_password: 'secret1' }, ['email', 'username']],
    [
      'put',
      '/users/me/password',
      auth,
      { current_password: 1, new_password: 'x' },
      ['current_password', 'new_password'],
    ],
    [
      'post',
      '/admin/users',
      admin,
      { email: 'x', username: 'a b', role: 'x', name: 1 },
      ['email', 'name', 'role', 'username'],
    ],
    [
      'put',
      '/admin/users/00000000-0000-4000-8000-000000000000',
      admin,
      { email: 'x', role: 'x', name: 1 },
      ['email', 'name', 'role'],
    ],
  ];
  for (const [method, path, headers, body, wrong] of faults) {
    const answer = await rest[method](path, body, headers);
    t.is(answer.status, 422, path);
    t.deepEqual(pathsOf(answer), wrong, `${path} ${JSON.stringify(body)}`);
  }
});
