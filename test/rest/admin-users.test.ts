import { randomUUID } from 'node:crypto';
import test from 'ava';
import { sha256 } from '../../src/domain/secrets.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
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

const show = (id: string) => people.rest.get(`/admin/users/${id}`, admin.auth);
const change = (id: string, body: unknown, auth = admin.auth) => people.rest.put(`/admin/users/${id}`, body, auth);
const create = (body: unknown, auth = admin.auth) => people.rest.post('/admin/users', body, auth);
const events = async (target: string) =>
  (await server.audit.list({ target }, undefined, 20)).filter(
    ({ type }) => type !== 'api_key.first_used' && !type.startsWith('login.'),
  );
const mailed = async (email: string) =>
  (await server.mail.kept(1000)).filter(({ to }) => to.email === email).map(({ message }) => message);
const paths = (body: Record<string, unknown>) => (body.errors as { path: string }[]).map(({ path }) => path);

test('a user is shown whole, by their id in any letter case, and never with their password’s hash', async (t) => {
  const user = await people.person();
  const answer = await show(user.id.toUpperCase());
  t.is(answer.status, 200);
  t.like(answer.body, {
    id: user.id,
    email: user.email,
    username: null,
    role: 'user',
    is_active: true,
    email_verified: false,
    status: 'active',
    banned_at: null,
    banned_until: null,
    ban_reason: null,
    erase_after: null,
    has_password: true,
  });
  t.false(JSON.stringify(answer.body).includes('argon2'));
  t.is(answer.headers.get('cache-control'), 'no-store');
});

for (const [what, id] of Object.entries({
  'that there is not': randomUUID(),
  'whose id is none': 'nonsense',
  'whose id is NUL': '%00',
  'whose id is too long': `${randomUUID()}0`,
  'whose id is a path': '..%2Fme',
}))
  test(`of a user ${what} nothing can be shown or changed`, async (t) => {
    const at = `/admin/users/${id}`;
    for (const { status, body } of [
      await people.rest.get(at, admin.auth),
      await people.rest.put(at, { name: 'x' }, admin.auth),
      await people.rest.delete(at, undefined, admin.auth),
      await people.rest.post(`${at}/ban`, { reason: 'x' }, admin.auth),
      await people.rest.post(`${at}/unban`, undefined, admin.auth),
      await people.rest.post(`${at}/sign-out`, undefined, admin.auth),
      await people.rest.post(`${at}/password-reset`, undefined, admin.auth),
    ]) {
      t.is(status, 404);
      t.is(body.code, 'unknown_user');
    }
  });

test('everything about a user can be changed, what is absent stays, null clears', async (t) => {
  const user = await people.person();
  const changes = {
    username: `Ada.${user.id.slice(0, 8)}`,
    email_verified: true,
    name: 'Ada',
    address: { country: 'UK' },
  };
  const first = await change(user.id, { ...changes, locale: 'en-GB' });
  t.is(first.status, 200);
  t.like(first.body, changes);
  const second = await change(user.id, { name: null, username: null, address: null });
  t.like(second.body, { username: null, email_verified: true, locale: 'en-GB' });
  t.false('name' in second.body || 'address' in second.body);
  t.deepEqual((await show(user.id)).body, second.body);
});

test('a new address takes effect at once, is told to both, and counts as unverified', async (t) => {
  const user = await people.person();
  await change(user.id, { email_verified: true });
  await people.rest.post(`/admin/users/${user.id}/password-reset`, undefined, admin.auth);
  const wanted = { email: `wanted.${user.email}`, current_password: PASSWORD };
  t.is((await people.rest.put('/users/me', wanted, await people.login(user.email))).body.pending_email, wanted.email);
  const email = `New.${user.email}`;
  const answer = await change(user.id, { email });
  t.is(answer.status, 200);
  t.like(answer.body, { email, email_verified: false });
  t.false('pending_email' in answer.body, 'its link is worth nothing any more');
  t.is((await people.rest.get('/users/me', await people.login(email))).status, 200);
  t.is((await people.rest.post('/auth/login', { email: user.email, password: PASSWORD })).status, 401);
  for (const address of [user.email, email])
    t.deepEqual(
      (await mailed(address)).filter(({ template }) => template === 'email_changed'),
      [{ template: 'email_changed', newEmail: email }],
    );
  const { rows } = await server.database.pool.query('SELECT FROM one_time_tokens WHERE user_id = $1', [user.id]);
  t.is(rows.length, 0, 'a link mailed to the old address is worth nothing');
});

