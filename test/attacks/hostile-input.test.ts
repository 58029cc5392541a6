// What an outsider can put into a request or store beforehand, on every page and in every header: it is text, leads nowhere, and is kept
// by no cache. The pages are read from the routers, the API from /openapi.json, so that what is new is tried as well.
import { readdirSync, readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import test, { type ExecutionContext } from 'ava';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { startFederated } from '../helpers/federated.ts';
import { ROOMY } from '../helpers/limits.ts';
import { mailsTo } from '../helpers/mailbox.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import { authorizationRequest, CALLBACK, newApp, passThrough, signIn } from '../helpers/relying-party.ts';
import { createRest } from '../helpers/rest.ts';
import type { TestServer } from '../helpers/server.ts';

/** Ends attributes, tags, comments, titles and scripts; templates and translations would run what is in braces or `$t`. */
const MARKUP = `"'><xss-probe onx="1">--></title></script>zq{{7*191}}zq{%raw%}$t(home.title)\``;
const LINES = '\r\nX-Injected: yes\r\n\r\n<xss-probe>';

type Answer = { status: number; headers: IncomingHttpHeaders; body: string; at: string };

/** Pages that showed what was sent: as text. */
let shown = 0;
let server: TestServer;
let close: () => Promise<void>;
let victim: { id: string; email: string; auth: Record<string, string> };
/** Signed in as the victim. */
let browser: Browser;
let pages: string[];
let client: Awaited<ReturnType<typeof newApp>>;

/** The GET routes of the routers, and the engine's own, with something in the place of each parameter. */
const readPages = (uid: string): string[] => {
  const directory = new URL('../../src/http/routes/', import.meta.url);
  const ours = readdirSync(directory).flatMap((name) => {
    const source = readFileSync(new URL(name, directory), 'utf8');
    const [, prefix = ''] = /new Router(?:<\w+>)?\(\{ prefix: '([^']+)' \}\)/.exec(source) ?? [];
    return [...source.matchAll(/\.get\(\s*['`](\/[^'`]*)['`]/g)].map(([, path = '']) => prefix + path);
  });
  const filled = ours
    .filter((path) => !/^\/(users|admin|auth|oauth\/register)\b/.test(path))
    .map((path) =>
      path
        .replace(':uid', uid)
        .replace(':provider', 'acme')
        .replace(/:\w+/, 'x')
        .replace(/(.)\/$/, '$1'),
    );
  const engines = ['/oauth/authorize', '/oauth/logout', '/oauth/logout/success', '/device', '/oauth/userinfo'];
  return [...new Set([...filled, ...engines, '/forgot-password', '/verify-email', '/resend-verification', '/nowhere'])];
};

test.before(async () => {
  const all = await startFederated({ rateLimits: ROOMY });
  ({ server } = all);
  close = all.close;
  victim = await createPeople(server).person();
  browser = createBrowser(server.issuer, { 'user-agent': MARKUP });
  client = await newApp(server, { client_name: MARKUP });
  await signIn(browser, client.rp, { ...victim, password: PASSWORD });
  const page = await createBrowser(server.issuer).go((await authorizationRequest(client.rp)).url);
  pages = readPages(page.url.pathname.split('/')[2] ?? '');
});
test.after.always(async (t) => {
  const log = server?.log() ?? '';
  await close?.();
  t.notRegex(log, /"level":50/, 'what outsiders send is no error of ours');
  t.true(shown > 20, `${shown}: a sweep that is shown nowhere shows nothing`);
});

/** A request as given, to the letter: fetch would not send some of these. */
const send = (
  path: string,
  { method = 'GET', headers = {}, body }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.origin);
    const setHost = headers.host === undefined;
    const request = httpRequest({ hostname, port, path, method, headers, setHost }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text, at: `${method} ${path}` });
    });
    request.on('error', reject);
    request.end(body);
  });

const cookieOf = (one: Browser, path = '/'): string =>
  one
    .cookies()
    .filter((cookie) => path.startsWith(cookie.path))
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');

