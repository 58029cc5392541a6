// Signed requests (RFC 9101), by openid-client where they succeed and by hand where they are refused.
import { createHash } from 'node:crypto';
import test from 'ava';
import { CompactEncrypt, type JWTPayload } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { assertion, type ClientKey, newKey, presented, signed } from '../helpers/client-keys.ts';
import {
  authorizationRequest,
  CALLBACK,
  jsonOf,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;
let key: ClientKey;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  key = await newKey();
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

const signing = (metadata: Record<string, unknown> = {}) => newApp(server, { jwks: key.jwks, ...metadata });
type App = Awaited<ReturnType<typeof signing>>;

const byHand = async (app: App, claims: JWTPayload = {}, header = {}, by: ClientKey = key) => {
  const now = Math.floor(Date.now() / 1000);
  const { url } = await authorizationRequest(app.rp);
  const payload = {
    ...Object.fromEntries(url.searchParams),
    iss: app.client.client_id,
    aud: server.issuer,
    iat: now,
    exp: now + 60,
    ...claims,
  };
  return signed(payload, by, { typ: 'oauth-authz-req+jwt', ...header });
};

const ask = (app: App, request: string, more: Record<string, string> = {}) => {
  const url = new URL(`${server.issuer}/oauth/authorize`);
  url.search = String(
    new URLSearchParams({ client_id: app.client.client_id, response_type: 'code', scope: 'openid', request, ...more }),
  );
  return createBrowser(server.issuer).go(url);
};

for (const alg of ['RS256', 'PS256', 'ES256', 'Ed25519'])
  test(`RFC 9101 §5: a request signed with ${alg} signs in`, async (t) => {
    const own = await newKey(alg);
    const app = await newApp(server, { jwks: own.jwks, request_object_signing_alg: alg });
    const started = await authorizationRequest(app.rp);
    const { privateKey, kid } = own;
    const url = await oidc.buildAuthorizationUrlWithJAR(app.rp, started.url.searchParams, { key: privateKey, kid });
    const browser = createBrowser(server.issuer);
    const arrived = await passThrough(browser, await browser.go(url), person);
    t.is((await redeem(app.rp, arrived.url, started)).claims()?.sub, person.id);
  });

test('RFC 9101 §6.3: what is said beside the signed request changes nothing', async (t) => {
  const app = await signing();
  const arrived = await ask(app, await byHand(app, { prompt: 'none', state: 'signed' }), {
    state: 'unsigned',
    scope: 'openid email',
    redirect_uri: 'https://evil.example/',
  });
  t.is(arrived.url.origin, new URL(CALLBACK).origin);
  t.like(told(arrived), { error: 'login_required', state: 'signed' });
});

test('RFC 9101 §6.1, §10.3: a request that is not signed, or not by a key of the client, is refused', async (t) => {
  const app = await signing();
  const stranger = await newKey();
  const unsecured = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ client_id: app.client.client_id, iss: app.client.client_id, aud: server.issuer, exp: 9_999_999_999, redirect_uri: CALLBACK, response_type: 'code' })).toString('base64url')}.`;
  const good = await byHand(app);
  for (const request of [
    unsecured,
    await byHand(app, {}, {}, stranger),
    await byHand(app, {}, {}, { ...stranger, kid: key.kid }),
    `${good.slice(0, -4)}AAAA`,
    'not.a.jwt',
    'nothing',
  ])
    t.is(told(await ask(app, request)).error, 'invalid_request_object', request.slice(0, 40));
});

for (const [what, claims, header] of [
  ['of another issuer', { iss: 'somebody' }, {}],
  ['for another audience', { aud: 'https://other.example' }, {}],
  ['of another client (§5)', { client_id: 'somebody' }, {}],
  ['that has expired', { exp: 1 }, {}],
  ['that never expires', { exp: undefined }, {}],
  ['that begins tomorrow', { nbf: 9_999_999_999 }, {}],
  ['with a request in it (§4)', { request: 'a.b.c' }, {}],
  ['with a request_uri in it (§4)', { request_uri: 'https://evil.example/' }, {}],
  ['with the client as its subject (§10.8)', { sub: 'the client' }, {}],
  ['that is typed as something else (§10.8)', {}, { typ: 'at+jwt' }],
  ['with another response_type than outside', { response_type: 'none' }, {}],
] as const)
  test(`RFC 9101 §6: a request object ${what} is refused`, async (t) => {
    const app = await signing();
    const own = 'sub' in claims ? { sub: app.client.client_id } : claims;
    t.is(told(await ask(app, await byHand(app, own, header))).error, 'invalid_request_object');
  });

test('RFC 9101 §10.8: a client assertion is no request', async (t) => {
  const app = await signing();
  const jwt = await signed(
    assertion(app.client.client_id, server.issuer, { response_type: 'code', redirect_uri: CALLBACK }),
    key,
  );
  t.is(told(await ask(app, jwt)).error, 'invalid_request_object');
});

test('RFC 9101 §10.5: a client registered for signed requests may not ask otherwise, here or pushed', async (t) => {
  const app = await signing({ require_signed_request_object: true });
  t.is(told(await createBrowser(server.issuer).go((await authorizationRequest(app.rp)).url)).error, 'invalid_request');
  const { url } = await authorizationRequest(app.rp);
  const { client_id, client_secret = '' } = app.client;
  const push = (more: Record<string, string>) =>
    fetch(`${server.issuer}/oauth/par`, {
      method: 'POST',
      body: new URLSearchParams({ client_id, client_secret, ...more }),
    });
  const unsigned = await push(Object.fromEntries(url.searchParams));
  t.is(unsigned.status, 400);
  t.is((await jsonOf(unsigned)).error, 'invalid_request');
  t.is((await push({ request: await byHand(app) })).status, 201);
});

test('RFC 9126 §3: a signed request may be pushed, by its own client', async (t) => {
  const own = await newKey();
  const app = await newApp(
    server,
    { jwks: own.jwks, token_endpoint_auth_method: 'private_key_jwt' },
    { auth: oidc.PrivateKeyJwt({ key: own.privateKey, kid: own.kid }) },
  );
  const started = await authorizationRequest(app.rp);
  const jar = await oidc.buildAuthorizationUrlWithJAR(app.rp, started.url.searchParams, {
    key: own.privateKey,
    kid: own.kid,
  });
  const url = await oidc.buildAuthorizationUrlWithPAR(app.rp, jar.searchParams);
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(url), person);
  t.is((await redeem(app.rp, arrived.url, started)).claims()?.sub, person.id);

  const other = await signing();
  const { client_id, client_secret = '' } = other.client;
  const body = new URLSearchParams({ client_id, client_secret, request: String(jar.searchParams.get('request')) });
  const refused = await fetch(`${server.issuer}/oauth/par`, { method: 'POST', body });
  t.is(refused.status, 400);
  t.is((await jsonOf(refused)).error, 'invalid_request_object');
});

test('RFC 9101 §6.1: a signed request may be encrypted under the secret of a client that registers it; unsigned inside, it is refused', async (t) => {
  const app = await signing({ request_object_encryption_alg: 'dir', request_object_encryption_enc: 'A256GCM' });
  const secret = createHash('sha256').update(String(app.client.client_secret)).digest();
  const encrypt = (text: string, by: Uint8Array = secret) =>
    new CompactEncrypt(Buffer.from(text)).setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' }).encrypt(by);
  const arrived = await ask(app, await encrypt(await byHand(app, { prompt: 'none' })));
  t.is(told(arrived).error, 'login_required');
  t.is(
    told(await ask(app, await encrypt(await byHand(app), createHash('sha256').digest()))).error,
    'invalid_request_object',
  );
  const claims = { client_id: app.client.client_id, iss: app.client.client_id, aud: server.issuer, exp: 9_999_999_999 };
  const unsecured = [{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
  t.is(told(await ask(app, await encrypt(`${unsecured.join('.')}.`))).error, 'invalid_request_object');
  const plain = await signing();
  const stored = createHash('sha256').update(String(plain.client.client_secret)).digest();
  t.is(
    told(await ask(plain, await encrypt(await byHand(plain), stored))).error,
    'invalid_request_object',
    'its secret is no key',
  );
});

test('a client without keys cannot sign: a request under what is stored of its secret is refused', async (t) => {
  const app = await newApp(server);
  const { rows } = await server.database.pool.query(
    'SELECT client_secret_hash AS hash, client_secret_sealed AS sealed FROM oauth_clients WHERE client_id = $1',
    [app.client.client_id],
  );
  t.is(rows[0].sealed, null);
  const { SignJWT } = await import('jose');
  for (const secret of [rows[0].hash, String(app.client.client_secret)]) {
    const claims = {
      iss: app.client.client_id,
      client_id: app.client.client_id,
      aud: server.issuer,
      redirect_uri: CALLBACK,
      response_type: 'code',
      scope: 'openid',
    };
    const jwt = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime('1m')
      .sign(Buffer.from(secret));
    t.is(told(await ask(app, jwt)).error, 'invalid_request_object');
  }
});

test('an assertion never passes where a request object is pushed without authentication', async (t) => {
  const app = await signing({ token_endpoint_auth_method: 'private_key_jwt' });
  const body = new URLSearchParams({ ...presented('a.b.c'), request: await byHand(app) });
  const response = await fetch(`${server.issuer}/oauth/par`, { method: 'POST', body });
  t.true(response.status === 400 || response.status === 401);
});

test('§6.3: a claim that is no text, whoever says so, is a mistake of theirs', async (t) => {
  const app = await signing();
  const claims = { nonce: { toString: 'x' } } as unknown as JWTPayload;
  const unsigned = ['{"alg":"RS256"}', JSON.stringify(claims), 'none'].map((part) =>
    Buffer.from(part).toString('base64url'),
  );
  for (const request of [await byHand(app, claims), unsigned.join('.')]) {
    const page = await ask(app, request);
    t.is(page.status, 400);
    t.regex(page.html, /invalid_request_object/);
    const { client_id, client_secret } = app.client;
    const body = new URLSearchParams({ client_id, client_secret: String(client_secret), request });
    const pushed = await fetch(`${server.issuer}/oauth/par`, { method: 'POST', body });
    t.is(pushed.status, 400);
    t.is((await jsonOf(pushed)).error, 'invalid_request_object');
  }
});
