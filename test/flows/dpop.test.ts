// Tokens bound to a key of the client (RFC 9449), by openid-client where they succeed and by hand where they are refused.
import { createHash, randomUUID } from 'node:crypto';
import test from 'ava';
import * as oidc from 'openid-client';
import { sha256 } from '../../src/domain/secrets.ts';
import { createBrowser } from '../helpers/browser.ts';
import { type ClientKey, dpopProof, newKey } from '../helpers/client-keys.ts';
import {
  authorizationRequest,
  CALLBACK,
  jsonOf,
  newApp,
  newPerson,
  type Person,
  passThrough,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let beside: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  beside = await startServer({}, server);
  person = await newPerson(server);
});
test.after.always(async (t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  await beside?.close();
  await server?.close();
});

const PUBLIC = { token_endpoint_auth_method: 'none' };
const OFFLINE = { scope: 'openid email read:profile offline_access', prompt: 'consent' };

type App = Awaited<ReturnType<typeof newApp>>;
type Answer = { status: number; error: unknown; body: Record<string, unknown>; headers: Headers };

const TOKEN = () => `${server.issuer}/oauth/token`;
const athOf = (token: string) => createHash('sha256').update(token).digest('base64url');

const post = async (
  { client }: App,
  body: Record<string, string>,
  proof?: string,
  at: Pick<TestServer, 'origin'> = server,
): Promise<Answer> => {
  const { client_id, client_secret } = client;
  const secret: Record<string, string> = typeof client_secret === 'string' ? { client_secret } : {};
  const response = await fetch(`${at.origin}/oauth/token`, {
    method: 'POST',
    headers: proof === undefined ? {} : { dpop: proof },
    body: new URLSearchParams({ client_id, ...secret, ...body }),
  });
  const answer = await jsonOf(response);
  return { status: response.status, error: answer.error, body: answer, headers: response.headers };
};

/** A code, and what redeems it. */
const code = async (app: App, params: Record<string, string | undefined> = {}) => {
  const started = await authorizationRequest(app.rp, { ...OFFLINE, ...params });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  return {
    grant_type: 'authorization_code',
    redirect_uri: CALLBACK,
    code: String(told(arrived).code),
    code_verifier: started.verifier,
  };
};

const bound = async (metadata: Record<string, unknown> = PUBLIC) => {
  const app = await newApp(server, metadata);
  const key = await newKey();
  const { body } = await post(app, await code(app), await dpopProof(key, 'POST', TOKEN()));
  return {
    app,
    key,
    accessToken: String(body.access_token),
    refreshToken: String(body.refresh_token),
    type: body.token_type,
  };
};

const refresh = async (app: App, refresh_token: string, key?: ClientKey, at?: TestServer) =>
  post(app, { grant_type: 'refresh_token', refresh_token }, key && (await dpopProof(key, 'POST', TOKEN())), at);

const resource = async (
  path: string,
  token: string,
  { key, scheme = 'DPoP', proof }: { key?: ClientKey; scheme?: string; proof?: Record<string, unknown> } = {},
) => {
  const url = `${server.issuer}${path}`;
  const headers: Record<string, string> = { authorization: `${scheme} ${token}`, accept: 'application/json' };
  if (key) headers.dpop = await dpopProof(key, 'GET', url, { ath: athOf(token), ...proof });
  const response = await fetch(url, { headers });
  return { status: response.status, challenge: response.headers.get('www-authenticate') ?? '' };
};

test('RFC 9449 §5, §7: openid-client binds its tokens, refreshes and reads userinfo', async (t) => {
  for (const metadata of [PUBLIC, {}, { dpop_bound_access_tokens: true }]) {
    const { rp } = await newApp(server, metadata);
    const DPoP = oidc.getDPoPHandle(rp, await oidc.randomDPoPKeyPair());
    const started = await authorizationRequest(rp, OFFLINE);
    const browser = createBrowser(server.issuer);
    const arrived = await passThrough(browser, await browser.go(started.url), person);
    const checks = { pkceCodeVerifier: started.verifier, expectedState: started.state, expectedNonce: started.nonce };
    const tokens = await oidc.authorizationCodeGrant(rp, arrived.url, checks, undefined, { DPoP });
    t.is(tokens.token_type.toLowerCase(), 'dpop');
    const next = await oidc.refreshTokenGrant(rp, String(tokens.refresh_token), undefined, { DPoP });
    const claims = await oidc.fetchUserInfo(rp, next.access_token, person.id, { DPoP });
    t.is(claims.email, person.email);
    const me = await oidc.fetchProtectedResource(
      rp,
      next.access_token,
      new URL(`${server.issuer}/users/me`),
      'GET',
      null,
      undefined,
      { DPoP },
    );
    t.is(me.status, 200);
  }
});

