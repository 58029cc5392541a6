// OIDC Core §3.1.2.1: what else an authorization request may say of the sign-in it wants.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  passThrough,
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
test.after.always(() => server?.close());

const go = async (rp: Parameters<typeof authorizationRequest>[0], params: Record<string, string>) =>
  createBrowser(server.issuer).go((await authorizationRequest(rp, params)).url);

test('max_age lets a fresh sign-in pass and asks an old one for the password; the ID token has auth_time', async (t) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  const first = (await signIn(browser, rp, person, { max_age: '60' })).tokens.claims();
  t.is(typeof first?.auth_time, 'number');
  const silent = await signIn(browser, rp, person, { max_age: '60', prompt: 'none' });
  t.is(silent.tokens.claims()?.auth_time, first?.auth_time);

  await sleep(2_100);
  const refused = await browser.go((await authorizationRequest(rp, { max_age: '1', prompt: 'none' })).url);
  t.is(told(refused).error, 'login_required');
  t.regex((await browser.go((await authorizationRequest(rp, { max_age: '1' })).url)).html, /id="sign-in"/);
  const again = (await signIn(browser, rp, person, { max_age: '1' })).tokens.claims();
  t.true(Number(again?.auth_time) > Number(first?.auth_time));
});

test('max_age=0 always asks for the password', async (t) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  await signIn(browser, rp, person);
  t.regex((await browser.go((await authorizationRequest(rp, { max_age: '0' })).url)).html, /id="sign-in"/);
  t.is(typeof (await signIn(browser, rp, person, { max_age: '0' })).tokens.claims()?.auth_time, 'number');
});

test('a max_age that is no number of seconds is an invalid_request', async (t) => {
  const { rp } = await newApp(server);
  for (const max_age of ['-1', 'soon', '1.5']) t.is(told(await go(rp, { max_age })).error, 'invalid_request', max_age);
});

test('login_hint is filled in, as text', async (t) => {
  const { rp } = await newApp(server);
  t.regex((await go(rp, { login_hint: 'ada@example.com' })).html, /<input id="login"[^>]* value="ada@example\.com"/);
  const hostile = '"><script>alert(1)</script><input value="';
  const page = await go(rp, { login_hint: hostile });
  t.is(page.status, 200);
  t.notRegex(page.html, /<script/);
  t.true(page.html.includes('&quot;&gt;&lt;script&gt;'));
});

test('id_token_hint lets the one it names through, silently where they are signed in', async (t) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  const { tokens } = await signIn(browser, rp, person);
  const id_token_hint = tokens.id_token ?? '';
  const silent = await signIn(browser, rp, person, { id_token_hint, prompt: 'none' });
  t.is(silent.tokens.claims()?.sub, person.id);
  const fresh = await signIn(createBrowser(server.issuer), rp, person, { id_token_hint });
  t.is(fresh.tokens.claims()?.sub, person.id);
});

test('id_token_hint of somebody else keeps the wrong person at the sign-in form, told why', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  const id_token_hint = tokens.id_token ?? '';
  const other = await newPerson(server);
  const browser = createBrowser(server.issuer);
  await signIn(browser, rp, other);

  const silent = await browser.go((await authorizationRequest(rp, { id_token_hint, prompt: 'none' })).url);
  t.is(told(silent).error, 'login_required');
  const asked = await browser.go((await authorizationRequest(rp, { id_token_hint })).url);
  t.regex(asked.html, /id="sign-in"/);
  const wrong = await browser.submit(asked, 'sign-in', { login: other.email, password: other.password });
  t.is(wrong.status, 400);
  t.regex(wrong.html, /role="alert"/);
  t.notRegex(wrong.html, new RegExp(person.email), 'whose account it must be is not given away');
  t.truthy(told(await passThrough(browser, wrong, person)).code);
});

