// Who may call what, generated from /openapi.json: every route of /users and /admin, by every role, every permission, every kind of
// credential, and for what is somebody else's (OWASP ASVS 5.0 §8.2). A new route is in it by being documented.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { ROOMY } from '../helpers/limits.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import { newApp, signIn } from '../helpers/relying-party.ts';
import { bearer } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

type Described = {
  description?: string;
  security: Record<string, unknown>[];
  requestBody?: { content: Record<string, { example?: unknown; schema: { $ref?: string; properties?: object } }> };
};
type Route = { method: string; path: string; scope: string; keys: boolean; administers: boolean; described: Described };
type Headers = Record<string, string>;

const PERMISSIONS = [
  ...['read:profile', 'write:profile', 'read:users', 'write:users', 'read:clients', 'write:clients', 'read:audit'],
  ...['read:resources', 'write:resources', 'read:keys', 'write:keys'],
];
const OWN = ['read:profile', 'write:profile'];
/** The roles that there are, one between them, and one of each permission alone. */
const ROLES: Record<string, string[]> = {
  user: OWN,
  nothing: [],
  helpdesk: [...OWN, 'read:users'],
  desk: [...OWN, 'read:users', 'write:users'],
};
for (const permission of PERMISSIONS) ROLES[`only-${permission.replace(':', '-')}`] = [permission];

let server: TestServer;
let people: ReturnType<typeof createPeople>;
let routes: Route[];
let root: { id: string; email: string; auth: Headers };
let victim: { id: string; email: string; auth: Headers };
/** What stands for a parameter of a path: an object that is the victim's, or the administrators'. */
let theirs: Record<string, string>;

const readRoutes = async (): Promise<Route[]> => {
  const response = await fetch(`${server.origin}/openapi.json`);
  const { paths } = (await response.json()) as { paths: Record<string, Record<string, Described>> };
  return Object.entries(paths)
    .filter(([path]) => /^\/(users|admin)\//.test(path))
    .flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, described]) => ({
        method: method.toUpperCase(),
        path,
        scope: /Needs the scope `([\w:]+)`/.exec(described.description ?? '')?.[1] ?? 'none is documented',
        keys: described.security.some((one) => 'apiKey' in one),
        administers: path.startsWith('/admin/'),
        described,
      })),
    );
};

test.before(async () => {
  server = await startServer({ rateLimits: ROOMY });
  people = createPeople(server);
  routes = await readRoutes();
  for (const [role, permissions] of Object.entries(ROLES)) await people.role(role, permissions);
  root = await people.person('admin');
  victim = await people.person();
  const { pool } = server.database;

  const key = await people.rest.post('/users/api-keys', { name: 'theirs', scopes: OWN }, victim.auth);
  const app = await newApp(server, { redirect_uris: ['https://app.example/callback'] });
  await signIn(createBrowser(server.issuer), app.rp, { ...victim, password: PASSWORD });
  const sessions = await people.rest.get('/users/me/sessions', victim.auth);
  const identity = await pool.query(
    `INSERT INTO identities (id, user_id, provider, issuer, subject, profile)
     VALUES (gen_random_uuid(), $1, 'acme', 'https://acme.example', 'them', '{}') RETURNING id`,
    [victim.id],
  );
  const resource = { identifier: 'https://api.example/', name: 'API', scopes: [] };
  await people.rest.post('/admin/resources', resource, root.auth);
  const token = await people.rest.post('/admin/initial-access-tokens', { name: 'theirs' }, root.auth);
  theirs = {
    '/users/api-keys/{id}': String(key.body.id),
    '/users/me/sessions/{id}': String((sessions.body as unknown as { id: string }[])[0]?.id),
    '/users/me/apps/{clientId}': app.client.client_id,
    '/users/me/identities/{id}': identity.rows[0].id,
    '/admin/users/{id}': victim.id,
    '/admin/clients/{clientId}': app.client.client_id,
    '/admin/initial-access-tokens/{id}': String(token.body.id),
    '/admin/resources/one': `/admin/resources/one?identifier=${encodeURIComponent(resource.identifier)}`,
  };
});
test.after.always(() => server?.close());