for (const [what, changes, header] of [
  ['for another method', { htm: 'GET' }, {}],
  ['for another address', { htu: 'https://other.example/oauth/token' }, {}],
  ['for another endpoint', { htu: 'http://localhost/oauth/userinfo' }, {}],
  ['without an address', { htu: undefined }, {}],
  ['without a name', { jti: undefined }, {}],
  ['without a time', { iat: undefined }, {}],
  ['of another type', {}, { typ: 'JWT' }],
  ['that names no key', {}, { jwk: undefined }],
  ['with a nonce that is not ours', { nonce: 'made up' }, {}],
] as const)
  test(`RFC 9449 §4.3: a proof ${what} is refused, and the code stays good`, async (t) => {
    const app = await newApp(server, PUBLIC);
    const key = await newKey();
    const body = await code(app);
    const { status, error } = await post(app, body, await dpopProof(key, 'POST', TOKEN(), changes, header));
    t.is(status, 400);
    t.is(error, 'nonce' in changes ? 'use_dpop_nonce' : 'invalid_dpop_proof');
    t.is((await post(app, body, await dpopProof(key, 'POST', TOKEN()))).status, 200);
  });

test('RFC 9449 §4.3, §11.6: a proof by a private key in the open, a symmetric or an unsound algorithm is refused', async (t) => {
  const app = await newApp(server, PUBLIC);
  const key = await newKey();
  const body = await code(app);
  const { exportJWK, SignJWT } = await import('jose');
  const claims = { jti: 'one', htm: 'POST', htu: TOKEN(), iat: Math.floor(Date.now() / 1000) };
  const hmac = new SignJWT(claims).setProtectedHeader({
    alg: 'HS256',
    typ: 'dpop+jwt',
    jwk: { kty: 'oct', k: 'AAAA' } as object,
  });
  const rsa = await newKey('RS256');
  for (const proof of [
    await dpopProof(key, 'POST', TOKEN(), {}, { jwk: await exportJWK(key.privateKey) }),
    await hmac.sign(new Uint8Array(32)),
    await dpopProof(rsa, 'POST', TOKEN()),
    `${(await dpopProof(key, 'POST', TOKEN())).slice(0, -4)}AAAA`,
    'nonsense',
    `${await dpopProof(key, 'POST', TOKEN())}, ${await dpopProof(key, 'POST', TOKEN())}`,
  ])
    t.is((await post(app, body, proof)).error, 'invalid_dpop_proof');
});

test('RFC 9449 §8: an old proof is answered with a nonce, and taken with it by another process', async (t) => {
  const app = await newApp(server, PUBLIC);
  const key = await newKey();
  const body = await code(app);
  const old = { iat: Math.floor(Date.now() / 1000) - 3600 };
  const first = await post(app, body, await dpopProof(key, 'POST', TOKEN(), old));
  t.is(first.error, 'use_dpop_nonce');
  const nonce = first.headers.get('dpop-nonce');
  t.truthy(nonce);
  t.is((await post(app, body, await dpopProof(key, 'POST', TOKEN(), { ...old, nonce }), beside)).status, 200);
});

test('RFC 9449 §8: where nonces are demanded, none is refused without', async (t) => {
  const strict = await startServer({ dpopRequireNonce: true }, server);
  t.teardown(() => strict.close());
  const app = await newApp(server, PUBLIC);
  const key = await newKey();
  const body = await code(app);
  const first = await post(app, body, await dpopProof(key, 'POST', TOKEN()), strict);
  t.is(first.error, 'use_dpop_nonce');
  const nonce = first.headers.get('dpop-nonce');
  t.is((await post(app, body, await dpopProof(key, 'POST', TOKEN(), { nonce }), strict)).status, 200);
});

test('RFC 9449 §11.1: a proof is good once, in whatever process, also of many at once', async (t) => {
  const { app, key, refreshToken } = await bound();
  const proof = await dpopProof(key, 'POST', TOKEN());
  const body = { grant_type: 'refresh_token', refresh_token: refreshToken };
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, i) => post(app, body, proof, i % 2 ? beside : server)),
  );
  t.is(answers.filter(({ status }) => status === 200).length, 1);
  t.is((await refresh(app, refreshToken, key, beside)).status, 200, 'a retry brings another proof, and succeeds');
});

