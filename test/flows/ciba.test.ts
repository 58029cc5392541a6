// OpenID Connect CIBA Core 1.0, poll and ping: an app asks, and the person approves on their account page.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { decodeJwt } from 'jose';
import * as oidc from 'openid-client';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { type AppServer, startAppServer } from '../helpers/app-server.ts';
import { type Browser, createBrowser, type Visited } from '../helpers/browser.ts';
import { AUTHORITY } from '../helpers/certificates.ts';
import { newKey, signed } from '../helpers/client-keys.ts';
import { jsonOf, newApp, newPerson, type Person, refusal } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const GRANT = 'urn:openid:params:grant-type:ciba';
const CIBA = {
  client_name: 'Corner Shop Till',
  grant_types: [GRANT, 'refresh_token'],
  response_types: [],
  redirect_uris: [],
  backchannel_token_delivery_mode: 'poll',
};

let server: TestServer;
let beside: TestServer;
let till: AppServer;

const overrides = {
  outbound: { extraCa: AUTHORITY, reachLoopback: true },
  rateLimits: { ...DEFAULT_LIMITS, 'approval-account': { points: 100, seconds: 600 } },
};

test.before(async () => {
  till = await startAppServer('https');
  server = await startServer(overrides);
  beside = await startServer(overrides, server);
  server.clientCalls.start();
});
test.after.always(async () => {
  await server?.clientCalls.stop(0);
  await beside?.close();
  await server?.close();
  await till?.close();
});

/** Somebody who is signed in on our pages, at their account page. */
const atAccount = async (person: Person, browser = createBrowser(server.issuer)) => {
  const login = await browser.go('/login');
  const page = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  return { browser, page };
};

const idsOn = ({ html }: Visited): string[] => [...html.matchAll(/id="approve-([^"]+)"/g)].map(([, id]) => id ?? '');

const decide = async (browser: Browser, button: 'approve' | 'deny'): Promise<Visited> => {
  const page = await browser.go('/account');
  return browser.submit(page, `${button}-${idsOn(page)[0]}`);
};

const newTill = (metadata: Record<string, unknown> = {}) => newApp(server, { ...CIBA, ...metadata });

const credentials = ({ client_id, client_secret }: { client_id: string; client_secret?: string | undefined }) => ({
  client_id,
  client_secret: client_secret ?? '',
});
type TestClient = Awaited<ReturnType<typeof newTill>>['client'];

const ask = async (client: TestClient, params: Record<string, string>, at = server) => {
  const body = new URLSearchParams({ ...credentials(client), scope: 'openid', ...params });
  const response = await fetch(`${at.origin}/oauth/backchannel`, { method: 'POST', body });
  return { status: response.status, ...(await jsonOf(response)) } as Record<string, unknown>;
};

const poll = async (client: TestClient, authReqId: unknown, at = server) => {
  const body = new URLSearchParams({ ...credentials(client), grant_type: GRANT, auth_req_id: String(authReqId) });
  const response = await fetch(`${at.origin}/oauth/token`, { method: 'POST', body });
  return { status: response.status, ...(await jsonOf(response)) } as Record<string, unknown>;
};

test('§7, §10.1: poll: the app asks by an address, the person approves on their account page, the app gets its tokens', async (t) => {
  const person = await newPerson(server);
  const { rp, client } = await newTill();
  const metadata = rp.serverMetadata();
  t.is(metadata.backchannel_authentication_endpoint, `${server.issuer}/oauth/backchannel`);
  t.deepEqual(metadata.backchannel_token_delivery_modes_supported, ['poll', 'ping']);
  t.is(metadata.backchannel_user_code_parameter_supported, false);
  const { browser } = await atAccount(person);
  const request = await oidc.initiateBackchannelAuthentication(rp, {
    scope: 'openid email',
    login_hint: person.email,
    binding_message: 'Till 4 · 12,50 €',
    requested_expiry: '120',
  });
  t.is(request.interval, 5);
  t.is(request.expires_in, 120, '§7.1: requested_expiry');
  const page = await browser.go('/account');
  t.regex(page.html, /Corner Shop Till/);
  t.true(page.html.includes('Till 4 · 12,50 €'));
  t.regex(page.html, /See your email address/);
  t.regex(page.html, /127\.0\.0\.1|::1/, 'from where');
  const tokens = oidc.pollBackchannelAuthenticationGrant(rp, request);
  const done = await decide(browser, 'approve');
  t.regex(done.html, /Approved/);
  t.is(idsOn(done).length, 0);
  const got = await tokens;
  t.is(got.claims()?.sub, person.id);
  t.is(got.claims()?.acr, 'aal1');
  t.is((await oidc.fetchUserInfo(rp, got.access_token, person.id)).email, person.email);
  const types = (await server.audit.listOf(person.id, 20)).map(({ type }) => type);
  t.true(types.includes('approval.requested') && types.includes('approval.given'));
  const apps = await server.stores.consents.list(person.id);
  t.true(
    apps.some(({ clientId }) => clientId === client.client_id),
    'a connected app',
  );
});

