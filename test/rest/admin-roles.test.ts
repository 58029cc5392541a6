// Who is an administrator, and that there always is one. Each test has a service of its own: others' administrators would count.
import test from 'ava';
import { KEY_SCOPES } from '../../src/domain/claims.ts';
import { createPeople } from '../helpers/people.ts';
import { startServer } from '../helpers/server.ts';

const started = async () => {
  const server = await startServer();
  const people = createPeople(server);
  const ban = (id: string, auth: Record<string, string>) =>
    people.rest.post(`/admin/users/${id}/ban`, { reason: 'x' }, auth);
  const demote = (id: string, auth: Record<string, string>) =>
    people.rest.put(`/admin/users/${id}`, { role: 'user' }, auth);
  const erase = (id: string, auth: Record<string, string>) => people.rest.delete(`/admin/users/${id}`, undefined, auth);
  return { server, people, ban, demote, erase };
};

test.serial('the last administrator can be neither demoted, erased nor banned, by nobody', async (t) => {
  const { server, people, ban, demote, erase } = await started();
  t.teardown(() => server.close());
  // Roles are remembered for a second: this one comes before anybody asks.
  await people.role('deputy', [...KEY_SCOPES]);
  const last = await people.person('admin');
  // Administrators who are banned, or about to be erased, do not count.
  const banned = await people.person('admin');
  await ban(banned.id, last.auth);
  const leaving = await people.person('admin');
  await server.database.pool.query(`UPDATE users SET erase_after = now() + interval '1 day' WHERE id = $1`, [
    leaving.id,
  ]);

  const deputy = await people.person('deputy');
  for (const [who, answer] of Object.entries({
    'demoting oneself': await demote(last.id, last.auth),
    'erasing oneself': await erase(last.id, last.auth),
    'a deputy who demotes': await demote(last.id, deputy.auth),
    'a deputy who erases': await erase(last.id, deputy.auth),
    'a deputy who bans': await ban(last.id, deputy.auth),
  })) {
    t.is(answer.status, 409, who);
    t.is(answer.body.code, 'last_admin', who);
  }
  t.is((await ban(last.id, leaving.auth)).status, 401, 'somebody about to be erased');
  t.is((await people.rest.get('/admin/users', last.auth)).status, 200, 'and is still signed in');
  t.is((await people.rest.put(`/admin/users/${last.id}`, { name: 'x', role: 'admin' }, last.auth)).status, 200);

  const next = await people.person('admin');
  t.is((await demote(last.id, last.auth)).status, 200, 'as soon as there is another, it can be');
  t.is((await demote(next.id, next.auth)).body.code, 'last_admin');
});

for (const act of ['ban', 'demote', 'erase'] as const)
  test.serial(`of the last two administrators who ${act} each other at once, one is left`, async (t) => {
    const { server, people, ...acts } = await started();
    t.teardown(() => server.close());
    // Keys outlive nothing here; what is raced is the change itself, many times.
    for (let round = 0; round < 5; round += 1) {
      const [one, two] = [await people.person('admin'), await people.person('admin')];
      const answers = await Promise.all([acts[act](two.id, one.auth), acts[act](one.id, two.auth)]);
      const done = answers.filter(({ status }) => status === 200 || status === 204);
      t.is(done.length, 1, JSON.stringify(answers.map(({ status, body }) => [status, body.code])));
      const { rows } = await server.database.pool.query(
        `SELECT id FROM users WHERE role = 'admin' AND banned_at IS NULL`,
      );
      t.is(rows.length, 1);
      await server.database.pool.query(`UPDATE users SET role = 'user'`);
    }
  });

test.serial('a role is data: one that permits read:users lists, and does nothing else', async (t) => {
  const { server, people, ban } = await started();
  t.teardown(() => server.close());
  await people.role('support', ['read:profile', 'write:profile', 'read:users']);
  const [support, user] = [await people.person('support'), await people.person()];
  t.is((await people.rest.get('/admin/users', support.auth)).status, 200);
  t.is((await people.rest.get(`/admin/users/${user.id}`, support.auth)).status, 200);
  const refused = await ban(user.id, support.auth);
  t.is(refused.status, 403);
  t.regex(refused.headers.get('www-authenticate') ?? '', /scope="write:users"/);
  t.is((await people.rest.get('/admin/audit', support.auth)).status, 403);
  const key = await people.key(support.auth, ['read:users', 'write:users']);
  t.is((await people.rest.get('/admin/users', key)).status, 200);
  t.is((await ban(user.id, key)).status, 403);
});

test.serial('who may change users cannot thereby come to more than their role permits', async (t) => {
  const { server, people, ban, demote, erase } = await started();
  t.teardown(() => server.close());
  await people.role('desk', ['read:profile', 'write:profile', 'read:users', 'write:users']);
  const [admin, desk, user] = [await people.person('admin'), await people.person('desk'), await people.person()];
  await people.person('admin');
  const { rest } = people;
  for (const [what, answer] of Object.entries({
    promoting: await rest.put(`/admin/users/${user.id}`, { role: 'admin' }, desk.auth),
    'promoting oneself': await rest.put(`/admin/users/${desk.id}`, { role: 'admin' }, desk.auth),
    'making an administrator': await rest.post('/admin/users', { email: 'x@example.com', role: 'admin' }, desk.auth),
    'taking over an address': await rest.put(`/admin/users/${admin.id}`, { email: 'mine@example.com' }, desk.auth),
    banning: await ban(admin.id, desk.auth),
    demoting: await demote(admin.id, desk.auth),
    erasing: await erase(admin.id, desk.auth),
    'signing out': await rest.post(`/admin/users/${admin.id}/sign-out`, undefined, desk.auth),
    resetting: await rest.post(`/admin/users/${admin.id}/password-reset`, undefined, desk.auth),
  })) {
    t.is(answer.status, 403, what);
    t.is(answer.body.code, 'beyond_own_role', what);
  }
  t.is((await rest.get('/admin/users', admin.auth)).status, 200);
  t.is(
    (await rest.put(`/admin/users/${user.id}`, { role: 'desk' }, desk.auth)).status,
    200,
    'their own role they give',
  );
  t.is((await ban(user.id, desk.auth)).status, 200);
});

test.serial('who is no administrator any more is none with what they hold, at once', async (t) => {
  const { server, people, demote } = await started();
  t.teardown(() => server.close());
  const [boss, demoted] = [await people.person('admin'), await people.person('admin')];
  const key = await people.key(demoted.auth, ['read:users', 'write:users', 'read:audit']);
  t.is((await people.rest.get('/admin/users', key)).status, 200);
  t.is((await demote(demoted.id, boss.auth)).status, 200);
  for (const auth of [demoted.auth, key])
    for (const path of ['/admin/users', `/admin/users/${boss.id}`, '/admin/audit'])
      t.is((await people.rest.get(path, auth)).status, 403, path);
  t.is((await people.rest.get('/users/me', demoted.auth)).status, 200, 'but is still signed in');
  t.is((await people.rest.put(`/admin/users/${demoted.id}`, { role: 'admin' }, boss.auth)).status, 200);
  t.is((await people.rest.get('/admin/users', key)).status, 200, 'and is one again with the role');
});
