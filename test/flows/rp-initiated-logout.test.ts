// OpenID Connect RP-Initiated Logout 1.0, section by section: what logout.test.ts does not show.
import test from 'ava';
import type * as oidc from 'openid-client';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, newApp, newPerson, type Person, signIn, told } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const AFTER = 'https://app.example/signed-out';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const signedIn = async (metadata: Record<string, unknown> = {}) => {
  const browser = createBrowser(server.issuer);
  const app = await newApp(server, { post_logout_redirect_uris: [AFTER], ...metadata });
  const { tokens } = await signIn(browser, app.rp, person);
  return { ...app, browser, hint: tokens.id_token ?? '' };
};

const logout = (browser: Browser, params: Record<string, string>) =>
  browser.go(`/oauth/logout?${new URLSearchParams(params)}`);

const isSignedIn = async (browser: Browser, rp: oidc.Configuration) =>
  told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url)).code !== undefined;

const forgeries = (hint: string): Record<string, string> => {
  const [head = '', body = '', signature = ''] = hint.split('.');
  const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString());
  return {
    'no JWT': 'nonsense',
    'another signature': `${head}.${body}.${signature.slice(0, -8)}AAAAAAAA`,
    'no signature': `${encoded({ alg: 'none' })}.${body}.`,
    'another subject': `${head}.${encoded({ ...claims, sub: 'somebody' })}.${signature}`,
    'another issuer': `${head}.${encoded({ ...claims, iss: 'https://evil.example' })}.${signature}`,
    'an unknown audience': `${head}.${encoded({ ...claims, aud: 'nobody' })}.${signature}`,
    'no claims': `${head}.${encoded({})}.${signature}`,
  };
};

test('§2: without parameters a page asks, and another says when it is done', async (t) => {
  const { browser, rp } = await signedIn();
  const page = await logout(browser, {});
  t.is(page.status, 200);
  t.regex(page.html, /id="sign-out"/);
  t.true(page.html.includes(person.email));
  t.true(await isSignedIn(browser, rp), 'asking signs nobody out');
  const done = await browser.submit(await logout(browser, {}), 'sign-out');
  t.is(done.status, 200);
  t.is(done.url.pathname, '/oauth/logout/success');
  t.false(await isSignedIn(browser, rp));
  const nobody = await logout(createBrowser(server.issuer), {});
  t.is(nobody.status, 200);
});

test('§2, §4: an id_token_hint that is not good never redirects, whoever asks, and whatever stands beside it', async (t) => {
  const { browser, client, rp, hint } = await signedIn();
  for (const [name, id_token_hint] of Object.entries(forgeries(hint)))
    for (const who of [browser, createBrowser(server.issuer)])
      for (const more of [{}, { client_id: client.client_id }] as Record<string, string>[]) {
        const params: Record<string, string> = { id_token_hint, post_logout_redirect_uri: AFTER, state: 's', ...more };
        const page = await logout(who, params);
        t.is(page.status, 400, name);
        t.true(
          page.trail.every((step) => new URL(step).origin === server.issuer),
          name,
        );
        t.notRegex(page.html, /id="sign-out"/, name);
        const body = new URLSearchParams(params);
        const posted = await who.go('/oauth/logout', { method: 'POST', body });
        t.is(posted.status, 400, `${name}, by POST`);
      }
  t.true(await isSignedIn(browser, rp));
  t.notRegex(server.log(), /"level":50/, 'an app’s mistake is no error of ours');
});

test('§4: a hint that is encrypted is refused in words that help, on a page and to a program', async (t) => {
  const { browser, rp } = await signedIn();
  const header = Buffer.from(JSON.stringify({ alg: 'RSA-OAEP', enc: 'A128GCM' })).toString('base64url');
  for (const id_token_hint of ['a.b.c.d.e', `${header}.a2V5.aXY.dGV4dA.dGFn`]) {
    const page = await logout(browser, { id_token_hint, post_logout_redirect_uri: AFTER });
    t.is(page.status, 400);
    t.regex(page.html, /id_token_hint is encrypted/);
    const query = new URLSearchParams({ id_token_hint });
    const answer = await fetch(`${server.issuer}/oauth/logout?${query}`, { headers: { accept: 'application/json' } });
    t.is(answer.status, 400);
    t.regex(await answer.text(), /id_token_hint is encrypted/);
  }
  t.true(await isSignedIn(browser, rp));
});

