// RFC 8628, the device authorization grant: a device that cannot show a page, and a person who types its code somewhere else.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import * as oidc from 'openid-client';
import { type Browser, createBrowser, type Visited } from '../helpers/browser.ts';
import { jsonOf, newApp, newPerson, type Person, passThrough, refusal } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const DEVICE = { grant_types: [GRANT, 'refresh_token'], response_types: [], redirect_uris: [] };
const TELEVISION = { ...DEVICE, client_name: 'Living Room TV', token_endpoint_auth_method: 'none' };

let server: TestServer;
let beside: TestServer;
let person: Person;

test.before(async () => {
  const rateLimits = { ...(await import('../../src/domain/throttles.ts')).DEFAULT_LIMITS };
  const many = { points: 10_000, seconds: 900 };
  const overrides = { rateLimits: { ...rateLimits, 'user-code-network': many, 'device-network': many } };
  server = await startServer(overrides);
  beside = await startServer(overrides, server);
  person = await newPerson(server);
});
test.after.always(async () => {
  await beside?.close();
  await server?.close();
});

type Asked = { device_code: string; user_code: string; verification_uri: string; verification_uri_complete: string };

/** As a device does, by hand. */
const ask = async (
  clientId: string,
  params: Record<string, string> = { scope: 'openid email' },
  headers: Record<string, string> = { 'user-agent': 'TV/1.0' },
  at = server,
) => {
  const body = new URLSearchParams({ client_id: clientId, ...params });
  return fetch(`${at.origin}/oauth/device_authorization`, { method: 'POST', body, headers });
};
const asked = async (clientId: string, params?: Record<string, string>) =>
  (await jsonOf(await ask(clientId, params))) as unknown as Asked;

const poll = async (clientId: string, deviceCode: string, at = server) => {
  const body = new URLSearchParams({ grant_type: GRANT, client_id: clientId, device_code: deviceCode });
  const response = await fetch(`${at.origin}/oauth/token`, { method: 'POST', body });
  return { status: response.status, ...(await jsonOf(response)) } as Record<string, unknown>;
};

const enter = async (browser: Browser, code: string): Promise<Visited> =>
  browser.submit(await browser.go('/device'), 'continue', { user_code: code });

/** Types the code, confirms, signs in, allows. */
const approve = async (browser: Browser, code: string, who = person): Promise<Visited> =>
  passThrough(browser, await browser.submit(await enter(browser, code), 'confirm'), who);

const television = async (metadata: Record<string, unknown> = {}) => newApp(server, { ...TELEVISION, ...metadata });

