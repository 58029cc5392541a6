// Authorization requests that are refused: on a page where the app cannot be trusted to be told, at the app otherwise.
import test, { type ExecutionContext } from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

/** The page that a refusal ends on: nothing on the way there left this service. */
const refusedHere = async (t: ExecutionContext, url: string | URL) => {
  for (const method of ['GET', 'POST']) {
    const browser = createBrowser(server.issuer);
    const asked = new URL(url, server.issuer);
    const page =
      method === 'GET'
        ? await browser.go(asked)
        : await browser.go(asked.pathname, { method, body: asked.searchParams });
    t.is(page.status, 400, `${method} ${asked}`);
    t.is(page.headers.get('location'), null);
    t.true(
      page.trail.every((step) => new URL(step).origin === server.issuer),
      `went to ${page.trail}`,
    );
    t.regex(page.html, /<h1>/);
    t.notRegex(page.html, /http-equiv|<script/i);
    t.true(page.html.includes(page.headers.get('x-request-id') ?? 'none'), 'the page shows the id of the request');
    if (method === 'POST') return page;
  }
  throw new Error('unreachable');
};

const ODD_REDIRECTS = {
  'another path': 'https://app.example/other',
  'a longer path': 'https://app.example/callback/more',
  'a trailing slash': 'https://app.example/callback/',
  'a missing path': 'https://app.example',
  'another port': 'https://app.example:8443/callback',
  'the default port, spelled out': 'https://app.example:443/callback',
  'plain http': 'http://app.example/callback',
  'another host': 'https://evil.example/callback',
  'a sister domain': 'https://app.example.evil.example/callback',
  'the host as userinfo': 'https://app.example@evil.example/callback',
  'userinfo added': 'https://evil@app.example/callback',
  'the host in another case': 'https://APP.example/callback',
  'the path in another case': 'https://app.example/Callback',
  'a fragment': 'https://app.example/callback#fragment',
  'a query added': 'https://app.example/callback?next=https://evil.example',
  'an encoded letter': 'https://app.example/c%61llback',
  'an encoded slash': 'https://app.example%2fcallback',
  'a path that climbs': 'https://app.example/callback/../other',
  'a dot segment': 'https://app.example/./callback',
  'a backslash': 'https://app.example\\callback',
  'a space at the end': 'https://app.example/callback ',
  'a line break': 'https://app.example/callback\r\nX-Injected: yes',
  'a javascript URL': 'javascript:alert(1)',
  'a data URL': 'data:text/html,<script>alert(1)</script>',
  'no scheme': '//app.example/callback',
  'our own page': '/account',
  'no URI at all': 'callback',
};