// Alone, since it turns the clock.
test.serial('§4: an ID token that has expired is still a hint', async (t) => {
  const { browser, hint } = await signedIn();
  const now = Date.now;
  t.teardown(() => {
    Date.now = now;
  });
  // Within the session's hour, past the token's: the hint is told apart from it by its own time.
  const params = { id_token_hint: hint, post_logout_redirect_uri: AFTER, state: 's' };
  Date.now = () => now() + 3_700_000;
  const arrived = await logout(createBrowser(server.issuer), params);
  Date.now = now;
  t.is(arrived.url.href, `${AFTER}?state=s`);
  t.is((await browser.submit(await logout(browser, params), 'sign-out')).url.href, `${AFTER}?state=s`);
});

test('§3: post_logout_redirect_uri is compared to the letter, and needs to be known whose it is', async (t) => {
  const { browser, client, hint } = await signedIn();
  for (const uri of [`${AFTER}?x=1`, `${AFTER}/`, AFTER.toUpperCase(), `${AFTER}%20`, ' ', 'https://app.example/'])
    for (const params of [{ id_token_hint: hint }, { client_id: client.client_id }] as Record<string, string>[])
      for (const who of [browser, createBrowser(server.issuer)]) {
        const page = await logout(who, { ...params, post_logout_redirect_uri: uri });
        t.is(page.status, 400, uri);
      }
  const stray = await logout(createBrowser(server.issuer), { post_logout_redirect_uri: AFTER, state: 's' });
  t.is(stray.url.origin, server.issuer);
});

test('§3: state goes back as it came, and only where there is somewhere to go', async (t) => {
  for (const state of ['plain', 'a&b=c#d', '状态 ✓', '<script>']) {
    const { browser, hint } = await signedIn();
    const params = { id_token_hint: hint, post_logout_redirect_uri: AFTER, state };
    t.deepEqual(told(await browser.submit(await logout(browser, params), 'sign-out')), { state });
    t.deepEqual(told(await logout(createBrowser(server.issuer), params)), { state });
  }
  const { browser, hint } = await signedIn();
  const bare = await browser.submit(await logout(browser, { id_token_hint: hint, state: 's' }), 'sign-out');
  t.is(bare.url.pathname, '/oauth/logout/success');
  t.is(bare.url.search, '');
});

test('§2: a parameter given twice, and a client_id that is not the hint’s, are refused on a page', async (t) => {
  const { browser, hint } = await signedIn();
  const other = await signedIn();
  const twice = await browser.go(`/oauth/logout?id_token_hint=${hint}&id_token_hint=${hint}`);
  t.is(twice.status, 400);
  const params = { id_token_hint: hint, client_id: other.client.client_id, post_logout_redirect_uri: AFTER };
  t.is((await logout(browser, params)).status, 400);
});

test('§2: a hint about somebody else still asks who is signed in here', async (t) => {
  const { hint } = await signedIn();
  const somebody = await newPerson(server);
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  await signIn(browser, rp, somebody);
  const page = await logout(browser, { id_token_hint: hint, post_logout_redirect_uri: AFTER });
  t.is(page.status, 200);
  t.true(page.html.includes(somebody.email));
  t.true(await isSignedIn(browser, rp));
});

test('§2.1: discovery names the endpoint, and a client says where it may lead', async (t) => {
  const { rp } = await signedIn();
  t.is(rp.serverMetadata().end_session_endpoint, `${server.issuer}/oauth/logout`);
  for (const uri of ['nonsense', `${AFTER}#fragment`, 'javascript:0'])
    await t.throwsAsync(newApp(server, { post_logout_redirect_uris: [uri] }), { code: 'invalid_client_metadata' }, uri);
});