test('§7.1: a username or an ID token names the person as well', async (t) => {
  const person = await newPerson(server, { username: 'ciba-tester' });
  const { rp, client } = await newTill();
  const { browser } = await atAccount(person);
  const first = await ask(client, { login_hint: 'ciba-tester' });
  t.is(first.status, 200);
  await decide(browser, 'approve');
  const { id_token } = await poll(client, first.auth_req_id);
  const again = await oidc.initiateBackchannelAuthentication(rp, { scope: 'openid', id_token_hint: String(id_token) });
  t.truthy(again.auth_req_id);
  t.is((await ask(client, { id_token_hint: 'garbage' })).error, 'invalid_request');
  const [head, body] = String(id_token).split('.');
  t.is((await ask(client, { id_token_hint: `${head}.${body}.AAAA` })).error, 'invalid_request');
});

test('§10.2: ping: the app is told, with its own token, once the person has decided', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { rp, client } = await newTill({
    backchannel_token_delivery_mode: 'ping',
    backchannel_client_notification_endpoint: `${till.origin}/pinged`,
  });
  for (const button of ['approve', 'deny'] as const) {
    const before = till.calls.length;
    const notification = `token-of-${button}~1`;
    const request = await oidc.initiateBackchannelAuthentication(rp, {
      scope: 'openid',
      login_hint: person.email,
      client_notification_token: notification,
    });
    await decide(browser, button);
    const call = (await till.called(before + 1)).at(-1);
    t.is(call?.path, '/pinged');
    t.is(call?.headers.authorization, `Bearer ${notification}`);
    t.is(call?.headers['content-type'], 'application/json');
    t.deepEqual(JSON.parse(call?.body ?? ''), { auth_req_id: request.auth_req_id });
    const got = await poll(client, request.auth_req_id);
    if (button === 'approve') t.truthy(got.id_token);
    else t.is(got.error, 'access_denied');
  }
  t.notRegex(server.log(), /token-of-approve/, 'no token in the log');
});

test('§10.2: an endpoint that fails is tried again, one that redirects is not followed, and the token waits sealed', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const shaky = await startAppServer('https');
  t.teardown(() => shaky.close());
  shaky.answerBy((_call, res) => {
    if (shaky.calls.length === 1) res.writeHead(302, { location: `${till.origin}/stolen` }).end();
    else res.writeHead(204).end();
  });
  const { client } = await newTill({
    backchannel_token_delivery_mode: 'ping',
    backchannel_client_notification_endpoint: `${shaky.origin}/pinged`,
  });
  const asked = { login_hint: person.email, client_notification_token: 'a-secret-token' };
  const { auth_req_id } = await ask(client, asked);
  await decide(browser, 'approve');
  await shaky.called(1);
  const { rows } = await server.database.pool.query(
    `SELECT * FROM outgoing_calls WHERE client_id = '${client.client_id}'`,
  );
  t.is(rows.length, 1);
  t.notRegex(JSON.stringify(rows), /a-secret-token/);
  t.false(JSON.stringify(rows).includes(String(auth_req_id)));
  await shaky.called(2);
  t.false(till.calls.some(({ path }) => path === '/stolen'));
});

