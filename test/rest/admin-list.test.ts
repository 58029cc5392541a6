import { randomUUID } from 'node:crypto';
import test from 'ava';
import { keyOf } from '../../src/domain/accounts.ts';
import { createPeople } from '../helpers/people.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let people: ReturnType<typeof createPeople>;
let admin: Record<string, string>;

type Listed = { id: string; email: string; username: string | null; status: string };

test.before(async () => {
  server = await startServer();
  people = createPeople(server);
  admin = (await people.person('admin', 'root@administrators.example')).auth;
});
test.after.always(() => server?.close());

const list = async (query: Record<string, string | number>, auth = admin) => {
  const { status, body } = await people.rest.get(
    `/admin/users?${new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, `${value}`]))}`,
    auth,
  );
  return {
    status,
    body,
    items: body.items as Listed[],
    emails: (body.items as Listed[] | undefined)?.map(({ email }) => email) ?? [],
    next: body.next_cursor as string | null,
  };
};

/** Every page of a list, until there is none left. */
const pages = async (query: Record<string, string | number>, between: () => Promise<unknown> = async () => {}) => {
  const emails: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = await list({ ...query, ...(cursor && { cursor }) });
    emails.push(...page.emails);
    cursor = page.next;
    await between();
  }
  return emails;
};

/** Rows of a test's own, which its searches find by the beginning of their addresses. */
const insert = async (rows: Record<string, unknown>[]) => {
  for (const { email, username = null, ...more } of rows) {
    const columns = {
      id: randomUUID(),
      email,
      email_key: keyOf(String(email)),
      username,
      username_key: username === null ? null : keyOf(String(username)),
      ...more,
    };
    const names = Object.keys(columns);
    await server.database.pool.query(
      `INSERT INTO users (${names.join(', ')}) VALUES (${names.map((_, at) => `$${at + 1}`).join(', ')})`,
      Object.values(columns),
    );
  }
};

test('users are found by how their address, username or id begins, in any letter case', async (t) => {
  const id = 'fade0000-1111-4222-8333-444455556666';
  await insert([
    { email: 'Quentin@prefix.example', username: 'Tarantino', id },
    { email: 'quentina@prefix.example' },
    { email: 'other@prefix.example', username: 'QUENTIN' },
    { email: 'not-quentin@prefix.example', username: 'not-quentin' },
  ]);
  t.deepEqual((await list({ q: 'qUENTIN', sort: 'email' })).emails, [
    'other@prefix.example',
    'Quentin@prefix.example',
    'quentina@prefix.example',
  ]);
  t.deepEqual((await list({ q: ' quentin@PREFIX ', sort: 'email' })).emails, ['Quentin@prefix.example']);
  for (const q of [id, id.toUpperCase(), 'fade0000', 'fade0000-1', 'FADE0000-1111-4222-8333-44445555666'])
    t.deepEqual((await list({ q })).emails, ['Quentin@prefix.example'], q);
  for (const q of ['fade00001', 'fade0000-1111-4222-8333-4444555566667', 'nobody begins so'])
    t.deepEqual((await list({ q })).emails, [], q);
});

test('nothing in a search means anything but itself', async (t) => {
  await insert([
    { email: 'per%cent@literal.example' },
    { email: 'perxcent@literal.example' },
    { email: 'under_score@literal.example' },
    { email: 'underxscore@literal.example' },
    { email: "o'neil\\x@literal.example" },
  ]);
  t.deepEqual((await list({ q: 'per%' })).emails, ['per%cent@literal.example']);
  t.deepEqual((await list({ q: 'under_' })).emails, ['under_score@literal.example']);
  t.deepEqual((await list({ q: "o'neil\\" })).emails, ["o'neil\\x@literal.example"]);
  t.deepEqual((await list({ q: '%' })).emails, []);
});

