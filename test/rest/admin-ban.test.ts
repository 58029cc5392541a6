// A ban, and every way in after it.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import { authorizationRequest, newApp, passThrough, redeem, refusal } from '../helpers/relying-party.ts';
import { bearer } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let people: ReturnType<typeof createPeople>;
let admin: { id: string; email: string; auth: Record<string, string> };

test.before(async () => {
  server = await startServer();
  people = createPeople(server);
  admin = await people.person('admin');
});
test.after.always(() => server?.close());

const ban = (id: string, body: unknown = { reason: 'spam' }, auth = admin.auth) =>
  people.rest.post(`/admin/users/${id}/ban`, body, auth);
const unban = (id: string, auth = admin.auth) => people.rest.post(`/admin/users/${id}/unban`, undefined, auth);

/** Somebody with everything that lets one in. */
const everywhere = async () => {
  const user = await people.person();
  const person = { id: user.id, email: user.email, password: PASSWORD };
  const pair = (await people.rest.post('/auth/login', { email: user.email, password: PASSWORD })).body;
  const key = await people.key(user.auth, ['read:profile']);
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const params = { scope: 'openid offline_access read:profile', prompt: 'consent' };
  const first = await authorizationRequest(rp, params);
  const tokens = await redeem(rp, (await passThrough(browser, await browser.go(first.url), person)).url, first);
  const unspent = await authorizationRequest(rp, params);
  const code = (await passThrough(browser, await browser.go(unspent.url), person)).url;
  return { ...person, pair, key, rp, browser, tokens, redeemCode: () => redeem(rp, code, unspent) };
};

const counts = async (id: string) => {
  const count = async (table: string, column: string) => {
    const { rows } = await server.database.pool.query(`SELECT FROM ${table} WHERE ${column}::text = $1`, [id]);
    return rows.length;
  };
  return { artifacts: await count('oauth_tokens', 'account_id'), keys: await count('api_keys', 'user_id') };
};

const active = async (rp: oidc.Configuration, token: string) => (await oidc.tokenIntrospection(rp, token)).active;

test('a ban ends every way in, at once', async (t) => {
  const banned = await everywhere();
  const { rp, browser, tokens, pair, key } = banned;
  const opaque = bearer(tokens.access_token);
  for (const auth of [bearer(pair.access_token), key, opaque])
    t.is((await people.rest.get('/users/me', auth)).status, 200, 'each lets in before');
  t.true(await active(rp, tokens.access_token));

  const answer = await ban(banned.id, { reason: 'spam' });
  t.is(answer.status, 200);
  t.like(answer.body, { status: 'banned', is_active: false, ban_reason: 'spam', banned_until: null });
  t.deepEqual(await counts(banned.id), { artifacts: 0, keys: 0 });

  const credentials = { email: banned.email, password: PASSWORD };
  const right = await people.rest.post('/auth/login', credentials);
  const wrong = await people.rest.post('/auth/login', { ...credentials, password: 'not it' });
  t.is(right.status, 401, '/auth/login');
  const { request_id: _, ...words } = right.body;
  t.like(wrong.body, words);
  t.is((await people.rest.post('/auth/refresh', { refresh_token: pair.refresh_token })).status, 401, '/auth/refresh');
  t.is((await people.rest.get('/users/me', bearer(pair.access_token))).status, 401, 'first-party JWT');
  t.is((await people.rest.get('/users/me', opaque)).status, 401, 'opaque token');
  t.is((await people.rest.get('/users/me', key)).status, 401, 'API key');
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant', 'refresh token');
  t.is(await refusal(oidc.refreshTokenGrant(rp, String(pair.refresh_token))), 'invalid_grant', 'first-party one');
  t.is(await refusal(oidc.fetchUserInfo(rp, tokens.access_token, banned.id)), 'invalid_token', 'userinfo');
  for (const token of [tokens.access_token, tokens.refresh_token, pair.access_token, pair.refresh_token])
    t.false(await active(rp, String(token)), 'introspection');
  t.is(await refusal(banned.redeemCode()), 'invalid_grant', 'a code from before');

  const { url } = await authorizationRequest(rp, { prompt: 'none' });
  t.is((await browser.go(url)).url.searchParams.get('error'), 'login_required', 'the browser’s session');
  const login = await browser.go((await authorizationRequest(rp)).url);
  t.regex(login.html, /id="sign-in"/);
  const said = async (password: string) =>
    (await browser.submit(login, 'sign-in', { login: banned.email, password })).html.match(
      /role="alert"[\s\S]*?<\/\w+>/,
    )?.[0];
  const alert = await said(PASSWORD);
  t.truthy(alert);
  t.is(alert, await said('not it'), 'hosted sign-in, in the same words as for a wrong password');
});

test('nothing that a ban ended comes back with its end, but signing in works again', async (t) => {
  const user = await everywhere();
  await ban(user.id);
  const lifted = await unban(user.id);
  t.is(lifted.status, 200);
  t.like(lifted.body, { status: 'active', is_active: true, banned_at: null, ban_reason: null });
  for (const auth of [bearer(user.pair.access_token), user.key, bearer(user.tokens.access_token)])
    t.is((await people.rest.get('/users/me', auth)).status, 401);
  t.is(await refusal(oidc.refreshTokenGrant(user.rp, user.tokens.refresh_token ?? '')), 'invalid_grant');
  t.is(await refusal(user.redeemCode()), 'invalid_grant');
  const { url } = await authorizationRequest(user.rp, { prompt: 'none' });
  t.is((await user.browser.go(url)).url.searchParams.get('error'), 'login_required');
  t.is((await people.rest.get('/users/me', await people.login(user.email))).status, 200);
});