test('an address can be changed and vouched for in one; in its letter case alone it is the same address', async (t) => {
  const user = await people.person();
  t.like((await change(user.id, { email: `v-${user.email}`, email_verified: true })).body, { email_verified: true });
  const again = await change(user.id, { email: `V-${user.email.toUpperCase()}` });
  t.like(again.body, { email: `V-${user.email.toUpperCase()}`, email_verified: true });
});

test('what somebody else has is a conflict, and nothing of the change is kept', async (t) => {
  const [one, two] = [await people.person(), await people.person()];
  await change(one.id, { username: `taken-${one.id}` });
  const before = (await show(two.id)).body;
  for (const [body, code] of [
    [{ email: one.email.toUpperCase(), name: 'half' }, 'email_taken'],
    [{ username: `TAKEN-${one.id}`, name: 'half' }, 'username_taken'],
  ] as const) {
    const answer = await change(two.id, body);
    t.is(answer.status, 409);
    t.is(answer.body.code, code);
  }
  t.deepEqual((await show(two.id)).body, before);
});

for (const [body, path] of [
  [{ role: '' }, 'role'],
  [{ role: null }, 'role'],
  [{ email: '' }, 'email'],
  [{ email: null }, 'email'],
  [{ email_verified: 'yes' }, 'email_verified'],
  [{ password: 'a new password' }, 'password'],
  [{ banned_at: null }, 'banned_at'],
  [{ id: randomUUID() }, 'id'],
  [{ website: 'javascript:alert(1)' }, 'website'],
  [{ name: 'a\0b' }, 'name'],
] as const)
  test(`no user is changed by ${JSON.stringify(body)}`, async (t) => {
    const user = await people.person();
    const before = (await show(user.id)).body;
    const answer = await change(user.id, { gender: 'changed', ...body });
    t.is(answer.status, 422);
    t.deepEqual(paths(answer.body), [path]);
    t.deepEqual((await show(user.id)).body, before);
  });

for (const [body, code] of [
  [{ role: 'emperor' }, 'invalid_role'],
  [{ role: 'Admin' }, 'invalid_role'],
  [{ email: 'not an address' }, 'invalid_email'],
  [{ email: 'a@b@c' }, 'invalid_email'],
  [{ username: 'with@sign' }, 'invalid_username'],
] as const)
  test(`nobody is made or changed with ${JSON.stringify(body)}`, async (t) => {
    const user = await people.person();
    for (const answer of [
      await change(user.id, { gender: 'changed', ...body }),
      await create({ email: `never-${randomUUID()}@example.com`, ...body }),
    ]) {
      t.is(answer.status, 422);
      t.is(answer.body.code, code);
    }
    t.false('gender' in (await show(user.id)).body);
  });

test('a change is audited with what it was before and after, names of the profile’s parts alone, and no address whole', async (t) => {
  const user = await people.person();
  await change(user.id, {
    email: `z${user.email}`,
    role: 'admin',
    name: 'Secret Name',
    phone_number: '+442071234567',
    email_verified: false,
  });
  const [event] = await events(user.id);
  t.like(event, { type: 'user.updated', actor: admin.id, target: user.id });
  t.deepEqual(event?.details, {
    before: { email: 's***@example.com', role: 'user' },
    after: { email: 'z***@example.com', role: 'admin' },
    profile: ['name', 'phone_number', 'phone_number_verified'],
  });
  t.false(JSON.stringify(event).includes('Secret') || JSON.stringify(event).includes(user.email));
  await change(user.id, { role: 'admin', name: 'Secret Name' });
  t.is((await events(user.id)).length, 1, 'what changes nothing is no event');
});