const harmless = (t: ExecutionContext, { status, headers, body, at }: Answer): void => {
  t.true(status < 500, `${at}: ${status}`);
  t.is(headers['x-injected'], undefined, at);
  t.is(headers['x-content-type-options'], 'nosniff', at);
  const type = headers['content-type'] ?? '';
  if (/html|xml|svg/.test(type)) {
    if (body.includes('&lt;xss-probe')) shown += 1;
    t.notRegex(body, /<xss-probe|=""'>|zq1337zq/, at);
    t.regex(String(headers['content-security-policy']), /default-src 'none'|default-src 'self'/, at);
  } else t.regex(type, /^($|application\/|text\/css|image\/)/, at);
};

const PARAMETERS = [
  ...['client_id', 'redirect_uri', 'response_type', 'response_mode', 'scope', 'state', 'nonce', 'prompt', 'max_age'],
  ...['code', 'error', 'error_description', 'error_uri', 'iss', 'token', 'email', 'login', 'user_code', 'return_to'],
  ...['ui_locales', 'login_hint', 'claims', 'claims_locales', 'request', 'request_uri', 'id_token_hint', 'acr_values'],
  ...['post_logout_redirect_uri', 'logout_hint', 'resource', 'code_challenge', 'code_challenge_method', 'display'],
  ...['authorization_details', 'dpop_jkt', 'xsrf', 'link', 'added', 'removed', 'sent', 'with', 'hd', 'access_token'],
];

/** Pages that answer some with a redirect, which takes along what it was sent. */
const LEADING_ON = [
  '/oauth/authorize',
  '/oauth/logout',
  '/login',
  '/oauth/acme/login',
  '/oauth/acme/callback',
  '/device',
];

test('what is in an address is text on every page that there is, and no header of its answer', async (t) => {
  t.true(pages.length >= 24, String(pages.length));
  for (const path of pages) {
    const headers = { accept: 'text/html', cookie: cookieOf(browser, path), 'user-agent': 'sweep' };
    const ask = async (at: string) => harmless(t, await send(at, { headers }));
    for (const hostile of [MARKUP, LINES]) {
      await ask(`${path}?${new URLSearchParams(PARAMETERS.map((name): [string, string] => [name, hostile]))}`);
      await ask(`${path}?${new URLSearchParams({ [hostile]: hostile })}`);
      await ask(`${path}/${encodeURIComponent(hostile)}`);
      if (hostile === MARKUP || LEADING_ON.includes(path))
        for (const name of PARAMETERS) await ask(`${path}?${new URLSearchParams({ [name]: hostile })}`);
    }
  }
});

test('what an authorization request says is text wherever it comes out, the app’s own address included', async (t) => {
  const { url } = await authorizationRequest(client.rp);
  const signedIn = cookieOf(browser);
  for (const hostile of [MARKUP, LINES])
    for (const name of PARAMETERS)
      for (const mode of ['query', 'form_post']) {
        const asked = new URL(url);
        asked.searchParams.set('response_mode', mode);
        asked.searchParams.set(name, hostile);
        const headers = { accept: 'text/html', cookie: signedIn };
        const answer = await send(asked.pathname + asked.search, { headers });
        harmless(t, answer);
        if (mode === 'form_post') continue;
        // On the pages of somebody who is not signed in yet.
        const page = await createBrowser(server.issuer).go(asked);
        const { status, html: body } = page;
        if (status !== 0)
          harmless(t, { status, headers: Object.fromEntries(page.headers), body, at: String(page.url) });
      }
});

test('what is typed into our forms comes back as text', async (t) => {
  for (const hostile of [MARKUP, LINES]) {
    const own = createBrowser(server.issuer);
    const start = await own.go((await authorizationRequest(client.rp)).url);
    const wrong = await own.submit(start, 'sign-in', { login: hostile, password: hostile });
    t.is(wrong.status, 401);
    const device = await own.go('/device');
    const code = await own.submit(device, 'continue', { user_code: hostile });
    const forgot = await own.go('/forgot-password');
    const asked = await own.submit(forgot, 'send-link', { email: hostile });
    for (const page of [wrong, code, asked]) {
      t.true(page.status < 500, page.url.href);
      t.notRegex(page.html, /<xss-probe|=""'>|zq1337zq/, page.url.href);
      t.is(page.headers.get('x-injected'), null);
    }
  }
});

test('what somebody says of themselves is text on the pages that show it, and in mails', async (t) => {
  const people = createPeople(server);
  const { auth, email } = await people.person();
  const said = { name: MARKUP, nickname: MARKUP, given_name: MARKUP, website: `https://x.example/?${MARKUP}` };
  const { status } = await people.rest.put('/users/me', said, auth);
  t.is(status, 200);
  const own = createBrowser(server.issuer, { 'user-agent': MARKUP, 'accept-language': `en,${MARKUP}` });
  await signIn(own, client.rp, { id: '', email, password: PASSWORD });
  for (const path of ['/account', '/oauth/logout', '/', '/dev/mail'])
    harmless(t, await send(path, { headers: { accept: 'text/html', cookie: cookieOf(own), 'user-agent': MARKUP } }));
  const chooser = await own.go((await authorizationRequest(client.rp, { prompt: 'select_account' })).url);
  t.notRegex(chooser.html, /<xss-probe/);
  const listed = await people.rest.get('/users/me/sessions', auth);
  t.regex(listed.headers.get('content-type') ?? '', /^application\/json/);
});

test('a forged host is in no answer, no redirect, no cookie and no mail', async (t) => {
  const { email } = await createPeople(server).person();
  const forged = {
    host: 'evil.example',
    'x-forwarded-host': 'evil.example',
    'x-forwarded-server': 'evil.example',
    'x-forwarded-proto': 'https',
    'x-host': 'evil.example',
    'x-original-url': '/admin/users',
    'x-rewrite-url': '/admin/users',
    'x-http-method-override': 'DELETE',
    forwarded: 'host=evil.example',
    'x-forwarded-for': 'evil.example',
  };
  const json = { ...forged, 'content-type': 'application/json' };
  const { url } = await authorizationRequest(client.rp);
  const answers = [
    await send('/auth/forgot-password', { method: 'POST', headers: json, body: JSON.stringify({ email }) }),
    await send('/auth/resend-verification', { method: 'POST', headers: json, body: JSON.stringify({ email }) }),
    await send('/auth/register', {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ email: 'forged-host@example.com', password: PASSWORD }),
    }),
    await send(url.pathname + url.search, { headers: { ...forged, cookie: cookieOf(browser) } }),
  ];
  for (const path of [...pages, '/users/me', '/admin/users', '/oauth/register'])
    answers.push(await send(path, { headers: { ...forged, cookie: cookieOf(browser, path) } }));
  for (const { at, status, headers, body } of answers) {
    t.true(status < 500, at);
    t.notRegex(JSON.stringify(headers) + body, /evil\.example/, at);
  }
  const mails = [...(await mailsTo(server, email)), ...(await mailsTo(server, 'forged-host@example.com'))];
  t.true(mails.length >= 2);
  for (const message of mails)
    if ('link' in message) t.is(new URL(message.link).origin, server.issuer, message.template);
});