test('an id_token_hint that is not ours is an invalid_request', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  const [header, , signature] = (tokens.id_token ?? '').split('.');
  const forged = btoa(JSON.stringify({ ...tokens.claims(), sub: 'somebody' })).replace(/=+$/, '');
  for (const id_token_hint of ['garbage', `${header}.${forged}.${signature}`])
    t.is(told(await go(rp, { id_token_hint })).error, 'invalid_request');
});

test('ui_locales decides the language of every page, before what the browser prefers', async (t) => {
  const browser = createBrowser(server.issuer, { 'accept-language': 'en-GB' });
  const { rp } = await newApp(server);
  const { url } = await authorizationRequest(rp, { ui_locales: 'fr zh-CN en' });
  const login = await browser.go(url);
  const wrong = await browser.submit(login, 'sign-in', { login: person.email, password: 'wrong' });
  const consent = await browser.submit(wrong, 'sign-in', { login: person.email, password: person.password });
  for (const page of [login, wrong, consent]) {
    t.regex(page.html, /<html lang="zh-CN">/);
    t.is(page.headers.get('content-language'), 'zh-CN');
  }
  t.regex((await go(rp, { ui_locales: 'xx-YY ??' })).html, /<html lang="en">/);
});

test('an id_token_hint that is encrypted still is refused, in words that help (OIDC Core §3.1.2.1)', async (t) => {
  const { rp } = await newApp(server);
  const { url } = await authorizationRequest(rp, { id_token_hint: 'a.b.c.d.e' });
  const answer = told(await createBrowser(server.issuer).go(url));
  t.is(answer.error, 'invalid_request');
  t.regex(answer.error_description ?? '', /encrypted/);
});

test('acr_values that we can meet are met, and said so in the ID token', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { acr_values: 'aal9 aal1' });
  t.is(tokens.claims()?.acr, 'aal1');
  const { tokens: voluntary } = await signIn(createBrowser(server.issuer), rp, person, { acr_values: 'aal9' });
  t.is(voluntary.claims()?.acr, 'aal1', 'acr_values is a wish: what was done instead is said');
});

test('amr says that it was a password', async (t) => {
  const { rp } = await newApp(server);
  const claims = '{"id_token":{"amr":{"essential":true}}}';
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { claims });
  t.deepEqual(tokens.claims()?.amr, ['pwd']);
});

for (const acr of [{ value: 'aal9' }, { values: ['aal8', 'aal9'] }])
  test(`an essential acr we cannot meet ends at the app, not in a loop: ${JSON.stringify(acr)}`, async (t) => {
    const browser = createBrowser(server.issuer);
    const { rp } = await newApp(server);
    const claims = JSON.stringify({ id_token: { acr: { essential: true, ...acr } } });
    const expected = { error: 'unmet_authentication_requirements', iss: server.issuer };
    t.like(told(await browser.go((await authorizationRequest(rp, { claims })).url)), expected);
    await signIn(browser, rp, person);
    t.like(told(await browser.go((await authorizationRequest(rp, { claims })).url)), expected);
    const silent = await browser.go((await authorizationRequest(rp, { claims, prompt: 'none' })).url);
    t.true(['unmet_authentication_requirements', 'login_required'].includes(told(silent).error ?? ''));
  });

test('an essential acr that we can meet is met', async (t) => {
  const { rp } = await newApp(server);
  const claims = '{"id_token":{"acr":{"essential":true,"values":["aal9","aal1"]}}}';
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { claims });
  t.is(tokens.claims()?.acr, 'aal1');
});

test('an essential acr beside prompt=login does not spare the unmet error', async (t) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  await signIn(browser, rp, person);
  const claims = '{"id_token":{"acr":{"essential":true,"value":"aal9"}}}';
  for (const prompt of ['login', 'select_account', 'consent']) {
    let page = await browser.go((await authorizationRequest(rp, { claims, prompt })).url);
    if (page.html.includes('id="continue"')) page = await browser.submit(page, 'continue');
    t.is(told(page).error, 'unmet_authentication_requirements', prompt);
  }
});