test('RFC 9449 §11.1: a proof that is dated ahead is remembered for as long as it is good', async (t) => {
  const { app, key, refreshToken } = await bound();
  const jti = randomUUID();
  const iat = Math.floor(Date.now() / 1000) + 290;
  const proof = await dpopProof(key, 'POST', TOKEN(), { jti, iat });
  const body = { grant_type: 'refresh_token', refresh_token: refreshToken };
  t.is((await post(app, body, proof)).status, 200);
  const { client_id } = app.client;
  const { rows } = await server.database.pool.query(
    "SELECT extract(epoch FROM expires_at)::float8 AS until FROM oauth_tokens WHERE model = 'ReplayDetection' AND id_hash = $1",
    [sha256(`${client_id.length}:${client_id}${jti}`)],
  );
  t.true(rows[0]?.until > iat + 300, JSON.stringify(rows));
  t.is((await post(app, body, proof, beside)).status, 400);
});

test('RFC 9449 §10: a code that names a key by dpop_jkt is good for that key alone', async (t) => {
  const { calculateJwkThumbprint } = await import('jose');
  const app = await newApp(server, PUBLIC);
  const [key, thief] = [await newKey(), await newKey()];
  const body = await code(app, { dpop_jkt: await calculateJwkThumbprint(key.jwk) });
  t.is((await post(app, body, await dpopProof(thief, 'POST', TOKEN()))).error, 'invalid_grant');
  t.is((await post(app, body)).error, 'invalid_grant');
  const again = await code(app, { dpop_jkt: await calculateJwkThumbprint(key.jwk) });
  t.is((await post(app, again, await dpopProof(key, 'POST', TOKEN()))).status, 200);
});

test('RFC 9449 §10.1: a proof beside a pushed request names the key; a dpop_jkt of another key is refused', async (t) => {
  const { calculateJwkThumbprint } = await import('jose');
  const app = await newApp(server);
  const [key, thief] = [await newKey(), await newKey()];
  const started = await authorizationRequest(app.rp, OFFLINE);
  const push = async (more: Record<string, string> = {}) => {
    const { client_id, client_secret = '' } = app.client;
    const body = new URLSearchParams({
      ...Object.fromEntries(started.url.searchParams),
      client_id,
      client_secret,
      ...more,
    });
    const dpop = await dpopProof(key, 'POST', `${server.issuer}/oauth/par`);
    return jsonOf(await fetch(`${server.issuer}/oauth/par`, { method: 'POST', headers: { dpop }, body }));
  };
  t.is((await push({ dpop_jkt: await calculateJwkThumbprint(thief.jwk) })).error, 'invalid_request');
  const { request_uri } = await push();
  const url = new URL(`${server.issuer}/oauth/authorize`);
  url.search = String(new URLSearchParams({ client_id: app.client.client_id, request_uri: String(request_uri) }));
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(url), person);
  const body = {
    grant_type: 'authorization_code',
    redirect_uri: CALLBACK,
    code: String(told(arrived).code),
    code_verifier: started.verifier,
  };
  t.is((await post(app, body, await dpopProof(thief, 'POST', TOKEN()))).error, 'invalid_grant');
});

test('RFC 9449 §5: a client registered for bound tokens gets no others', async (t) => {
  const app = await newApp(server, { dpop_bound_access_tokens: true });
  t.is((await post(app, await code(app))).error, 'invalid_grant');
});

test("RFC 9449 §5: a public client's refresh token is bound: it is refused without the key and by another, and goes on with its own", async (t) => {
  const { app, key, refreshToken } = await bound();
  const thief = await newKey();
  t.is((await refresh(app, refreshToken)).error, 'invalid_grant');
  t.is((await refresh(app, refreshToken, thief)).error, 'invalid_grant');
  const next = await refresh(app, refreshToken, key);
  t.is(next.status, 200);
  t.is(next.body.token_type, 'DPoP');
  t.is(
    (await refresh(app, String(next.body.refresh_token), thief)).error,
    'invalid_grant',
    'the successor is bound as well',
  );
  t.is((await refresh(app, String(next.body.refresh_token), key)).status, 200);
});

test('in the retry window a spent refresh token gives nothing to another key, and its owner loses nothing by the attempt', async (t) => {
  const { app, key, refreshToken } = await bound();
  const thief = await newKey();
  const first = await refresh(app, refreshToken, key);
  t.is((await refresh(app, refreshToken, thief)).error, 'invalid_grant');
  t.is((await refresh(app, refreshToken)).error, 'invalid_grant');
  const retried = await refresh(app, refreshToken, key, beside);
  t.is(retried.body.refresh_token, first.body.refresh_token, 'the retry of the owner gives the same successor');
  const second = await refresh(app, String(first.body.refresh_token), key);
  t.is(second.status, 200);
  t.is((await refresh(app, refreshToken, thief)).error, 'invalid_grant', 'past the window, too');
  t.is((await refresh(app, String(second.body.refresh_token), key)).status, 200, 'and the family lives');
});

