// What the service says of itself, whoever asks and however: OIDC Discovery 1.0 and RFC 8414.
import { get } from 'node:http';
import { connect } from 'node:net';
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { jsonOf, newApp, newPerson, signIn } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
const said: string[] = [];

test.before(async () => {
  // What the engine has to say it says on the console, while it is built and while it runs.
  for (const level of ['info', 'warn', 'log', 'error'] as const)
    console[level] = (...words: unknown[]) => void said.push(words.join(' '));
  server = await startServer();
});
test.after.always(() => server?.close());

/** A request whose Host is as given, which fetch would not send. */
const ask = (path: string, headers: Record<string, string> = {}) =>
  new Promise<{ status?: number; location?: string; body: string }>((resolve, reject) => {
    const { hostname, port } = new URL(server.origin);
    get({ hostname, port, path, headers, setHost: headers.host === undefined }, async (response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode, location: response.headers.location, body });
    }).on('error', reject);
  });

const OIDC = '/.well-known/openid-configuration';
const OAUTH = '/.well-known/oauth-authorization-server';

const FORGED: Record<string, string>[] = [
  {},
  { host: 'evil.example' },
  { host: 'evil.example:443', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' },
  { 'x-forwarded-host': 'evil.example, localhost', 'x-forwarded-port': '1' },
  { 'x-forwarded-proto': 'https', 'x-forwarded-ssl': 'on' },
  { forwarded: 'for=1.2.3.4;host=evil.example;proto=https' },
  { 'x-original-host': 'evil.example', 'x-host': 'evil.example', 'x-original-url': '/evil', 'x-rewrite-url': '/evil' },
];

const urlsIn = (document: Record<string, unknown>) =>
  Object.entries(document).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string' && /^https?:/.test(entry[1]),
  );

for (const headers of FORGED)
  test(`every address in discovery is the issuer's own, asked with ${JSON.stringify(headers)}`, async (t) => {
    for (const path of [OIDC, OAUTH]) {
      const { status, body } = await ask(path, headers);
      t.is(status, 200);
      const document = JSON.parse(body);
      t.is(document.issuer, server.issuer);
      t.true(urlsIn(document).length >= 8);
      for (const [name, url] of urlsIn(document)) t.is(new URL(url).origin, server.issuer, name);
      t.notRegex(body, /evil/);
    }
  });

test('a forged host leads no sign-in astray', async (t) => {
  const { client } = await newApp(server);
  const query = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    redirect_uri: 'https://app.example/callback',
  });
  for (const headers of FORGED) {
    const { location = '' } = await ask(`/oauth/authorize?${query}`, headers);
    t.is(new URL(location, server.issuer).origin, server.issuer);
    const login = await ask('/login', headers);
    t.is(new URL(login.location ?? '', server.issuer).origin, server.issuer);
    t.notRegex((await ask('/', headers)).body, /evil/);
  }
});

test('behind a trusted proxy the issuer is still what was configured', async (t) => {
  const behind = await startServer({ issuer: 'https://id.example', trustProxy: 1 });
  t.teardown(() => behind.close());
  const response = await fetch(`${behind.origin}${OIDC}`, {
    headers: { 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'http' },
  });
  const document = await jsonOf(response);
  t.is(document.issuer, 'https://id.example');
  for (const [name, url] of urlsIn(document)) t.is(new URL(url).origin, 'https://id.example', name);
  const login = await fetch(
    `${behind.origin}${new URL(String(document.authorization_endpoint)).pathname}?client_id=nobody`,
  );
  t.truthy(login.headers.get('strict-transport-security'));
});

test('both documents say the same', async (t) => {
  t.deepEqual(JSON.parse((await ask(OIDC)).body), JSON.parse((await ask(OAUTH)).body));
});

