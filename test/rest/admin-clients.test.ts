import test from 'ava';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createBrowser } from '../helpers/browser.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;
let admin: Record<string, string>;

const signedIn = async (name: string, role: string) => {
  const email = `${name}@example.com`;
  const { id } = await server.accounts.create({ email, password: 'secret1' });
  await server.database.pool.query('UPDATE users SET role = $2 WHERE id = $1', [id, role]);
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' });
  return bearer(body.access_token);
};

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
  admin = await signedIn('admin', 'admin');
});
test.after.always(() => server?.close());

const SERVICE = { response_types: [], grant_types: ['client_credentials'] };
const APP = {
  redirect_uris: ['https://app.example/cb'],
  grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
  token_endpoint_auth_method: 'client_secret_post',
};

type Told = Record<string, unknown> & { client_id: string; client_secret: string };
const create = async (metadata: object): Promise<Told> => {
  const { status, body } = await rest.post('/admin/clients', metadata, admin);
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body as Told;
};

const oauth = async (path: string, form: Record<string, string>, origin = server.origin) => {
  const response = await fetch(`${origin}/oauth/${path}`, { method: 'POST', body: new URLSearchParams(form) });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};
const credentials = (id: string, secret: string) => ({ client_id: id, client_secret: secret });
const tokenStatus = async (id: string, secret: string, origin = server.origin) =>
  (await oauth('token', { grant_type: 'client_credentials', ...credentials(id, secret) }, origin)).status;

/** Asks again until the answer is this one. */
const until = async (asked: () => Promise<number>, status: number) => {
  while ((await asked()) !== status);
};

test('a client’s secret is shown once, and neither later nor in the database', async (t) => {
  const client = await create({ ...SERVICE, client_name: 'Once' });
  t.like(client, { ...SERVICE, client_name: 'Once', first_party: false, client_secret_expires_at: 0 });
  t.is(client.token_endpoint_auth_method, 'client_secret_basic', 'the defaults are told');
  t.is(await tokenStatus(client.client_id, client.client_secret), 200);
  const shown = await rest.get(`/admin/clients/${client.client_id}`, admin);
  t.is(shown.status, 200);
  const { client_secret, client_secret_expires_at: _, ...shownOnce } = client;
  t.deepEqual(shown.body, shownOnce);
  const listed = await rest.get('/admin/clients?q=once', admin);
  t.deepEqual(listed.body, { items: [shownOnce], next_cursor: null, total: 1 });
  const { rows } = await server.database.pool.query('SELECT row_to_json(c)::text AS row FROM oauth_clients c');
  t.false(rows.some(({ row }) => row.includes(client_secret)));
});

