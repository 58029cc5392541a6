// Client ID Metadata Documents: a client_id that is the address of its metadata, as MCP hosts have it.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { exportJWK, generateKeyPair } from 'jose';
import * as oidc from 'openid-client';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { isDocumentAddress } from '../../src/oidc/client-documents.ts';
import { createBrowser } from '../helpers/browser.ts';
import { createPeople } from '../helpers/people.ts';
import {
  authorizationRequest,
  CALLBACK,
  discover,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
} from '../helpers/relying-party.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

type Answering = (request: IncomingMessage, response: ServerResponse, url: string) => void;

/** May reach this machine, as while developing. */
let server: TestServer;
/** Another process on the same stores. */
let beside: TestServer;
/** As in production: this machine is not reached. */
let strict: TestServer;
let person: Person;
/** Where documents are: by path, what answers there. */
const documents = new Map<string, Answering>();
const asked: string[] = [];
let base: string;
let serial = 0;

const host = createServer((request, response) => {
  asked.push(String(request.url));
  const answer = documents.get(String(request.url));
  if (answer) answer(request, response, `${base}${request.url}`);
  else response.writeHead(404).end();
});

const json =
  (body: (url: string) => unknown, headers: Record<string, string> = {}): Answering =>
  (_, response, url) =>
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body(url)));

const REDIRECT = 'https://host.example/callback';
const METADATA = {
  client_name: 'Agent Host',
  redirect_uris: [REDIRECT],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'none',
};

/** Puts a document where nobody has looked yet. @returns its address. */
const published = (answer: Answering): string => {
  serial += 1;
  const path = `/client-${serial}.json`;
  documents.set(path, answer);
  return `${base}${path}`;
};
const publish = (more: Record<string, unknown> = {}, headers?: Record<string, string>): string =>
  published(json((url) => ({ client_id: url, ...METADATA, ...more }), headers));
const timesAsked = (clientId: string) => asked.filter((path) => clientId.endsWith(path)).length;
/** Its time is over, in the store and in every process's memory of a second. */
const outdate = async (clientId: string, age = '1 hour') => {
  await server.database.pool.query(
    `UPDATE client_documents SET fresh_until = now() - interval '1 second', fetched_at = now() - $2::interval WHERE client_id = $1`,
    [clientId, age],
  );
  await sleep(1_000);
};

const roomy = { ...DEFAULT_LIMITS, 'document-network': { points: 10_000, seconds: 900 } };

test.before(async () => {
  host.listen(0, '127.0.0.1');
  await once(host, 'listening');
  base = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
  const outbound = { reachLoopback: true };
  server = await startServer({ outbound, rateLimits: roomy });
  beside = await startServer({ outbound, rateLimits: roomy }, server);
  strict = await startServer({ rateLimits: roomy }, server);
  person = await newPerson(server);
});
test.after.always(async () => {
  await strict?.close();
  await beside?.close();
  await server?.close();
  host.close();
});

/** Where a request of this client ends. */
const authorize = async (clientId: string, redirect_uri = REDIRECT, at = server, more: Record<string, string> = {}) => {
  const query = new URLSearchParams({
    client_id: clientId,
    response_type: 'code',
    scope: 'openid',
    redirect_uri,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
    ...more,
  });
  const response = await fetch(`${at.origin}/oauth/authorize?${query}`, {
    redirect: 'manual',
    headers: { accept: 'application/json' },
  });
  const body = response.status === 303 ? {} : ((await response.json()) as Record<string, string>);
  return { status: response.status, location: response.headers.get('location') ?? '', ...body } as {
    status: number;
    location: string;
    error?: string;
    error_description?: string;
  };
};