/** The route at what is somebody else's. A route under a new prefix has to say here what that is. */
const atTheirs = ({ path }: Route): string => {
  const prefix = Object.keys(theirs).find((one) => path === one || path.startsWith(`${one}/`));
  if (prefix?.endsWith('/one')) return theirs[prefix] ?? '';
  if (!path.includes('{')) return path;
  if (prefix === undefined) throw new Error(`what is somebody else's at ${path}?`);
  return path.replace(/\{\w+\}/, encodeURIComponent(theirs[prefix] ?? ''));
};

const call = async ({ method, described }: Route, at: string, headers: Headers, body: unknown): Promise<Response> => {
  const type = Object.keys(described.requestBody?.content ?? {})[0] ?? 'application/json';
  const response = await fetch(new URL(at, server.origin), {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': type }) },
    body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
  });
  await response.arrayBuffer();
  return response;
};

const exampleOf = ({ described }: Route): unknown => Object.values(described.requestBody?.content ?? {})[0]?.example;

/** Tries a route where it would do harm if it were let through. */
const attack = (route: Route, headers: Headers) => call(route, atTheirs(route), headers, exampleOf(route));

/** Tries a route where it does none: with a body that fits nothing, about what is not there. */
const knock = (route: Route, headers: Headers) => {
  const at = route.path.replace(/\{\w+\}/, '5fbabb32-ebd1-4ebb-bbb9-9b787acb5fac');
  return call(route, at, headers, route.method === 'GET' ? undefined : '["nothing that fits"]');
};

/** Everything that an attack could have changed, and what is noted of no use. */
const state = async (): Promise<string> => {
  const read = async (sql: string) => (await server.database.pool.query(sql)).rows;
  return JSON.stringify([
    await read('SELECT id, email, role, username, password_hash, banned_at, erase_after, name FROM users ORDER BY id'),
    await read('SELECT id, user_id, key_hash, scopes, expires_at FROM api_keys ORDER BY id'),
    await read('SELECT id, user_id, subject FROM identities ORDER BY id'),
    await read('SELECT user_id, client_id, scopes FROM consents ORDER BY 1, 2'),
    await read('SELECT client_id, metadata FROM oauth_clients ORDER BY 1'),
    await read('SELECT identifier FROM resource_servers ORDER BY 1'),
    await read('SELECT id, uses_left FROM initial_access_tokens ORDER BY 1'),
    await read('SELECT kid FROM signing_keys ORDER BY 1'),
    await read(`SELECT count(*)::int FROM one_time_tokens`),
    (await people.rest.get('/users/me', victim.auth)).status,
    (await people.rest.get('/users/me/sessions', victim.auth)).body,
  ]);
};

test.serial('every route of /users and /admin says which scope it needs, and there are enough to speak of', (t) => {
  t.true(routes.length >= 38, String(routes.length));
  for (const { method, path, scope } of routes) t.true(PERMISSIONS.includes(scope), `${method} ${path}: ${scope}`);
});