test('each filter shows who it says, and all that are given have to hold', async (t) => {
  const past = new Date(Date.now() - 1000);
  const future = new Date(Date.now() + 86_400_000);
  await people.role('editor', ['read:profile']);
  await insert([
    { email: 'filter-active@f.example', email_verified: true, password_hash: 'x' },
    { email: 'filter-banned@f.example', banned_at: past },
    { email: 'filter-banned-until@f.example', banned_at: past, banned_until: future },
    { email: 'filter-ban-over@f.example', banned_at: past, banned_until: past },
    { email: 'filter-leaving@f.example', erase_after: future },
    { email: 'filter-leaving-banned@f.example', erase_after: future, banned_at: past, role: 'editor' },
    { email: 'filter-old@f.example', created_at: new Date('2020-02-01T00:00:00Z'), role: 'editor' },
  ]);
  const shown = async (query: object) =>
    (await list({ q: 'filter-', sort: 'email', ...query })).emails.map((email) => email.slice(7, -10));
  t.deepEqual(await shown({ status: 'active' }), ['active', 'ban-over', 'old']);
  t.deepEqual(await shown({ status: 'banned' }), ['banned-until', 'banned', 'leaving-banned']);
  t.deepEqual(await shown({ status: 'pending_deletion' }), ['leaving']);
  t.deepEqual(await shown({ role: 'editor' }), ['leaving-banned', 'old']);
  t.deepEqual(await shown({ role: 'editor', status: 'banned' }), ['leaving-banned']);
  t.deepEqual(await shown({ role: 'there is no such role' }), []);
  t.deepEqual(await shown({ email_verified: 'true' }), ['active']);
  t.deepEqual(await shown({ provider: 'password' }), ['active']);
  t.is((await shown({ provider: 'none' })).length, 6);
  t.deepEqual(await shown({ provider: 'google' }), []);
  t.deepEqual(await shown({ created_to: '2020-02-02T00:00:00Z' }), ['old']);
  t.deepEqual(await shown({ created_to: '2020-02-01T00:00:00Z' }), []);
  t.deepEqual(await shown({ created_from: '2020-02-01T01:00:00+01:00', created_to: '2020-02-01T00:00:00.001Z' }), [
    'old',
  ]);
  t.false((await shown({ created_from: '2020-02-01T00:00:00.001Z' })).includes('old'));
});

test('the status and the ban that are told are those of now', async (t) => {
  const past = new Date('2024-01-01T00:00:00Z');
  const future = new Date('2999-01-01T00:00:00Z');
  await insert([
    { email: 'told-a@t.example', banned_at: past, banned_until: future, ban_reason: 'spam', password_hash: 'x' },
    { email: 'told-b@t.example', banned_at: past, banned_until: past, ban_reason: 'spam', erase_after: future },
  ]);
  const { items } = await list({ q: 'told-', sort: 'email' });
  t.like(items[0], {
    status: 'banned',
    is_active: false,
    banned_at: past.toISOString(),
    banned_until: future.toISOString(),
    ban_reason: 'spam',
    has_password: true,
  });
  t.like(items[1], {
    status: 'pending_deletion',
    is_active: false,
    banned_at: null,
    banned_until: null,
    ban_reason: null,
    erase_after: future.toISOString(),
    has_password: false,
  });
  t.false(JSON.stringify(items).includes('password_hash'));
});

// Same moments and no usernames, so that only the id tells some apart; letters that collations and UTF-16 put elsewhere.
const NAMES = ['Zoe', 'adam', 'Ähm', '😀smile', 'ﬀ', null, null, null, 'b-b', 'ba', '日本', null];

for (const sort of ['created_at', 'email', 'username'])
  test(`pages of every size give the whole list once, by ${sort} upwards and downwards`, async (t) => {
    const begin = `pages-${sort.replace('_', '')}-`;
    await insert(
      NAMES.map((name, at) => ({
        email: `${begin}${['B', 'a', 'é', '😀', 'ﬀ', 'x'][at % 6]}${at}@p.example`,
        username: name && `${name}.${sort}`,
        created_at: new Date(Date.UTC(2021, 0, 1 + (at % 3))),
      })),
    );
    const whole = (await list({ q: begin, sort, limit: 200 })).emails;
    t.is(whole.length, NAMES.length);
    for (const limit of [1, 5, 12, 200]) {
      t.deepEqual(await pages({ q: begin, sort, limit }), whole, `${limit}`);
      t.deepEqual(await pages({ q: begin, sort: `-${sort}`, limit }), whole.toReversed(), `-${limit}`);
    }
    const rows = (await list({ q: begin, sort, limit: 200 })).items as unknown as Record<string, string>[];
    const keys = rows.map((row) => Buffer.from(keyOf(row[sort] ?? '')));
    t.true(keys.every((key, at) => at === 0 || Buffer.compare(keys[at - 1] ?? key, key) <= 0));
  });

test('who comes or goes between two pages moves nobody else', async (t) => {
  const email = (n: number) => `moving-${String(n).padStart(2, '0')}@m.example`;
  await insert(Array.from({ length: 20 }, (_, n) => ({ email: email(2 * n), created_at: new Date(2022, 0, n + 1) })));
  for (const sort of ['email', '-created_at']) {
    const { rows } = await server.database.pool.query(`SELECT FROM users WHERE email ~ '^moving-\\d\\d@'`);
    let turn = 0;
    const met = await pages({ q: 'moving-', sort, limit: 3 }, async () => {
      turn += 1;
      // One before and one behind wherever the reader is, and one that was shown already goes.
      await insert([{ email: `moving-00${turn}${sort}@m.example` }, { email: `moving-39${turn}${sort}@m.example` }]);
      await server.database.pool.query('DELETE FROM users WHERE email = $1', [
        sort === 'email' ? email(2 * (turn - 1)) : `moving-00${turn}email@m.example`,
      ]);
    });
    t.is(new Set(met).size, met.length, 'nobody twice');
    t.is(met.filter((one) => /^moving-\d\d@/.test(one)).length, rows.length, `nobody left out by ${sort}`);
    if (sort === 'email') t.deepEqual(met, met.toSorted(), 'in order');
  }
});

