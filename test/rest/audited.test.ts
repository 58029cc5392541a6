// Every security event of an account gets into the audit log, with who, what and from where, and never a secret.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { newApp, refusal, signIn } from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

let count = 0;
const AGENT = { 'user-agent': 'audited' };
const signedIn = async () => {
  const email = `watched${++count}-${process.pid}-${Date.now()}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1' }, AGENT);
  const tokens = await rest.post('/auth/login', { email, password: 'secret1' }, AGENT);
  const auth: Record<string, string> = { ...AGENT, ...bearer(tokens.body.access_token) };
  return { id: String(body.id), email, password: 'secret1', auth, refresh: String(tokens.body.refresh_token) };
};
const eventsOf = (id: string) => server.audit.listOf(id, 100);
const typesOf = async (id: string) => (await eventsOf(id)).map(({ type }) => type).reverse();
const templates = async (email: string) => (await mailsTo(server, email)).map(({ template }) => template);

test('a life of an account is on record, in order', async (t) => {
  const { id, email, auth } = await signedIn();
  await rest.post('/auth/verify-email', { token: await tokenTo(server, email, 'verify_email') });
  await rest.post('/auth/login', { email, password: 'wrong12' });
  await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'secret2' }, auth);
  await rest.post('/auth/forgot-password', { email });
  const token = await tokenTo(server, email, 'reset_password');
  await rest.post('/auth/reset-password', { token, new_password: 'secret3' });
  const { body } = await rest.post('/auth/login', { email, password: 'secret3' });
  await rest.post('/auth/logout', {}, bearer(body.access_token));
  t.deepEqual(await typesOf(id), [
    'user.registered',
    'login.succeeded',
    'email.verified',
    'login.failed',
    'password.changed',
    'password.reset_requested',
    'password.reset',
    'login.succeeded',
    'logout',
  ]);
  t.deepEqual((await templates(email)).filter((template) => template === 'password_changed').length, 2);
});

test('an event says who, through which app, from where, with what, and in which request', async (t) => {
  const { id, email } = await signedIn();
  const headers = { ...AGENT, 'x-request-id': 'request-0123456789' };
  await rest.post('/auth/login', { email, password: 'secret1' }, headers);
  const [event] = await eventsOf(id);
  t.like(event, {
    type: 'login.succeeded',
    actor: id,
    target: id,
    client: 'user-auth',
    user_agent: 'audited',
    request_id: 'request-0123456789',
    details: { method: 'password' },
  });
  t.regex(String(event?.ip), /127\.0\.0\.1|::1/);
});

test('a failed sign-in says why, whom it was aimed at where there is somebody, and no address', async (t) => {
  const { id, email } = await signedIn();
  await rest.post('/auth/login', { email, password: 'wrong12' });
  t.like((await eventsOf(id))[0], { type: 'login.failed', target: id, details: { reason: 'wrong_password' } });
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE id = $1', [id]);
  await rest.post('/auth/login', { email, password: 'secret1' });
  t.like((await eventsOf(id))[0], { type: 'login.failed', details: { reason: 'banned' } });
  const nobody = `nobody-${Date.now()}@example.com`;
  await rest.post('/auth/login', { email: nobody, password: 'wrong12' }, { 'x-request-id': 'nobody-0123456789' });
  const [event] = (await server.audit.list({ type: 'login.failed' }, undefined, 50)).filter(
    ({ request_id }) => request_id === 'nobody-0123456789',
  );
  t.deepEqual(event?.details, { reason: 'unknown' });
  t.is(event?.target, undefined);
  t.false(JSON.stringify(event).includes(nobody));
});

test('a lock is recorded and mailed once, also when many fail at once; an unknown name costs the same', async (t) => {
  const { id, email } = await signedIn();
  await Promise.all(Array.from({ length: 30 }, () => rest.post('/auth/login', { email, password: 'wrong12' })));
  t.is((await typesOf(id)).filter((type) => type === 'login.locked').length, 1);
  t.is((await templates(email)).filter((template) => template === 'sign_in_locked').length, 1);
});

test('a refresh token that is used again after its successor is recorded, and mailed about, once', async (t) => {
  const { id, email, refresh } = await signedIn();
  const { body } = await rest.post('/auth/refresh', { refresh_token: refresh });
  await rest.post('/auth/refresh', { refresh_token: body.refresh_token });
  for (let i = 0; i < 3; i += 1) t.is((await rest.post('/auth/refresh', { refresh_token: refresh })).status, 401);
  t.is((await typesOf(id)).filter((type) => type === 'token.reused').length, 1);
  t.like((await eventsOf(id))[0], { type: 'token.reused', target: id, client: 'user-auth' });
  t.like((await mailsTo(server, email))[0], { template: 'token_reused', app: 'User Auth' });
});

test('so is one of a third-party app, at the token endpoint', async (t) => {
  const person = await signedIn();
  const { client, rp } = await newApp(server, { client_name: 'Notes' });
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, rp, person, { scope: 'openid offline_access', prompt: 'consent' });
  const first = String(tokens.refresh_token);
  const second = await oidc.refreshTokenGrant(rp, first);
  await oidc.refreshTokenGrant(rp, String(second.refresh_token));
  for (let i = 0; i < 2; i += 1) t.is(await refusal(oidc.refreshTokenGrant(rp, first)), 'invalid_grant');
  const events = (await eventsOf(person.id)).filter(({ type }) => type === 'token.reused');
  t.is(events.length, 1);
  t.like(events[0], { target: person.id, client: client.client_id });
  t.like((await mailsTo(server, person.email))[0], { template: 'token_reused', app: 'Notes' });
  t.is(await refusal(oidc.refreshTokenGrant(rp, 'made up')), 'invalid_grant');
  t.is((await typesOf(person.id)).filter((type) => type === 'token.reused').length, 1);
});

test('signing in and out in a browser is recorded; staying is not', async (t) => {
  const { id, email } = await signedIn();
  const browser = createBrowser(server.issuer);
  const page = await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  await browser.submit(await browser.submit(page, 'sign-out'), 'stay');
  t.deepEqual((await typesOf(id)).slice(-1), ['login.succeeded']);
  await browser.submit(await browser.submit(await browser.go('/account'), 'sign-out'), 'sign-out');
  t.deepEqual((await typesOf(id)).slice(-2), ['login.succeeded', 'logout']);
});

test('a key is on record from its making to its end, its first use once', async (t) => {
  const { id, auth } = await signedIn();
  const made = await rest.post('/users/api-keys', { name: 'service', scopes: ['read:profile'] }, auth);
  const key = { 'X-API-Key': String(made.body.key) };
  await Promise.all(Array.from({ length: 10 }, () => rest.get('/users/me', key)));
  const rotated = await rest.post(`/users/api-keys/${made.body.id}/rotate`, {}, auth);
  await rest.delete(`/users/api-keys/${rotated.body.id}`, undefined, auth);
  const events = (await eventsOf(id)).filter(({ type }) => type.startsWith('api_key.')).reverse();
  t.deepEqual(
    events.map(({ type, target }) => [type, target]),
    [
      ['api_key.created', made.body.id],
      ['api_key.first_used', made.body.id],
      ['api_key.rotated', made.body.id],
      ['api_key.revoked', rotated.body.id],
    ],
  );
  t.like(events[0]?.details as object, { name: 'service', scopes: ['read:profile'] });
  t.true(events.every(({ actor }) => actor === id));
});

test.serial('nothing in the log signs anybody in, and the log is whole', async (t) => {
  const { email, auth, refresh } = await signedIn();
  const made = await rest.post('/users/api-keys', { name: 'k' }, auth);
  await rest.post('/auth/forgot-password', { email });
  const token = await tokenTo(server, email, 'reset_password');
  await rest.post('/auth/reset-password', { token, new_password: 'a rare new password' });
  await rest.post('/auth/login', { email, password: 'a rare wrong password' });
  const { rows } = await server.database.pool.query('SELECT string_agg(event, $1) AS all FROM audit_events', [' ']);
  for (const secret of [refresh, auth.authorization, made.body.key, token, 'a rare new', 'a rare wrong', email])
    t.false(rows[0].all.includes(String(secret).replace('Bearer ', '')));
  t.is((await server.audit.verify()).broken, undefined);
});

test('the keys that tokens are signed with are on record from their beginning, without their private halves', async (t) => {
  const events = await server.audit.list({ type: 'signing_key.created' }, undefined, 10);
  const { rows } = await server.database.pool.query('SELECT kid, alg FROM signing_keys');
  t.true(rows.length >= 2);
  const told = events.map(({ target, details }) => ({ kid: target, ...(details as { alg: string }) }));
  const byKid = (a: { kid: unknown }, b: { kid: unknown }) => String(a.kid).localeCompare(String(b.kid));
  t.deepEqual(told.sort(byKid), rows.sort(byKid));
});

test('a ban is on record with what was before and after, and an import with each user that it made', async (t) => {
  const { id } = await signedIn();
  const email = `boss-${process.pid}@example.com`;
  await server.accounts.create({ email, password: 'secret1', role: 'admin' });
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' });
  const auth = bearer(body.access_token);
  await rest.post(`/admin/users/${id}/ban`, { reason: 'spam' }, auth);
  await rest.post(`/admin/users/${id}/ban`, { reason: 'more spam', until: '2090-01-01T00:00:00Z' }, auth);
  await rest.post(`/admin/users/${id}/unban`, {}, auth);
  const ban = (reason: string, until: string | null) => ({ reason, until });
  const [lifted, changed, banned] = (await eventsOf(id)).slice(0, 3).map(({ details }) => details);
  t.like(banned, { before: null, after: ban('spam', null) });
  t.like(changed, { before: ban('spam', null), after: ban('more spam', '2090-01-01T00:00:00.000Z') });
  t.like(lifted, { before: ban('more spam', '2090-01-01T00:00:00.000Z'), after: null });

  const imported = `imported-${process.pid}@example.com`;
  await fetch(`${server.origin}/admin/users/import`, {
    method: 'POST',
    headers: { ...auth, 'content-type': 'application/x-ndjson' },
    body: JSON.stringify({ email: imported, role: 'admin' }),
  });
  const { rows } = await server.database.pool.query('SELECT id FROM users WHERE email = $1', [imported]);
  const [event] = await eventsOf(rows[0].id);
  t.like(event, { type: 'user.created', target: rows[0].id });
  t.like(event?.details, { imported: true, before: null, after: { email: 'i***@example.com', role: 'admin' } });
});