test.serial(
  'without live credentials of the right kind every route answers 401, and nothing has changed',
  async (t) => {
    const banned = await people.person('admin');
    await people.rest.post(`/admin/users/${banned.id}/ban`, { reason: 'spam' }, root.auth);
    const machine = await newApp(server, {
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    });
    const { access_token: machineToken } = await oidc.clientCredentialsGrant(machine.rp, { scope: OWN.join(' ') });
    const { rp } = await newApp(server);
    const person = { ...root, password: PASSWORD };
    const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { scope: 'openid read:profile' });
    const browser = createBrowser(server.origin);
    await browser.submit(await browser.go('/login'), 'sign-in', { login: root.email, password: PASSWORD });
    const cookie = browser
      .cookies()
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const key = String((await people.key(root.auth, PERMISSIONS))['X-API-Key']);
    const none: Record<string, Headers> = {
      nobody: {},
      'an empty bearer': { authorization: 'Bearer ' },
      nonsense: bearer('nonsense'),
      'a browser’s cookies': { cookie },
      'a banned administrator': banned.auth,
      'an app for itself': bearer(machineToken),
      'an ID token': bearer(tokens.id_token),
      'an API key as a bearer': bearer(key),
      'a token as an API key': { 'X-API-Key': String(root.auth.authorization).replace('Bearer ', '') },
      'a key and a token at once': { 'X-API-Key': key, ...root.auth },
      'an administrator’s id': bearer(root.id),
      'by basic': { authorization: `Basic ${btoa(`${root.email}:${PASSWORD}`)}` },
    };
    const before = await state();
    for (const [name, headers] of Object.entries(none))
      for (const route of routes)
        t.is((await attack(route, headers)).status, 401, `${name}: ${route.method} ${route.path}`);
    t.is(await state(), before);
  },
);

test.serial('a role opens the routes of its permissions and no other: by role and by route', async (t) => {
  const callers: [role: string, permissions: string[], headers: Headers][] = [['admin', PERMISSIONS, root.auth]];
  for (const [role, permissions] of Object.entries(ROLES))
    callers.push([role, permissions, (await people.person(role)).auth]);
  const before = await state();
  for (const [role, permissions, headers] of callers)
    for (const route of routes) {
      const what = `${role}: ${route.method} ${route.path}`;
      if (permissions.includes(route.scope)) t.notRegex(String((await knock(route, headers)).status), /40[13]/, what);
      else t.is((await attack(route, headers)).status, 403, what);
    }
  t.is(await state(), before);
});

test.serial(
  'an API key opens what is for keys, within its scopes and its owner’s role, and no other: no scope grows',
  async (t) => {
    const plain = await people.person();
    const callers: [name: string, scopes: string[], headers: Headers][] = [
      // A key may be made for more than its owner may do; that does not make it more.
      ['a user’s key for everything', OWN, await people.key(plain.auth, PERMISSIONS)],
      ['a key for nothing', [], await people.key(root.auth, [])],
    ];
    for (const scope of PERMISSIONS) callers.push([scope, [scope], await people.key(root.auth, [scope])]);
    const before = await state();
    for (const [name, scopes, headers] of callers)
      for (const route of routes) {
        const what = `${name}: ${route.method} ${route.path}`;
        const whose = route.method === 'GET' && route.path === '/users/me';
        if (route.keys && (scopes.includes(route.scope) || whose))
          t.notRegex(String((await knock(route, headers)).status), /40[13]/, what);
        else t.is((await attack(route, headers)).status, 403, what);
      }
    t.is(await state(), before);
  },
);

test.serial('an app that an administrator signed in to administers nothing, and opens no further way in', async (t) => {
  const { rp } = await newApp(server);
  const person = { ...root, password: PASSWORD };
  const scope = `openid ${PERMISSIONS.join(' ')}`;
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { scope });
  const before = await state();
  for (const route of routes) {
    const what = `${route.method} ${route.path}`;
    const headers = bearer(tokens.access_token);
    if (route.keys && !route.administers) t.notRegex(String((await knock(route, headers)).status), /40[13]/, what);
    else t.is((await attack(route, headers)).status, 403, what);
  }
  t.is(await state(), before);
});

test.serial('what is somebody else’s is not there: every route of /users with an id, by somebody else', async (t) => {
  const stranger = await people.person();
  const before = await state();
  const owned = routes.filter(({ path, administers }) => !administers && path.includes('{'));
  t.true(owned.length >= 5);
  for (const route of owned) {
    const what = `${route.method} ${route.path}`;
    // The administrator's too: it is the person's own API, whatever their role.
    for (const { auth } of [stranger, root]) {
      const theirsAnswer = await call(route, atTheirs(route), auth, exampleOf(route));
      t.is(theirsAnswer.status, 404, what);
      const nobodys = route.path.replace(/\{\w+\}/, '5fbabb32-ebd1-4ebb-bbb9-9b787acb5fac');
      t.is((await call(route, nobodys, auth, exampleOf(route))).status, 404, `${what}: not told apart from none`);
    }
  }
  t.is(await state(), before);
});

