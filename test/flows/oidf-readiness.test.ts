// What OpenID Foundation's conformance plans look at and no other file here shows; docs/conformance.md has the whole list.
import { readFileSync } from 'node:fs';
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  signIn,
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
  t.notRegex(server.log(), /"level":(50|60)/, 'a mistake of a client is no error of ours');
  return server?.close();
});

const WITHOUT_PKCE = { code_challenge: undefined, code_challenge_method: undefined };

test('a confidential client that does not use PKCE is not asked for it; nor for a nonce or a state', async (t) => {
  const { rp } = await newApp(server);
  const { url } = await authorizationRequest(rp, { ...WITHOUT_PKCE, nonce: undefined, state: undefined });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(url), person);
  const tokens = await oidc.authorizationCodeGrant(rp, arrived.url);
  t.is(tokens.claims()?.sub, person.id);
  t.false('nonce' in (tokens.claims() ?? {}));
  t.false(arrived.url.searchParams.has('state'));
});

test('RFC 9700 §2.1.1: a client with a secret that registered require_pkce is not served without it', async (t) => {
  const { rp } = await newApp(server, { require_pkce: true });
  const { url } = await authorizationRequest(rp, WITHOUT_PKCE);
  t.is(told(await createBrowser(server.issuer).go(url)).error, 'invalid_request');
  t.truthy((await signIn(createBrowser(server.issuer), rp, person)).tokens.id_token);
  await t.throwsAsync(newApp(server, { require_pkce: 'yes' }), { code: 'invalid_client_metadata' });
});

test('logo, policy and terms of an app are on the sign-in page, not only where it asks for consent', async (t) => {
  const { rp } = await newApp(server, {
    logo_uri: 'https://acme.example/logo.png',
    policy_uri: 'https://acme.example/privacy',
    tos_uri: 'https://acme.example/terms',
  });
  const page = await createBrowser(server.issuer).go((await authorizationRequest(rp)).url);
  t.regex(page.html, /id="sign-in"/);
  t.regex(page.html, /<img src="https:\/\/acme\.example\/logo\.png"/);
  t.regex(page.html, /href="https:\/\/acme\.example\/privacy"/);
  t.regex(page.html, /href="https:\/\/acme\.example\/terms"/);
});

test('what nobody here knows changes nothing: extra parameters, display, languages, acr values', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, {
    extra: 'foobar',
    display: 'popup',
    ui_locales: 'tlh se',
    claims_locales: 'se',
    acr_values: '1 2',
  });
  t.is(tokens.claims()?.sub, person.id);
});

test('a logout without parameters shows a page; a bad id_token_hint never redirects, whatever stands beside it', async (t) => {
  const after = 'https://app.example/after';
  const { rp, client } = await newApp(server, { post_logout_redirect_uris: [after] });
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, rp, person);
  const [header = '', payload = '', signature = ''] = String(tokens.id_token).split('.');
  const altered = `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
  for (const id_token_hint of [altered, 'nonsense', `${header}.${payload}.`])
    for (const named of [false, true]) {
      const query = new URLSearchParams({ id_token_hint, post_logout_redirect_uri: after, state: 'x' });
      if (named) query.set('client_id', client.client_id);
      const page = await browser.go(`/oauth/logout?${query}`);
      t.is(page.status, 400);
      t.is(page.url.origin, server.issuer);
      t.notRegex(page.html, /app\.example\/after/);
      t.regex(page.html, /sign-out link/);
    }
  for (const query of ['', '?state=x']) {
    const page = await browser.go(`/oauth/logout${query}`);
    t.is(page.status, 200);
    t.regex(page.html, /id="sign-out"/);
  }
  const again = await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url);
  t.truthy(told(again).code, 'nobody was signed out by it');
});

test('two sign-ins of one session tell one auth_time; max_age brings it along, prompt=none too', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const first = await signIn(browser, rp, person, { max_age: '15000' });
  const second = await signIn(browser, rp, person, { max_age: '10000', prompt: 'none' });
  t.is(typeof first.tokens.claims()?.auth_time, 'number');
  t.is(second.tokens.claims()?.auth_time, first.tokens.claims()?.auth_time);
});

test('id_token_hint with prompt=none is silent, and names the same person', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const first = await signIn(browser, rp, person);
  const hint = { prompt: 'none', id_token_hint: String(first.tokens.id_token) };
  const started = await authorizationRequest(rp, hint);
  const arrived = await browser.go(started.url);
  t.is(arrived.status, 0);
  t.is(arrived.url.href.split('?')[0], CALLBACK);
  t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
});

test('the list in docs/conformance.md leads to tests that are there', (t) => {
  const document = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');
  const rows = [...document.matchAll(/“([^”]+)” in \[[^\]]+\]\(\.\.\/(test\/[^)]+)\)/g)];
  t.true(rows.length >= 16);
  for (const [, title = '', path = ''] of rows) {
    const source = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
    t.true(source.includes(title), `${path}: ${title}`);
  }
});
