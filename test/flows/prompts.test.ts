// OIDC Core §3.1.2.1, prompt: when a person is asked, and for what.
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

/** A browser that is signed in, and the app it signed in to. */
const signedIn = async (who: Person = person) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  const { tokens } = await signIn(browser, rp, who);
  return { browser, rp, tokens };
};

test('prompt=none tells the app login_required while nobody is signed in, and shows no page', async (t) => {
  const { rp } = await newApp(server);
  const { url, state } = await authorizationRequest(rp, { prompt: 'none' });
  const arrived = await createBrowser(server.issuer).go(url);
  t.is(arrived.status, 0);
  t.like(told(arrived), { error: 'login_required', state, iss: server.issuer });
});

test('prompt=none tells the app consent_required where the person has not agreed', async (t) => {
  const { browser, rp } = await signedIn();
  const stranger = await newApp(server);
  const other = await browser.go((await authorizationRequest(stranger.rp, { prompt: 'none' })).url);
  t.is(told(other).error, 'consent_required');
  const more = await browser.go((await authorizationRequest(rp, { prompt: 'none', scope: 'openid email' })).url);
  t.is(told(more).error, 'consent_required');
});

test('prompt=none signs in silently who is signed in and has agreed', async (t) => {
  const { browser, rp, tokens: first } = await signedIn();
  const { tokens } = await signIn(browser, rp, person, { prompt: 'none' });
  t.is(tokens.claims()?.sub, first.claims()?.sub);
});

test('prompt=none signs in to a first-party app who is signed in anywhere', async (t) => {
  const { browser } = await signedIn();
  const ours = await newApp(server, {}, { firstParty: true });
  const { tokens } = await signIn(browser, ours.rp, person, { prompt: 'none', scope: 'openid email' });
  t.is(tokens.claims()?.sub, person.id);
});

for (const prompt of ['none login', 'none consent', 'none select_account', 'create', 'none none other'])
  test(`prompt=${prompt} is an invalid_request`, async (t) => {
    const { rp } = await newApp(server);
    const arrived = await createBrowser(server.issuer).go((await authorizationRequest(rp, { prompt })).url);
    t.is(arrived.status, 0);
    t.is(told(arrived).error, 'invalid_request');
  });

test('prompt=login asks for the password again, and auth_time says when', async (t) => {
  const { browser, rp } = await signedIn();
  const before = (await signIn(browser, rp, person, { claims: '{"id_token":{"auth_time":null}}' })).tokens.claims();
  await sleep(1_100);
  const started = await authorizationRequest(rp, { prompt: 'login' });
  const page = await browser.go(started.url);
  t.regex(page.html, /id="sign-in"/);
  t.regex(page.html, new RegExp(`value="${person.email}"`), 'who they are is known, and filled in');
  t.is((await browser.submit(page, 'sign-in', { password: 'wrong' })).status, 401);
  const { tokens } = await signIn(browser, rp, person, { prompt: 'login' });
  t.true(Number(tokens.claims()?.auth_time) > Number(before?.auth_time));
});

test('somebody else may answer prompt=login: their session takes the place of the first', async (t) => {
  const { browser, rp, tokens: first } = await signedIn();
  const other = await newPerson(server);
  const { tokens } = await signIn(browser, rp, other, { prompt: 'login' });
  t.is(tokens.claims()?.sub, other.id);
  t.not(first.claims()?.sub, other.id);
  const { tokens: silent } = await signIn(browser, rp, other, { prompt: 'none' });
  t.is(silent.claims()?.sub, other.id);
});

test('prompt=consent asks again for what was granted already', async (t) => {
  const { browser, rp } = await signedIn();
  const page = await browser.go((await authorizationRequest(rp, { prompt: 'consent' })).url);
  t.regex(page.html, /id="allow"/);
  t.is((await browser.submit(page, 'allow')).status, 0);
});

test('prompt=consent asks a first-party app’s user as well', async (t) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server, {}, { firstParty: true });
  await signIn(browser, rp, person);
  const started = await authorizationRequest(rp, { prompt: 'consent', scope: 'openid offline_access' });
  const page = await browser.go(started.url);
  t.regex(page.html, /id="allow"/);
  t.is((await browser.submit(page, 'allow')).status, 0);
});

test('declining with prompt=consent takes nothing away', async (t) => {
  const { browser, rp } = await signedIn();
  const page = await browser.go((await authorizationRequest(rp, { prompt: 'consent' })).url);
  t.is(told(await browser.submit(page, 'deny')).error, 'access_denied');
  t.truthy(told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url)).code);
});

test('prompt=select_account lets the person go on as who they are', async (t) => {
  const { browser, rp } = await signedIn();
  const started = await authorizationRequest(rp, { prompt: 'select_account' });
  const page = await browser.go(started.url);
  t.regex(page.html, /id="continue"/);
  t.regex(page.html, /id="other-account"/);
  t.regex(page.html, new RegExp(person.email));
  const arrived = await browser.submit(page, 'continue');
  t.truthy(told(arrived).code);
});

test('prompt=select_account lets the person be somebody else', async (t) => {
  const { browser, rp } = await signedIn();
  const other = await newPerson(server);
  const started = await authorizationRequest(rp, { prompt: 'select_account' });
  const chooser = await browser.go(started.url);
  const login = await browser.submit(chooser, 'other-account');
  t.regex(login.html, /id="sign-in"/);
  t.notRegex(login.html, new RegExp(person.email), 'the form is empty for the other one');
  const wrong = await browser.submit(login, 'sign-in', { login: other.email, password: 'wrong' });
  t.is(wrong.status, 401);
  const arrived = await passThrough(browser, wrong, other);
  t.truthy(told(arrived).code);
  const { tokens } = await signIn(browser, rp, other, { prompt: 'none' });
  t.is(tokens.claims()?.sub, other.id);
});

test('prompt=select_account shows the sign-in form while nobody is signed in, and is then content', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { prompt: 'select_account' });
  t.is(tokens.claims()?.sub, person.id);
});

test('prompts add up: select_account login consent asks one after the other, each once', async (t) => {
  const { browser, rp } = await signedIn();
  const chooser = await browser.go((await authorizationRequest(rp, { prompt: 'select_account login consent' })).url);
  const login = await browser.submit(chooser, 'continue');
  t.regex(login.html, /id="sign-in"/);
  const consent = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  t.regex(consent.html, /id="allow"/);
  t.truthy(told(await browser.submit(consent, 'allow')).code);
});

test('turning back at any page tells the app access_denied', async (t) => {
  const { browser, rp } = await signedIn();
  for (const prompt of ['login', 'select_account']) {
    const page = await browser.go((await authorizationRequest(rp, { prompt })).url);
    t.is(told(await browser.submit(page, 'cancel')).error, 'access_denied', prompt);
  }
});