test('the list is found by the beginning of name and client_id, and goes on page by page, also while it changes', async (t) => {
  for (let i = 0; i < 5; i += 1) await create({ ...SERVICE, client_id: `page-${i}`, client_name: `Zeta ${i}%` });
  const ids = async (query: string) => {
    const { body } = await rest.get(`/admin/clients?${query}`, admin);
    const { items, next_cursor, total } = body as { items: Told[]; next_cursor: string | null; total: number };
    return { ids: items.map(({ client_id }) => client_id), next: next_cursor, total };
  };
  t.deepEqual((await ids('q=PAGE-')).ids, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
  t.deepEqual((await ids('q=zeta%203%25')).ids, ['page-3']);
  t.deepEqual((await ids('q=%25')).ids, [], 'no wildcard');
  const first = await ids('q=page-&limit=2');
  t.deepEqual([first.ids, first.total], [['page-0', 'page-1'], 5]);
  t.is((await rest.delete('/admin/clients/page-1', undefined, admin)).status, 204);
  await create({ ...SERVICE, client_id: 'page-00' });
  const second = await ids(`q=page-&limit=2&cursor=${first.next}`);
  t.deepEqual(second.ids, ['page-2', 'page-3']);
  const third = await ids(`q=page-&limit=2&cursor=${second.next}`);
  t.deepEqual([third.ids, third.next], [['page-4'], null]);
  for (const query of ['limit=0', 'limit=201', 'limit=x', 'cursor=%20', 'cursor=w6Q', 'sort=x', 'q=a%00b', 'q=a&q=b'])
    t.is((await rest.get(`/admin/clients?${query}`, admin)).status, 422, query);
});

test('a change replaces the metadata whole and leaves the secret', async (t) => {
  const client = await create({
    ...SERVICE,
    client_name: 'Before',
    client_uri: 'https://before.example/',
    first_party: true,
  });
  const path = `/admin/clients/${client.client_id}`;
  const { status, body } = await rest.put(path, { ...SERVICE, client_name: 'After', contacts: null }, admin);
  t.is(status, 200);
  t.like(body, {
    client_id: client.client_id,
    client_name: 'After',
    first_party: false,
    created_at: client.created_at,
  });
  t.false('client_uri' in body || 'contacts' in body || 'client_secret' in body);
  t.is(await tokenStatus(client.client_id, client.client_secret), 200);
  const whole = { ...SERVICE, ...credentials(client.client_id, client.client_secret) };
  t.is((await rest.put(path, whole, admin)).status, 200, 'its own id and secret may be given');

  for (const wrong of [
    { ...SERVICE, client_id: 'another' },
    { ...SERVICE, client_secret: 'another secret, long enough' },
    { ...SERVICE, grant_types: ['magic'] },
    { ...SERVICE, token_endpoint_auth_method: 'none' },
    { redirect_uris: [] },
  ])
    t.is((await rest.put(path, wrong, admin)).status, 422, JSON.stringify(wrong));
  const { body: now } = await rest.get(path, admin);
  t.like(now, SERVICE);
  t.is((await rest.put('/admin/clients/nobody', SERVICE, admin)).status, 404);
});

test('a client that no longer needs a secret loses it; one that needs one again is given a new one', async (t) => {
  const client = await create(APP);
  const path = `/admin/clients/${client.client_id}`;
  const open = { redirect_uris: ['https://app.example/cb'], token_endpoint_auth_method: 'none' };
  t.is((await rest.put(path, open, admin)).status, 200);
  t.is((await rest.post(`${path}/secret`, {}, admin)).body.code, 'client_without_secret');
  const { body } = await rest.put(path, APP, admin);
  t.is(typeof body.client_secret, 'string');
  t.not(body.client_secret, client.client_secret);
  t.is(await tokenStatus(client.client_id, String(body.client_secret)), 200);
  t.is(await tokenStatus(client.client_id, client.client_secret), 401);
});

for (const [title, metadata, paths] of [
  ['unknown members', { ...SERVICE, colour: 'red', previous_secret: { hash: 'x' } }, ['colour', 'previous_secret']],
  [
    'what only the server says',
    { ...SERVICE, client_id_issued_at: 1, created_at: 'x' },
    ['client_id_issued_at', 'created_at'],
  ],
  ['wrong types, all of them', { grant_types: 'code', default_max_age: -1 }, ['default_max_age', 'grant_types']],
] as const)
  test(`${title} are refused by name, and nothing is registered`, async (t) => {
    const { status, body } = await rest.post('/admin/clients', { ...metadata, client_name: `Refused ${title}` }, admin);
    t.is(status, 422);
    t.deepEqual((body.errors as { path: string }[]).map(({ path }) => path).sort(), [...paths]);
    t.is((await rest.get(`/admin/clients?q=refused%20${encodeURIComponent(title)}`, admin)).body.total, 0);
  });

for (const [title, body, status] of [
  ['no JSON', '{', 400],
  ['a redirect_uri that is none', { redirect_uris: ['nowhere'] }, 422],
  ['NUL', '{"response_types":[],"grant_types":["client_credentials"],"client_name":"a\\u0000"}', 422],
  ['half a character', '{"response_types":[],"grant_types":["client_credentials"],"client_name":"a\\ud800"}', 422],
  ['a guessable secret', { ...SERVICE, client_secret: 'short' }, 422],
  [
    'a secret key',
    {
      redirect_uris: ['https://a.example/'],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] },
    },
    422,
  ],
  ['the built-in client_id', { ...SERVICE, client_id: 'user-auth' }, 409],
] as const)
  test(`registering with ${title} answers ${status}`, async (t) => {
    t.is((await rest.post('/admin/clients', body, admin)).status, status);
  });