test('a user is erased at once, with their keys, tokens and name', async (t) => {
  const user = await people.person();
  const key = await people.key(user.auth, ['read:profile']);
  const gone = await people.rest.delete(`/admin/users/${user.id}`, undefined, admin.auth);
  t.is(gone.status, 204);
  for (const auth of [user.auth, key]) t.is((await people.rest.get('/users/me', auth)).status, 401);
  t.is((await show(user.id)).status, 404);
  t.is((await people.rest.delete(`/admin/users/${user.id}`, undefined, admin.auth)).status, 404);
  const { rows } = await server.database.pool.query(
    'SELECT 1 FROM api_keys WHERE user_id = $1 UNION ALL SELECT 1 FROM oauth_tokens WHERE account_id = $1::text',
    [user.id],
  );
  t.is(rows.length, 0);
  t.is((await create({ email: user.email, password: PASSWORD })).status, 201, 'the address is free again');
  t.like((await events(user.id))[0], { type: 'user.erased', actor: admin.id });
});

test('signing out ends sessions and tokens; keys stay', async (t) => {
  const user = await people.person();
  const key = await people.key(user.auth, ['read:profile']);
  t.is((await people.rest.post(`/admin/users/${user.id}/sign-out`, undefined, admin.auth)).status, 204);
  t.is((await people.rest.get('/users/me', user.auth)).status, 401);
  t.is((await people.rest.get('/users/me', key)).status, 200);
  t.is((await people.rest.get('/users/me', await people.login(user.email))).status, 200);
  t.like((await events(user.id))[0], { type: 'user.signed_out', actor: admin.id });
});

const tokenOf = async (link: string) => {
  const token = new URL(link).searchParams.get('token') ?? '';
  const { rows } = await server.database.pool.query(
    `SELECT purpose, user_id, extract(epoch FROM expires_at - now())::float AS seconds FROM one_time_tokens WHERE token_hash = $1`,
    [sha256(token)],
  );
  return rows[0];
};

test('a link to set a new password is mailed, good for 30 minutes, and only the newest', async (t) => {
  const user = await people.person();
  const reset = () => people.rest.post(`/admin/users/${user.id}/password-reset`, undefined, admin.auth);
  t.is((await reset()).status, 202);
  t.is((await reset()).status, 202);
  const [newest, older] = (await mailed(user.email)).filter((message) => message.template === 'reset_password');
  t.is(newest?.minutes, 30);
  t.true(newest?.link.startsWith(`${server.issuer}/reset-password?token=`));
  const found = await tokenOf(newest?.link ?? '');
  t.like(found, { purpose: 'reset_password', user_id: user.id });
  t.true(found.seconds > 1790 && found.seconds <= 1800);
  t.is(await tokenOf(older?.link ?? ''), undefined);
  t.is((await people.rest.get('/users/me', user.auth)).status, 200, 'asking ends nothing');
  t.like((await events(user.id))[0], { type: 'password.reset_requested', actor: admin.id });
});

test('a user is made with a password, and signs in with it', async (t) => {
  const email = `Made-${randomUUID()}@example.com`;
  const profile = { name: 'Made', locale: 'zh-CN', address: { country: 'CN' }, phone_number: '+8613800000000' };
  const made = await create({ email, password: PASSWORD, username: 'made', email_verified: true, ...profile });
  t.is(made.status, 201);
  t.like(made.body, { email, username: 'made', role: 'user', email_verified: true, has_password: true, ...profile });
  t.is((await people.rest.get('/users/me', await people.login(email))).status, 200);
  t.deepEqual(await mailed(email), []);
  t.like((await events(String(made.body.id)))[0], { type: 'user.created', details: { role: 'user', invited: false } });
});

