// Pushed authorization requests (RFC 9126), by openid-client where they succeed and by hand where they are refused.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { newKey, signed } from '../helpers/client-keys.ts';
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

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

type App = Awaited<ReturnType<typeof newApp>>;

const pushed = async ({ rp }: App, params: Record<string, string | undefined> = {}) => {
  const started = await authorizationRequest(rp, params);
  const url = await oidc.buildAuthorizationUrlWithPAR(rp, started.url.searchParams);
  return { ...started, url };
};

const push = (body: Record<string, string> | URLSearchParams, init: RequestInit = {}) =>
  fetch(`${server.issuer}/oauth/par`, { method: 'POST', body: new URLSearchParams(body), ...init });

const refused = async (response: Response) => ({ status: response.status, error: (await jsonOf(response)).error });

const form = async ({ client }: App, more: Record<string, string> = {}) => ({
  client_id: client.client_id,
  ...(typeof client.client_secret === 'string' && { client_secret: client.client_secret }),
  response_type: 'code',
  redirect_uri: CALLBACK,
  scope: 'openid',
  code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
  code_challenge_method: 'S256',
  ...more,
});

test('RFC 9126 §2.2, §4: a request pushed by a confidential or a public client signs in; the address holds nothing but its name', async (t) => {
  for (const metadata of [{}, { token_endpoint_auth_method: 'none' }]) {
    const app = await newApp(server, metadata);
    const started = await pushed(app);
    t.deepEqual([...started.url.searchParams.keys()].sort(), ['client_id', 'request_uri']);
    const browser = createBrowser(server.issuer);
    const arrived = await passThrough(browser, await browser.go(started.url), person);
    t.is((await redeem(app.rp, arrived.url, started)).claims()?.sub, person.id);
  }
});

test('RFC 9126 §2.2: the answer is 201, is not cached, and is good for a minute at most', async (t) => {
  const response = await push(await form(await newApp(server)));
  t.is(response.status, 201);
  t.regex(response.headers.get('cache-control') ?? '', /no-store/);
  const body = await jsonOf(response);
  t.regex(String(body.request_uri), /^urn:ietf:params:oauth:request_uri:\S{22,}$/);
  t.true(Number(body.expires_in) <= 60);
});

test('RFC 9126 §7.3: a request_uri is spent when its authorization is complete; until then the page may be loaded again', async (t) => {
  const app = await newApp(server);
  const started = await pushed(app);
  const browser = createBrowser(server.issuer);
  await browser.go(started.url);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  t.truthy(told(arrived).code);
  const again = await browser.go(started.url);
  t.deepEqual(told(again), {
    error: 'invalid_request_uri',
    error_description: told(again).error_description ?? '',
    iss: server.issuer,
  });
});

test('RFC 9126 §7.3: of two browsers that follow one request_uri at once, one gets a code', async (t) => {
  const app = await newApp(server, {}, { firstParty: true });
  const { url } = await pushed(app);
  const browsers = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const browser = createBrowser(server.issuer);
      const page = await browser.go(url);
      return { browser, page };
    }),
  );
  const arrived = await Promise.all(browsers.map(({ browser, page }) => passThrough(browser, page, person)));
  t.is(arrived.filter((at) => at.status === 0 && told(at).code).length, 1);
});

test('RFC 9126 §7.3: nor do two get one that take longer over it than the request_uri lives', async (t) => {
  const key = await newKey();
  const app = await newApp(server, { jwks: key.jwks }, { firstParty: true });
  const { client_id, client_secret = '' } = app.client;
  const asked = Object.fromEntries((await authorizationRequest(app.rp)).url.searchParams);
  const now = Math.floor(Date.now() / 1000);
  const request = await signed({ ...asked, iss: client_id, aud: server.issuer, exp: now + 3 }, key);
  const { request_uri, expires_in } = await jsonOf(await push({ client_id, client_secret, request }));
  t.true(Number(expires_in) <= 3);
  const url = new URL(`${server.issuer}/oauth/authorize`);
  url.search = String(new URLSearchParams({ client_id, request_uri: String(request_uri) }));
  const [one, two] = [createBrowser(server.issuer), createBrowser(server.issuer)];
  const [first, second] = [await one.go(url), await two.go(url)];
  t.true(second.html.includes('id="sign-in"'), 'both began in time');
  await sleep(3_500);
  t.truthy(told(await passThrough(one, first, person)).code);
  const late = await passThrough(two, second, person);
  t.is(told(late).code, undefined);
  t.regex(`${late.url}${late.html}`, /invalid_request_uri/);
});

test.serial('RFC 9126 §2.2: a request_uri that nobody has followed for a minute is refused', async (t) => {
  const { url } = await pushed(await newApp(server));
  const realNow = Date.now;
  t.teardown(() => {
    Date.now = realNow;
  });
  Date.now = () => realNow() + 61_000;
  t.is(told(await createBrowser(server.issuer).go(url)).error, 'invalid_request_uri');
});

test("RFC 9126 §2.2: a request_uri is its client's alone", async (t) => {
  const started = await pushed(await newApp(server));
  const thief = await newApp(server, { redirect_uris: ['https://thief.example/callback'] });
  const url = new URL(started.url);
  url.searchParams.set('client_id', thief.client.client_id);
  const arrived = await createBrowser(server.issuer).go(url);
  t.is(arrived.url.origin, 'https://thief.example');
  t.is(told(arrived).error, 'invalid_request_object');
  t.is(told(arrived).code, undefined);
});