test('§10.2: an endpoint that takes the notification for none of its own is not asked again, and the app has its tokens', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const strict = await startAppServer('https');
  t.teardown(() => strict.close());
  strict.answerBy((_call, res) => res.writeHead(401).end());
  const { client } = await newTill({
    backchannel_token_delivery_mode: 'ping',
    backchannel_client_notification_endpoint: `${strict.origin}/pinged`,
  });
  const { auth_req_id } = await ask(client, { login_hint: person.email, client_notification_token: 'not-mine' });
  await decide(browser, 'approve');
  await strict.called(1);
  const kept = async () => {
    const asked = 'SELECT next_attempt_at, last_error FROM outgoing_calls WHERE client_id = $1';
    return (await server.database.pool.query(asked, [client.client_id])).rows[0];
  };
  for (const until = Date.now() + 15_000; (await kept())?.last_error === null && Date.now() < until; ) await sleep(50);
  t.deepEqual(await kept(), { next_attempt_at: null, last_error: 'status 401' });
  t.is(strict.calls.length, 1);
  t.truthy((await poll(client, auth_req_id)).id_token);
});

test('a ping endpoint that leads into a private network is not called', async (t) => {
  const inside = await startServer();
  t.teardown(() => inside.close());
  const hidden = await startAppServer('https');
  t.teardown(() => hidden.close());
  const person = await newPerson(inside);
  const { client } = await newApp(inside, {
    ...CIBA,
    backchannel_token_delivery_mode: 'ping',
    backchannel_client_notification_endpoint: `${hidden.origin}/pinged`,
  });
  await ask(client, { login_hint: person.email, client_notification_token: 'token' }, inside);
  const { browser } = await atAccount(person, createBrowser(inside.issuer));
  await decide(browser, 'approve');
  await inside.clientCalls.deliverDue();
  t.is(hidden.calls.length, 0);
  const { rows } = await inside.database.pool.query('SELECT attempts, last_error FROM outgoing_calls');
  t.is(rows.length, 1);
  t.is(rows[0].attempts, 1);
  t.truthy(rows[0].last_error);
});

test('§11: authorization_pending, slow_down, access_denied, and expired_token', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { client } = await newTill();
  const { auth_req_id } = await ask(client, { login_hint: person.email });
  const polls = await Promise.all([server, server.redis ? beside : server].map((at) => poll(client, auth_req_id, at)));
  t.deepEqual(polls.map(({ error }) => error).sort(), ['authorization_pending', 'slow_down']);
  const declined = await decide(browser, 'deny');
  t.regex(declined.html, /Declined/);
  t.is((await poll(client, auth_req_id)).error, 'access_denied');
  const other = await newTill();
  const mine = await ask(client, { login_hint: person.email });
  t.is((await poll(other.client, mine.auth_req_id)).error, 'invalid_grant', 'another app’s');
  t.is((await poll(client, 'nonsense')).error, 'invalid_grant');
});

// Alone, since it turns the clock.
test.serial('§11: expired_token, and the account page does not offer it any more', async (t) => {
  const person = await newPerson(server);
  const { browser, page } = await atAccount(person);
  const { client } = await newTill();
  const { auth_req_id } = await ask(client, { login_hint: person.email, requested_expiry: '60' });
  t.is(idsOn(page).length, 0);
  t.is(idsOn(await browser.go('/account')).length, 1);
  const now = Date.now;
  Date.now = () => now() + 61_000;
  const [told, shown] = await Promise.all([poll(client, auth_req_id), browser.go('/account')]).finally(() => {
    Date.now = now;
  });
  t.is(told.error, 'expired_token');
  t.is(idsOn(shown).length, 0);
});