test('without a password a user is invited, by a link that is good for seven days', async (t) => {
  const email = `invited-${randomUUID()}@example.com`;
  const made = await create({ email, role: 'admin' });
  t.is(made.status, 201);
  t.like(made.body, { role: 'admin', has_password: false, email_verified: false });
  const [message, ...others] = await mailed(email);
  t.is(others.length, 0);
  if (message?.template !== 'invitation') return t.fail();
  t.is(message.hours, 168);
  t.true(message.link.startsWith(`${server.issuer}/reset-password?token=`));
  const found = await tokenOf(message.link);
  t.like(found, { purpose: 'reset_password', user_id: made.body.id });
  t.true(found.seconds > 7 * 86_400 - 10);
  t.is((await people.rest.post('/auth/login', { email, password: PASSWORD })).status, 401);
  t.like((await events(String(made.body.id)))[0], { type: 'user.created', details: { role: 'admin', invited: true } });
});

test('of 20 that make one address at once, one does; nobody is invited twice', async (t) => {
  const email = `race-${randomUUID()}@example.com`;
  const answers = await Promise.all(Array.from({ length: 20 }, () => create({ email })));
  t.is(answers.filter(({ status }) => status === 201).length, 1);
  t.is(answers.filter(({ status, body }) => status === 409 && body.code === 'email_taken').length, 19);
  t.is((await mailed(email)).length, 1);
});

for (const [body, path] of [
  [{}, 'email'],
  [{ email: 'a@example.com', password: '' }, 'password'],
  [{ email: 'a@example.com', status: 'banned' }, 'status'],
  [{ email: 'a@example.com', username: null }, 'username'],
] as const)
  test(`nobody is made of ${JSON.stringify(body)}`, async (t) => {
    const answer = await create(body);
    t.is(answer.status, 422);
    t.deepEqual(paths(answer.body), [path]);
  });

test('a password that is too short makes nobody', async (t) => {
  const answer = await create({ email: 'short@example.com', password: 'x' });
  t.is(answer.status, 422);
  t.is(answer.body.code, 'password_too_short');
});

test('bodies that are no JSON, of another type, or too long are refused as such', async (t) => {
  t.is((await create('{"email":')).status, 400);
  t.is((await create(`{"email":"${'x'.repeat(110_000)}"}`)).status, 413);
  const form = { ...admin.auth, 'content-type': 'application/x-www-form-urlencoded' };
  t.is((await people.rest.post('/admin/users', 'email=a', form)).status, 415);
});

test('every change needs write:users, and says so', async (t) => {
  const [user, victim] = [await people.person(), await people.person()];
  for (const auth of [user.auth, await people.key(admin.auth, ['read:users', 'read:audit', 'write:clients'])])
    for (const answer of [
      await create({ email: 'x@example.com' }, auth),
      await change(victim.id, { name: 'x' }, auth),
      await people.rest.delete(`/admin/users/${victim.id}`, undefined, auth),
    ]) {
      t.is(answer.status, 403);
      t.is(answer.body.code, 'insufficient_scope');
      t.regex(answer.headers.get('www-authenticate') ?? '', /scope="write:users"/);
    }
  t.is((await people.rest.get(`/admin/users/${victim.id}`, user.auth)).status, 403);
});

test('an administrator’s key with write:users makes administrators, and is named in the log', async (t) => {
  const key = await people.key(admin.auth, ['write:users']);
  const made = await create({ email: `by-key-${randomUUID()}@example.com`, role: 'admin' }, key);
  t.is(made.status, 201);
  const [event] = await events(String(made.body.id));
  t.is(event?.actor, admin.id);
  t.is(typeof event?.key, 'string');
});