test('§3: a public client gets its tokens once the person has typed the code, signed in and allowed it', async (t) => {
  const { rp } = await television();
  t.true(rp.serverMetadata().grant_types_supported?.includes(GRANT));
  t.is(rp.serverMetadata().device_authorization_endpoint, `${server.issuer}/oauth/device_authorization`);
  const answer = await oidc.initiateDeviceAuthorization(rp, { scope: 'openid email offline_access' });
  t.regex(answer.user_code, /^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
  t.is(answer.verification_uri, `${server.issuer}/device`);
  t.is(answer.interval, 5, '§3.2');
  t.is(answer.expires_in, 600);
  const tokens = oidc.pollDeviceAuthorizationGrant(rp, answer);
  const done = await approve(createBrowser(server.issuer), answer.user_code);
  t.is(done.status, 200);
  t.regex(done.html, /Your device is connected/);
  const got = await tokens;
  t.is(got.claims()?.sub, person.id);
  t.is((await oidc.fetchUserInfo(rp, got.access_token, person.id)).email, person.email);
  t.truthy(got.refresh_token, 'offline access');
  t.truthy((await oidc.refreshTokenGrant(rp, got.refresh_token ?? '')).access_token);
  const events = await server.audit.listOf(person.id, 20);
  t.true(events.some(({ type, details }) => type === 'device.approved' && JSON.stringify(details).includes('"ip"')));
});

test('§3.3: the page shows the app, what it asks for, and where it was started, before anything happens', async (t) => {
  const { client } = await television({ client_name: '<b>TV</b>' });
  const agent = 'TV/1.0 <script>alert(1)</script>';
  const { user_code } = (await jsonOf(
    await ask(client.client_id, { scope: 'openid email' }, { 'user-agent': agent }),
  )) as unknown as Asked;
  const browser = createBrowser(server.issuer);
  const page = await enter(browser, user_code.toLowerCase().replace('-', ' '));
  t.is(page.status, 200);
  t.true(page.html.includes(user_code), 'in whatever way it was typed');
  t.true(page.html.includes('&lt;b&gt;TV&lt;/b&gt;'));
  t.true(page.html.includes('TV/1.0 &lt;script&gt;'));
  t.regex(page.html, /127\.0\.0\.1|::1/);
  t.regex(page.html, /See your email address/i);
  t.regex(page.headers.get('cache-control') ?? '', /no-store/);
  const chinese = createBrowser(server.issuer, { 'accept-language': 'zh-CN' });
  t.regex((await enter(chinese, user_code)).html, /这|设备/);
});

test('§3.3: … and what is asked for at another API in its owner’s words', async (t) => {
  const NOTES = 'https://notes.example/api';
  await server.resources.create({
    identifier: NOTES,
    name: 'Acme <b>Notes</b>',
    scopes: [
      { name: 'notes:read', description: { en: 'Read your notes', 'zh-CN': '读取您的笔记' } },
      { name: 'notes:write', description: { en: 'Change your notes' } },
    ],
    defaultScopes: [],
    tokenFormat: 'opaque',
    ttlSeconds: 600,
    signingAlg: null,
    introspectionClients: [],
    detailTypes: [],
  });
  const { client } = await television();
  const { user_code } = await asked(client.client_id, { scope: 'openid notes:read', resource: NOTES });
  const { html } = await enter(createBrowser(server.issuer), user_code);
  t.true(html.includes('Acme &lt;b&gt;Notes'));
  t.regex(html, /notes\.example/);
  t.regex(html, /Read your notes/);
  t.notRegex(html, /notes:read|Change your notes/);
  t.regex((await enter(createBrowser(server.issuer, { 'accept-language': 'zh-CN' }), user_code)).html, /读取您的笔记/);
});

test('§3.3.1: verification_uri_complete fills in the code, and still asks', async (t) => {
  const { client } = await television();
  const { user_code, verification_uri_complete, device_code } = await asked(client.client_id);
  const browser = createBrowser(server.issuer);
  const page = await browser.go(verification_uri_complete);
  t.is(page.status, 200);
  t.notRegex(page.html, /<script/, 'without JavaScript');
  t.true(page.html.includes(`value="${user_code}"`));
  const confirm = await browser.submit(page, 'continue');
  t.regex(confirm.html, /id="confirm"/);
  t.is((await poll(client.client_id, device_code)).error, 'authorization_pending', 'nothing has happened yet');
  const odd = await browser.go(`/device?${new URLSearchParams({ user_code: '"><script>x</script>' })}`);
  t.notRegex(odd.html, /<script/);
  t.is((await browser.go('/device?user_code=A&user_code=B')).status, 200);
});

test('§3.5: authorization_pending until the person has decided; access_denied when they decline', async (t) => {
  const { client } = await television();
  const early = await asked(client.client_id);
  t.is((await poll(client.client_id, early.device_code)).error, 'authorization_pending');
  const browser = createBrowser(server.issuer);
  const declined = await browser.submit(await enter(browser, early.user_code), 'decline');
  t.is(declined.status, 200);
  t.regex(declined.html, /Declined/);
  t.is((await poll(client.client_id, early.device_code)).error, 'access_denied');
  t.is((await poll(client.client_id, early.device_code)).error, 'invalid_grant', 'told once');

  // Further on: at the consent page, and at the sign-in page.
  for (const button of ['deny', 'cancel']) {
    const { device_code, user_code } = await asked(client.client_id);
    const other = createBrowser(server.issuer);
    let page = await other.submit(await enter(other, user_code), 'confirm');
    if (button === 'deny')
      page = await other.submit(page, 'sign-in', { login: person.email, password: person.password });
    const end = await other.submit(page, button);
    t.is(end.status, 200);
    t.regex(end.html, /Declined/, button);
    t.is((await poll(client.client_id, device_code)).error, 'access_denied');
  }
  const denied = await server.audit.list({ type: 'device.denied' }, undefined, 10);
  t.true(denied.filter((one) => one.client === client.client_id).length === 3);
});

test('§3.5: slow_down for who polls sooner than told, in whatever process', async (t) => {
  const { client } = await television();
  const { device_code } = await asked(client.client_id);
  // Without Redis there is one process.
  const others = server.redis ? [server, beside, beside] : [server, server, server];
  const polls = await Promise.all([server, ...others].map((at) => poll(client.client_id, device_code, at)));
  t.deepEqual(polls.map(({ error }) => error).sort(), ['authorization_pending', 'slow_down', 'slow_down', 'slow_down']);
  const slowed = polls.find(({ error }) => error === 'slow_down');
  t.is(slowed?.status, 400);
  t.regex(String(slowed?.error_description), /five seconds/);
});

test('§3.5: who was told to slow down waits for five seconds more from then on, and who keeps to it is not told again', async (t) => {
  const { createThrottles, DEFAULT_LIMITS } = await import('../../src/domain/throttles.ts');
  const { createRateLimits } = await import('../../src/storage/rate-limits.ts');
  const { pollsTooSoon } = createThrottles(createRateLimits(), DEFAULT_LIMITS);
  const other = 'another code';
  t.false(await pollsTooSoon('a code'));
  t.true(await pollsTooSoon('a code'));
  t.false(await pollsTooSoon(other), 'one code does not slow another');
  await sleep(4_500);
  t.false(await pollsTooSoon(other), 'five seconds, and a little grace');
  t.true(await pollsTooSoon('a code'), 'five seconds are not ten');
});

// Alone, since it turns the clock.
test.serial('§3.5: expired_token, and the page says that the code is too old', async (t) => {
  const { client } = await television();
  const { device_code, user_code } = await asked(client.client_id);
  const now = Date.now;
  t.teardown(() => {
    Date.now = now;
  });
  const browser = createBrowser(server.issuer);
  const page = await browser.go('/device');
  Date.now = () => now() + 601_000;
  const [told, shown] = [
    await poll(client.client_id, device_code),
    await browser.submit(page, 'continue', { user_code }),
  ];
  Date.now = now;
  t.is(told.error, 'expired_token');
  t.is(shown.status, 400);
  t.regex(shown.html, /too old/);
});

test('§3.3: wrong, empty, and used codes are refused on the page, in words', async (t) => {
  const { client } = await television();
  const browser = createBrowser(server.issuer);
  for (const [code, words] of [
    ['BBBB-BBBB', /no such code/],
    ['', /Enter the code/],
    ['x'.repeat(5000), /no such code/],
    ['\u0000', /no such code|Enter the code/],
    ['<script>', /no such code/],
  ] as const) {
    const page = await enter(browser, code);
    t.is(page.status, 400, code);
    t.regex(page.html, words, code);
    t.notRegex(page.html, /<script/);
    t.regex(page.html, /aria-invalid="true"/);
  }
  const { user_code } = await asked(client.client_id);
  await approve(browser, user_code);
  const again = await enter(createBrowser(server.issuer), user_code);
  t.is(again.status, 400);
  t.regex(again.html, /used already/);
});

test('the forms need the token of their own page', async (t) => {
  const { client } = await television();
  const { user_code, device_code } = await asked(client.client_id);
  const browser = createBrowser(server.issuer);
  await enter(browser, user_code);
  for (const xsrf of ['', 'wrong']) {
    const body = new URLSearchParams({ xsrf, user_code, confirm: 'yes' });
    const page = await browser.go('/device', { method: 'POST', body });
    t.is(page.status, 400);
    t.regex(page.html, /where this form came from/);
  }
  const stranger = createBrowser(server.issuer);
  const body = new URLSearchParams({ user_code, confirm: 'yes' });
  const sentBack = await stranger.go('/device', { method: 'POST', body });
  t.regex(sentBack.html, /where this form came from/);
  t.notRegex(sentBack.html, /id="confirm"/);
  t.is((await poll(client.client_id, device_code)).error, 'authorization_pending');
});

test('§5.2: one code is decided once, of two people at once in two processes', async (t) => {
  const { client } = await television();
  const other = await newPerson(server);
  for (let round = 0; round < 3; round += 1) {
    const { user_code, device_code } = await asked(client.client_id);
    const browsers = [createBrowser(server.issuer), createBrowser(server.issuer)] as const;
    const pages: Visited[] = [];
    // Both have confirmed, before either has signed in; only the first gets so far when they come one after the other.
    const confirms = await Promise.all(browsers.map((browser) => enter(browser, user_code)));
    for (const [index, browser] of browsers.entries())
      pages.push(await browser.submit(confirms[index] as Visited, 'confirm'));
    const ends = await Promise.all(
      pages.map((page, index) =>
        page.html.includes('id="sign-in"')
          ? passThrough(browsers[index] as Browser, page, index ? other : person)
          : page,
      ),
    );
    const won = ends.map(({ html }) => /is connected/.test(html));
    t.is(won.filter(Boolean).length, 1, ends.map(({ html }) => html).join('\n'));
    const got = await poll(client.client_id, device_code);
    const sub = JSON.parse(Buffer.from(String(got.id_token).split('.')[1] ?? '', 'base64url').toString()).sub;
    t.is(sub, won[0] ? person.id : other.id);
  }
});

test('§3.5: one device_code gives tokens once at most, of many polls at once in two processes', async (t) => {
  const { client } = await television();
  const { user_code, device_code } = await asked(client.client_id);
  await approve(createBrowser(server.issuer), user_code);
  const got = await Promise.all(
    Array.from({ length: 8 }, (_, index) => poll(client.client_id, device_code, index % 2 ? beside : server)),
  );
  // As with a code that is used twice (RFC 6749 §4.1.2), a second use ends what the first one got; here perhaps before it has got it.
  t.true(got.filter(({ status }) => status === 200).length <= 1);
  for (const { status, error } of got) if (status !== 200) t.is(error, 'invalid_grant');
});

test('§3.4: a device_code is its own client’s alone', async (t) => {
  const [mine, other] = [await television(), await television()];
  const { user_code, device_code } = await asked(mine.client.client_id);
  await approve(createBrowser(server.issuer), user_code);
  t.is((await poll(other.client.client_id, device_code)).error, 'invalid_grant');
  t.is((await poll(mine.client.client_id, 'nonsense')).error, 'invalid_grant');
  const body = new URLSearchParams({ grant_type: GRANT, client_id: mine.client.client_id });
  const without = await fetch(`${server.origin}/oauth/token`, { method: 'POST', body });
  t.is((await jsonOf(without)).error, 'invalid_request');
  t.is((await poll(mine.client.client_id, device_code)).status, 200);
});

test('§3.1: only clients that are registered for the grant, and prove who they are, get a code', async (t) => {
  const plain = await newApp(server, { token_endpoint_auth_method: 'none' });
  const refused = await ask(plain.client.client_id);
  t.is(refused.status, 400);
  t.is((await jsonOf(refused)).error, 'unauthorized_client');
  t.is((await ask('nobody')).status, 401);
  const { client, rp } = await newApp(server, DEVICE);
  t.is((await ask(client.client_id)).status, 401, 'a confidential client without its secret');
  t.truthy((await oidc.initiateDeviceAuthorization(rp, { scope: 'openid' })).user_code);
  t.is(
    await refusal(oidc.initiateDeviceAuthorization(rp, { scope: 'openid', request: 'x' })),
    'invalid_request_object',
  );
  t.is((await fetch(`${server.origin}/oauth/device_authorization`)).status, 405);
  const get = await fetch(`${server.origin}/device`, { method: 'DELETE' });
  t.is(get.status, 405);
});

test('§3.1: without a scope it is a request for the default one', async (t) => {
  const { client } = await television({ scope: 'openid profile' });
  const { user_code, device_code } = await asked(client.client_id, {});
  await approve(createBrowser(server.issuer), user_code);
  const got = await poll(client.client_id, device_code);
  t.is(got.scope, 'openid profile');
});

test('who is signed in and has allowed the app before still confirms, and nothing else', async (t) => {
  const browser = createBrowser(server.issuer);
  const { client, rp } = await newApp(server, DEVICE);
  const first = await oidc.initiateDeviceAuthorization(rp, { scope: 'openid' });
  await approve(browser, first.user_code);
  const second = await oidc.initiateDeviceAuthorization(rp, { scope: 'openid' });
  const done = await browser.submit(await enter(browser, second.user_code), 'confirm');
  t.regex(done.html, /is connected/);
  const apps = await server.stores.consents.list(person.id);
  t.true(
    apps.some(({ clientId }) => clientId === client.client_id),
    'a connected app',
  );
});

test('what a device got outlives the browser session in which it was allowed', async (t) => {
  const browser = createBrowser(server.issuer);
  const { client, rp } = await television();
  const { user_code, device_code } = await asked(client.client_id);
  await approve(browser, user_code);
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  const got = await poll(client.client_id, device_code);
  t.is(got.status, 200);
  t.is((await oidc.fetchUserInfo(rp, String(got.access_token), person.id)).sub, person.id);
});

test('a ban ends what was allowed and not fetched yet', async (t) => {
  const banned = await newPerson(server);
  const { client } = await television();
  const { user_code, device_code } = await asked(client.client_id);
  await approve(createBrowser(server.issuer), user_code, banned);
  await server.stores.artifacts.destroyByAccount(banned.id);
  t.is((await poll(client.client_id, device_code)).error, 'invalid_grant');
});

test('§5.1: codes are stored hashed under a key, and a guess is counted by network and in total', async (t) => {
  const { DEFAULT_LIMITS } = await import('../../src/domain/throttles.ts');
  const strict = await startServer({
    trustProxy: 1,
    rateLimits: {
      ...DEFAULT_LIMITS,
      'user-code-network': { points: 3, seconds: 900 },
      'user-code-total': { points: 5, seconds: 900 },
    },
  });
  t.teardown(() => strict.close());
  const { client } = await strict.clients.register({ ...TELEVISION }).then((client) => ({ client }));
  const code = (await jsonOf(await ask(client.client_id, { scope: 'openid' }, {}, strict))) as unknown as Asked;
  const { sha256 } = await import('../../src/domain/secrets.ts');
  const plain = code.user_code.replace('-', '');
  t.is(await strict.stores.artifacts.findByUserCode('DeviceCode', sha256(plain)), undefined);
  t.is(await strict.stores.artifacts.findByUserCode('DeviceCode', plain), undefined);

  const from = (ip: string) => createBrowser(strict.issuer, { 'x-forwarded-for': ip });
  const home = from('192.0.2.1');
  for (let i = 0; i < 4; i += 1) t.is((await enter(home, code.user_code)).status, 200, 'a right one costs nothing');
  const guesses = await Promise.all(Array.from({ length: 6 }, () => enter(from('192.0.2.66'), 'BBBB-BBBB')));
  t.is(guesses.filter(({ status }) => status === 400).length, 3, 'at once as well');
  t.is(guesses.filter(({ status }) => status === 429).length, 3);
  t.truthy(guesses.find(({ status }) => status === 429)?.headers.get('retry-after'));
  t.is((await enter(home, code.user_code)).status, 200, 'strangers elsewhere lock nobody out');
  for (const ip of ['192.0.2.67', '192.0.2.68']) await enter(from(ip), 'BBBB-BBBB');
  t.is((await enter(from('192.0.2.69'), code.user_code)).status, 429, 'in total');
});

test('a network that asks for codes without end is told to wait', async (t) => {
  const { DEFAULT_LIMITS } = await import('../../src/domain/throttles.ts');
  const strict = await startServer({
    rateLimits: { ...DEFAULT_LIMITS, 'device-network': { points: 2, seconds: 900 } },
  });
  t.teardown(() => strict.close());
  const client = await strict.clients.register({ ...TELEVISION });
  const answers = [];
  for (let i = 0; i < 3; i += 1) answers.push(await ask(client.client_id, { scope: 'openid' }, {}, strict));
  t.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 429],
  );
  t.truthy(answers[2]?.headers.get('retry-after'));
  t.notRegex(strict.log(), /"level":50/, 'no error of ours');
});