test('§13: what is wrong with a request is said by its code', async (t) => {
  const person = await newPerson(server);
  const { client } = await newTill();
  const hint = { login_hint: person.email };
  for (const [params, error, words] of [
    [{}, 'invalid_request', /login_hint/],
    [{ ...hint, id_token_hint: 'x' }, 'invalid_request', /only one/],
    [{ login_hint_token: 'x' }, 'invalid_request', /login_hint_token is not supported/],
    [{ login_hint: 'nobody@example.com' }, 'unknown_user_id', /identify/],
    [{ login_hint: '\u0000' }, 'unknown_user_id', /identify/],
    [{ ...hint, user_code: '1234' }, 'invalid_request', /user_code is not supported/],
    [{ ...hint, request_context: '{}' }, 'invalid_request', /request_context is not supported/],
    [{ ...hint, binding_message: 'x'.repeat(65) }, 'invalid_binding_message', /64/],
    [{ ...hint, binding_message: 'two\nlines' }, 'invalid_binding_message', /one line/],
    [{ ...hint, binding_message: 'a\u202eb' }, 'invalid_binding_message', /visible/],
    [{ ...hint, requested_expiry: '-1' }, 'invalid_request', /requested_expiry/],
    [{ ...hint, requested_expiry: 'soon' }, 'invalid_request', /requested_expiry/],
    [{ ...hint, scope: 'email' }, 'invalid_request', /openid/],
  ] as const) {
    const answer = await ask(client, params);
    t.is(answer.status, 400, JSON.stringify(params));
    t.is(answer.error, error, JSON.stringify(params));
    t.regex(String(answer.error_description), words);
  }
  const { client: pinged } = await newTill({
    backchannel_token_delivery_mode: 'ping',
    backchannel_client_notification_endpoint: `${till.origin}/pinged`,
  });
  t.is((await ask(pinged, hint)).error, 'invalid_request', 'client_notification_token is missing');
  for (const token of ['with space', 'x'.repeat(1025), 'ctl\u0001'])
    t.is((await ask(pinged, { ...hint, client_notification_token: token })).error, 'invalid_request');
  t.is((await ask({ ...client, client_secret: 'wrong' }, hint)).status, 401);
  const { client: other } = await newApp(server);
  t.is((await ask(other, hint)).error, 'unauthorized_client', '§13');
  t.notRegex(server.log(), /"level":50/, 'a client’s mistake is no error of ours');
});

test('§4: a client registers a mode, an https endpoint for pings, and proves who it is', async (t) => {
  for (const metadata of [
    { token_endpoint_auth_method: 'none' },
    { backchannel_token_delivery_mode: 'push', backchannel_client_notification_endpoint: 'https://app.example/p' },
    { backchannel_token_delivery_mode: 'ping' },
    { backchannel_token_delivery_mode: 'ping', backchannel_client_notification_endpoint: 'http://app.example/p' },
    { backchannel_user_code_parameter: true },
  ])
    await t.throwsAsync(newTill(metadata), { code: 'invalid_client_metadata' }, JSON.stringify(metadata));
});

test('approving needs this person, their own form, and a sign-in of the last ten minutes; declining only the first two', async (t) => {
  const [person, stranger] = [await newPerson(server), await newPerson(server)];
  const { browser } = await atAccount(person);
  const { client } = await newTill();
  const { auth_req_id } = await ask(client, { login_hint: person.email });
  const page = await browser.go('/account');
  const [id = ''] = idsOn(page);
  t.false(page.html.includes(String(auth_req_id)), 'the page does not have what the app redeems');

  for (const csrf of ['', 'wrong']) {
    const body = new URLSearchParams({ csrf, decision: 'approve' });
    t.is((await browser.go(`/account/approvals/${id}`, { method: 'POST', body })).status, 403);
  }
  const theirs = await atAccount(stranger);
  t.is(idsOn(theirs.page).length, 0);
  const csrf = /name="csrf" value="([^"]+)"/.exec((await browser.go('/account')).html)?.[1] ?? '';
  const foreign = await theirs.browser.go(`/account/approvals/${id}`, {
    method: 'POST',
    body: new URLSearchParams({ csrf, decision: 'approve' }),
  });
  t.is(foreign.status, 403);
  const anonymous = createBrowser(server.issuer);
  const nobody = await anonymous.go(`/account/approvals/${id}`, {
    method: 'POST',
    body: new URLSearchParams({ csrf, decision: 'approve' }),
  });
  t.is(nobody.url.pathname, '/');
  t.is((await browser.go(`/account/approvals/${id}?decision=approve&csrf=${csrf}`)).status, 405, 'no link approves');
  t.is((await poll(client, auth_req_id)).error, 'authorization_pending');
});

// Alone, since it turns the clock.
test.serial('an old sign-in is asked for again before it approves', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { client } = await newTill();
  const now = Date.now;
  t.teardown(() => {
    Date.now = now;
  });
  Date.now = () => now() + 601_000;
  const { auth_req_id } = await ask(client, { login_hint: person.email });
  const stopped = await decide(browser, 'approve');
  t.regex(stopped.html, /id="sign-in"/);
  t.is((await poll(client, auth_req_id)).error, 'authorization_pending');
  await decide(browser, 'deny');
  t.is((await poll(client, auth_req_id)).error, 'access_denied', 'declining needs no more');
  Date.now = now;
});

