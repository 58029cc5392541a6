import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { linkTo, mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { createPeople } from '../helpers/people.ts';
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
const signedIn = async () => {
  const serial = ++count;
  const email = `mover${serial}@example.com`;
  const { body } = await rest.post('/auth/register', { email, password: 'secret1' });
  const tokens = await rest.post('/auth/login', { email, password: 'secret1' });
  const auth = bearer(tokens.body.access_token);
  const change = (to: string, more: object = {}) =>
    rest.put('/users/me', { email: to, current_password: 'secret1', ...more }, auth);
  return { id: String(body.id), email, next: `moved${serial}@example.com`, auth, change };
};
const verify = (token: string) => rest.post('/auth/verify-email', { token });
const templates = async (email: string) => (await mailsTo(server, email)).map(({ template }) => template);

test('a new address takes effect when its link comes back, and the old one is told twice', async (t) => {
  const { email, next, auth, change } = await signedIn();
  const asked = await change(next, { nickname: 'Mover' });
  t.is(asked.status, 200);
  t.like(asked.body, { email, pending_email: next, nickname: 'Mover' });
  t.like((await rest.get('/users/me', auth)).body, { email, pending_email: next });
  t.is((await templates(email))[0], 'email_change_requested');
  t.deepEqual(await templates(next), ['confirm_email_change']);
  const link = await linkTo(server, next, 'confirm_email_change');
  t.is(link.origin + link.pathname, `${server.issuer}/confirm-email`);
  t.is((await rest.post('/auth/login', { email: next, password: 'secret1' })).status, 401, 'not yet');

  const token = link.searchParams.get('token') ?? '';
  t.is((await verify(token)).status, 204);
  const me = (await rest.get('/users/me', auth)).body;
  t.like(me, { email: next, email_verified: true });
  t.false('pending_email' in me);
  t.is((await templates(email))[0], 'email_changed');
  t.is((await rest.post('/auth/login', { email: next, password: 'secret1' })).status, 200);
  t.is((await rest.post('/auth/login', { email, password: 'secret1' })).status, 401);
  t.is((await verify(token)).status, 422, 'once');
  t.is((await rest.post('/auth/register', { email, password: 'secret1' })).status, 201, 'the old address is free');
});

test('the page that the link leads to changes the address as well', async (t) => {
  const { next, auth, change } = await signedIn();
  await change(next);
  const browser = createBrowser(server.issuer);
  const page = await browser.go(await linkTo(server, next, 'confirm_email_change'));
  t.true(page.html.includes(next));
  t.is((await browser.submit(page, 'prove', { password: 'secret1' })).status, 200);
  t.is((await rest.get('/users/me', auth)).body.email, next);
});

test('an administrator sees that a change of address is under way', async (t) => {
  const { next, auth, change } = await signedIn();
  await change(next);
  const { id } = (await rest.get('/users/me', auth)).body;
  const admin = await createPeople(server).person('admin');
  const seen = await rest.get(`/admin/users/${id}`, admin.auth);
  t.is(seen.status, 200);
  t.is(seen.body.pending_email, next);
});

test('without the password, or with a wrong one, nothing is asked for and nothing changes', async (t) => {
  const { email, next, auth, change } = await signedIn();
  const without = await rest.put('/users/me', { email: next, nickname: 'x' }, auth);
  t.is(without.status, 422);
  t.deepEqual(without.body.errors, [{ path: 'current_password', message: 'is needed to change the email address' }]);
  const wrong = await change(next, { current_password: 'wrong12', nickname: 'x' });
  t.is(wrong.status, 401);
  t.is(wrong.body.code, 'invalid_credentials');
  t.is((await change('no address', { nickname: 'x' })).body.code, 'invalid_email');
  const me = (await rest.get('/users/me', auth)).body;
  t.is(me.email, email);
  t.false('pending_email' in me || 'nickname' in me);
  t.deepEqual(await templates(next), []);
});

test('guessing the password here is bounded as at the sign-in', async (t) => {
  const { next, change } = await signedIn();
  for (let i = 0; i < 5; i += 1) t.is((await change(next, { current_password: 'wrong12' })).status, 401);
  t.is((await change(next)).status, 429);
});

test('an API key cannot change the address', async (t) => {
  const { next, auth } = await signedIn();
  const made = await rest.post('/users/api-keys', { name: 'k', scopes: ['write:profile'] }, auth);
  const refused = await rest.put(
    '/users/me',
    { email: next, current_password: 'secret1' },
    { 'X-API-Key': String(made.body.key) },
  );
  t.is(refused.status, 403);
});

test('an address that somebody has gets the same answer, and its holder alone a mail about it', async (t) => {
  const [one, holder] = [await signedIn(), await signedIn()];
  const asked = await one.change(holder.email.toUpperCase());
  t.is(asked.status, 200);
  t.is(asked.body.pending_email, holder.email.toUpperCase());
  t.is((await templates(holder.email))[0], 'already_registered');
  t.deepEqual(await templates(holder.email.toUpperCase()), []);
  const free = await one.change('free@example.com');
  t.deepEqual(Object.keys(free.body).sort(), Object.keys(asked.body).sort());
});

test('an address that is taken meanwhile stays with who has it', async (t) => {
  const { email, next, auth, change } = await signedIn();
  await change(next);
  const token = await tokenTo(server, next, 'confirm_email_change');
  t.is((await rest.post('/auth/register', { email: next, password: 'faster1' })).status, 201);
  const late = await verify(token);
  t.is(late.status, 409);
  t.is(late.body.code, 'email_taken');
  t.is((await rest.get('/users/me', auth)).body.email, email);
  const browser = createBrowser(server.issuer);
  const page = await browser.go(await linkTo(server, next, 'confirm_email_change'));
  t.is((await browser.submit(page, 'prove', { password: 'secret1' })).status, 400);
});

test('of several who were promised one address at once, one gets it', async (t) => {
  const people = await Promise.all(Array.from({ length: 5 }, signedIn));
  const tokens: string[] = [];
  for (const { change } of people) {
    await change('wanted@example.com');
    tokens.push(await tokenTo(server, 'wanted@example.com', 'confirm_email_change'));
  }
  const answers = await Promise.all(tokens.map(verify));
  t.deepEqual(answers.map(({ status }) => status).sort(), [204, 409, 409, 409, 409]);
});

test('of 100 redemptions at once, one succeeds', async (t) => {
  const { next, change } = await signedIn();
  await change(next);
  const token = await tokenTo(server, next, 'confirm_email_change');
  const answers = await Promise.all(Array.from({ length: 100 }, () => verify(token)));
  t.is(answers.filter(({ status }) => status === 204).length, 1);
  t.is(answers.filter(({ body }) => body.code === 'invalid_one_time_token').length, 99);
});

test('asking for another address, or for the present one, calls off what was asked before', async (t) => {
  const { email, next, auth, change } = await signedIn();
  await change(next);
  const first = await tokenTo(server, next, 'confirm_email_change');
  await change(`second-${next}`);
  t.is((await verify(first)).status, 422);
  t.false('pending_email' in (await change(email)).body);
  t.is((await verify(await tokenTo(server, `second-${next}`, 'confirm_email_change'))).status, 422);
  t.false('pending_email' in (await rest.get('/users/me', auth)).body);
});

test('a change that was not confirmed within its time is no longer pending', async (t) => {
  const { id, next, auth, change } = await signedIn();
  await change(next);
  const past = `now() - interval '1 second'`;
  await server.database.pool.query(`UPDATE one_time_tokens SET expires_at = ${past} WHERE user_id = $1`, [id]);
  await server.database.pool.query(`UPDATE users SET pending_email_until = ${past} WHERE id = $1`, [id]);
  t.false('pending_email' in (await rest.get('/users/me', auth)).body);
  t.is((await verify(await tokenTo(server, next, 'confirm_email_change'))).status, 422);
});

test('reset and verification links that went to the former address end with it', async (t) => {
  const { email, next, change } = await signedIn();
  const proof = await tokenTo(server, email, 'verify_email');
  await rest.post('/auth/forgot-password', { email });
  const reset = await tokenTo(server, email, 'reset_password');
  await change(next);
  t.is((await verify(await tokenTo(server, next, 'confirm_email_change'))).status, 204);
  t.is((await rest.post('/auth/reset-password', { token: reset, new_password: 'stolen1' })).status, 422);
  t.is((await verify(proof)).status, 422);
});