for (const [what, redirect_uri] of Object.entries(ODD_REDIRECTS))
  test(`a redirect_uri that differs by ${what} is refused on a page, and never followed`, async (t) => {
    const { rp } = await newApp(server);
    const { url } = await authorizationRequest(rp, { redirect_uri });
    const page = await refusedHere(t, url);
    t.regex(page.html, /redirect_uri/, 'the developer is told what is wrong');
    t.notRegex(page.html, /href="(javascript|data):/);
  });

test('with two registered redirect_uris none may be left out; a doubled one is refused', async (t) => {
  const { rp } = await newApp(server, { redirect_uris: [CALLBACK, 'https://app.example/second'] });
  const { url } = await authorizationRequest(rp, { redirect_uri: undefined });
  await refusedHere(t, url);
  const doubled = (await authorizationRequest(rp)).url;
  doubled.searchParams.append('redirect_uri', 'https://evil.example/callback');
  await refusedHere(t, doubled);
});

test('a bad redirect_uri is refused on a page whatever else is wrong or right with the request', async (t) => {
  const { rp } = await newApp(server);
  for (const more of [
    { prompt: 'none' },
    { response_type: 'token' },
    { response_mode: 'form_post' },
    { scope: 'openid\u0001' },
    { code_challenge_method: 'plain' },
    { claims: '{' },
  ]) {
    const { url } = await authorizationRequest(rp, { redirect_uri: 'https://evil.example/', ...more });
    await refusedHere(t, url);
  }
});

test('an unknown, a missing and a doubled client_id are refused on a page', async (t) => {
  const { rp } = await newApp(server);
  const request = (await authorizationRequest(rp)).url;
  const changed = (change: (query: URLSearchParams) => void) => {
    const url = new URL(request);
    change(url.searchParams);
    return url;
  };
  await refusedHere(
    t,
    changed((query) => query.set('client_id', 'nobody')),
  );
  await refusedHere(
    t,
    changed((query) => query.set('client_id', '')),
  );
  await refusedHere(
    t,
    changed((query) => query.delete('client_id')),
  );
  await refusedHere(
    t,
    changed((query) => query.append('client_id', 'another')),
  );
  await refusedHere(t, '/oauth/authorize');
});

test('a client_id with a NUL character is unknown, not an error of ours', async (t) => {
  await refusedHere(t, `/oauth/authorize?client_id=%00&response_type=code&redirect_uri=${CALLBACK}&scope=openid`);
  await refusedHere(t, `/oauth/authorize?client_id=a%00b&response_type=code&redirect_uri=${CALLBACK}`);
});

test('a public client without PKCE is told so', async (t) => {
  const { rp } = await newApp(server, { token_endpoint_auth_method: 'none' });
  const { url, state } = await authorizationRequest(rp, {
    code_challenge: undefined,
    code_challenge_method: undefined,
  });
  const arrived = await createBrowser(server.issuer).go(url);
  t.like(told(arrived), { error: 'invalid_request', state, iss: server.issuer });
  t.regex(told(arrived).error_description ?? '', /PKCE/);
});

for (const [what, params] of Object.entries({
  'the plain challenge method': { code_challenge_method: 'plain' },
  'a challenge without its method': { code_challenge_method: undefined },
  'a method without its challenge': { code_challenge: undefined },
  'a challenge that is none': { code_challenge: 'short' },
}))
  test(`${what} is an invalid_request, for a confidential client too`, async (t) => {
    const { rp } = await newApp(server);
    const arrived = await createBrowser(server.issuer).go((await authorizationRequest(rp, params)).url);
    t.is(told(arrived).error, 'invalid_request');
  });

for (const [what, params, error] of [
  ['a response_type we do not have', { response_type: 'token' }, 'unsupported_response_type'],
  ['a response_type that it is not registered for', { response_type: 'code id_token' }, 'unauthorized_client'],
  ['a response_type with an access token', { response_type: 'code token' }, 'unsupported_response_type'],
  ['a response_mode we do not have', { response_mode: 'carrier_pigeon' }, 'unsupported_response_mode'],
  ['an unknown resource', { resource: 'https://api.example/' }, 'invalid_target'],
  ['a resource that is no URI', { resource: 'api' }, 'invalid_target'],
  ['a request object', { request: 'eyJhbGciOiJub25lIn0.e30.' }, 'invalid_request_object'],
  ['a request_uri', { request_uri: 'https://evil.example/request' }, 'request_uri_not_supported'],
  ['a scope with characters no scope has', { scope: 'openid "quoted"' }, 'invalid_scope'],
] as const)
  test(`${what} is refused at the app`, async (t) => {
    const { rp } = await newApp(server);
    const { url, state } = await authorizationRequest(rp, params);
    const arrived = await createBrowser(server.issuer).go(url);
    t.is(arrived.status, 0);
    const answer = Object.fromEntries(new URLSearchParams(arrived.url.search || arrived.url.hash.slice(1)));
    t.like(answer, { error, state, iss: server.issuer });
    t.truthy(answer.error_description, 'with a word on why');
  });

test('a client that is registered for some scopes gets no others', async (t) => {
  const { rp } = await newApp(server, { scope: 'openid email' });
  const refused = await createBrowser(server.issuer).go(
    (await authorizationRequest(rp, { scope: 'openid phone' })).url,
  );
  t.is(told(refused).error, 'invalid_scope');
  const browser = createBrowser(server.issuer);
  const { url } = await authorizationRequest(rp, { scope: 'openid email' });
  t.truthy(told(await passThrough(browser, await browser.go(url), person)).code);
});

test('a scope nobody knows is left out of what is granted', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const { url } = await authorizationRequest(rp, { scope: 'openid launch:missiles' });
  t.truthy(told(await passThrough(browser, await browser.go(url), person)).code);
});

test('a request of nothing but unknown scopes ends at the app, not in a loop', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const { url } = await authorizationRequest(rp, { scope: 'launch:missiles', nonce: undefined });
  const arrived = await passThrough(browser, await browser.go(url), person);
  t.is(arrived.status, 0);
  t.regex(told(arrived).error ?? '', /^(access_denied|invalid_scope)$/);
});