test('past its use the spent token of a bound family, brought by its own key, ends the family as ever', async (t) => {
  const { app, key, refreshToken } = await bound();
  const first = await refresh(app, refreshToken, key);
  const second = await refresh(app, String(first.body.refresh_token), key);
  t.is((await refresh(app, refreshToken, key)).error, 'invalid_grant');
  t.is((await refresh(app, String(second.body.refresh_token), key)).error, 'invalid_grant');
});

for (const path of ['/oauth/userinfo', '/users/me'])
  test(`RFC 9449 §7: ${path} takes a bound token with its proof, and no other way`, async (t) => {
    const { key, accessToken } = await bound();
    const thief = await newKey();
    t.is((await resource(path, accessToken, { key })).status, 200);
    for (const [what, presented] of Object.entries({
      'as a bearer token (§7.2)': { scheme: 'Bearer' },
      'as a bearer token beside a proof': { scheme: 'Bearer', key },
      'without a proof': {},
      'with the proof of another key': { key: thief },
      'with a proof for another token': { key, proof: { ath: athOf('another') } },
      'with a proof for no token': { key, proof: { ath: undefined } },
      'with a proof for another method': { key, proof: { htm: 'POST' } },
      'with a proof for another address': { key, proof: { htu: `${server.issuer}/users` } },
      'with an old proof': { key, proof: { iat: 1 } },
    })) {
      const { status, challenge } = await resource(path, accessToken, presented);
      t.true(status === 401 || (path === '/oauth/userinfo' && status === 400), `${what}: ${status}`);
      t.regex(challenge, /DPoP |Bearer /, what);
      if (status === 401) t.regex(challenge, /^DPoP .*algs="ES256 EdDSA Ed25519 PS256"/, what);
    }
  });

test('RFC 9449 §11.1: at our own routes a proof is good once, too', async (t) => {
  const { key, accessToken } = await bound();
  const url = `${server.issuer}/users/me`;
  const headers = {
    authorization: `DPoP ${accessToken}`,
    dpop: await dpopProof(key, 'GET', url, { ath: athOf(accessToken) }),
  };
  const statuses = await Promise.all(
    [server, beside, server, beside].map(async ({ origin }) => (await fetch(`${origin}/users/me`, { headers })).status),
  );
  t.deepEqual(statuses.sort(), [200, 401, 401, 401]);
});

test('a token that is bound to nothing is not made better by a proof', async (t) => {
  const app = await newApp(server, PUBLIC);
  const { body } = await post(app, await code(app));
  t.is(body.token_type, 'Bearer');
  const key = await newKey();
  for (const path of ['/oauth/userinfo', '/users/me']) {
    t.is((await resource(path, String(body.access_token), { key })).status, 401);
    t.is((await resource(path, String(body.access_token), { scheme: 'Bearer' })).status, 200);
  }
});

test("a platform app's own token, refreshed with a proof, is bound as well", async (t) => {
  const login = await fetch(`${server.issuer}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: person.email, password: person.password }),
  });
  const { refresh_token } = await jsonOf(login);
  const key = await newKey();
  const ours = { client: { client_id: 'user-auth' } } as unknown as App;
  const { body, status } = await refresh(ours, String(refresh_token), key);
  t.is(status, 200);
  const token = String(body.access_token);
  t.is((await resource('/users/me', token, { scheme: 'Bearer' })).status, 401);
  t.is((await resource('/users/me', token, { key })).status, 200);
});

test('RFC 9449 §6.2: introspection tells the key', async (t) => {
  const { calculateJwkThumbprint } = await import('jose');
  const { app, key, accessToken, type } = await bound({});
  t.is(type, 'DPoP');
  const told = await oidc.tokenIntrospection(app.rp, accessToken);
  t.like(told, { active: true, token_type: 'DPoP', cnf: { jkt: await calculateJwkThumbprint(key.jwk) } });
});

test('RFC 9449 §5.1: discovery names the algorithms', async (t) => {
  const document = await jsonOf(await fetch(`${server.issuer}/.well-known/openid-configuration`));
  t.deepEqual(document.dpop_signing_alg_values_supported, ['ES256', 'EdDSA', 'Ed25519', 'PS256']);
});
