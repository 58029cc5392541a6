// What a site that the person visits meanwhile, or somebody who had the browser before, can do with our pages: nothing without the person
// (RFC 9700 §4.7; OWASP session management, cross-site request forgery prevention).
import test, { type ExecutionContext } from 'ava';
import { type Browser, createBrowser, type Visited } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  register,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, 'an attack is no error of ours');
  return server?.close();
});

const isSignedIn = async (browser: Browser): Promise<boolean> =>
  (await browser.go('/account')).url.pathname === '/account';
const signIn = (browser: Browser, page: Visited, one = person) =>
  browser.submit(page, 'sign-in', { login: one.email, password: one.password });
const csrfOf = ({ html }: Visited): string => /name="csrf" value="([^"]+)"/.exec(html)?.[1] ?? '';
const uidOf = ({ url }: Visited): string => url.pathname.split('/')[2] ?? '';

test('a session that somebody else has prepared is not the one that is signed in to', async (t) => {
  const attacker = createBrowser(server.issuer);
  await attacker.go('/oauth/logout');
  const prepared = attacker.cookies();
  t.true(prepared.some(({ name }) => name === 'session'));
  const victim = createBrowser(server.issuer);
  victim.setCookies(prepared.map((cookie) => ({ ...cookie })));
  await signIn(victim, await victim.go('/login'));
  t.true(await isSignedIn(victim));
  const after = victim.cookies().find(({ name }) => name === 'session')?.value;
  t.not(after, prepared.find(({ name }) => name === 'session')?.value);
  t.false(await isSignedIn(attacker), 'what was prepared is nobody’s');

  // One that we did not make, whatever its form: it becomes nobody's session either.
  for (const value of ['chosen', 'a'.repeat(21), String(after)]) {
    const host = new URL(server.issuer).host;
    const thief = createBrowser(server.issuer);
    thief.setCookies([
      { name: 'session', value, path: '/', host },
      { name: 'session.sig', value: 'made-up', path: '/', host },
    ]);
    t.false(await isSignedIn(thief), value);
    await signIn(thief, await thief.go('/login'));
    t.true(await isSignedIn(thief));
    t.not(thief.cookies().find(({ name }) => name === 'session')?.value, value);
  }
});

test('an interaction that somebody else has begun signs nobody in, in either browser', async (t) => {
  const { rp } = await newApp(server);
  const attacker = createBrowser(server.issuer);
  const theirs = await attacker.go((await authorizationRequest(rp)).url);
  const victim = createBrowser(server.issuer);
  const led = await victim.go(theirs.url);
  t.is(led.status, 400);
  t.notRegex(led.html, /id="sign-in"/);
  const mine = await victim.go((await authorizationRequest(rp)).url);
  for (const csrf of [csrfOf(theirs), csrfOf(mine)]) {
    const body = new URLSearchParams({ csrf, login: person.email, password: person.password });
    const sent = await victim.go(`/interaction/${uidOf(theirs)}/login`, { method: 'POST', body });
    t.true(sent.status >= 400, String(sent.status));
  }
  t.false(await isSignedIn(victim));
  t.false(await isSignedIn(attacker));
  const on = await attacker.go(`/oauth/authorize/${uidOf(theirs)}`);
  t.is(on.url.searchParams.get('code'), null);
});

