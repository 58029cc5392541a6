// As in production, where the minimum is 8 and the list is on.
import test from 'ava';
import { hash as bcrypt } from 'bcryptjs';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer({ passwordMinLength: 8, passwordBlocklist: true });
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

test('a common password is refused where an account is made, and none is', async (t) => {
  for (const password of ['Password1', 'ada.lovelace', 'localhost']) {
    const { status, body } = await rest.post('/auth/register', { email: 'Ada.Lovelace@example.com', password });
    t.is(status, 422);
    t.is(body.code, 'password_too_common');
    t.is(typeof body.detail, 'string');
    t.false(String(body.detail).includes(password));
  }
  t.is(
    (await rest.post('/auth/register', { email: 'Ada.Lovelace@example.com', password: 'more than a name' })).status,
    201,
  );
});

test('a common password is refused where one is changed or set, and the old one goes on', async (t) => {
  const email = 'grace.hopper@example.com';
  await rest.post('/auth/register', { email, password: 'a quiet harbour', username: 'amazing.grace' });
  const { body } = await rest.post('/auth/login', { email, password: 'a quiet harbour' });
  for (const new_password of ['qwerty123', 'GRACE.hopper', 'Amazing.Grace']) {
    const change = { current_password: 'a quiet harbour', new_password };
    const answer = await rest.put('/users/me/password', change, bearer(body.access_token));
    t.is(answer.status, 422, new_password);
    t.is(answer.body.code, 'password_too_common');
    await t.throwsAsync(server.accounts.setPassword(email, new_password), { code: 'password_too_common' });
  }
  t.is((await rest.post('/auth/login', { email, password: 'a quiet harbour' })).status, 200);
});

test('who had a common password elsewhere signs in with it, and it is hashed anew', async (t) => {
  const { id } = await server.accounts.create({ email: 'imported@example.com' });
  await server.database.pool.query('UPDATE users SET password_hash = $2 WHERE id = $1', [id, await bcrypt('12345', 4)]);
  t.is((await rest.post('/auth/login', { email: 'imported@example.com', password: '12345' })).status, 200);
  const { rows } = await server.database.pool.query('SELECT password_hash FROM users WHERE id = $1', [id]);
  t.regex(rows[0].password_hash, /^\$argon2id\$/);
  t.is((await rest.post('/auth/login', { email: 'imported@example.com', password: '12345' })).status, 200);
});

test('no way of putting the app together makes passwords cheap in production', async (t) => {
  const cheap = { memoryCost: 1024, timeCost: 2 };
  const production = await startServer({ production: true, passwordCost: cheap }, server);
  t.teardown(() => production.close());
  const { id } = await production.accounts.create({ email: 'dear@example.com', password: 'a quiet harbour' });
  const { rows } = await server.database.pool.query('SELECT password_hash FROM users WHERE id = $1', [id]);
  t.regex(rows[0].password_hash, /^\$argon2id\$v=19\$m=19456,p=1,t=2\$/);
});
