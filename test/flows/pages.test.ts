// Every page, as a browser is told to treat it, and what an app may and may not put on one.
import test, { type ExecutionContext } from 'ava';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  passThrough,
  register,
  signIn,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const safe = (t: ExecutionContext, page: Visited, name: string) => {
  const policy = page.headers.get('content-security-policy') ?? '';
  for (const directive of ["default-src 'none'", 'script-src;', "base-uri 'none'", "frame-ancestors 'none'"])
    t.true(policy.includes(directive), `${name}: no ${directive} in ${policy}`);
  t.regex(policy, /form-action 'self'/, name);
  t.notRegex(policy, /unsafe|\*(?!;| |$)/, name);
  t.is(page.headers.get('x-frame-options'), 'DENY', name);
  t.is(page.headers.get('referrer-policy'), 'same-origin', name);
  t.is(page.headers.get('x-content-type-options'), 'nosniff', name);
  t.regex(page.headers.get('cache-control') ?? '', /no-store/, name);
  t.regex(page.headers.get('content-type') ?? '', /^text\/html; charset=utf-8/, name);
  t.truthy(page.headers.get('x-request-id'), name);
  t.notRegex(page.html, /<script/i, name);
  t.notRegex(page.html, /(href|src|action)="(javascript|data):/i, name);
  const tags = page.html.match(/<[a-z](?:"[^"]*"|[^">])*>/gi) ?? [];
  for (const tag of tags) t.notRegex(tag.replace(/"[^"]*"/g, '""'), /\s(on\w+|style)=/i, name);
};

test('no page can be framed, cached, scripted, or leak where it was', async (t) => {
  const { rp } = await newApp(server, { post_logout_redirect_uris: ['https://app.example/'] });
  const browser = createBrowser(server.issuer);
  const login = await browser.go((await authorizationRequest(rp)).url);
  const wrong = await browser.submit(login, 'sign-in', { login: person.email, password: 'wrong' });
  const consent = await browser.submit(wrong, 'sign-in', { login: person.email, password: person.password });
  await browser.submit(consent, 'allow');
  const chooser = await browser.go((await authorizationRequest(rp, { prompt: 'select_account' })).url);
  const logout = await browser.go('/oauth/logout');
  const account = await browser.go('/account');
  const stayed = await browser.submit(logout, 'stay');
  const signedOut = await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  const pages = { login, wrong, consent, chooser, logout, account, stayed, signedOut };
  for (const [name, page] of Object.entries(pages)) {
    t.is(page.status, name === 'wrong' ? 401 : 200, name);
    safe(t, page, name);
  }
  for (const path of [
    '/nowhere',
    '/oauth/authorize',
    '/oauth/authorize?client_id=nobody',
    '/oauth/logout?client_id=nobody',
    '/interaction/x',
    '/oauth/token',
  ])
    safe(t, await browser.go(path), path);
});

for (const [what, redirect, metadata, source] of [
  ['https', 'https://app.example/callback', {}, / https:( |;|$)/],
  ['http on loopback', 'http://127.0.0.1:4711/callback', { application_type: 'native' }, / http:\/\/127\.0\.0\.1:/],
  ['http on localhost', 'http://localhost:4711/callback', {}, / http:\/\/localhost:/],
  ['IPv6 loopback', 'http://[::1]:4711/callback', { application_type: 'native' }, / http:( |;|$)/],
  ['a custom scheme', 'com.example.app:/callback', { application_type: 'native' }, / com\.example\.app:( |;|$)/],
] as const)
  test(`the policy of login and consent lets an app that is sent back to by ${what} through`, async (t) => {
    const { rp } = await newApp(server, {
      token_endpoint_auth_method: 'none',
      redirect_uris: [redirect],
      ...metadata,
    });
    const browser = createBrowser(server.issuer);
    const login = await browser.go((await authorizationRequest(rp, { redirect_uri: redirect })).url);
    const consent = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
    for (const page of [login, consent]) {
      const [formAction = ''] = /form-action [^;]*/.exec(page.headers.get('content-security-policy') ?? '') ?? [];
      t.regex(formAction, source);
    }
    const arrived = await browser.submit(consent, 'allow');
    t.true(arrived.url.href.startsWith(redirect), arrived.url.href);
    t.truthy(arrived.url.searchParams.get('code'));
  });

