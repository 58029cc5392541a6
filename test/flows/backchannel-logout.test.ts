// OpenID Connect Back-Channel Logout 1.0: whichever way a session ends, every app of it is told, sooner or later.
import test from 'ava';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { type AppServer, startAppServer } from '../helpers/app-server.ts';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { jsonOf, newApp, newPerson, type Person, signIn } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let admin: string;

test.before(async () => {
  server = await startServer({ outbound: { reachLoopback: true } });
  const boss = { email: 'boss@example.com', password: 'the password of the boss' };
  await server.accounts.create({ ...boss, role: 'admin', emailVerified: true });
  const login = await post('/auth/login', boss);
  admin = String((await jsonOf(login)).access_token);
  server.clientCalls.start();
});
test.after.always(async () => {
  await server?.clientCalls.stop(0);
  await server?.close();
});

const post = (path: string, body: object, token?: string) =>
  fetch(`${server.origin}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: JSON.stringify(body),
  });

const appServer = async (t: { teardown(end: () => Promise<void>): void }): Promise<AppServer> => {
  const app = await startAppServer();
  t.teardown(() => app.close());
  return app;
};

const newRp = (app: AppServer, metadata: Record<string, unknown> = {}) =>
  newApp(server, {
    backchannel_logout_uri: `${app.origin}/logged-out`,
    backchannel_logout_session_required: true,
    ...metadata,
  });

/** What an app reads of its call: §2.6, as a careful one does. */
const read = async (call: { headers: { 'content-type'?: string | undefined }; body: string }, clientId: string) => {
  const token = new URLSearchParams(call.body).get('logout_token') ?? '';
  const keys = createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`));
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer: server.issuer,
    audience: clientId,
    typ: 'logout+jwt',
  });
  return { payload, protectedHeader };
};

const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

test('§2.4, §2.5: sign-out by an app tells every app of the session, with its own sid, signed by the key of the moment', async (t) => {
  const person = await newPerson(server);
  const browser = createBrowser(server.issuer);
  const [one, two, deaf] = [await appServer(t), await appServer(t), await appServer(t)];
  const apps = [await newRp(one), await newRp(two, { backchannel_logout_session_required: false })] as const;
  const unregistered = await newApp(server);
  t.true(apps[0].rp.serverMetadata().backchannel_logout_supported);
  t.true(apps[0].rp.serverMetadata().backchannel_logout_session_supported);
  const first = await signIn(browser, apps[0].rp, person);
  const second = await signIn(browser, apps[1].rp, person);
  await signIn(browser, unregistered.rp, person);
  const sid = first.tokens.claims()?.sid;
  t.is(typeof sid, 'string');
  t.is(second.tokens.claims()?.sid, undefined, '§2.2: only where it is asked for');

  const url = oidc.buildEndSessionUrl(apps[0].rp, { id_token_hint: first.tokens.id_token ?? '' });
  await browser.submit(await browser.go(url), 'sign-out');
  const [[call], [other]] = await Promise.all([one.called(1), two.called(1)]);
  if (!call || !other) return t.fail();
  t.is(call.headers['content-type'], 'application/x-www-form-urlencoded');
  const { payload, protectedHeader } = await read(call, apps[0].client.client_id);
  t.is(payload.sub, person.id);
  t.is(payload.sid, sid);
  t.deepEqual(payload.events, { [EVENT]: {} });
  t.truthy(payload.jti);
  t.is(payload.nonce, undefined, '§2.4: never a nonce');
  t.is((payload.exp ?? 0) - (payload.iat ?? 0), 120);
  t.is(protectedHeader.alg, 'RS256');
  const { payload: sidless } = await read(other, apps[1].client.client_id);
  t.is(sidless.sid, undefined);
  t.not(sidless.jti, payload.jti);
  t.is(deaf.calls.length, 0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.is(one.calls.length + two.calls.length, 2, 'once each');
});

test('§2.4, OIDC Core §8.1: a client that knows people by pairwise names is told by its own, as its ID token has it', async (t) => {
  const person = await newPerson(server);
  const app = await appServer(t);
  const { rp, client } = await newRp(app, { subject_type: 'pairwise' });
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, rp, person);
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  const [call] = await app.called(1);
  if (!call) return t.fail();
  const { payload } = await read(call, client.client_id);
  t.is(payload.sub, tokens.claims()?.sub);
  t.not(payload.sub, person.id);
});

