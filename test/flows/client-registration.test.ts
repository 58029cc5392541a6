// Dynamic client registration (RFC 7591) and its management (RFC 7592), by openid-client, and by hand where they refuse.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import * as oidc from 'openid-client';
import { sha256 } from '../../src/domain/secrets.ts';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { createBrowser } from '../helpers/browser.ts';
import { createPeople } from '../helpers/people.ts';
import {
  authorizationRequest,
  discover,
  newPerson,
  type Person,
  passThrough,
  redeem,
  register as registerByOperator,
  told,
} from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

// One after the other: the embedded database has one session, and every registration is a transaction with the audit log.
/** Anybody may register here. */
let server: TestServer;
/** The same stores, where an initial access token is needed. */
let strict: TestServer;
let rest: ReturnType<typeof createRest>;
let strictRest: ReturnType<typeof createRest>;
let person: Person;
let admin: Record<string, string>;

const roomy = {
  ...DEFAULT_LIMITS,
  'registration-network': { points: 10_000, seconds: 900 },
  'client-network': { points: 10_000, seconds: 900 },
};

test.before(async () => {
  server = await startServer({ rateLimits: roomy });
  strict = await startServer({ registration: 'token', rateLimits: roomy }, server);
  rest = createRest(server.origin);
  strictRest = createRest(strict.origin);
  person = await newPerson(server);
  admin = (await createPeople(server).person('admin')).auth;
});
test.after.always(async () => {
  await strict?.close();
  await server?.close();
});

const LOCAL = 'http://127.0.0.1/callback';
const PUBLIC = {
  client_name: 'Desk Notes',
  redirect_uris: [LOCAL],
  grant_types: ['authorization_code', 'refresh_token'],
  token_endpoint_auth_method: 'none',
};

type Registered = Record<string, unknown> & {
  client_id: string;
  client_secret?: string;
  registration_access_token: string;
  registration_client_uri: string;
};

const registered = async (metadata: object = {}, headers = {}, at = rest): Promise<Registered> => {
  const { status, body } = await at.post('/oauth/register', { ...PUBLIC, ...metadata }, headers);
  if (status !== 201) throw new Error(JSON.stringify(body));
  return body as Registered;
};
const initialToken = async (more: object = {}): Promise<string> => {
  const { body } = await rest.post('/admin/initial-access-tokens', { name: 'tests', ...more }, admin);
  return String(body.initial_access_token);
};
const managed = (client: Registered) => ({
  path: `/oauth/register/${client.client_id}`,
  auth: bearer(client.registration_access_token),
});
const events = async (target: string): Promise<Record<string, unknown>[]> => {
  const { body } = await rest.get(`/admin/audit?target=${target}`, admin);
  return body.items as Record<string, unknown>[];
};

test.serial('RFC 7591 §3: openid-client registers itself by discovery alone, and signs a person in', async (t) => {
  const rp = await oidc.dynamicClientRegistration(
    new URL(server.issuer),
    { ...PUBLIC, redirect_uris: ['https://desk.example/callback'] },
    oidc.None(),
    { execute: [oidc.allowInsecureRequests] },
  );
  const { client_id, registration_client_uri } = rp.clientMetadata() as unknown as Registered;
  t.is(registration_client_uri, `${server.issuer}/oauth/register/${client_id}`);
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp, { redirect_uri: 'https://desk.example/callback' });
  const back = await passThrough(browser, await browser.go(started.url), person);
  const tokens = await redeem(rp, back.url, started);
  t.is(tokens.claims()?.sub, person.id);
});

test.serial(
  'RFC 7591 §3.2.1: a confidential client is told its secret once, and neither that nor its token is in the database',
  async (t) => {
    const client = await registered({ token_endpoint_auth_method: 'client_secret_basic' });
    t.is(client.client_secret_expires_at, 0);
    t.regex(String(client.client_secret), /^[\w-]{43}$/);
    t.is(typeof client.client_id_issued_at, 'number');
    const { rows } = await server.database.pool.query('SELECT row_to_json(c)::text AS row FROM oauth_clients c');
    for (const secret of [client.client_secret, client.registration_access_token])
      t.false(rows.some(({ row }) => row.includes(secret)));
    const { path, auth } = managed(client);
    const shown = await rest.get(path, auth);
    t.is(shown.status, 200);
    const { client_secret: _, client_secret_expires_at: __, ...rest_ } = client;
    t.deepEqual(shown.body, rest_, 'as it was answered, but for the secret');
  },
);