test('the user that a cursor points to may be gone', async (t) => {
  await insert([1, 2, 3].map((n) => ({ email: `gone-${n}@g.example` })));
  const first = await list({ q: 'gone-', sort: 'email', limit: 1 });
  await server.database.pool.query(`DELETE FROM users WHERE email = 'gone-1@g.example'`);
  t.deepEqual((await list({ q: 'gone-', sort: 'email', limit: 5, cursor: String(first.next) })).emails, [
    'gone-2@g.example',
    'gone-3@g.example',
  ]);
});

test('a cursor that is made up, altered, or of another list is refused, and tells nothing', async (t) => {
  await insert([1, 2, 3].map((n) => ({ email: `forge-${n}@g.example` })));
  const asked = { q: 'forge-', sort: 'email', limit: 1 };
  const cursor = String((await list(asked)).next);
  t.false(Buffer.from(cursor.slice(3), 'base64url').toString('latin1').includes('forge-'));
  t.is((await list({ ...asked, limit: 2, cursor })).status, 200, 'another size is the same list');

  const altered = cursor.slice(0, -3) + (cursor.at(-3) === 'A' ? 'B' : 'A') + cursor.slice(-2);
  const made = Buffer.from(JSON.stringify({ key: 'a', id: randomUUID() })).toString('base64url');
  const foreign = [
    { ...asked, cursor: altered },
    { ...asked, cursor: made },
    { ...asked, cursor: `v1.${made}` },
    { ...asked, cursor: 'nonsense' },
    { ...asked, sort: '-email', cursor },
    { ...asked, q: 'forge', cursor },
    { ...asked, status: 'active', cursor },
  ];
  for (const query of foreign) {
    const { status, body } = await list(query);
    t.is(status, 422, JSON.stringify(query));
    t.deepEqual(body.errors, [{ path: 'cursor', message: 'is not from this list' }]);
  }
});

for (const [query, path] of [
  ['limit=0', 'limit'],
  ['limit=201', 'limit'],
  ['limit=-1', 'limit'],
  ['limit=1.5', 'limit'],
  ['limit=ten', 'limit'],
  ['sort=password_hash', 'sort'],
  ['sort=', 'sort'],
  ['status=angry', 'status'],
  ['email_verified=1', 'email_verified'],
  ['created_from=yesterday', 'created_from'],
  ['created_to=2024-01-01', 'created_to'],
  ['q=', 'q'],
  ['q=%00', 'q'],
  ['q=a%00b', 'q'],
  [`q=${'x'.repeat(321)}`, 'q'],
  ['q=a&q=b', 'q'],
  ['role=%00', 'role'],
  ['cursor=', 'cursor'],
  ['offset=10', 'offset'],
])
  test(`a list is not given for ${query?.slice(0, 30)}`, async (t) => {
    const { status, body } = await people.rest.get(`/admin/users?${query}`, admin);
    t.is(status, 422);
    t.deepEqual(
      (body.errors as { path: string }[]).map(({ path }) => path),
      [path],
    );
  });

test('total is the whole list’s, exact while it is small', async (t) => {
  await insert([1, 2, 3, 4].map((n) => ({ email: `total-${n}@t.example`, role: n > 2 ? 'admin' : 'user' })));
  t.like((await list({ q: 'total-', limit: 1 })).body, { total: 4, total_is_estimate: false });
  t.like((await list({ q: 'total-', role: 'admin', limit: 1 })).body, { total: 2, total_is_estimate: false });
  const { body } = await list({ limit: 1 });
  t.is(body.total_is_estimate, false);
  t.true(Number(body.total) >= 4);
  t.like((await list({ q: 'nobody@' })).body, { items: [], next_cursor: null, total: 0, total_is_estimate: false });
});

test('who has nothing to administer sees nobody, and is told which scope it takes', async (t) => {
  const user = await people.person();
  for (const auth of [user.auth, await people.key(user.auth, ['read:profile', 'read:users', 'write:users'])]) {
    const answer = await people.rest.get('/admin/users', auth);
    t.is(answer.status, 403);
    t.is(answer.body.code, 'insufficient_scope');
    t.regex(answer.headers.get('www-authenticate') ?? '', /scope="read:users"/);
  }
  t.is((await people.rest.get('/admin/users', {})).status, 401);
  t.is((await people.rest.get('/admin/users', { authorization: 'Bearer nonsense' })).status, 401);
});

test('an administrator’s key lists with read:users, and with no other scope', async (t) => {
  t.is((await list({}, await people.key(admin, ['read:users']))).status, 200);
  t.is((await list({}, await people.key(admin, ['write:users', 'read:profile', 'read:audit']))).status, 403);
});