const endings: Record<string, (person: Person, browser: Browser) => Promise<void>> = {
  'a sign-in ended in the list of sessions': async (person) => {
    const login = await post('/auth/login', { email: person.email, password: person.password });
    const headers = { authorization: `Bearer ${(await jsonOf(login)).access_token}` };
    const list = (await (await fetch(`${server.origin}/users/me/sessions`, { headers })).json()) as {
      id: string;
      kind: string;
    }[];
    const id = list.find(({ kind }) => kind === 'browser')?.id;
    await fetch(`${server.origin}/users/me/sessions/${id}`, { method: 'DELETE', headers });
  },
  'the account page’s own sign-out': async (_person, browser) => {
    await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  },
  'a password reset': async (person) => {
    await post('/auth/forgot-password', { email: person.email });
    const mail = (await server.mail.previews()).find(({ to, text }) => to === person.email && /token=/.test(text));
    const token = /token=([\w-]+)/.exec(mail?.text ?? '')?.[1];
    await post('/auth/reset-password', { token, new_password: 'a new password for this person' });
  },
  'a ban': async (person) => {
    await post(`/admin/users/${person.id}/ban`, { reason: 'test' }, admin);
  },
  'an administrator’s sign-out': async (person) => {
    await post(`/admin/users/${person.id}/sign-out`, {}, admin);
  },
  'an erasure': async (person) => {
    const headers = { authorization: `Bearer ${admin}` };
    await fetch(`${server.origin}/admin/users/${person.id}`, { method: 'DELETE', headers });
  },
  'somebody else who signs in in the same browser': async (_person, browser) => {
    const other = await newPerson(server);
    const { rp } = await newApp(server);
    await signIn(browser, rp, other, { prompt: 'login' });
  },
};

for (const [name, end] of Object.entries(endings))
  test(`apps are told of ${name}`, async (t) => {
    const person = await newPerson(server);
    const browser = createBrowser(server.issuer);
    const app = await appServer(t);
    const { rp, client } = await newRp(app);
    const { tokens } = await signIn(browser, rp, person);
    await end(person, browser);
    const [call] = await app.called(1);
    const { payload } = await read(call as NonNullable<typeof call>, client.client_id);
    t.is(payload.sub, person.id);
    t.is(payload.sid, tokens.claims()?.sid);
    const { rows } = await server.database.pool.query('SELECT * FROM session_clients WHERE client_id = $1', [
      client.client_id,
    ]);
    t.is(rows.length, 0);
  });