test.serial(
  'RFC 7591 §2: what is not known here is left out, null is the same as nothing, and the client chooses no client_id',
  async (t) => {
    const client = await registered({
      client_id: 'my-own',
      first_party: true,
      registration: 'token',
      made_up: 'x',
      tos_uri: null,
      scope: 'openid mcp:tools profile',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
    });
    t.not(client.client_id, 'my-own');
    t.false('made_up' in client || 'first_party' in client || 'tos_uri' in client);
    t.is(client.scope, 'openid profile', 'nobody has such a scope');
    t.deepEqual(client.grant_types, ['authorization_code', 'refresh_token']);
    const { body } = await rest.get(`/admin/clients/${client.client_id}`, admin);
    t.like(body, { first_party: false, registration: 'open' });
  },
);

test.serial(
  'RFC 7591 §2: scopes of resource servers are told as they were asked for, and hold the client to nothing',
  async (t) => {
    const identifier = 'https://tools.example/mcp';
    const words = (name: string) => ({ name, description: { en: name } });
    await server.resources.create({
      identifier,
      name: 'Tools',
      scopes: ['tools:call', 'tools:change'].map(words),
      defaultScopes: [],
      tokenFormat: 'opaque',
      ttlSeconds: 600,
      signingAlg: null,
      introspectionClients: [],
      detailTypes: [],
    });
    const redirect_uri = 'https://tools.example/callback';
    const client = await registered({ redirect_uris: [redirect_uri], scope: 'openid tools:call nobody:knows' });
    t.is(client.scope, 'openid tools:call');
    const { path, auth } = managed(client);
    t.is((await rest.get(path, auth)).body.scope, 'openid tools:call');
    const updated = await rest.put(
      path,
      { ...PUBLIC, client_id: client.client_id, redirect_uris: [redirect_uri], scope: 'tools:call' },
      auth,
    );
    t.is(updated.body.scope, 'tools:call');
    const only = await registered({ redirect_uris: [redirect_uri], scope: 'openid tools:call' });
    const rp = await discover(server, only.client_id, {}, oidc.None());
    const ask = async (scope: string) => {
      const browser = createBrowser(server.issuer);
      const started = await authorizationRequest(rp, { redirect_uri, resource: identifier, scope });
      return { started, arrived: await passThrough(browser, await browser.go(started.url), person) };
    };
    const { started, arrived } = await ask('openid tools:call tools:change');
    const tokens = await oidc.authorizationCodeGrant(
      rp,
      arrived.url,
      { pkceCodeVerifier: started.verifier, expectedState: started.state, expectedNonce: started.nonce ?? '' },
      { resource: identifier },
    );
    t.is(tokens.scope, 'tools:call tools:change', 'step-up');
    t.is(told((await ask('openid email')).arrived).error, 'invalid_scope', 'of ours, what it has registered for');
  },
);