test('a rotated secret leaves the former one for the overlap, and only that one', async (t) => {
  const { client_id: id, client_secret: first } = await create({
    ...SERVICE,
    client_secret: 'chosen by the admin, long',
  });
  const rotate = async (body: object = {}) => {
    const { status, body: answer } = await rest.post(`/admin/clients/${id}/secret`, body, admin);
    t.is(status, 200);
    return answer as Told;
  };
  const second = await rotate();
  const ends = Date.parse(String(second.previous_secret_expires_at)) - Date.now();
  t.true(ends > 86_300_000 && ends <= 86_400_000);
  t.deepEqual([await tokenStatus(id, first), await tokenStatus(id, second.client_secret)], [200, 200]);
  const third = await rotate({ overlap_seconds: 60 });
  t.deepEqual(
    [
      await tokenStatus(id, first),
      await tokenStatus(id, second.client_secret),
      await tokenStatus(id, third.client_secret),
    ],
    [401, 200, 200],
  );
  const hashes = await server.database.pool.query(
    'SELECT client_secret_hash AS a, previous_secret_hash AS b FROM oauth_clients WHERE client_id = $1',
    [id],
  );
  const shown = JSON.stringify((await rest.get(`/admin/clients/${id}`, admin)).body) + JSON.stringify(third);
  for (const hash of Object.values(hashes.rows[0])) t.false(shown.includes(String(hash)));
  t.is(await tokenStatus(id, String(hashes.rows[0].b)), 401, 'the hash is no secret');

  await server.database.pool.query('UPDATE oauth_clients SET previous_secret_expires_at = now() WHERE client_id = $1', [
    id,
  ]);
  await until(() => tokenStatus(id, second.client_secret), 401);
  t.is(await tokenStatus(id, third.client_secret), 200);
  t.false('previous_secret_expires_at' in (await rest.get(`/admin/clients/${id}`, admin)).body);
  const fourth = await rotate({ overlap_seconds: 0 });
  t.deepEqual([await tokenStatus(id, third.client_secret), await tokenStatus(id, fourth.client_secret)], [401, 200]);
  for (const overlap_seconds of [-1, 2_592_001, 1.5, '60'])
    t.is((await rest.post(`/admin/clients/${id}/secret`, { overlap_seconds }, admin)).status, 422);
});

test('changes and rotations at once are each whole, and the newest secret works', async (t) => {
  const { client_id: id } = await create(SERVICE);
  const answers = await Promise.all(
    Array.from({ length: 4 }, (_, i) =>
      i % 2
        ? rest.put(`/admin/clients/${id}`, { ...SERVICE, client_name: `n${i}` }, admin)
        : rest.post(`/admin/clients/${id}/secret`, {}, admin),
    ),
  );
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200],
  );
  const secrets = answers.flatMap(({ body }) => (body.client_secret ? [String(body.client_secret)] : []));
  const statuses = await Promise.all(secrets.map((secret) => tokenStatus(id, secret)));
  t.deepEqual(statuses, [200, 200], 'one is current, the other in its overlap');
});

/** Everything a client can hold for a person and for itself. */
const tokensOf = async (client: Told) => {
  const email = `person-${client.client_id}@example.com`;
  await server.accounts.create({ email, password: 'secret1' });
  const browser = createBrowser(server.origin);
  const authorize = (scope: string, more: Record<string, string> = {}) =>
    `/oauth/authorize?${new URLSearchParams({
      client_id: client.client_id,
      response_type: 'code',
      redirect_uri: 'https://app.example/cb',
      scope,
      ...more,
    })}`;
  const login = await browser.go(authorize('openid offline_access read:profile', { prompt: 'consent' }));
  const consent = await browser.submit(login, 'sign-in', { login: email, password: 'secret1' });
  const arrived = await browser.submit(consent, 'allow');
  const mine = credentials(client.client_id, client.client_secret);
  const { body } = await oauth('token', {
    grant_type: 'authorization_code',
    code: arrived.url.searchParams.get('code') ?? '',
    redirect_uri: 'https://app.example/cb',
    ...mine,
  });
  const again = await browser.go(authorize('openid read:profile'));
  const own = await oauth('token', { grant_type: 'client_credentials', ...mine });
  return {
    access: String(body.access_token),
    refresh: String(body.refresh_token),
    own: String(own.body.access_token),
    code: String(again.url.searchParams.get('code')),
    /** Whether the browser would be asked for consent. */
    asked: async () => (await browser.go(authorize('openid read:profile'))).html.includes('id="allow"'),
  };
};