/** Parts of a path by which caches are told that something is a file, or that two paths are one. */
const DECEPTIONS = [
  '/x.css',
  '.css',
  ';x.css',
  '%2fx.css',
  '/..%2fassets%2fstyle.css',
  '%00.css',
  '%3fx.css',
  '/%2e%2e/x.js',
];

test('what is private is kept by no cache, and is nowhere under an address that looks like a file', async (t) => {
  const cookie = cookieOf(browser);
  const privateOnes: [path: string, headers: Record<string, string>][] = [
    ['/account', { cookie }],
    ['/oauth/logout', { cookie }],
    ['/users/me', victim.auth],
    ['/users/me/export', victim.auth],
    ['/users/me/sessions', victim.auth],
    ['/users/api-keys', victim.auth],
  ];
  for (const [path, headers] of privateOnes) {
    const accept = path.startsWith('/users') ? 'application/json' : 'text/html';
    const right = await send(path, { headers: { ...headers, accept } });
    t.is(right.status, 200, path);
    t.regex(right.headers['cache-control'] ?? '', /no-store/, path);
    for (const trick of DECEPTIONS) {
      const wrong = await send(path + trick, { headers: { ...headers, accept } });
      const shows = wrong.body.includes(victim.email) || wrong.body.includes(victim.id);
      t.false(wrong.status === 200 && shows && !/no-store/.test(wrong.headers['cache-control'] ?? ''), wrong.at);
      if (wrong.status === 200) t.false(shows, `${wrong.at} shows what is private`);
    }
  }
});