test.serial(
  'who may change users changes nobody who may do more: every such route, about an administrator',
  async (t) => {
    const { auth } = await people.person('desk');
    const other = await people.person('admin');
    await people.rest.post(`/admin/users/${other.id}/ban`, { reason: 'spam' }, root.auth);
    const before = await state();
    const changing = routes.filter(
      ({ path, scope }) => path.startsWith('/admin/users/{id}') && scope === 'write:users',
    );
    t.true(changing.length >= 6);
    for (const target of [root, other])
      for (const route of changing) {
        const { status } = await call(route, route.path.replace('{id}', target.id), auth, exampleOf(route));
        t.is(status, 403, `${route.method} ${route.path}, ${target === root ? 'active' : 'banned'}`);
      }
    t.is(await state(), before);
  },
);

test.serial('nothing is set that a route does not name: mass assignment on every route with a JSON body', async (t) => {
  const PRIVILEGED: Record<string, unknown> = {
    id: root.id,
    user_id: root.id,
    role: 'admin',
    permissions: ['write:users'],
    email_verified: true,
    is_active: true,
    password_hash: '$argon2id$',
    passwordHash: '$argon2id$',
    banned_at: null,
    erase_after: null,
    credentials_epoch: 0,
    created_at: '2000-01-01T00:00:00Z',
    first_party: true,
    registration: null,
    key_hash: 'x',
    scopes: ['write:users'],
    owner: root.id,
    __proto__x: {},
    constructor: { prototype: { role: 'admin' } },
  };
  const response = await fetch(`${server.origin}/openapi.json`);
  const { components, paths } = (await response.json()) as {
    components: { schemas: Record<string, { properties?: object }> };
    paths: Record<string, Record<string, Described>>;
  };
  const before = await state();
  const answered = new Set<string>();
  for (const [path, methods] of Object.entries(paths))
    for (const [method, described] of Object.entries(methods)) {
      const json = described.requestBody?.content['application/json'];
      if (!json || !/^\/(auth|users|admin)\//.test(path)) continue;
      const { $ref = '' } = json.schema;
      const { properties = {} } = $ref ? (components.schemas[$ref.split('/').at(-1) ?? ''] ?? {}) : json.schema;
      const route = { method: method.toUpperCase(), path, scope: '', keys: false, administers: false, described };
      for (const [name, value] of Object.entries(PRIVILEGED)) {
        if (name in properties) continue;
        const body = { ...Object(json.example), [name]: value };
        const answer = await fetch(new URL(atTheirs(route), server.origin), {
          method: route.method,
          headers: { ...root.auth, 'content-type': 'application/json' },
          body: JSON.stringify(body),
        });
        const told = (await answer.json()) as { errors?: { path: string }[] };
        t.is(answer.status, 422, `${method} ${path} with ${name}`);
        t.true(told.errors?.some((error) => error.path === name) ?? false, `${method} ${path} with ${name}`);
        answered.add(`${method} ${path}`);
      }
      // JSON.parse makes an own member of it, which must not become anybody's prototype.
      const polluted = await fetch(new URL(atTheirs(route), server.origin), {
        method: route.method,
        headers: { ...root.auth, 'content-type': 'application/json' },
        body: '{"__proto__":{"role":"admin","isAdmin":true}}',
      });
      await polluted.arrayBuffer();
      t.true([400, 422].includes(polluted.status), `${method} ${path} with __proto__`);
      t.is(({} as Record<string, unknown>).isAdmin, undefined);
    }
  t.true(answered.size >= 20, String(answered.size));
  t.is(await state(), before);
});