test('a deleted client’s grants and tokens end, each way in, and do not come back with another of its name', async (t) => {
  const observer = await create({ ...SERVICE, token_endpoint_auth_method: 'client_secret_post' });
  const client = await create(APP);
  const tokens = await tokensOf(client);
  t.not(tokens.refresh, 'undefined');
  const active = async (token: string, by = observer) => {
    const form = { token, ...credentials(by.client_id, by.client_secret) };
    return (await oauth('introspect', form)).body.active === true;
  };
  const ways = async () => ({
    usersMe: (await rest.get('/users/me', bearer(tokens.access))).status,
    userinfo: (await rest.get('/oauth/userinfo', bearer(tokens.access))).status,
    access: await active(tokens.access),
    // Nobody else is told of it.
    refresh: await active(tokens.refresh, client),
    own: await active(tokens.own),
  });
  t.deepEqual(await ways(), { usersMe: 200, userinfo: 200, access: true, refresh: true, own: true });
  t.false(await tokens.asked());

  t.is((await rest.delete(`/admin/clients/${client.client_id}`, undefined, admin)).status, 204);
  const gone = { usersMe: 401, userinfo: 401, access: false, refresh: false, own: false };
  t.deepEqual(await ways(), gone);
  const mine = credentials(client.client_id, client.client_secret);
  const refresh = () => oauth('token', { grant_type: 'refresh_token', refresh_token: tokens.refresh, ...mine });
  const redeem = () =>
    oauth('token', {
      grant_type: 'authorization_code',
      code: tokens.code,
      redirect_uri: 'https://app.example/cb',
      ...mine,
    });
  t.is((await refresh()).body.error, 'invalid_client');
  t.is((await redeem()).body.error, 'invalid_client');
  t.is((await rest.get(`/admin/clients/${client.client_id}`, admin)).status, 404);
  t.is((await rest.delete(`/admin/clients/${client.client_id}`, undefined, admin)).status, 404);

  await create({ ...APP, ...mine });
  t.deepEqual(await ways(), gone);
  t.is((await refresh()).body.error, 'invalid_grant');
  t.is((await redeem()).body.error, 'invalid_grant');
  t.true(await tokens.asked(), 'consent to one client is none to the next');
});

test('what people agreed to for a client goes with it', async (t) => {
  const client = await create(APP);
  const { id } = await server.accounts.create({ email: 'consent@example.com' });
  const count = async () =>
    (await server.database.pool.query('SELECT 1 FROM consents WHERE client_id = $1', [client.client_id])).rowCount;
  await server.database.pool.query(
    `INSERT INTO consents (user_id, client_id, scopes, claims) VALUES ($1, $2, '{openid}', '{}')`,
    [id, client.client_id],
  );
  t.is(await count(), 1);
  await rest.delete(`/admin/clients/${client.client_id}`, undefined, admin);
  t.is(await count(), 0);
});

test('the built-in client is neither shown, changed, rotated nor deleted', async (t) => {
  t.is((await rest.get('/admin/clients/user-auth', admin)).status, 404);
  t.is((await rest.put('/admin/clients/user-auth', SERVICE, admin)).status, 409);
  t.is((await rest.post('/admin/clients/user-auth/secret', {}, admin)).status, 409);
  t.is((await rest.delete('/admin/clients/user-auth', undefined, admin)).status, 409);
  t.is((await rest.get('/admin/clients?q=user-auth', admin)).body.total, 0);
  t.is((await rest.get('/users/me', admin)).status, 200);
});