for (const [what, path, init] of [
  ['an address that leads on from no sign-in', '/device/anything', {}],
  ['… with a session that is none', '/device/anything', { headers: { cookie: 'session=x; session.sig=y' } }],
  [
    'a form with a session that is none',
    '/device',
    { method: 'POST', headers: { cookie: 'session=x; session.sig=y' } },
  ],
] as const)
  test(`${what} ends at the form for a code, which says what happened`, async (t) => {
    const before = server.log().length;
    const at = await fetch(server.origin + path, {
      ...init,
      body: 'method' in init ? new URLSearchParams({ xsrf: 'x', user_code: 'BCDF-GHJK' }) : null,
    });
    const html = await at.text();
    t.is(at.status, 200, html);
    t.regex(html, /id="user-code"/);
    t.regex(html, /role="alert"/);
    t.notRegex(server.log().slice(before), /"level":50/);
  });

test('a form that cannot be read, with a session that is none, is a mistake of who sent it', async (t) => {
  const before = server.log().length;
  for (const type of ['text/html', 'application/json']) {
    const at = await fetch(`${server.origin}/device`, {
      method: 'POST',
      headers: { accept: 'text/html', 'content-type': type, cookie: 'session=x; session.sig=y' },
      body: 'xsrf=x&user_code=BCDF-GHJK&confirm=yes',
    });
    t.is(at.status, 400, type);
    t.regex(await at.text(), /role="alert"|<h1/);
  }
  t.notRegex(server.log().slice(before), /"level":50/);
});

test('control characters in a code that is typed do not come back', async (t) => {
  const browser = createBrowser(server.issuer);
  const typed = await browser.go(`/device?user_code=${encodeURIComponent('\u0001BC\u001b[31m\u009bDF')}`);
  t.is(typed.status, 200);
  t.regex(typed.html, /BC/);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
  t.notRegex(typed.html, /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/);
});