test('a sign-in cannot be sent from elsewhere: no form without its token, none from another origin, no JSON without a preflight', async (t) => {
  const other = await newPerson(server);
  const victim = createBrowser(server.issuer);
  const page = await victim.go('/login');
  const path = `/interaction/${uidOf(page)}/login`;
  const fields = { login: other.email, password: other.password };
  const EVIL = { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' };
  for (const [what, body, headers] of [
    ['without a token', fields, {}],
    ['with an empty one', { ...fields, csrf: '' }, {}],
    ['with another’s', { ...fields, csrf: csrfOf(await createBrowser(server.issuer).go('/login')) }, {}],
    ['from another origin', { ...fields, csrf: csrfOf(page) }, EVIL],
    ['from a neighbour', { ...fields, csrf: csrfOf(page) }, { 'sec-fetch-site': 'same-site' }],
  ] as const) {
    const sent = await victim.go(path, { method: 'POST', body: new URLSearchParams(body), headers });
    t.is(sent.status, 403, what);
    t.false(await isSignedIn(victim), what);
  }

  const credentials = JSON.stringify({ email: other.email, password: other.password });
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '']) {
    const response = await fetch(`${server.origin}/auth/login`, {
      method: 'POST',
      headers: { ...EVIL, ...(type !== '' && { 'content-type': type }) },
      body: type === '' ? new Blob([credentials]) : credentials,
    });
    t.is(response.status, 415, type);
    t.deepEqual(response.headers.getSetCookie(), []);
  }
  for (const route of ['/auth/login', '/auth/refresh', '/users/me', '/users/api-keys', '/admin/users']) {
    const preflight = await fetch(`${server.origin}${route}`, {
      method: 'OPTIONS',
      headers: { ...EVIL, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    t.is(preflight.headers.get('access-control-allow-origin'), null, route);
  }
});

test('every cookie that is ever set is of this host alone, and out of reach for scripts, other sites and plain http', async (t) => {
  const https = await startServer({ issuer: 'https://id.example' }, server);
  t.teardown(() => https.close());
  const client = await register(https);
  const query = new URLSearchParams({ client_id: client.client_id, response_type: 'code', redirect_uri: CALLBACK });
  const credentials = JSON.stringify({ email: person.email, password: person.password });
  const answers: [path: string, init?: RequestInit][] = [
    [`/oauth/authorize?${query}`],
    ['/oauth/logout'],
    ['/forgot-password'],
    ['/device'],
    ['/account'],
    ['/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: credentials }],
  ];
  const names = new Set<string>();
  for (const [path, init = {}] of answers) {
    const response = await fetch(https.origin + path, { redirect: 'manual', ...init });
    for (const cookie of response.headers.getSetCookie()) {
      t.regex(cookie, /^__Host-[^;]*; path=\/;|^__Secure-/i, `${path}: ${cookie}`);
      t.regex(cookie, /; secure/i, cookie);
      t.regex(cookie, /; httponly/i, cookie);
      t.regex(cookie, /; samesite=lax/i, cookie);
      t.notRegex(cookie, /; domain=/i, cookie);
      names.add(cookie.split('=')[0] ?? '');
    }
  }
  for (const name of ['__Host-session', '__Secure-interaction', '__Host-form', '__Host-device'])
    t.true(names.has(name), name);
});

/** Nothing came of it: no code at the app, and the question is still open. */
const nothingGranted = (t: ExecutionContext, page: Visited, what: string): void => {
  for (const at of [page.url, ...page.trail.map((one) => new URL(one))]) {
    t.is(at.searchParams.get('code'), null, what);
    t.notRegex(at.hash, /code=/, what);
  }
  t.notRegex(page.html, /name="code"/, what);
};

test('nothing is granted before somebody has agreed, whatever is sent around the page that asks', async (t) => {
  const { rp, client } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp, { scope: 'openid email' });
  const login = await browser.go(started.url);
  // Before anybody is signed in.
  const early = { csrf: csrfOf(login), decision: 'allow' };
  const tooEarly = await browser.go(`/interaction/${uidOf(login)}/consent`, {
    method: 'POST',
    body: new URLSearchParams(early),
  });
  nothingGranted(t, tooEarly, 'consent before sign-in');
  const still = await browser.go(`/oauth/authorize/${uidOf(login)}`);
  nothingGranted(t, still, 'resuming before sign-in');

  const consent = await signIn(browser, still);
  t.regex(consent.html, /id="allow"/);
  const post = (to: string, fields: [string, string][], headers = {}): [string, RequestInit] => [
    to,
    { method: 'POST', body: new URLSearchParams(fields), headers },
  ];
  const at = (page: Visited, form = 'consent') => `/interaction/${uidOf(page)}/${form}`;
  const token = (page: Visited): [string, string] => ['csrf', csrfOf(page)];
  const attempts: Record<string, (page: Visited) => [string, RequestInit]> = {
    resuming: (page) => [`/oauth/authorize/${uidOf(page)}`, {}],
    'resuming by POST': (page) => [`/oauth/authorize/${uidOf(page)}`, { method: 'POST' }],
    'the form by GET': (page) => [`${at(page)}?${new URLSearchParams([token(page), ['decision', 'allow']])}`, {}],
    'no token': (page) => post(at(page), [['decision', 'allow']]),
    'a made-up token': (page) =>
      post(at(page), [
        ['csrf', 'x'],
        ['decision', 'allow'],
      ]),
    'the token of the sign-in': (page) =>
      post(at(page), [
        ['csrf', early.csrf],
        ['decision', 'allow'],
      ]),
    'from elsewhere': (page) =>
      post(at(page), [token(page), ['decision', 'allow']], {
        origin: 'https://evil.example',
        'sec-fetch-site': 'cross-site',
      }),
    'signing in again': (page) =>
      post(at(page, 'login'), [token(page), ['login', person.email], ['password', person.password]]),
    'choosing the account': (page) => post(at(page, 'account'), [token(page), ['account', 'continue']]),
    'no decision': (page) => post(at(page), [token(page)]),
    'two decisions': (page) => post(at(page), [token(page), ['decision', 'deny'], ['decision', 'allow']]),
  };
  let page = consent;
  for (const [what, attempt] of Object.entries(attempts)) {
    nothingGranted(t, await browser.go(...attempt(page)), what);
    // Some of them end the question: it is asked anew.
    page = await browser.go(started.url);
    t.regex(page.html, /id="allow"/, what);
  }
  const silent = await browser.go((await authorizationRequest(rp, { scope: 'openid email', prompt: 'none' })).url);
  t.is(silent.url.searchParams.get('error'), 'consent_required');

  // Somebody else's browser, with the person's token.
  const elsewhere = createBrowser(server.issuer);
  await elsewhere.go((await authorizationRequest(rp)).url);
  nothingGranted(t, await elsewhere.go(...post(at(page), [token(page), ['decision', 'allow']])), 'another browser');

  // What is agreed to is what was shown, whatever the form says besides.
  const again = await browser.go(started.url);
  const more = { scope: 'openid email read:profile write:profile', scopes: 'write:profile', client_id: 'user-auth' };
  const allowed = await browser.submit(again, 'allow', more);
  t.truthy(allowed.url.searchParams.get('code'));
  for (const scope of ['openid email write:profile', 'openid email profile']) {
    const wider = await browser.go((await authorizationRequest(rp, { scope, prompt: 'none' })).url);
    t.is(wider.url.searchParams.get('error'), 'consent_required', scope);
  }
  // Another app of the same name and address is another app.
  const twin = await newApp(server, { client_name: client.client_name, redirect_uris: client.redirect_uris });
  const asked = await browser.go((await authorizationRequest(twin.rp, { scope: 'openid email', prompt: 'none' })).url);
  t.is(asked.url.searchParams.get('error'), 'consent_required');
});

test('an app that shows a form of ours in its own page, or a page of ours in a frame, gets nowhere', async (t) => {
  const client = await register(server, { redirect_uris: [CALLBACK] });
  const browser = createBrowser(server.issuer);
  const rp = new URLSearchParams({ client_id: client.client_id, response_type: 'code', redirect_uri: CALLBACK });
  const pages = [
    await browser.go(`/oauth/authorize?${rp}`),
    await browser.go('/device'),
    await browser.go('/forgot-password'),
    await browser.go('/oauth/logout'),
    await browser.go('/nowhere'),
  ];
  await passThrough(browser, pages[0] as Visited, person);
  pages.push(await browser.go('/account'));
  for (const { url, headers } of pages) {
    t.is(headers.get('x-frame-options'), 'DENY', url.pathname);
    t.regex(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/, url.pathname);
  }
});
