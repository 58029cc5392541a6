import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { mailsTo } from '../helpers/mailbox.ts';
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
const login = (email: string) => rest.post('/auth/login', { email, password: 'secret1' });
const signedIn = async (role: 'user' | 'admin' = 'user') => {
  const email = `leaver${++count}@example.com`;
  const { id } = await server.accounts.create({ email, password: 'secret1', role });
  const { body } = await login(email);
  return { id, email, auth: bearer(body.access_token), refresh: body.refresh_token };
};
const leave = (auth: Record<string, string>, password = 'secret1') =>
  rest.delete('/users/me', { current_password: password }, auth);
const sql = (text: string, values: unknown[] = []) => server.database.pool.query(text, values);
const graceOver = (id: string) => sql(`UPDATE users SET erase_after = now() - interval '1 second' WHERE id = $1`, [id]);
const newest = async (email: string) => (await mailsTo(server, email))[0];
const events = async (id: string) => (await server.audit.listOf(id, 100)).map(({ type }) => type);

test('who asks to be deleted is signed out everywhere at once, and told until when they can change their mind', async (t) => {
  const { id, email, auth, refresh } = await signedIn();
  const key = await rest.post('/users/api-keys', { name: 'k', scopes: ['read:profile'] }, auth);
  const apiKey = { 'X-API-Key': String(key.body.key) };
  t.is((await rest.get('/users/me', apiKey)).status, 200);
  const browser = createBrowser(server.issuer);
  await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  t.is((await browser.go('/account')).url.pathname, '/account');

  t.is((await leave(auth)).status, 204);
  t.is((await rest.get('/users/me', auth)).status, 401);
  t.is((await rest.post('/auth/refresh', { refresh_token: refresh })).status, 401);
  t.is((await rest.get('/users/me', apiKey)).status, 401);
  t.is((await browser.go('/account')).url.pathname, '/');
  const mail = await newest(email);
  t.is(mail?.template, 'deletion_scheduled');
  const days = (Date.parse(String(mail && 'date' in mail && mail.date)) - Date.now()) / 86_400_000;
  t.true(days > 13.9 && days <= 14, String(days));
  t.is((await events(id))[0], 'user.deletion_requested');
});

test('signing in within the grace restores the account, its keys included', async (t) => {
  const { id, email, auth } = await signedIn();
  const key = await rest.post('/users/api-keys', { name: 'k', scopes: ['read:profile'] }, auth);
  await leave(auth);
  const back = await login(email);
  t.is(back.status, 200);
  t.is((await rest.get('/users/me', bearer(back.body.access_token))).status, 200);
  t.is((await rest.get('/users/me', { 'X-API-Key': String(key.body.key) })).status, 200);
  t.is((await rest.get('/users/me', auth)).status, 401, 'what was ended stays ended');
  t.is((await newest(email))?.template, 'deletion_cancelled');
  t.deepEqual((await events(id)).slice(0, 3), ['api_key.first_used', 'login.succeeded', 'user.restored']);
  t.is(await server.deletion.eraseDue(), 0);
});

test('signing in on the hosted page restores as well; a wrong password does not', async (t) => {
  const { id, email, auth } = await signedIn();
  await leave(auth);
  t.is((await rest.post('/auth/login', { email, password: 'wrong12' })).status, 401);
  const waiting = await sql('SELECT erase_after FROM users WHERE id = $1', [id]);
  t.not(waiting.rows[0].erase_after, null);
  const browser = createBrowser(server.issuer);
  const page = await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  t.is(page.url.pathname, '/account');
  const restored = await sql('SELECT erase_after FROM users WHERE id = $1', [id]);
  t.is(restored.rows[0].erase_after, null);
});

test.serial('after the grace the account is erased with all that belongs to it; the log keeps ids alone', async (t) => {
  const { id, email, auth } = await signedIn();
  await rest.post('/users/api-keys', { name: 'k' }, auth);
  await rest.post('/auth/forgot-password', { email });
  await leave(auth);
  await graceOver(id);
  t.is((await login(email)).status, 401, 'too late');
  t.is(await server.deletion.eraseDue(), 1);
  t.is(await server.deletion.eraseDue(), 0);
  for (const [table, column] of Object.entries({
    users: 'id',
    api_keys: 'user_id',
    one_time_tokens: 'user_id',
    consents: 'user_id',
    sign_ins: 'user_id',
    oauth_tokens: 'account_id',
  }))
    t.is((await sql(`SELECT 1 FROM ${table} WHERE ${column}::text = $1`, [id])).rowCount, 0, table);
  t.is((await events(id))[0], 'user.erased');
  const log = await sql('SELECT string_agg(event, $1) AS all FROM audit_events', [' ']);
  t.false(log.rows[0].all.includes(email));
  t.is((await rest.post('/auth/register', { email, password: 'secret1' })).status, 201, 'the address is free');
});

test.serial('accounts are erased in batches, each once, also by two processes at the same time', async (t) => {
  await sql(
    `INSERT INTO users (id, email, email_key, erase_after)
     SELECT gen_random_uuid(), 'due' || n || '@example.com', 'due' || n || '@example.com', now() - interval '1 hour'
       FROM generate_series(1, 230) n`,
  );
  const erased = await Promise.all([server.deletion.eraseDue(), server.deletion.eraseDue()]);
  t.is(erased[0] + erased[1], 230);
  t.is((await sql(`SELECT 1 FROM users WHERE email LIKE 'due%'`)).rowCount, 0);
});

test('a wrong password, an API key, or none of it deletes nothing', async (t) => {
  const { auth } = await signedIn();
  const key = await rest.post('/users/api-keys', { name: 'k', scopes: ['write:profile'] }, auth);
  t.is((await leave(auth, 'wrong12')).status, 401);
  t.is((await leave({ 'X-API-Key': String(key.body.key) })).status, 403);
  t.is((await rest.delete('/users/me', {}, auth)).status, 422);
  t.is((await rest.delete('/users/me', undefined, auth)).status, 422);
  t.is((await leave({})).status, 401);
  t.is((await rest.get('/users/me', auth)).status, 200);
});

test.serial('the last administrator cannot go; of two who go at once, one stays', async (t) => {
  const [one, two] = [await signedIn('admin'), await signedIn('admin')];
  const answers = await Promise.all([leave(one.auth), leave(two.auth)]);
  t.deepEqual(answers.map(({ status }) => status).sort(), [204, 409]);
  const refused = answers.findIndex(({ status }) => status === 409);
  t.is(answers[refused]?.body.code, 'last_admin');
  const stays = refused === 0 ? one : two;
  t.is((await rest.get('/users/me', stays.auth)).status, 200, 'and is still signed in');
  t.not((await newest(stays.email))?.template, 'deletion_scheduled');

  const banned = await signedIn('admin');
  await sql('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
  t.is((await leave(stays.auth)).status, 409, 'one who is banned does not count');
  await signedIn('admin');
  t.is((await leave(stays.auth)).status, 204);
});