test('one request is decided once, by two windows at once in two processes', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { client } = await newTill();
  for (let round = 0; round < 3; round += 1) {
    const { auth_req_id } = await ask(client, { login_hint: person.email });
    const page = await browser.go('/account');
    const [id] = idsOn(page);
    const send = (origin: string, decision: string) => {
      const csrf = /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? '';
      const cookie = browser
        .cookies()
        .map(({ name, value }) => `${name}=${value}`)
        .join('; ');
      return fetch(`${origin}/account/approvals/${id}`, {
        method: 'POST',
        body: new URLSearchParams({ csrf, decision }),
        headers: { cookie },
        redirect: 'manual',
      }).then((response) => response.headers.get('location') ?? '');
    };
    const ends = await Promise.all([send(server.origin, 'approve'), send(beside.origin, 'deny')]);
    t.is(ends.filter((end) => /outcome=(approved|declined)/.test(end)).length, 1, ends.join(' '));
    t.is(ends.filter((end) => /outcome=approval_gone/.test(end)).length, 1);
    const got = await poll(client, auth_req_id);
    t.is(got.status === 200, ends[0]?.includes('approved'));
    t.is((await poll(client, auth_req_id)).error, 'invalid_grant', 'redeemed once');
  }
});

test('the mail leads to the account page, says nothing in the app’s words, and goes to proven addresses alone', async (t) => {
  const proven = { email: 'proven-ciba@example.com', password: 'a long password for this' };
  await server.accounts.create({ ...proven, emailVerified: true });
  const { client } = await newTill();
  const person = await newPerson(server);
  await ask(client, { login_hint: person.email, binding_message: 'visit evil.example' });
  await ask(client, { login_hint: proven.email, binding_message: 'visit evil.example' });
  const mails = (await server.mail.previews()).filter(({ subject }) => /approval/.test(subject));
  t.deepEqual(
    mails.filter(({ to }) => to === person.email || to === proven.email).map(({ to }) => to),
    [proven.email],
  );
  const mail = mails.find(({ to }) => to === proven.email);
  t.regex(mail?.text ?? '', new RegExp(`${server.issuer}/login\\s`));
  t.notRegex(mail?.text ?? '', /evil|approvals\/|token=/);
});

test('nobody is asked without end, and an app that looks for people is told to wait', async (t) => {
  const strict = await startServer({
    rateLimits: {
      ...DEFAULT_LIMITS,
      'approval-account': { points: 2, seconds: 600 },
      'approval-client': { points: 3, seconds: 900 },
    },
  });
  t.teardown(() => strict.close());
  const person = await newPerson(strict);
  const apps = [await newApp(strict, CIBA), await newApp(strict, CIBA)] as const;
  const hint = { login_hint: person.email };
  t.is((await ask(apps[0].client, hint, strict)).status, 200);
  t.is((await ask(apps[1].client, hint, strict)).status, 200);
  const third = await ask(apps[0].client, hint, strict);
  t.is(third.status, 429, 'whichever app it is');
  t.is(third.error, 'temporarily_unavailable');
  for (let i = 0; i < 3; i += 1)
    t.is((await ask(apps[1].client, { login_hint: `nobody-${i}@example.com` }, strict)).error, 'unknown_user_id');
  t.is((await ask(apps[1].client, { login_hint: 'nobody@example.com' }, strict)).status, 429);
});

test('a ban and a new password end what waits and what was approved', async (t) => {
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { client } = await newTill();
  const waiting = await ask(client, { login_hint: person.email });
  const approved = await ask(client, { login_hint: person.email });
  await decide(browser, 'approve');
  await server.stores.artifacts.destroyByAccount(person.id);
  for (const { auth_req_id } of [waiting, approved]) t.is((await poll(client, auth_req_id)).error, 'invalid_grant');

  const { id, email } = await newPerson(server);
  await server.database.pool.query(`UPDATE users SET banned_at = now() WHERE id = '${id}'`);
  t.is((await ask(client, { login_hint: email })).error, 'unknown_user_id');
});

test('the library refuses as we do', async (t) => {
  const { rp } = await newTill();
  const attempt = oidc.initiateBackchannelAuthentication(rp, { scope: 'openid', login_hint: 'nobody@example.com' });
  t.is(await refusal(attempt), 'unknown_user_id');
});