test('a ban with an end is over by itself when that has come', async (t) => {
  const user = await people.person();
  const until = new Date(Date.now() + 3_600_000).toISOString();
  t.like((await ban(user.id, { reason: 'cool down', until })).body, { status: 'banned', banned_until: until });
  t.is((await people.rest.post('/auth/login', { email: user.email, password: PASSWORD })).status, 401);
  await server.database.pool.query(`UPDATE users SET banned_until = now() - interval '1 second' WHERE id = $1`, [
    user.id,
  ]);
  const auth = await people.login(user.email);
  t.like((await people.rest.get('/users/me', auth)).body, { id: user.id, is_active: true });
  t.is((await people.rest.get('/users/me', await people.key(auth, ['read:profile']))).status, 200);
  t.like((await people.rest.get(`/admin/users/${user.id}`, admin.auth)).body, { status: 'active', ban_reason: null });
});

test('banning who is banned changes the reason and the end, not the beginning', async (t) => {
  const user = await people.person();
  const first = await ban(user.id, { reason: 'spam', until: '2990-01-01T00:00:00Z' });
  const second = await ban(user.id, { reason: 'fraud' });
  t.is(second.status, 200);
  t.like(second.body, { ban_reason: 'fraud', banned_until: null, banned_at: first.body.banned_at });
});

test('lifting a ban that there is not changes nothing', async (t) => {
  const user = await people.person();
  t.is((await unban(user.id)).status, 200);
  t.is((await people.rest.get('/users/me', user.auth)).status, 200);
});

test('mailed links end with a ban, and none is sent to who is banned', async (t) => {
  const user = await people.person();
  t.is((await people.rest.post(`/admin/users/${user.id}/password-reset`, undefined, admin.auth)).status, 202);
  await ban(user.id);
  const { rows } = await server.database.pool.query('SELECT FROM one_time_tokens WHERE user_id = $1', [user.id]);
  t.is(rows.length, 0);
  const refused = await people.rest.post(`/admin/users/${user.id}/password-reset`, undefined, admin.auth);
  t.is(refused.status, 409);
  t.is(refused.body.code, 'user_banned');
});

test('nobody bans themselves', async (t) => {
  const other = await people.person('admin');
  const { status, body } = await ban(other.id, { reason: 'x' }, other.auth);
  t.is(status, 409);
  t.is(body.code, 'own_account');
  const key = await people.key(other.auth, ['write:users']);
  t.is((await ban(other.id, { reason: 'x' }, key)).status, 409);
  t.is((await people.rest.get('/users/me', other.auth)).status, 200);
});

test('a ban and its end are told in the audit log, with who did it and why', async (t) => {
  const user = await people.person();
  await ban(user.id, { reason: 'spam', until: '2990-01-01T00:00:00Z' });
  await unban(user.id);
  const [end, beginning] = await server.audit.list({ target: user.id }, undefined, 10);
  t.like(beginning, {
    type: 'user.banned',
    actor: admin.id,
    target: user.id,
    details: { reason: 'spam', until: '2990-01-01T00:00:00.000Z' },
  });
  t.like(end, { type: 'user.unbanned', actor: admin.id, target: user.id });
});

for (const [body, path] of [
  [{}, 'reason'],
  [{ reason: '' }, 'reason'],
  [{ reason: 'a\0b' }, 'reason'],
  [{ reason: 'x'.repeat(501) }, 'reason'],
  [{ reason: 'x', until: '2020-01-01T00:00:00Z' }, 'until'],
  [{ reason: 'x', until: 'tomorrow' }, 'until'],
  [{ reason: 'x', for: 'ever' }, 'for'],
] as const)
  test(`nobody is banned for ${JSON.stringify(body).slice(0, 40)}`, async (t) => {
    const user = await people.person();
    const answer = await ban(user.id, body);
    t.is(answer.status, 422);
    t.deepEqual(
      (answer.body.errors as { path: string }[]).map((error) => error.path),
      [path],
    );
    t.is((await people.rest.get('/users/me', user.auth)).status, 200);
  });

test('who may not ban is told the scope it takes, and changes nothing', async (t) => {
  const [user, victim] = [await people.person(), await people.person()];
  for (const auth of [user.auth, await people.key(admin.auth, ['read:users', 'read:profile', 'write:profile'])])
    for (const act of ['ban', 'unban', 'sign-out', 'password-reset']) {
      const answer = await people.rest.post(`/admin/users/${victim.id}/${act}`, { reason: 'x' }, auth);
      t.is(answer.status, 403, act);
      t.is(answer.body.code, 'insufficient_scope');
      t.regex(answer.headers.get('www-authenticate') ?? '', /scope="write:users"/);
    }
  t.is((await people.rest.get('/users/me', victim.auth)).status, 200);
});

test('a third-party app administers nothing, whoever signed in to it and whatever it asks for', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const person = { id: admin.id, email: admin.email, password: PASSWORD };
  const request = await authorizationRequest(rp, { scope: 'openid read:profile read:users write:users read:audit' });
  const arrived = await passThrough(browser, await browser.go(request.url), person);
  const tokens = arrived.status === 0 ? await redeem(rp, arrived.url, request).catch(() => undefined) : undefined;
  if (tokens) {
    const auth = bearer(tokens.access_token);
    t.is((await people.rest.get('/admin/users', auth)).status, 403);
    t.is((await people.rest.get('/admin/audit', auth)).status, 403);
    t.is((await ban((await people.person()).id, { reason: 'x' }, auth)).status, 403);
  } else t.regex(arrived.url.href, /error=invalid_scope/);
});
