// RP-Initiated Logout 1.0: the person decides, the app is told, and what was signed in is signed out.
import test from 'ava';
import * as oidc from 'openid-client';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  refusal,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const AFTER = 'https://app.example/signed-out';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const signedIn = async (params: Record<string, string | undefined> = {}) => {
  const browser = createBrowser(server.issuer);
  const app = await newApp(server, { post_logout_redirect_uris: [AFTER] });
  const { tokens } = await signIn(browser, app.rp, person, params);
  return { ...app, browser, tokens, hint: tokens.id_token ?? '' };
};

const silently = async (browser: Browser, rp: oidc.Configuration) =>
  told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url));

test('sign-out asks first, with both answers at hand, who is signed in, and who wants it', async (t) => {
  const { browser, rp, hint } = await signedIn();
  const page = await browser.go(oidc.buildEndSessionUrl(rp, { id_token_hint: hint, post_logout_redirect_uri: AFTER }));
  t.is(page.status, 200);
  t.regex(page.html, /<button[^>]* id="sign-out"/);
  t.regex(page.html, /<button[^>]* id="stay"/);
  t.true(page.html.includes(person.email));
  t.regex(page.html, /Test App/);
  t.regex(page.headers.get('content-security-policy') ?? '', /form-action [^;]*https:/, 'the way back is open');
  t.truthy((await silently(browser, rp)).code, 'asking signs nobody out');
  const chinese = await browser.go(oidc.buildEndSessionUrl(rp, { id_token_hint: hint, ui_locales: 'zh-CN' }));
  t.regex(chinese.html, /<html lang="zh-CN">/);
});

test('who signs out goes back to the app with its state, and is signed out', async (t) => {
  const { browser, rp, hint } = await signedIn();
  const url = oidc.buildEndSessionUrl(rp, {
    id_token_hint: hint,
    post_logout_redirect_uri: AFTER,
    state: 'a state & more',
  });
  const arrived = await browser.submit(await browser.go(url), 'sign-out');
  t.is(arrived.url.origin + arrived.url.pathname, AFTER);
  t.deepEqual(told(arrived), { state: 'a state & more' });
  t.is((await silently(browser, rp)).error, 'login_required');
});

test('the client_id serves where the app has no ID token at hand', async (t) => {
  const { browser, client, rp } = await signedIn();
  const query = new URLSearchParams({ client_id: client.client_id, post_logout_redirect_uri: AFTER });
  const arrived = await browser.submit(await browser.go(`/oauth/logout?${query}`), 'sign-out');
  t.is(arrived.url.href, AFTER);
  t.is((await silently(browser, rp)).error, 'login_required');
});

test('without a post_logout_redirect_uri the person ends on a page of ours that says so', async (t) => {
  const { browser, rp, hint } = await signedIn();
  const page = await browser.submit(await browser.go(oidc.buildEndSessionUrl(rp, { id_token_hint: hint })), 'sign-out');
  t.is(page.status, 200);
  t.is(page.url.pathname, '/oauth/logout/success');
  t.regex(page.html, /signed out/i);
  t.is((await silently(browser, rp)).error, 'login_required');

  const bare = await signedIn();
  await bare.browser.submit(await bare.browser.go('/oauth/logout'), 'sign-out');
  t.is((await silently(bare.browser, bare.rp)).error, 'login_required');
});

test('who stays, stays', async (t) => {
  const { browser, hint, client } = await signedIn();
  const other = await newApp(server);
  await signIn(browser, other.rp, person);
  const query = new URLSearchParams({ client_id: client.client_id, id_token_hint: hint });
  const page = await browser.submit(await browser.go(`/oauth/logout?${query}`), 'stay');
  t.is(page.status, 200);
  t.regex(page.html, /still signed in/i);
  t.truthy((await silently(browser, other.rp)).code, 'other apps do not notice');
});