test('RFC 8707: what is asked for at another API is shown in its owner’s words, and the token is for it', async (t) => {
  const NOTES = 'https://notes.example/api';
  await server.resources.create({
    identifier: NOTES,
    name: 'Acme Notes',
    scopes: [
      { name: 'notes:read', description: { en: 'Read your <b>notes</b>' } },
      { name: 'notes:write', description: { en: 'Change your notes' } },
    ],
    defaultScopes: ['notes:read'],
    tokenFormat: 'jwt',
    ttlSeconds: 600,
    signingAlg: 'RS256',
    introspectionClients: [],
    detailTypes: [],
  });
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { client } = await newTill();
  const asked = await ask(client, { login_hint: person.email, scope: 'openid notes:read', resource: NOTES });
  t.is(asked.status, 200);
  const { html } = await browser.go('/account');
  t.regex(html, /Acme Notes/);
  t.true(html.includes('Read your &lt;b&gt;notes'));
  t.notRegex(html, /Change your notes/);
  await decide(browser, 'approve');
  const body = new URLSearchParams({
    ...credentials(client),
    grant_type: GRANT,
    auth_req_id: String(asked.auth_req_id),
    resource: NOTES,
  });
  const got = await jsonOf(await fetch(`${server.origin}/oauth/token`, { method: 'POST', body }));
  const claims = JSON.parse(Buffer.from(String(got.access_token).split('.')[1] ?? '', 'base64url').toString());
  t.is(claims.aud, NOTES);
  t.is(claims.scope, 'notes:read');
  const consent = await server.stores.consents.find(person.id, client.client_id);
  t.deepEqual(consent?.resources, { [NOTES]: ['notes:read'] });
  const unknown = await ask(client, { login_hint: person.email, resource: 'https://unknown.example/' });
  t.is(unknown.error, 'invalid_target');
});

test('RFC 9396: what is asked for in detail is shown in words, escaped, and what was approved is in the token', async (t) => {
  const BANK = 'https://bank.example/';
  const field = (name: string, label: string) => ({ name, label: { en: label }, required: true, max_length: 40 });
  await server.resources.create({
    identifier: BANK,
    name: 'Bank',
    scopes: [{ name: 'accounts', description: { en: 'See accounts' } }],
    defaultScopes: ['accounts'],
    tokenFormat: 'jwt',
    ttlSeconds: 600,
    signingAlg: null,
    introspectionClients: [],
    detailTypes: [
      {
        type: 'payment',
        description: { en: 'Make a payment' },
        fields: [field('amount', 'Amount'), field('creditor', 'To')],
      },
    ],
  });
  const person = await newPerson(server);
  const { browser } = await atAccount(person);
  const { client } = await newTill({ authorization_details_types: ['payment'] });
  const detail = { type: 'payment', amount: '12.50 EUR', creditor: 'Merchant <b>A</b>' };
  const request = (details: unknown) =>
    ask(client, {
      login_hint: person.email,
      scope: 'openid accounts',
      resource: BANK,
      authorization_details: JSON.stringify(details),
    });
  for (const bad of [[{ ...detail, type: 'other' }], [{ ...detail, more: 1 }], [{ type: 'payment' }], 'x'])
    t.is((await request(bad)).error, 'invalid_authorization_details', JSON.stringify(bad));
  const asked = await request([detail]);
  const { html } = await browser.go('/account');
  t.regex(html, /Make a payment/);
  t.regex(html, /12\.50 EUR/);
  t.true(html.includes('Merchant &lt;b&gt;A&lt;/b&gt;'));
  await decide(browser, 'approve');
  const body = new URLSearchParams({
    ...credentials(client),
    grant_type: GRANT,
    auth_req_id: String(asked.auth_req_id),
    resource: BANK,
  });
  const got = await jsonOf(await fetch(`${server.origin}/oauth/token`, { method: 'POST', body }));
  t.deepEqual(got.authorization_details, [detail]);
  t.deepEqual(decodeJwt(String(got.access_token)).authorization_details, [detail]);
  const [given] = (await server.audit.listOf(person.id, 20)).filter(({ type }) => type === 'approval.given');
  t.like(given?.details, { authorization_details: [detail] });
});