test('who stays tells nobody but the app that wanted to sign them out', async (t) => {
  const person = await newPerson(server);
  const browser = createBrowser(server.issuer);
  const [asking, other] = [await appServer(t), await appServer(t)];
  const apps = [await newRp(asking), await newRp(other)] as const;
  const { tokens } = await signIn(browser, apps[0].rp, person);
  await signIn(browser, apps[1].rp, person);
  const url = oidc.buildEndSessionUrl(apps[0].rp, { id_token_hint: tokens.id_token ?? '' });
  await browser.submit(await browser.go(url), 'stay');
  await asking.called(1);
  t.is(other.calls.length, 0);
  await post(`/admin/users/${person.id}/sign-out`, {}, admin);
  await other.called(1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.is(asking.calls.length, 1, 'told once');
});

test('only the session that ends is told of: another browser’s apps go on', async (t) => {
  const person = await newPerson(server);
  const app = await appServer(t);
  const { rp, client } = await newRp(app);
  const browsers = [createBrowser(server.issuer), createBrowser(server.issuer)] as const;
  const { tokens } = await signIn(browsers[0], rp, person);
  await signIn(browsers[1], rp, person);
  await browsers[0].submit(await browsers[0].go('/oauth/logout'), 'sign-out');
  const [call] = await app.called(1);
  const { payload } = await read(call as NonNullable<typeof call>, client.client_id);
  t.is(payload.sid, tokens.claims()?.sid);
  await new Promise((resolve) => setTimeout(resolve, 300));
  t.is(app.calls.length, 1);
});

test('§2.8: an app that is down is told when it is back; one that says 400 is not asked again; a redirect is not followed', async (t) => {
  const person = await newPerson(server);
  const browser = createBrowser(server.issuer);
  const [down, refusing, trap] = [await appServer(t), await appServer(t), await appServer(t)];
  down.answerBy((_call, res) => {
    if (down.calls.length === 1) res.writeHead(302, { location: `${trap.origin}/` }).end();
    else res.writeHead(200).end();
  });
  refusing.answerBy((_call, res) => res.writeHead(400).end());
  const apps = [await newRp(down), await newRp(refusing)] as const;
  for (const { rp } of apps) await signIn(browser, rp, person);
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  await Promise.all([down.called(2), refusing.called(1)]);
  t.is(trap.calls.length, 0);
  t.is(refusing.calls.length, 1);
  const [first, second] = down.calls.map(({ body }) => new URLSearchParams(body).get('logout_token'));
  t.not(first, second, 'a token of its own, as fresh as the call');
  const { rows } = await server.database.pool.query('SELECT * FROM outgoing_calls WHERE client_id = $1', [
    apps[1].client.client_id,
  ]);
  t.is(rows.length, 1, 'kept for an operator to see');
  t.is(rows[0].next_attempt_at, null);
  t.is(rows[0].last_error, 'status 400');
  t.notRegex(server.log(), /"level":50/, 'somebody else’s failure is no error of ours');
});

test('a slow app delays nobody: not the person who signs out, and not the other apps', async (t) => {
  const [slow, quick] = [await appServer(t), await appServer(t)];
  slow.answerBy(() => {});
  const apps = [await newRp(slow), await newRp(quick)] as const;
  const people = await Promise.all(Array.from({ length: 6 }, () => newPerson(server)));
  const browsers = people.map(() => createBrowser(server.issuer));
  for (const [index, browser] of browsers.entries())
    for (const { rp } of apps) await signIn(browser, rp, people[index] as Person);
  const pages = await Promise.all(browsers.map((browser) => browser.go('/oauth/logout')));
  const started = performance.now();
  await Promise.all(browsers.map((browser, index) => browser.submit(pages[index] as never, 'sign-out')));
  const signedOut = performance.now() - started;
  await quick.called(6, 4_000);
  t.true(signedOut < 3_000, `${signedOut} ms`);
  t.true(slow.calls.length <= 2, 'no more than two at a time');
});

test('what waits outlives the process: another one tells the app', async (t) => {
  const alone = await startServer({ outbound: { reachLoopback: true } });
  const app = await appServer(t);
  const person = await newPerson(alone);
  const { rp } = await newApp(alone, { backchannel_logout_uri: `${app.origin}/out` });
  const browser = createBrowser(alone.issuer);
  await signIn(browser, rp, person);
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  t.is(app.calls.length, 0, 'this one does not deliver');
  const beside = await startServer({ outbound: { reachLoopback: true } }, alone);
  const both = [beside.clientCalls.deliverDue(), alone.clientCalls.deliverDue()];
  await Promise.all(both);
  t.is(app.calls.length, 1, 'one of them, once');
  const { rows } = await alone.database.pool.query('SELECT * FROM outgoing_calls');
  t.is(rows.length, 0);
  await beside.close();
  await alone.close();
});

test('an endpoint inside a private network is not called', async (t) => {
  const strict = await startServer();
  t.teardown(() => strict.close());
  const app = await appServer(t);
  const { rp } = await newApp(strict, { backchannel_logout_uri: `${app.origin}/out` });
  const browser = createBrowser(strict.issuer);
  await signIn(browser, rp, await newPerson(strict));
  await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
  await strict.clientCalls.deliverDue();
  t.is(app.calls.length, 0);
  const { rows } = await strict.database.pool.query('SELECT attempts, last_error FROM outgoing_calls');
  t.is(rows.length, 1);
  t.is(rows[0].attempts, 1);
});

test('a client that is gone is told nothing, and nothing waits for it', async (t) => {
  const app = await appServer(t);
  const { rp, client } = await newRp(app);
  const person = await newPerson(server);
  await signIn(createBrowser(server.issuer), rp, person);
  const headers = { authorization: `Bearer ${admin}` };
  await fetch(`${server.origin}/admin/clients/${client.client_id}`, { method: 'DELETE', headers });
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  await post(`/admin/users/${person.id}/sign-out`, {}, admin);
  await new Promise((resolve) => setTimeout(resolve, 500));
  t.is(app.calls.length, 0);
  const { rows } = await server.database.pool.query('SELECT * FROM outgoing_calls WHERE client_id = $1', [
    client.client_id,
  ]);
  t.is(rows.length, 0);
});

test('§2.2: a logout URI is a web address', async (t) => {
  for (const backchannel_logout_uri of ['nonsense', 'javascript:0', 'ftp://app.example/'])
    await t.throwsAsync(newApp(server, { backchannel_logout_uri }), { code: 'invalid_client_metadata' });
});