test('every answer of the API to who is signed in, and every one that has a token, code or secret in it, says no-store', async (t) => {
  const admin = await createPeople(server).person('admin');
  const rest = createRest(server.origin);
  const { paths } = (await (await fetch(`${server.origin}/openapi.json`)).json()) as {
    paths: Record<string, Record<string, object>>;
  };
  let read = 0;
  for (const [path, methods] of Object.entries(paths)) {
    if (!/^\/(users|admin)\//.test(path) || !('get' in methods) || path.includes('{')) continue;
    const { headers, status } = await send(path, { headers: { ...admin.auth, accept: 'application/json' } });
    t.true(status === 200 || status === 422, `${path}: ${status}`);
    t.regex(headers['cache-control'] ?? '', /no-store/, path);
    read += 1;
  }
  t.true(read >= 10, String(read));

  const json = async (path: string, body: object, auth: Record<string, string> = {}) =>
    [path, (await rest.post(path, body, auth)).headers] as const;
  const posted = async (path: string, fields: Record<string, string>, headers: Record<string, string> = {}) => {
    const response = await fetch(`${server.origin}${path}`, {
      method: 'POST',
      body: new URLSearchParams(fields),
      headers,
    });
    t.true(response.ok, `${path}: ${response.status}`);
    return [path, response.headers] as const;
  };
  const { client_id, client_secret } = client.client;
  const by = { client_id, client_secret: String(client_secret) };
  const login = await rest.post('/auth/login', { email: admin.email, password: PASSWORD });
  const { tokens, arrived } = await signIn(browser, client.rp, { ...victim, password: PASSWORD });
  const step = await fetch(String(arrived.trail.at(-2)), {
    redirect: 'manual',
    headers: { cookie: cookieOf(browser) },
  });
  const device = await newApp(server, {
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'none',
  });
  const { url } = await authorizationRequest(client.rp);
  const answers = [
    ['/auth/login', login.headers],
    await json('/auth/refresh', { refresh_token: login.body.refresh_token }),
    await json('/users/api-keys', { name: 'k', scopes: [] }, admin.auth),
    await json('/admin/clients', { redirect_uris: [CALLBACK] }, admin.auth),
    await json('/oauth/register', { redirect_uris: ['https://dyn.example/cb'] }),
    await posted('/oauth/introspect', { ...by, token: tokens.access_token }),
    await posted('/oauth/par', { ...by, ...Object.fromEntries(url.searchParams) }),
    await posted('/oauth/device_authorization', { client_id: device.client.client_id }),
    [`the redirect with a code (${step.status})`, step.headers],
  ] as const;
  for (const [what, headers] of answers) t.regex(headers.get('cache-control') ?? '', /no-store/, what);

  const own = createBrowser(server.issuer);
  const started = await authorizationRequest(client.rp);
  const at = await passThrough(own, await own.go(started.url), { ...victim, password: PASSWORD });
  const token = await posted('/oauth/token', {
    ...by,
    grant_type: 'authorization_code',
    code: String(at.url.searchParams.get('code')),
    redirect_uri: CALLBACK,
    code_verifier: started.verifier,
  });
  t.regex(token[1].get('cache-control') ?? '', /no-store/);
  const again = await signIn(browser, client.rp, { ...victim, password: PASSWORD });
  const userinfo = await fetch(`${server.origin}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${again.tokens.access_token}` },
  });
  t.regex(userinfo.headers.get('cache-control') ?? '', /no-store/, 'userinfo');
});