test('RFC 9126 §4: what is said beside a request_uri changes nothing', async (t) => {
  const app = await newApp(server);
  const started = await pushed(app, { scope: 'openid' });
  started.url.searchParams.set('scope', 'openid email phone');
  started.url.searchParams.set('redirect_uri', 'https://evil.example/');
  started.url.searchParams.set('state', 'another');
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  t.is(arrived.url.origin, new URL(CALLBACK).origin);
  const tokens = await redeem(app.rp, arrived.url, started);
  t.is(tokens.scope, 'openid');
});

test('RFC 6749 §3.3: a pushed request without scope is one for the default scope', async (t) => {
  const app = await newApp(server);
  const started = await pushed(app, { scope: undefined, nonce: undefined });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  t.is((await redeem(app.rp, arrived.url, started)).scope, 'read:profile');
});

test('RFC 9126 §2.1: a client that has credentials must use them', async (t) => {
  const app = await newApp(server);
  const { client_secret: _, ...without } = await form(app);
  t.deepEqual(await refused(await push(without)), { status: 401, error: 'invalid_client' });
  t.deepEqual(await refused(await push({ ...without, client_secret: 'a guess' })), {
    status: 401,
    error: 'invalid_client',
  });
  t.deepEqual(await refused(await push({ ...without, client_id: 'nobody' })), { status: 401, error: 'invalid_client' });
});

for (const [what, change, error] of [
  ['a request_uri (§2.1)', { request_uri: 'urn:ietf:params:oauth:request_uri:x' }, 'request_uri_not_supported'],
  ['another redirect_uri', { redirect_uri: 'https://evil.example/' }, 'invalid_request'],
  ['an unknown response_type', { response_type: 'token' }, 'unsupported_response_type'],
  ['a plain challenge', { code_challenge_method: 'plain' }, 'invalid_request'],
  ['a scope with characters no scope has', { scope: '"' }, 'invalid_scope'],
  ['an unknown prompt', { prompt: 'dance' }, 'invalid_request'],
  ['a request object that is none', { request: 'a.b.c' }, 'invalid_request_object'],
] as const)
  test(`RFC 9126 §2.3: a pushed request with ${what} is refused at once`, async (t) => {
    const app = await newApp(server);
    t.deepEqual(await refused(await push({ ...(await form(app)), ...change })), { status: 400, error });
  });

test('RFC 9126 §2.3: only a form by POST is taken, of a sensible size', async (t) => {
  const app = await newApp(server);
  t.is((await fetch(`${server.issuer}/oauth/par`)).status, 405);
  t.is((await push({}, { body: '{}', headers: { 'content-type': 'application/json' } })).status, 400);
  const large = await push({ ...(await form(app)), state: 'x'.repeat(100_000) });
  t.true(large.status === 413 || large.status === 400, String(large.status));
});

test('RFC 9126 §6: a client that is registered to push its requests may not ask otherwise', async (t) => {
  const app = await newApp(server, { require_pushed_authorization_requests: true });
  const { url } = await authorizationRequest(app.rp);
  const arrived = await createBrowser(server.issuer).go(url);
  t.is(told(arrived).error, 'invalid_request');
  t.regex(told(arrived).error_description ?? '', /Pushed Authorization Request/);
  const started = await pushed(app);
  const browser = createBrowser(server.issuer);
  t.truthy(told(await passThrough(browser, await browser.go(started.url), person)).code);
});

for (const request_uri of [
  'urn:ietf:params:oauth:request_uri:unknown',
  'urn:ietf:params:oauth:request_uri:',
  'https://evil.example/request.jwt',
  'http://localhost/request.jwt',
])
  test(`RFC 9126 §7.2, RFC 9101 §10.4: ${request_uri} is refused on a page where there is no one address to answer to, and nothing is fetched`, async (t) => {
    const { client } = await newApp(server, { redirect_uris: [CALLBACK, 'https://app.example/second'] });
    const url = new URL(`${server.issuer}/oauth/authorize`);
    url.search = String(new URLSearchParams({ client_id: client.client_id, request_uri }));
    const page = await createBrowser(server.issuer).go(url);
    t.is(page.status, 400);
    t.regex(page.html, /invalid_request_uri|request_uri_not_supported/);
  });

test('RFC 9126 §5: discovery names the endpoint', async (t) => {
  const document = await jsonOf(await fetch(`${server.issuer}/.well-known/openid-configuration`));
  t.is(document.pushed_authorization_request_endpoint, `${server.issuer}/oauth/par`);
});

test('RFC 6749 §5.2: the words of an error keep to the characters that they may have, whatever they quote', async (t) => {
  const { client } = await newApp(server);
  for (const origin of ['%_\\', 'a"b', 'caf\u00e9']) {
    const body = new URLSearchParams({ client_id: client.client_id, client_secret: String(client.client_secret) });
    const answer = await fetch(`${server.origin}/oauth/par`, { method: 'POST', body, headers: { origin } });
    t.is(answer.status, 400);
    const { error_description } = await jsonOf(answer);
    t.regex(String(error_description), /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/);
    t.regex(String(error_description), /not allowed/);
  }
});
