// What goes wrong, said to people by a page and to programs by JSON; and bodies that no form of ours sends.
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, jsonOf, newApp, newPerson, type Person, passThrough } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const json = { accept: 'application/json' };

test('a program gets problem details from our routes, and OAuth errors from the engine’s', async (t) => {
  const ours = await fetch(`${server.issuer}/interaction/x`, { headers: json });
  t.is(ours.status, 400);
  t.is(ours.headers.get('content-type')?.split(';')[0], 'application/problem+json');
  t.like(await ours.json(), {
    status: 400,
    code: 'session_not_found',
    request_id: ours.headers.get('x-request-id') ?? '',
  });

  for (const path of ['/oauth/authorize', '/oauth/authorize?client_id=nobody', '/oauth/logout?client_id=nobody']) {
    const engine = await fetch(`${server.issuer}${path}`, { headers: json });
    t.is(engine.headers.get('content-type')?.split(';')[0], 'application/json', path);
    const body = await jsonOf(engine);
    t.is(typeof body.error, 'string', path);
    t.is(typeof body.error_description, 'string', path);
    t.truthy(engine.headers.get('x-request-id'));
  }
});

test('what is not there is a 404, with a page for people and JSON for programs', async (t) => {
  for (const path of [
    '/nowhere',
    '/oauth',
    '/oauth/nothing',
    '/.well-known/nothing',
    '/assets/../package.json',
    '/assets/%2e%2e%2fpackage.json',
    '/interaction',
    '/favicon.ico',
  ]) {
    const page = await createBrowser(server.issuer).go(path);
    t.is(page.status, 404, path);
    t.regex(page.html, /<code>not_found<\/code>/, path);
    t.true(page.html.includes(page.headers.get('x-request-id') ?? 'none'), path);
    const program = await fetch(`${server.issuer}${path}`, { headers: json });
    t.is(program.status, 404, path);
    t.regex(program.headers.get('content-type') ?? '', /json/, path);
  }
});

test('a request id from a proxy is kept, an odd one is not', async (t) => {
  const id = async (given: string) =>
    (await fetch(`${server.issuer}/nowhere`, { headers: { 'x-request-id': given } })).headers.get('x-request-id');
  t.is(await id('abc-123.def_456'), 'abc-123.def_456');
  t.not(await id('<script>alert(1)</script>'), '<script>alert(1)</script>');
});

test('a form of more than 16 KiB is refused with 413', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const page = await browser.go((await authorizationRequest(rp)).url);
  const big = 'a'.repeat(17_000);
  t.is((await browser.submit(page, 'sign-in', { login: big, password: 'x' })).status, 413);
  for (const path of ['/oauth/authorize', '/oauth/logout', '/interaction/x/login', '/interaction/x/consent']) {
    const answer = await browser.go(path, { method: 'POST', body: new URLSearchParams({ big }) });
    t.is(answer.status, 413, path);
  }
});

test('a request by POST that makes too long an address is refused with a word; a shorter one arrives', async (t) => {
  const { rp } = await newApp(server);
  const { url } = await authorizationRequest(rp);
  const posted = (state: string, headers = {}) => {
    const body = new URLSearchParams(url.searchParams);
    body.set('state', state);
    return createBrowser(server.issuer).go(url.pathname, { method: 'POST', body, headers });
  };
  for (const length of [13_500, 15_000, 15_500]) {
    const page = await posted('a'.repeat(length));
    t.is(page.status, 413, String(length));
    t.regex(page.html, /RFC 9126/);
  }
  // What a form may have as it is, an address has escaped.
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  const raw = `${url.searchParams}&ui_locales=${'é'.repeat(2_400)}`;
  t.is((await createBrowser(server.issuer).go(url.pathname, { method: 'POST', body: raw, headers })).status, 413);
  const arrived = await posted('a'.repeat(12_000));
  t.is(arrived.status, 200);
  t.regex(arrived.html, /id="sign-in"/);
  const told = await posted('a'.repeat(15_000), json);
  t.is(told.status, 413);
});

test('a body far too large for the engine’s own endpoints is refused, not read', async (t) => {
  const body = new URLSearchParams({ grant_type: 'client_credentials', big: 'a'.repeat(100_000) });
  for (const path of ['/oauth/token', '/oauth/introspect', '/oauth/revoke', '/oauth/logout/confirm']) {
    const response = await fetch(`${server.issuer}${path}`, { method: 'POST', body, headers: json });
    t.true(response.status === 400 || response.status === 413, `${path}: ${response.status}`);
  }
});

test('an odd form is refused, not an error of ours', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const page = await browser.go((await authorizationRequest(rp)).url);
  const csrf = /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? '';
  const at = /<form method="post" action="([^"]+)"/.exec(page.html)?.[1] ?? '';
  const form = 'application/x-www-form-urlencoded';
  for (const [body, type] of [
    [`csrf=${csrf}&login=a&login=b&password=x`, form],
    [`csrf=${csrf}&csrf=${csrf}&login=a&password=x`, form],
    [`csrf=${csrf}&login[a]=b&password[length]=3`, form],
    [`csrf=${csrf}&__proto__[x]=1&constructor=1`, form],
    [`%=%ZZ&csrf=${csrf}`, form],
    ['', form],
    [JSON.stringify({ csrf, login: person.email, password: person.password }), 'application/json'],
    ['x', 'multipart/form-data; boundary=x'],
    ['csrf', 'text/plain'],
  ] as const) {
    const answer = await browser.go(at, { method: 'POST', body, headers: { 'content-type': type } });
    t.true(answer.status >= 400 && answer.status < 500, `${type} ${body}: ${answer.status}`);
  }
  t.is((await passThrough(browser, page, person)).status, 0);
});