test('a native app may be on any port of the loopback it registered', async (t) => {
  const { rp } = await newApp(server, {
    token_endpoint_auth_method: 'none',
    application_type: 'native',
    redirect_uris: ['http://127.0.0.1/callback'],
  });
  const browser = createBrowser(server.issuer);
  const url = (await authorizationRequest(rp, { redirect_uri: 'http://127.0.0.1:51004/callback' })).url;
  const arrived = await passThrough(browser, await browser.go(url), person);
  t.is(arrived.url.host, '127.0.0.1:51004');
});

const HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}\u202Eevil';

test('what an app says of itself stays text on every page', async (t) => {
  const { rp } = await newApp(server, {
    client_name: HOSTILE,
    logo_uri: 'https://evil.example/logo.png?"><script>alert(2)</script>',
    client_uri: "https://evil.example/?'onmouseover='alert(3)",
    policy_uri: 'https://evil.example/"onclick="alert(4)',
    tos_uri: 'https://evil.example/</a><script>alert(5)</script>',
  });
  const browser = createBrowser(server.issuer);
  const login = await browser.go((await authorizationRequest(rp)).url);
  const consent = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  const arrived = await browser.submit(consent, 'allow');
  t.is(arrived.status, 0);
  const chooser = await browser.go((await authorizationRequest(rp, { prompt: 'select_account' })).url);
  const logout = await browser.go(`/oauth/logout?client_id=${rp.clientMetadata().client_id}`);
  const stayed = await browser.submit(logout, 'stay');
  for (const [name, page] of Object.entries({ login, consent, chooser, logout, stayed })) {
    t.is(page.status, 200, name);
    safe(t, page, name);
    t.notRegex(page.html, /<img src=x|"onclick|'onmouseover=|\u202e/i, name);
    t.notRegex(page.html, /49evil|49\{/, `${name}: a template in the name was run`);
    t.true(page.html.includes('&lt;script&gt;alert(1)'), `${name} does not show the name`);
  }
});

for (const [name, value] of [
  ['client_id', 'user-auth'],
  ['client_name', 'a\0b'],
  ['logo_uri', 'javascript:alert(1)'],
  ['logo_uri', 'data:image/svg+xml,<svg onload=alert(1)>'],
  ['client_uri', 'javascript:alert(1)'],
  ['policy_uri', 'data:text/html,x'],
  ['redirect_uris', ['javascript:alert(1)']],
  ['redirect_uris', ['https://app.example/callback#fragment']],
  ['post_logout_redirect_uris', ['javascript:alert(1)']],
] as const)
  test(`a client whose ${name} is ${JSON.stringify(value)} is not registered`, async (t) => {
    await t.throwsAsync(register(server, { [name]: value }), { name: 'DomainError' });
  });

test('the direct way to sign in ends at the account page, and signs out', async (t) => {
  const browser = createBrowser(server.issuer);
  const login = await browser.go('/login');
  const account = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  t.is(account.url.pathname, '/account');
  t.is(account.status, 200);
  t.true(account.html.includes(person.email));
  t.notRegex(account.url.search, /code|token/);
  t.is((await browser.go('/login')).url.pathname, '/account', 'who is signed in is there at once');
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  t.is((await browser.go('/account')).url.pathname, '/');
  const back = await browser.go('/login');
  t.is((await browser.submit(back, 'cancel')).url.pathname, '/');
});

test('the cookies of a sign-in are out of reach for scripts and other sites', async (t) => {
  for (const issuer of [undefined, 'https://id.example']) {
    const one = issuer ? await startServer({ issuer }) : server;
    if (issuer) t.teardown(() => one.close());
    const client = await register(one);
    const query = new URLSearchParams({
      client_id: client.client_id,
      response_type: 'code',
      redirect_uri: 'https://app.example/callback',
    });
    const response = await fetch(`${one.origin}/oauth/authorize?${query}`, { redirect: 'manual' });
    const cookies = response.headers.getSetCookie();
    t.true(cookies.length >= 4);
    for (const cookie of cookies) {
      t.regex(cookie, /; httponly/i);
      t.regex(cookie, /; samesite=lax/i);
      t.notRegex(cookie, /; domain=/i);
      if (issuer) t.regex(cookie, /^__(Host|Secure)-.*; secure/i);
    }
  }
});

test('a sign-in makes a new session id (no fixation)', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const session = () => browser.cookies().find(({ name }) => name === 'session')?.value;
  await browser.go('/oauth/logout');
  const before = session();
  await signIn(browser, rp, person);
  const after = session();
  t.truthy(after);
  t.not(after, before);
});