test('an unregistered post_logout_redirect_uri is refused on a page, and never followed', async (t) => {
  const { browser, client, rp, hint } = await signedIn();
  for (const uri of [
    'https://evil.example/',
    `${AFTER}/`,
    `${AFTER}#x`,
    'https://app.example@evil.example/',
    'javascript:0',
  ])
    for (const [name, value] of [
      ['id_token_hint', hint],
      ['client_id', client.client_id],
    ] as const) {
      const query = new URLSearchParams({ [name]: value, post_logout_redirect_uri: uri });
      const page = await browser.go(`/oauth/logout?${query}`);
      t.is(page.status, 400, uri);
      t.regex(page.html, /post_logout_redirect_uri/);
      t.true(page.trail.every((step) => new URL(step).origin === server.issuer));
      t.notRegex(page.html, /href="(javascript:|https:\/\/evil)/);
    }
  t.truthy((await silently(browser, rp)).code);
});

test('a post_logout_redirect_uri from nobody in particular is not followed', async (t) => {
  const { browser } = await signedIn();
  const page = await browser.go(`/oauth/logout?${new URLSearchParams({ post_logout_redirect_uri: AFTER })}`);
  const after = await browser.submit(page, 'sign-out');
  t.is(after.url.origin, server.issuer);
  t.is(after.status, 200);
});

test('a broken or foreign id_token_hint is refused', async (t) => {
  const { browser, client } = await signedIn();
  const another = await signedIn();
  const broken: Record<string, Record<string, string>> = {
    garbage: { id_token_hint: 'garbage' },
    'another client’s': { id_token_hint: another.hint, client_id: client.client_id },
    'an unknown client': { client_id: 'nobody' },
  };
  for (const [name, query] of Object.entries(broken))
    t.is((await browser.go(`/oauth/logout?${new URLSearchParams(query)}`)).status, 400, name);
});

test('a logout request by POST works as one by GET', async (t) => {
  const { browser, hint } = await signedIn();
  const body = new URLSearchParams({ id_token_hint: hint, post_logout_redirect_uri: AFTER, state: 's' });
  const page = await browser.go('/oauth/logout', { method: 'POST', body });
  t.is((await browser.submit(page, 'sign-out')).url.href, `${AFTER}?state=s`);
});

test('signing out ends session-bound access tokens, and leaves offline access alone (OIDC Core §11)', async (t) => {
  const { browser, rp, tokens, hint } = await signedIn();
  const offline = await newApp(server);
  const kept = await signIn(browser, offline.rp, person, { scope: 'openid offline_access', prompt: 'consent' });
  await browser.submit(await browser.go(oidc.buildEndSessionUrl(rp, { id_token_hint: hint })), 'sign-out');

  t.is(await refusal(oidc.fetchUserInfo(rp, tokens.access_token, person.id)), 'invalid_token');
  t.false((await oidc.tokenIntrospection(rp, tokens.access_token)).active);
  const next = await oidc.refreshTokenGrant(offline.rp, kept.tokens.refresh_token ?? '');
  t.is((await oidc.fetchUserInfo(offline.rp, next.access_token, person.id)).sub, person.id);
});

test('signing out leaves plain OAuth grants alone, which never were a login', async (t) => {
  const { browser, rp, tokens } = await signedIn({ scope: 'read:profile', nonce: undefined });
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  t.true((await oidc.tokenIntrospection(rp, tokens.access_token)).active);
  t.truthy((await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')).access_token);
});

test('offline access lives on after sign-out, also where the app has signed in online since', async (t) => {
  const { browser, rp, tokens, hint } = await signedIn({ scope: 'openid offline_access', prompt: 'consent' });
  await signIn(browser, rp, person, { scope: 'openid' });
  await browser.submit(await browser.go(oidc.buildEndSessionUrl(rp, { id_token_hint: hint })), 'sign-out');
  t.truthy((await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')).access_token);
});

test('who is not signed in goes on at once: to the app that asked, or to the page that says so', async (t) => {
  const { rp, hint } = await signedIn();
  const back = { id_token_hint: hint, post_logout_redirect_uri: AFTER, state: 's' };
  t.is((await createBrowser(server.issuer).go(oidc.buildEndSessionUrl(rp, back))).url.href, `${AFTER}?state=s`);
  const page = await createBrowser(server.issuer).go('/oauth/logout');
  t.is(page.status, 200);
  t.regex(page.html, /signed out/i);
  const stray = new URLSearchParams({ post_logout_redirect_uri: 'https://evil.example/' });
  t.is((await createBrowser(server.issuer).go(`/oauth/logout?${stray}`)).url.origin, server.issuer);
});

test('the sign-out form needs the token of its own page', async (t) => {
  const { browser, rp } = await signedIn();
  await browser.go('/oauth/logout');
  for (const xsrf of ['', 'wrong', '../..']) {
    const body = new URLSearchParams({ xsrf, logout: 'yes' });
    const page = await browser.go('/oauth/logout/confirm', { method: 'POST', body });
    t.is(page.status, 400);
    t.truthy((await silently(browser, rp)).code);
  }
});