test('the document says what the service can', async (t) => {
  const document = JSON.parse((await ask(OIDC)).body);
  t.deepEqual(document.id_token_signing_alg_values_supported.toSorted(), ['ES256', 'EdDSA', 'HS256', 'PS256', 'RS256']);
  t.like(document, {
    authorization_endpoint: `${server.issuer}/oauth/authorize`,
    token_endpoint: `${server.issuer}/oauth/token`,
    revocation_endpoint: `${server.issuer}/oauth/revoke`,
    userinfo_endpoint: `${server.issuer}/oauth/userinfo`,
    introspection_endpoint: `${server.issuer}/oauth/introspect`,
    jwks_uri: `${server.issuer}/oauth/jwks`,
    end_session_endpoint: `${server.issuer}/oauth/logout`,
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
    claims_parameter_supported: true,
    registration_endpoint: `${server.issuer}/oauth/register`,
    client_id_metadata_document_supported: true,
    acr_values_supported: ['aal1'],
    ui_locales_supported: ['en', 'zh-CN'],
    token_endpoint_auth_methods_supported: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'none',
    ],
    ...Object.fromEntries(
      ['introspection', 'revocation'].flatMap((endpoint) => [
        [`${endpoint}_endpoint_auth_methods_supported`, document.token_endpoint_auth_methods_supported],
        [
          `${endpoint}_endpoint_auth_signing_alg_values_supported`,
          document.token_endpoint_auth_signing_alg_values_supported,
        ],
      ]),
    ),
    prompt_values_supported: ['none', 'login', 'consent', 'select_account'],
    protected_resources: [server.issuer],
    authorization_details_types_supported: [],
    device_authorization_endpoint: `${server.issuer}/oauth/device_authorization`,
    backchannel_authentication_endpoint: `${server.issuer}/oauth/backchannel`,
    backchannel_token_delivery_modes_supported: ['poll', 'ping'],
    backchannel_logout_supported: true,
    dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'Ed25519', 'PS256'],
    subject_types_supported: ['public', 'pairwise'],
    pushed_authorization_request_endpoint: `${server.issuer}/oauth/par`,
    request_parameter_supported: true,
    request_uri_parameter_supported: false,
    response_modes_supported: ['form_post', 'fragment', 'query', 'jwt', 'query.jwt', 'fragment.jwt', 'form_post.jwt'],
    scopes_supported: [
      'openid',
      'profile',
      'email',
      'address',
      'phone',
      'offline_access',
      'read:profile',
      'write:profile',
    ],
  });
});

test('nothing is announced that is not served', async (t) => {
  const document = JSON.parse((await ask(OIDC)).body);
  const served = urlsIn(document).filter(([name]) => name !== 'issuer');
  for (const [name, url] of served) {
    const byGet = await fetch(url, { redirect: 'manual' });
    const byPost = await fetch(url, { method: 'POST', body: new URLSearchParams(), redirect: 'manual' });
    t.true(byGet.status !== 404 || byPost.status !== 404, `${name} is not there`);
    t.true(byGet.status < 500 && byPost.status < 500, `${name}: ${byGet.status} ${byPost.status}`);
  }
  const { grant_types_supported, response_types_supported } = document;
  t.deepEqual([...grant_types_supported].sort(), [
    'authorization_code',
    'client_credentials',
    'implicit',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'urn:openid:params:grant-type:ciba',
  ]);
  t.deepEqual([...response_types_supported].sort(), ['code', 'code id_token', 'id_token', 'none']);
});

test('JWKS has one key of each kind, and no private part of any', async (t) => {
  const { keys } = JSON.parse((await ask('/oauth/jwks')).body);
  t.deepEqual(keys.map(({ alg }: { alg: string }) => alg).sort(), ['ES256', 'EdDSA', 'PS256', 'RS256']);
  for (const key of keys) {
    t.is(key.use, 'sig');
    t.truthy(key.kid);
    for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) t.false(secret in key, secret);
  }
});

test('a browser app of any origin may read discovery and JWKS', async (t) => {
  for (const path of [OIDC, OAUTH, '/oauth/jwks']) {
    const response = await fetch(`${server.origin}${path}`, { headers: { origin: 'https://spa.example' } });
    t.truthy(response.headers.get('access-control-allow-origin'), path);
    t.not(response.headers.get('cross-origin-resource-policy'), 'same-origin');
  }
});

test('no line of what the engine says asks for a change, not after a whole sign-in either', async (t) => {
  const { rp } = await newApp(server);
  const params = { scope: 'openid profile offline_access', prompt: 'consent' };
  await signIn(createBrowser(server.issuer), rp, await newPerson(server), params);
  t.deepEqual(
    said.filter((line) => /oidc-provider|MUST|SHOULD|WARNING/.test(line)),
    [],
  );
});

test('a request line with a URL of another host changes nothing of what is published', async (t) => {
  const { port } = new URL(server.issuer);
  for (const document of ['openid-configuration', 'oauth-authorization-server']) {
    const body = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), 'localhost');
      let answer = '';
      socket.on('data', (chunk) => {
        answer += chunk;
      });
      socket.once('end', () => resolve(answer));
      socket.once('error', reject);
      socket.write(
        `GET http://evil.example/.well-known/${document} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
      );
    });
    t.regex(body, /"token_endpoint"/);
    t.false(body.includes('evil.example'));
  }
});