test('§7.1.1: a request may be signed, and has to be where the client says so; not by what others could make', async (t) => {
  const person = await newPerson(server);
  const key = await newKey('ES256');
  const { client } = await newTill({ jwks: key.jwks, backchannel_authentication_request_signing_alg: 'ES256' });
  t.is(client.backchannel_authentication_request_signing_alg, 'ES256');
  const claims = (more: object = {}) => {
    const now = Math.floor(Date.now() / 1000);
    const times = { iat: now, nbf: now, exp: now + 60, jti: randomUUID() };
    return { iss: client.client_id, aud: server.issuer, ...times, scope: 'openid', login_hint: person.email, ...more };
  };
  const send = async (params: Record<string, string>) => {
    const body = new URLSearchParams({ ...credentials(client), ...params });
    return jsonOf(await fetch(`${server.origin}/oauth/backchannel`, { method: 'POST', body }));
  };
  t.truthy((await send({ request: await signed(claims(), key) })).auth_req_id);
  t.is((await send({ scope: 'openid', login_hint: person.email })).error, 'invalid_request', 'unsigned');
  const stranger = await newKey('ES256');
  for (const request of [
    await signed(claims(), { ...stranger, kid: key.kid }),
    await signed(claims({ aud: 'https://other.example' }), key),
    await signed(claims({ exp: Math.floor(Date.now() / 1000) - 60 }), key),
    await signed(claims({ iss: 'other' }), key),
    await signed(claims({ iss: undefined }), key),
    await signed(claims({ aud: undefined }), key),
    await signed(claims({ exp: undefined }), key),
    await signed(claims({ nbf: undefined }), key),
    await signed(claims({ jti: undefined }), key),
    // FAPI-CIBA §5.2.2: of the last hour, and for an hour.
    await signed(claims({ exp: Math.floor(Date.now() / 1000) + 4_200 }), key),
    await signed(claims({ nbf: Math.floor(Date.now() / 1000) - 4_200 }), key),
    await signed(claims({ nbf: Math.floor(Date.now() / 1000) + 600 }), key),
  ])
    t.is((await send({ request })).error, 'invalid_request');
  await t.throwsAsync(newTill({ backchannel_authentication_request_signing_alg: 'HS256' }), {
    code: 'invalid_client_metadata',
  });
});

test('names of claims that no store can hold are approved as any other, or refused where they are asked for', async (t) => {
  const person = await newPerson(server);
  const { client } = await newTill();
  const { browser } = await atAccount(person);
  const before = server.log().length;
  for (const name of ['a\0b', '__proto__', 'constructor', 'x'.repeat(3000), '\ud800', '', '[]', '1']) {
    const claims = JSON.stringify({
      userinfo: { [name]: null },
      id_token: JSON.parse(`{${JSON.stringify(name)}:{"value":1}}`),
    });
    const asked = await ask(client, { login_hint: person.email, claims });
    if (asked.status !== 200) {
      t.is(asked.status, 400, JSON.stringify(asked));
      continue;
    }
    const done = await decide(browser, 'approve');
    t.is(done.status, 200, JSON.stringify(name));
    t.is((await poll(client, asked.auth_req_id)).status, 200, JSON.stringify(name));
  }
  t.notRegex(server.log().slice(before), /"level":50/);
});

test.serial('a change of the signing keys in the middle of approving or declining is no error', async (t) => {
  const person = await newPerson(server);
  const { client } = await newTill();
  const { browser } = await atAccount(person);
  const { artifacts } = server.stores;
  const { upsert, find } = artifacts;
  t.teardown(() => void Object.assign(artifacts, { upsert, find }));
  for (const decision of ['approve', 'deny'] as const) {
    const { auth_req_id } = await ask(client, { login_hint: person.email });
    // The engine is made anew with the keys, so that what the former one has read is not of the latter.
    let changes = 0;
    const changing = async (model: string) => {
      if (model !== 'Grant' && model !== 'BackchannelAuthenticationRequest') return;
      changes += 1;
      await server.database.pool.query('DELETE FROM signing_keys WHERE active_from > now()');
      await server.keyring.follow();
      await server.keyring.rotate();
    };
    Object.assign(artifacts, {
      upsert: async (...args: Parameters<typeof upsert>) => {
        if (args[0] === 'Grant') await changing(args[0]);
        return upsert(...args);
      },
      find: async (...args: Parameters<typeof find>) => {
        const found = await find(...args);
        await changing(args[0]);
        return found;
      },
    });
    t.regex((await decide(browser, decision)).html, decision === 'approve' ? /Approved/ : /Declined/);
    Object.assign(artifacts, { upsert, find });
    t.true(changes > 0);
    const answer = await poll(client, auth_req_id);
    t.is(answer.status, decision === 'approve' ? 200 : 400);
  }
});