test('another process sees a new client at once, and a change, a rotation and a deletion within a second', async (t) => {
  // Asked again and again with a secret that holds no longer, it would have us wait.
  const patient = { points: 1_000_000, seconds: 900 };
  const rateLimits = { ...DEFAULT_LIMITS, 'client-account': patient, 'client-network': patient };
  const other = await startServer({ rateLimits }, server);
  t.teardown(other.close);
  const client = await create(SERVICE);
  const id = client.client_id;
  t.is(await tokenStatus(id, client.client_secret, other.origin), 200);
  const within = async (asked: () => Promise<number>, status: number) => {
    const start = Date.now();
    let before = start;
    for (;;) {
      const asking = Date.now();
      if ((await asked()) === status) return before - start;
      before = asking;
    }
  };
  const open = { response_types: [], grant_types: [], token_endpoint_auth_method: 'client_secret_post' };
  await rest.put(`/admin/clients/${id}`, open, admin);
  // The last time that it answered as before is no longer ago than a second.
  t.true((await within(() => tokenStatus(id, client.client_secret, other.origin), 400)) <= 1000);
  await rest.put(`/admin/clients/${id}`, SERVICE, admin);
  t.true((await within(() => tokenStatus(id, client.client_secret, other.origin), 200)) <= 1000);
  const { body } = await rest.post(`/admin/clients/${id}/secret`, { overlap_seconds: 0 }, admin);
  t.true((await within(() => tokenStatus(id, String(body.client_secret), other.origin), 200)) <= 1000);
  t.is(await tokenStatus(id, client.client_secret, other.origin), 401);
  await rest.delete(`/admin/clients/${id}`, undefined, admin);
  t.true((await within(() => tokenStatus(id, String(body.client_secret), other.origin), 401)) <= 1000);
});

test('each change is recorded with what was and what is, and no secret', async (t) => {
  const client = await create({ ...SERVICE, client_name: 'Audited' });
  const id = client.client_id;
  await rest.put(`/admin/clients/${id}`, { ...SERVICE, client_name: 'Renamed', first_party: true }, admin);
  const rotated = await rest.post(`/admin/clients/${id}/secret`, {}, admin);
  await rest.delete(`/admin/clients/${id}`, undefined, admin);
  const events = await server.audit.list({ target: id }, undefined, 10);
  t.deepEqual(
    events.map(({ type }) => type),
    ['client.deleted', 'client.secret_rotated', 'client.updated', 'client.created'],
  );
  const { body: me } = await rest.get('/users/me', admin);
  for (const { actor } of events) t.is(actor, me.id);
  t.like(events[2]?.details, {
    before: { client_name: 'Audited', first_party: false },
    after: { client_name: 'Renamed', first_party: true },
  });
  t.like(events[0]?.details, { before: { client_name: 'Renamed' } });
  const told = JSON.stringify(events);
  t.false(told.includes(client.client_secret) || told.includes(String(rotated.body.client_secret)));
});

test('reading and writing clients are permissions of their own, for tokens and keys', async (t) => {
  const plain = await signedIn('plain', 'user');
  const keyOf = async (scopes: string[]) => {
    const { body } = await rest.post('/users/api-keys', { name: 'key', scopes }, admin);
    return { 'X-API-Key': String(body.key) };
  };
  const [reader, writer] = [await keyOf(['read:clients']), await keyOf(['write:clients'])];
  const { client_id: id } = await create(SERVICE);
  const statuses = async (headers: Record<string, string>) => [
    (await rest.get('/admin/clients', headers)).status,
    (await rest.get(`/admin/clients/${id}`, headers)).status,
    (await rest.post('/admin/clients', SERVICE, headers)).status,
    (await rest.put(`/admin/clients/${id}`, SERVICE, headers)).status,
    (await rest.post(`/admin/clients/${id}/secret`, {}, headers)).status,
  ];
  t.deepEqual(await statuses({}), [401, 401, 401, 401, 401]);
  t.deepEqual(await statuses(plain), [403, 403, 403, 403, 403]);
  t.deepEqual(await statuses(reader), [200, 200, 403, 403, 403]);
  t.deepEqual(await statuses(writer), [403, 403, 201, 200, 200]);
  t.is((await rest.delete(`/admin/clients/${id}`, undefined, reader)).status, 403);
  t.is((await rest.delete(`/admin/clients/${id}`, undefined, writer)).status, 204);
});