test.serial('a client whose client_id is an address signs a person in, and lives on in every process', async (t) => {
  let status = 200;
  const clientId = published((request, response, url) =>
    status === 200
      ? json((at) => ({ ...METADATA, client_id: at }))(request, response, url)
      : response.writeHead(status).end(),
  );
  const rp = await discover(server, clientId, {}, oidc.None());
  t.true(rp.serverMetadata().client_id_metadata_document_supported);
  const browser = createBrowser(server.issuer);
  const params = { redirect_uri: REDIRECT, scope: 'openid offline_access', prompt: 'consent' };
  const started = await authorizationRequest(rp, params);
  const back = await passThrough(browser, await browser.go(started.url), person);
  const tokens = await redeem(rp, back.url, started);
  t.is(tokens.claims()?.sub, person.id);
  t.is(tokens.claims()?.aud, clientId);
  const refreshed = await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '');
  t.is((await oidc.fetchUserInfo(rp, refreshed.access_token, person.id)).sub, person.id);
  t.is((await authorize(clientId, REDIRECT, beside)).status, 303);
  t.is(timesAsked(clientId), 1, 'one process’s reading is every process’s');

  // Introspection: also while the host is away, and no longer once there is no document.
  const { client: api } = await newApp(server, { client_name: 'An API' });
  const introspect = async () => {
    const response = await fetch(`${beside.origin}/oauth/introspect`, {
      method: 'POST',
      body: new URLSearchParams({
        token: refreshed.access_token,
        client_id: api.client_id,
        client_secret: String(api.client_secret),
      }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  t.like(await introspect(), { active: true, client_id: clientId });
  status = 503;
  await outdate(clientId);
  t.like(await introspect(), { active: true, client_id: clientId });

  status = 404;
  await sleep(10_000);
  t.deepEqual(await introspect(), { active: false });

  // The person's own list, and taking it back: also then.
  const rest = createRest(server.origin);
  const auth = await createPeople(server).login(person.email, person.password);
  const listed = async () =>
    ((await rest.get('/users/me/apps', auth)).body as unknown as { client_id: string }[]).map(
      ({ client_id }) => client_id,
    );
  t.true((await listed()).includes(clientId));
  t.is((await rest.delete(`/users/me/apps/${encodeURIComponent(clientId)}`, undefined, auth)).status, 204);
  t.false((await listed()).includes(clientId));
  const { rows } = await server.database.pool.query(`SELECT type FROM audit_events WHERE client = $1 ORDER BY seq`, [
    clientId,
  ]);
  t.deepEqual(
    rows.map(({ type }) => type).filter((type) => type.startsWith('consent')),
    ['consent.given', 'consent.withdrawn'],
  );
});

test.serial(
  'the consent page names the host of the address and where the person goes on, and warns of what is local only',
  async (t) => {
    const consent = async (metadata: Record<string, unknown>, redirect_uri: string) => {
      const rp = await discover(server, publish(metadata), {}, oidc.None());
      const { url } = await authorizationRequest(rp, { redirect_uri });
      const browser = createBrowser(server.issuer);
      const login = await browser.go(url);
      return browser.submit(login, 'sign-in', { login: person.email, password: person.password });
    };
    const page = await consent({}, REDIRECT);
    t.regex(page.html, /id="unverified"/);
    t.true(page.html.includes(new URL(base).host), 'the host of the address');
    t.true(page.html.includes('host.example'), 'where the answer goes');
    t.notRegex(page.html, /id="local-only"/);
    const local = await consent(
      { redirect_uris: ['http://localhost/callback', 'http://127.0.0.1/callback'] },
      'http://localhost:51004/callback',
    );
    t.regex(local.html, /id="local-only"/);
    t.true(local.html.includes('localhost:51004'));
  },
);

test.serial(
  'RFC 9700 §2.1: a redirect URI that the document does not name is refused, and so is a request without PKCE',
  async (t) => {
    const clientId = publish();
    t.is((await authorize(clientId, 'https://host.example/other')).status, 400);
    const without = await authorize(clientId, REDIRECT, server, { code_challenge: '', code_challenge_method: '' });
    t.regex(without.location, /error=invalid_request/);
  },
);

test.serial('private_key_jwt by keys in the document', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' };
  const clientId = publish({ token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [jwk] } });
  const rp = await discover(server, clientId, {}, oidc.PrivateKeyJwt({ key: privateKey, kid: 'k1' }));
  const started = await authorizationRequest(rp, { redirect_uri: REDIRECT });
  const browser = createBrowser(server.issuer);
  const back = await passThrough(browser, await browser.go(started.url), person);
  t.is((await redeem(rp, back.url, started)).claims()?.sub, person.id);
  const nobody = await discover(server, clientId, {}, oidc.None());
  const again = await authorizationRequest(nobody, { redirect_uri: REDIRECT });
  const callback = (await browser.go(again.url)).url;
  await t.throwsAsync(redeem(nobody, callback, again), {
    message: /unexpected HTTP response|server responded with an error/,
  });
});

for (const [what, answer, why] of [
  ['another client_id', json(() => ({ ...METADATA, client_id: 'https://other.example/c.json' })), /client_id/],
  ['no client_id', json(() => METADATA), /client_id/],
  ['a secret', json((url) => ({ ...METADATA, client_id: url, client_secret: 'x' })), /client_secret/],
  [
    'a secret that expires',
    json((url) => ({ ...METADATA, client_id: url, client_secret_expires_at: 0 })),
    /client_secret/,
  ],
  ...['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'tls_client_auth'].map((method) => [
    method,
    json((url) => ({ ...METADATA, client_id: url, token_endpoint_auth_method: method })),
    /token_endpoint_auth_method/,
  ]),
  [
    'private_key_jwt without keys',
    json((url) => ({ ...METADATA, client_id: url, token_endpoint_auth_method: 'private_key_jwt' })),
    /jwks/,
  ],
  [
    'a symmetric key',
    json((url) => ({
      ...METADATA,
      client_id: url,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] },
    })),
    /JSON Web Key Set/,
  ],
  ['an HMAC', json((url) => ({ ...METADATA, client_id: url, id_token_signed_response_alg: 'HS256' })), /./],
  ['no redirect URIs', json((url) => ({ ...METADATA, client_id: url, redirect_uris: [] })), /redirect_uris/],
  [
    'a redirect URI by http',
    json((url) => ({ ...METADATA, client_id: url, redirect_uris: ['http://host.example/cb'] })),
    /redirect_uris/,
  ],
  [
    'a wildcard',
    json((url) => ({ ...METADATA, client_id: url, redirect_uris: [REDIRECT, 'https://*.example/cb'] })),
    /wildcards/,
  ],
  ['redirect URIs that are none', json((url) => ({ ...METADATA, client_id: url, redirect_uris: 7 })), /redirect_uris/],
  [
    'client_credentials alone',
    json((url) => ({ ...METADATA, client_id: url, grant_types: ['client_credentials'] })),
    /grant_types/,
  ],
  [
    'a logo by http',
    json((url) => ({ ...METADATA, client_id: url, logo_uri: 'http://host.example/l.png' })),
    /logo_uri/,
  ],
  ['a list', json(() => []), /JSON object/],
  [
    'no JSON',
    ((_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{')) as Answering,
    /JSON/,
  ],
  ['a page', json((url) => ({ ...METADATA, client_id: url }), { 'content-type': 'text/html' }), /application\/json/],
  ['too much', json((url) => ({ ...METADATA, client_id: url, padding: 'x'.repeat(21 * 1024) })), /larger/],
  ['far too much', json((url) => ({ ...METADATA, client_id: url, padding: 'x'.repeat(300 * 1024) })), /fetched/],
  [
    'a redirect',
    ((_, response) => response.writeHead(302, { location: `${base}/client-1.json` }).end()) as Answering,
    /redirects/,
  ],
  ['nothing', ((_, response) => response.writeHead(404).end()) as Answering, /404/],
  ['a failure', ((_, response) => response.writeHead(500).end()) as Answering, /500/],
  ['a broken connection', ((request) => request.socket.destroy()) as Answering, /fetched/],
] as [string, Answering, RegExp][])
  test.serial(`a document with ${what} makes no client, and it is said why`, async (t) => {
    const { status, error, error_description } = await authorize(published(answer));
    t.true(status === 400 || status === 401, `${status}`);
    t.regex(error ?? '', /^invalid_client(_metadata)?$/);
    t.regex(error_description ?? '', why);
  });

test.serial(
  'RFC 9700 §4.11: a document on this machine or a private network is not fetched, by number, by name, or by http',
  async (t) => {
    const { port } = new URL(base);
    for (const address of [
      `https://127.0.0.1:${port}/client.json`,
      `https://localhost:${port}/client.json`,
      `https://[::1]:${port}/client.json`,
      'https://10.0.0.1/client.json',
      'https://192.168.1.1/client.json',
      'https://169.254.169.254/latest/meta-data',
      'https://[fd00::1]/client.json',
      'https://[fe80::1]/client.json',
      'https://[::ffff:7f00:1]/client.json',
      'https://0.0.0.0/client.json',
    ]) {
      const { status, error, error_description = '' } = await authorize(address, REDIRECT, strict);
      t.true(status === 400 || status === 401, address);
      t.is(error, 'invalid_client');
      t.regex(error_description, /cannot be fetched$/, 'what is there is not told');
    }
    const byHttp = await authorize(`${base}/client.json`, REDIRECT, strict);
    t.regex(byHttp.error ?? '', /invalid_client/);
    t.false(asked.includes('/client.json'));
  },
);

test.serial('what is spelled otherwise than it is compared is no address of a client', (t) => {
  for (const good of ['https://a.example/c', 'https://a.example:8443/c.json?v=1', 'https://a.example/x/%7Ec'])
    t.true(isDocumentAddress(good), good);
  for (const bad of [
    ...['https://a.example', 'https://a.example/', 'http://a.example/c', 'ftp://a.example/c', 'a.example/c', ''],
    ...['https://a.example/c#x', 'https://a.example/c#', 'https://u@a.example/c', 'https://u:p@a.example/c'],
    ...['https://a.example/x/../c', 'https://a.example/./c', 'https://a.example/%2e%2e/c', 'https://A.example/c'],
    ...[
      'https://a.example:443/c',
      'HTTPS://a.example/c',
      'https:/a.example/c',
      'https://a.example\\c',
      ' https://a.example/c',
    ],
    ...['https://a.example/a b', `https://a.example/${'x'.repeat(512)}`, 'http://localhost/c', 'https://2130706433/c'],
  ])
    t.false(isDocumentAddress(bad), bad);
  t.true(isDocumentAddress('http://localhost:3000/c', true));
  t.false(isDocumentAddress('http://a.example/c', true));
});

test.serial('a document is read again when its time is over, and what has changed holds', async (t) => {
  let redirect = 'https://one.example/cb';
  const clientId = published(
    json((url) => ({ ...METADATA, client_id: url, redirect_uris: [redirect] }), { 'cache-control': 'max-age=120' }),
  );
  t.is((await authorize(clientId, 'https://one.example/cb')).status, 303);
  redirect = 'https://two.example/cb';
  await sleep(1_000);
  t.is((await authorize(clientId, 'https://two.example/cb')).status, 400, 'fresh for two minutes');
  t.is(timesAsked(clientId), 1);
  await outdate(clientId);
  t.is((await authorize(clientId, 'https://two.example/cb')).status, 303);
  t.is((await authorize(clientId, 'https://one.example/cb')).status, 400);
});

test.serial(
  'a host that is away takes nobody’s sign-in with it for a week; one that says there is no document does at once',
  async (t) => {
    let status = 200;
    const clientId = published((request, response, url) =>
      status === 200
        ? json((at) => ({ ...METADATA, client_id: at }))(request, response, url)
        : response.writeHead(status).end(),
    );
    t.is((await authorize(clientId)).status, 303);
    status = 503;
    await outdate(clientId);
    t.is((await authorize(clientId)).status, 303);
    status = 410;
    await outdate(clientId, '8 days');
    const gone = await authorize(clientId, REDIRECT, beside);
    t.regex(gone.error_description ?? '', /410/);
    // The one that has failed for this process a moment ago is not tried at once, but what stood for a week stands no longer.
    t.regex((await authorize(clientId)).error ?? '', /invalid_client/);
  },
);

test.serial(
  'RFC 8693 §5: what is an operator’s to say is left out of a document: what it may exchange, and who may act',
  async (t) => {
    const clientId = publish({
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:token-exchange'],
      token_exchange: { resources: ['https://api.example/'], impersonation: true },
      may_act: { client_id: 'somebody' },
      first_party: true,
    });
    t.is((await authorize(clientId)).status, 303);
    const { rows } = await server.database.pool.query('SELECT metadata FROM client_documents WHERE client_id = $1', [
      clientId,
    ]);
    t.deepEqual(rows[0].metadata.grant_types, ['authorization_code']);
    for (const member of ['token_exchange', 'may_act', 'first_party']) t.false(member in rows[0].metadata, member);
  },
);

test.serial('many requests at once fetch a document once, and a failure is not tried again at once', async (t) => {
  const slow = published((request, response, url) => {
    setTimeout(() => json((at) => ({ ...METADATA, client_id: at }))(request, response, url), 200);
  });
  const answers = await Promise.all(Array.from({ length: 10 }, () => authorize(slow)));
  t.true(answers.every(({ status }) => status === 303));
  t.is(timesAsked(slow), 1);
  const broken = published((_, response) => response.writeHead(500).end());
  await authorize(broken);
  await authorize(broken);
  t.is(timesAsked(broken), 1);
});

test.serial('who names one address after the other is slowed down, by network, with or without a scope', async (t) => {
  const slow = await startServer({
    outbound: { reachLoopback: true },
    rateLimits: { ...roomy, 'document-network': { points: 2, seconds: 900 } },
  });
  t.teardown(() => slow.close());
  const first = publish();
  t.is((await authorize(first, REDIRECT, slow)).status, 303);
  t.is((await authorize(publish(), REDIRECT, slow, { scope: '' })).status, 303);
  const refused = await authorize(publish(), REDIRECT, slow);
  t.is(refused.status, 429);
  t.is(refused.error, 'temporarily_unavailable');
  const unscoped = publish();
  t.is((await authorize(unscoped, REDIRECT, slow, { scope: '' })).status, 429);
  t.is(timesAsked(unscoped), 0);
  await sleep(1_000);
  t.is((await authorize(first, REDIRECT, slow)).status, 303, 'what is known costs nothing');
});

test.serial(
  'a client that is registered under an address goes before its document: so an operator shuts one out',
  async (t) => {
    const clientId = publish();
    const rp = await discover(server, clientId, {}, oidc.None());
    const started = await authorizationRequest(rp, { redirect_uri: REDIRECT });
    const browser = createBrowser(server.issuer);
    const tokens = await redeem(rp, (await passThrough(browser, await browser.go(started.url), person)).url, started);
    await server.clients.register({ client_id: clientId, redirect_uris: [CALLBACK] });
    await sleep(1_000);
    t.is((await authorize(clientId)).status, 400);
    await t.throwsAsync(oidc.fetchUserInfo(rp, tokens.access_token, person.id));
  },
);

test.serial('documents that nobody reads are removed after a month', async (t) => {
  const [old, young] = [publish(), publish()];
  await authorize(old);
  await authorize(young);
  await outdate(old, '31 days');
  await server.sweepClients();
  const { rows } = await server.database.pool.query('SELECT client_id FROM client_documents');
  const kept = rows.map(({ client_id }) => client_id);
  t.false(kept.includes(old));
  t.true(kept.includes(young));
});

test.serial('a page of such a client may call the token endpoint, in whichever process', async (t) => {
  const clientId = publish({ redirect_uris: ['https://page.example/cb'] });
  await authorize(clientId, 'https://page.example/cb');
  const preflight = async (origin: string) => {
    const answer = await fetch(`${beside.origin}/oauth/token`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
    return answer.headers.get('access-control-allow-origin');
  };
  t.is(await preflight('https://page.example'), 'https://page.example');
  t.is(await preflight('https://other-page.example'), null);
});

test.serial('what is wrong with a client’s document is no error in the log', (t) => {
  t.notRegex(server.log() + beside.log() + strict.log(), /"level":50/);
});
