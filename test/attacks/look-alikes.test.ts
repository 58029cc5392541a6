// Names that look like somebody else's, or are somebody else's in another spelling (UTS #39; UAX #15): one key per name and address, and no
// mail to any address but the one that is on file.
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { ROOMY } from '../helpers/limits.ts';
import { mailsTo } from '../helpers/mailbox.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let people: ReturnType<typeof createPeople>;

test.before(async () => {
  server = await startServer({ rateLimits: ROOMY });
  people = createPeople(server);
});
test.after.always(() => server?.close());

const register = (fields: object) => people.rest.post('/auth/register', { password: PASSWORD, ...fields });

test('a username of letters that pass for others is refused, wherever one is set', async (t) => {
  const admin = await people.person('admin');
  const { auth } = await people.person();
  const LOOK_ALIKES = {
    'a Cyrillic а': 'аdmin',
    'a Greek ο': 'rοot',
    'an Armenian օ': 'rօot',
    'Cherokee letters': 'ᎪᎠᎷ',
    'a Cyrillic letter among Greek ones': 'αλфα',
    'a letter of a modifier': 'ad\u02b9min',
    'an invisible letter': 'ad\u115fmin',
    'another invisible letter': 'ad\u3164min',
    'a soft hyphen': 'ad\u00admin',
    'a zero-width joiner': 'ad\u200dmin',
    'a combining dot': 'admi\u0307n',
    'another direction': '\u202enimda',
    'a variation selector': 'admin\ufe0f',
  };
  for (const [what, username] of Object.entries(LOOK_ALIKES)) {
    const email = `look-alike-${username.length}-${randomUUID()}@example.com`;
    const made = await register({ email, username });
    t.is(made.status, 422, what);
    t.is((await people.rest.put('/users/me', { username }, auth)).status, 422, what);
    t.is((await people.rest.post('/admin/users', { email, username }, admin.auth)).status, 422, what);
  }
  for (const username of ['админ', 'ユーザー太郎', '김철수kim', 'Ζωή', 'מיכל', 'straße', 'Åsa.1', '李四-li'])
    t.is((await people.rest.put('/users/me', { username }, auth)).status, 200, username);
});

test('who is imported keeps the username that they had elsewhere', async (t) => {
  const { auth } = await people.person('admin');
  const response = await fetch(`${server.origin}/admin/users/import`, {
    method: 'POST',
    headers: { ...auth, 'content-type': 'application/x-ndjson' },
    body: JSON.stringify({ email: 'brought@example.com', username: 'иван_ivan' }),
  });
  t.is(response.status, 200);
  t.like(await response.json(), { created: 1, failed: 0 });
});

test('a username or address in another spelling is the same one: nobody else gets it', async (t) => {
  const email = 'finn.koe@example.com';
  t.is((await register({ email, username: 'finn.koe' })).status, 201);
  for (const spelling of ['FINN.KOE', 'ﬁnn.koe', 'ｆｉｎｎ.ｋｏｅ', 'ﬁnn.Koe', 'finn.\u212aoe']) {
    t.is((await register({ email: `other-${spelling.length}@example.com`, username: spelling })).status, 409, spelling);
    t.is((await register({ email: `${spelling}@example.com` })).status, 409, spelling);
    t.is((await register({ email: `${spelling}@EXAMPLE.com` })).status, 409, spelling);
  }
  // Letters that capitals, not small letters, would make the same: other people.
  for (const other of ['fınn.koe@example.com', 'finn.koe@examp1e.com', 'fínn.koe@example.com'])
    t.is((await register({ email: other })).status, 201, other);
});

test('a link is mailed to the address on file, never to the one that was typed', async (t) => {
  const email = 'kim@example.com';
  t.is((await register({ email })).status, 201);
  const before = (await mailsTo(server, email)).length;
  for (const typed of ['ｋｉｍ@example.com', '\u212aim@example.com', ' KIM@Example.com ', 'kim@ｅxample.com'])
    t.is((await people.rest.post('/auth/forgot-password', { email: typed })).status, 202, typed);
  const mails = (await mailsTo(server, email)).slice(0, -before);
  t.true(mails.length >= 1);
  const all = (await server.mail.kept(1_000)).map(({ to }) => to.email);
  t.deepEqual(
    all.filter((to) => to !== email && to.normalize('NFKC').toLowerCase().trim() === email),
    [],
  );
});

test('an address that would reach two mailboxes, or a header, is none', async (t) => {
  for (const email of [
    'kim@example.com,evil@example.com',
    'kim@example.com evil@example.com',
    'kim@example.com\r\nBcc: evil@example.com',
    'kim@example.com%0d%0aBcc:evil@example.com@x',
    '"kim@example.com"@evil.example',
    '<kim@example.com>',
    'kim@example.com\0',
    'k\u200bim@example.com',
    'k\u3164im@example.com',
    'k\ufe0fim@example.com',
    'kim@[127.0.0.1]',
  ]) {
    t.is((await register({ email })).status, 422, JSON.stringify(email));
    t.true([202, 422].includes((await people.rest.post('/auth/forgot-password', { email })).status));
  }
  const all = (await server.mail.kept(1_000)).map(({ to }) => to.email);
  t.deepEqual(
    all.filter((to) => /evil/.test(to)),
    [],
  );
});

test('a username from before the rule may be sent back as it is, by its holder and by an administrator', async (t) => {
  const admin = await people.person('admin');
  const { auth, id } = await people.person();
  const username = `rοot-${id.slice(0, 8)}`;
  await server.database.pool.query('UPDATE users SET username = $1, username_key = lower($1) WHERE id = $2', [
    username,
    id,
  ]);
  const kept = await people.rest.put('/users/me', { username, nickname: 'r' }, auth);
  t.deepEqual([kept.status, kept.body.username, kept.body.nickname], [200, username, 'r']);
  t.is((await people.rest.put(`/admin/users/${id}`, { username, nickname: 'o' }, admin.auth)).status, 200);
  t.is((await people.rest.put('/users/me', { username: `${username}x` }, auth)).status, 422);
});