for (const [what, metadata, error] of [
  ['no redirect URI', { redirect_uris: [] }, 'invalid_redirect_uri'],
  ['plain http', { redirect_uris: ['http://app.example/cb'] }, 'invalid_redirect_uri'],
  ['a wildcard', { redirect_uris: ['https://*.example.com/cb'] }, 'invalid_redirect_uri'],
  ['a wildcard in the path', { redirect_uris: ['https://app.example/*'] }, 'invalid_redirect_uri'],
  ['a fragment', { redirect_uris: ['https://app.example/cb#x'] }, 'invalid_redirect_uri'],
  ['an empty fragment', { redirect_uris: ['https://app.example/cb#'] }, 'invalid_redirect_uri'],
  ['a user', { redirect_uris: ['https://id.example@evil.example/cb'] }, 'invalid_redirect_uri'],
  ['no host where one reads it', { redirect_uris: ['https:///app.example/cb'] }, 'invalid_redirect_uri'],
  ['no slashes before its host', { redirect_uris: ['https:app.example/cb'] }, 'invalid_redirect_uri'],
  ['a host in letters that are folded', { redirect_uris: ['https://ａpp.example/cb'] }, 'invalid_redirect_uri'],
  ['a script', { redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
  ['its own scheme', { redirect_uris: ['com.example.app:/cb'], application_type: 'native' }, 'invalid_redirect_uri'],
  ['a host like the own machine', { redirect_uris: ['http://127.0.0.1.evil.example/cb'] }, 'invalid_redirect_uri'],
  ['no absolute URI', { redirect_uris: ['/cb'] }, 'invalid_redirect_uri'],
  ['a redirect URI that is no text', { redirect_uris: [7] }, 'invalid_redirect_uri'],
  ['a logout to anywhere', { post_logout_redirect_uris: ['http://app.example/'] }, 'invalid_client_metadata'],
  ['client_credentials', { grant_types: ['authorization_code', 'client_credentials'] }, 'invalid_client_metadata'],
  ['the password grant', { grant_types: ['password'] }, 'invalid_client_metadata'],
  ['refresh_token alone', { grant_types: ['refresh_token'] }, 'invalid_client_metadata'],
  ['implicit', { grant_types: ['authorization_code', 'implicit'] }, 'invalid_client_metadata'],
  ['response_type token', { response_types: ['token'] }, 'invalid_client_metadata'],
  ['response_type none', { response_types: ['none'] }, 'invalid_client_metadata'],
  ['an unknown way to authenticate', { token_endpoint_auth_method: 'magic' }, 'invalid_client_metadata'],
  ['keys where there are none', { token_endpoint_auth_method: 'private_key_jwt' }, 'invalid_client_metadata'],
  ['a name that is no text', { client_name: { en: 'x' } }, 'invalid_client_metadata'],
  ['a script for a logo', { logo_uri: 'javascript:alert(1)' }, 'invalid_client_metadata'],
  ['NUL in the name', { client_name: 'a\0b' }, 'invalid_client_metadata'],
  ['a software statement', { software_statement: 'eyJh.eyJz.c2ln' }, 'unapproved_software_statement'],
  ['a software statement that is none', { software_statement: 'trust me' }, 'invalid_software_statement'],
] as const)
  test.serial(`RFC 7591 §3.2.2: ${what} is refused with ${error}`, async (t) => {
    const { status, body, headers } = await rest.post('/oauth/register', { ...PUBLIC, ...metadata });
    t.is(status, 400, JSON.stringify(body));
    t.is(body.error, error);
    t.regex(String(body.error_description), /\w+ \w+/);
    t.is(headers.get('cache-control'), 'no-store');
  });

test.serial('RFC 7591 §3.1: a body that is no JSON object is refused with OAuth’s error', async (t) => {
  const answers = [
    await fetch(`${server.origin}/oauth/register`, { method: 'POST', body: new URLSearchParams({ client_name: 'x' }) }),
    await fetch(`${server.origin}/oauth/register`, {
      method: 'POST',
      body: '{',
      headers: { 'content-type': 'application/json' },
    }),
    await fetch(`${server.origin}/oauth/register`, {
      method: 'POST',
      body: '[]',
      headers: { 'content-type': 'application/json' },
    }),
    await fetch(`${server.origin}/oauth/register`, { method: 'POST' }),
  ];
  for (const answer of answers) {
    t.is(answer.status, 400);
    t.regex(String(((await answer.json()) as { error: string }).error), /^invalid_/);
  }
});

test.serial(
  'RFC 9700 §2.1.1: a client that anybody registered must use PKCE with S256, also with a secret',
  async (t) => {
    const client = await registered({ token_endpoint_auth_method: 'client_secret_basic' });
    const rp = await discover(server, client.client_id, { client_secret: client.client_secret });
    for (const [params, why] of [
      [{ code_challenge: undefined, code_challenge_method: undefined }, /PKCE/],
      [{ code_challenge_method: 'plain' }, /code_challenge_method/],
    ] as const) {
      const { url } = await authorizationRequest(rp, { redirect_uri: LOCAL, ...params });
      const page = await createBrowser(server.issuer).go(url);
      t.is(page.url.searchParams.get('error'), 'invalid_request');
      t.regex(page.url.searchParams.get('error_description') ?? '', why);
    }
  },
);

test.serial(
  'an app that anybody registered is marked on the consent page, with where the person goes on; others are not',
  async (t) => {
    const page = async (metadata: object, language: string) => {
      const client = await registered(metadata);
      const rp = await discover(server, client.client_id, {}, oidc.None());
      const { url } = await authorizationRequest(rp, {
        redirect_uri: (client.redirect_uris as string[])[0],
        ui_locales: language,
      });
      const browser = createBrowser(server.issuer);
      const login = await browser.go(url);
      return {
        login,
        consent: await browser.submit(login, 'sign-in', { login: person.email, password: person.password }),
      };
    };
    const shown = {
      client_name: 'Free Money',
      redirect_uris: ['https://money.example/cb'],
      logo_uri: 'https://money.example/logo.png',
      tos_uri: 'https://money.example/terms',
      policy_uri: 'https://money.example/privacy',
      contacts: ['help@money.example'],
    };
    const { login, consent } = await page(shown, 'en');
    t.regex(consent.html, /id="unverified"[\s\S]*Unverified app[\s\S]*money\.example/);
    t.notRegex(consent.html, /id="local-only"/);
    for (const { html } of [login, consent])
      for (const said of [shown.logo_uri, shown.tos_uri, shown.policy_uri, ...shown.contacts])
        t.true(html.includes(said), said);
    const chinese = await page(
      { logo_uri: 'http://localhost:1/logo.png', redirect_uris: ['http://localhost:3000/cb'] },
      'zh-CN',
    );
    t.regex(chinese.consent.html, /未经验证的应用[\s\S]*localhost:3000[\s\S]*id="local-only"/);
    t.notRegex(chinese.consent.html, /src="http:/, 'nothing of the own machine is loaded for a stranger');
    const encrypted = await page({ redirect_uris: ['https://localhost:3000/cb'] }, 'en');
    t.regex(encrypted.consent.html, /id="local-only"/, 'https makes it no less the own machine');

    const known = await registered({ redirect_uris: ['https://known.example/cb'] }, bearer(await initialToken()));
    const rp = await discover(server, known.client_id, {}, oidc.None());
    const { url } = await authorizationRequest(rp, { redirect_uri: 'https://known.example/cb' });
    const browser = createBrowser(server.issuer);
    const at = await browser.submit(await browser.go(url), 'sign-in', {
      login: person.email,
      password: person.password,
    });
    t.regex(at.html, /id="allow"/);
    t.notRegex(at.html, /id="unverified"/);
  },
);

test.serial('RFC 7591 §3: without an initial access token nobody registers where one is needed', async (t) => {
  for (const headers of [{}, bearer('wrong'), { authorization: 'Basic Zm9vOmJhcg==' }] as Record<string, string>[]) {
    const { status, body, headers: answered } = await strictRest.post('/oauth/register', PUBLIC, headers);
    t.is(status, 401);
    t.is(body.error, 'invalid_token');
    t.regex(answered.get('www-authenticate') ?? '', /^Bearer/);
  }
  t.is((await rest.post('/oauth/register', PUBLIC, bearer('wrong'))).status, 401, 'a wrong one is not none');
});

test.serial(
  'an initial access token registers so many clients, of two at once for its last use one, and is stored hashed',
  async (t) => {
    const token = await initialToken({ uses: 2 });
    const service = {
      client_name: 'Reporter',
      response_types: [],
      redirect_uris: [],
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_basic',
    };
    t.is((await strictRest.post('/oauth/register', { redirect_uris: [7] }, bearer(token))).status, 400, 'costs no use');
    const client = await registered(service, bearer(token), strictRest);
    t.deepEqual(client.grant_types, ['client_credentials'], 'who was let in may act for itself');
    const both = await Promise.all([1, 2].map(() => strictRest.post('/oauth/register', PUBLIC, bearer(token))));
    t.deepEqual(both.map(({ status }) => status).sort(), [201, 401]);
    const { rows } = await server.database.pool.query(
      'SELECT row_to_json(t)::text AS row FROM initial_access_tokens t',
    );
    t.false(rows.some(({ row }) => row.includes(token)));
    t.like((await events(client.client_id))[0], { type: 'client.created', details: { registration: 'token' } });
  },
);

test.serial('RFC 8693 §5: no client gives itself the right to exchange tokens, whoever let it in', async (t) => {
  const exchange = {
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:token-exchange'],
    token_exchange: { resources: ['https://api.example/'], impersonation: true },
  };
  const letIn = bearer(await initialToken());
  for (const headers of [{}, letIn])
    for (const asked of [
      exchange,
      { ...exchange, grant_types: ['authorization_code'] },
      { may_act: { client_id: 'somebody' } },
    ]) {
      const { status, body } = await rest.post('/oauth/register', { ...PUBLIC, ...asked }, headers);
      t.is(status, 400);
      t.is(body.error, 'invalid_client_metadata');
    }
  const client = await registered({ token_endpoint_auth_method: 'client_secret_basic' }, letIn);
  const { path, auth } = managed(client);
  t.is((await rest.put(path, { ...PUBLIC, ...exchange, client_id: client.client_id }, auth)).status, 400);
});

test.serial('an initial access token that has expired or was revoked registers nothing', async (t) => {
  const expired = await initialToken();
  await server.database.pool.query(
    `UPDATE initial_access_tokens SET expires_at = now() - interval '1 second' WHERE token_hash = $1`,
    [sha256(expired)],
  );
  t.is((await strictRest.post('/oauth/register', PUBLIC, bearer(expired))).status, 401);
  const { body } = await rest.post('/admin/initial-access-tokens', { name: 'revoked', uses: 3 }, admin);
  const listed = await rest.get('/admin/initial-access-tokens', admin);
  t.like(
    (listed.body.items as { id: string }[]).find(({ id }) => id === body.id),
    { id: body.id, name: 'revoked', uses_left: 3 },
  );
  t.false(JSON.stringify(listed.body).includes(String(body.initial_access_token)));
  t.is((await rest.delete(`/admin/initial-access-tokens/${body.id}`, undefined, admin)).status, 204);
  t.is((await rest.delete(`/admin/initial-access-tokens/${body.id}`, undefined, admin)).status, 404);
  t.is((await strictRest.post('/oauth/register', PUBLIC, bearer(body.initial_access_token))).status, 401);
  t.deepEqual(
    (await events(String(body.id))).map(({ type }) => type),
    ['initial_access_token.revoked', 'initial_access_token.created'],
  );
});

test.serial('who may not administer clients makes no initial access tokens', async (t) => {
  const { auth } = await createPeople(server).person();
  t.is((await rest.post('/admin/initial-access-tokens', { name: 'mine' }, auth)).status, 403);
  t.is((await rest.get('/admin/initial-access-tokens', auth)).status, 403);
  t.is((await rest.post('/admin/initial-access-tokens', { name: '', uses: 0 }, admin)).status, 422);
});

test.serial(
  'RFC 7592 §2.2: an update replaces everything and the token, and is seen by another process within a second',
  async (t) => {
    const client = await registered({ redirect_uris: ['https://one.example/cb'], tos_uri: 'https://one.example/tos' });
    const { path, auth } = managed(client);
    // Both processes know the client by now.
    t.is((await strictRest.get(path, auth)).status, 200);
    const authorize = async (uri: string) => {
      const rp = await discover(server, client.client_id, {}, oidc.None());
      const { url } = await authorizationRequest(rp, { redirect_uri: uri });
      const asked = new URL(`${strict.origin}${url.pathname}${url.search}`);
      return (await fetch(asked, { redirect: 'manual' })).status;
    };
    t.is(await authorize('https://one.example/cb'), 303);
    const changed = await rest.put(
      path,
      { ...PUBLIC, client_id: client.client_id, redirect_uris: ['https://two.example/cb'] },
      auth,
    );
    t.is(changed.status, 200, JSON.stringify(changed.body));
    t.false('tos_uri' in changed.body);
    await sleep(1_000);
    t.is(await authorize('https://two.example/cb'), 303);
    t.is(await authorize('https://one.example/cb'), 400);
    t.is((await rest.get(path, auth)).status, 401, 'the former token is spent');
    t.is((await rest.get(path, bearer(changed.body.registration_access_token))).status, 200);
    t.like((await events(client.client_id))[0], { type: 'client.updated', client: client.client_id });
  },
);

test.serial('RFC 7592 §2.2: of two updates with one token, one is done', async (t) => {
  const client = await registered();
  const { path, auth } = managed(client);
  const answers = await Promise.all(
    [rest, strictRest].map((at, index) =>
      at.put(path, { ...PUBLIC, client_id: client.client_id, client_name: `Name ${index}` }, auth),
    ),
  );
  t.deepEqual(answers.map(({ status }) => status).sort(), [200, 401]);
  const done = answers.find(({ status }) => status === 200);
  t.is((await rest.get(path, bearer(done?.body.registration_access_token))).body.client_name, done?.body.client_name);
});

test.serial(
  'RFC 7592 §2.2: an update cannot change who the client is, go past the limits of anybody, or set what is ours',
  async (t) => {
    const client = await registered({ token_endpoint_auth_method: 'client_secret_basic' });
    const { path, auth } = managed(client);
    const own = { ...PUBLIC, token_endpoint_auth_method: 'client_secret_basic', client_id: client.client_id };
    for (const [body, error] of [
      [{ ...own, client_id: undefined }, 'invalid_request'],
      [{ ...own, client_id: 'another' }, 'invalid_request'],
      [{ ...own, registration_access_token: 'x' }, 'invalid_request'],
      [{ ...own, registration_client_uri: 'https://x.example/' }, 'invalid_request'],
      [{ ...own, client_secret_expires_at: 0 }, 'invalid_request'],
      [{ ...own, client_id_issued_at: 1 }, 'invalid_request'],
      [{ ...own, client_secret: 'a secret of its own choice, long enough' }, 'invalid_client_metadata'],
      [{ ...own, grant_types: ['client_credentials'] }, 'invalid_client_metadata'],
      [{ ...own, redirect_uris: ['https://*.example/cb'] }, 'invalid_redirect_uri'],
    ] as const) {
      const answer = await rest.put(path, body, auth);
      t.is(answer.status, 400, JSON.stringify(body));
      t.is(answer.body.error, error);
      t.regex(String(answer.body.error_description), /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/, 'RFC 6749 §5.2');
    }
    const kept = await rest.put(path, { ...own, client_secret: client.client_secret, first_party: true }, auth);
    t.is(kept.status, 200, JSON.stringify(kept.body));
    const { body } = await rest.get(`/admin/clients/${client.client_id}`, admin);
    t.like(body, { first_party: false, registration: 'open' });
  },
);

test.serial('RFC 7592 §2: nobody reads, changes or ends a registration without its own token', async (t) => {
  const client = await registered();
  const other = await registered();
  const byOperator = await registerByOperator(server);
  const { path } = managed(client);
  const tries: [string, Record<string, string>][] = [
    [path, {}],
    [path, bearer('wrong')],
    [path, managed(other).auth],
    ['/oauth/register/nobody', managed(other).auth],
    [`/oauth/register/${byOperator.client_id}`, managed(other).auth],
    ['/oauth/register/user-auth', managed(other).auth],
  ];
  for (const [at, headers] of tries) {
    t.is((await rest.get(at, headers)).status, 401);
    t.is((await rest.put(at, { ...PUBLIC, client_id: client.client_id }, headers)).status, 401);
    t.is((await rest.delete(at, undefined, headers)).status, 401);
  }
  t.is((await rest.get(path, managed(client).auth)).status, 200);
});

test.serial('RFC 7592 §2.3: a client that ends its registration is gone, with its tokens', async (t) => {
  const client = await registered({ redirect_uris: ['https://gone.example/cb'] });
  const rp = await discover(server, client.client_id, {}, oidc.None());
  const started = await authorizationRequest(rp, { redirect_uri: 'https://gone.example/cb' });
  const browser = createBrowser(server.issuer);
  const back = await passThrough(browser, await browser.go(started.url), person);
  const { access_token } = await redeem(rp, back.url, started);
  const { path, auth } = managed(client);
  t.is((await rest.delete(path, undefined, auth)).status, 204);
  t.is((await rest.get(path, auth)).status, 401);
  await t.throwsAsync(oidc.fetchUserInfo(rp, access_token, person.id));
  t.like((await events(client.client_id))[0], { type: 'client.deleted', client: client.client_id });
});

test.serial(
  'what anybody registered and nobody used for 30 days is removed, once, by whichever process; the rest stays',
  async (t) => {
    const { pool } = server.database;
    const old = await registered();
    const used = await registered({ redirect_uris: ['https://used.example/cb'] });
    const letIn = await registered({}, bearer(await initialToken()));
    const byOperator = await registerByOperator(server);
    const young = await registered();
    const ids = [old, used, letIn, byOperator].map(({ client_id }) => client_id);
    await pool.query(
      `UPDATE oauth_clients SET created_at = now() - interval '31 days', updated_at = now() - interval '31 days' WHERE client_id = ANY($1)`,
      [ids],
    );
    await sleep(1_000);
    const rp = await discover(server, used.client_id, {}, oidc.None());
    const started = await authorizationRequest(rp, { redirect_uri: 'https://used.example/cb' });
    const browser = createBrowser(server.issuer);
    const back = await passThrough(browser, await browser.go(started.url), person);
    await redeem(rp, back.url, started);
    const lastUsed = async () =>
      (await pool.query('SELECT last_used_at FROM oauth_clients WHERE client_id = $1', [used.client_id])).rows[0]
        .last_used_at;
    const first = await lastUsed();
    t.truthy(first);
    const again = await authorizationRequest(rp, { redirect_uri: 'https://used.example/cb' });
    await redeem(rp, (await browser.go(again.url)).url, again);
    t.deepEqual(await lastUsed(), first, 'once a day is enough');

    await Promise.all([server.sweepClients(), strict.sweepClients(), server.sweepClients()]);
    const { rows } = await pool.query('SELECT client_id FROM oauth_clients WHERE client_id = ANY($1)', [
      [...ids, young.client_id],
    ]);
    t.deepEqual(
      rows.map(({ client_id }) => client_id).sort(),
      [used, letIn, byOperator, young].map(({ client_id }) => client_id).sort(),
    );
    const deleted = (await events(old.client_id)).filter(({ type }) => type === 'client.deleted');
    t.is(deleted.length, 1);
    t.like(deleted[0], { details: { reason: 'unused' } });
  },
);

test.serial('who registers one client after the other is slowed down, by network', async (t) => {
  const slow = await startServer({
    rateLimits: { ...roomy, 'registration-network': { points: 2, seconds: 900 } },
  });
  t.teardown(() => slow.close());
  const at = createRest(slow.origin);
  const statuses = [];
  for (let i = 0; i < 3; i += 1) statuses.push((await at.post('/oauth/register', PUBLIC)).status);
  t.deepEqual(statuses, [201, 201, 429]);
  const refused = await at.post('/oauth/register', PUBLIC);
  t.is(refused.body.error, 'temporarily_unavailable');
  t.regex(refused.headers.get('retry-after') ?? '', /^\d+$/);
});

test.serial('switched off, there is nothing to register at, and discovery names nothing', async (t) => {
  const off = await startServer({ registration: 'off' }, server);
  t.teardown(() => off.close());
  t.is((await fetch(`${off.origin}/oauth/register`, { method: 'POST' })).status, 404);
  const metadata = async (origin: string) =>
    (await (await fetch(`${origin}/.well-known/openid-configuration`)).json()) as Record<string, unknown>;
  t.is((await metadata(off.origin)).registration_endpoint, undefined);
  t.is((await metadata(server.origin)).registration_endpoint, `${server.issuer}/oauth/register`);
});

test.serial('what clients send wrong is no error in the log', (t) => {
  t.notRegex(server.log() + strict.log(), /"level":50/);
});
