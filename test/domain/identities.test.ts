import { randomUUID } from 'node:crypto';
import test from 'ava';
import { derivedUsername } from '../../src/domain/derived-username.ts';
import type { Vouched } from '../../src/domain/identities.ts';
import { mailsTo } from '../helpers/mailbox.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const GOOGLE = 'https://accounts.google.com';
let server: TestServer;

test.before(async () => {
  server = await startServer({
    federation: {
      openid: [],
      google: { clientId: 'id', clientSecret: 'secret', issuer: GOOGLE },
    },
  });
});
test.after.always(() => server?.close());

const sql = async (text: string, ...values: unknown[]) => (await server.database.pool.query(text, values)).rows;

let serial = 0;
const vouched = (more: Partial<Vouched> = {}): Vouched => {
  serial += 1;
  return {
    provider: 'google',
    issuer: GOOGLE,
    subject: `subject-${serial}`,
    email: `vouched-${serial}@example.com`,
    emailVerified: true,
    authoritative: true,
    ...more,
  };
};
const account = async (email: string, emailVerified: boolean) =>
  server.accounts.create({ email, password: 'a long password', emailVerified });

test('of twenty first sign-ins of one person at once, one makes the user, and all are that user', async (t) => {
  const person = vouched({ username: 'racer' });
  const users = await Promise.all(Array.from({ length: 20 }, () => server.identities.signIn(person)));
  t.is(new Set(users.map(({ id }) => id)).size, 1);
  t.is((await sql('SELECT id FROM users WHERE email = $1', person.email)).length, 1);
  t.is((await sql('SELECT id FROM identities WHERE subject = $1', person.subject)).length, 1);
  const events = await sql("SELECT 1 FROM audit_events WHERE type = 'user.registered' AND target = $1", users[0]?.id);
  t.is(events.length, 1);
});

test('people of one name who come at the same time get usernames of their own', async (t) => {
  const users = await Promise.all(
    Array.from({ length: 5 }, () => server.identities.signIn(vouched({ username: 'same.name' }))),
  );
  t.is(new Set(users.map(({ username }) => username)).size, 5);
  for (const { username } of users) t.regex(String(username), /^same\.name(-\d+)?$/);
});

test('two providers who vouch for one address at once make one user, who has both', async (t) => {
  const one = vouched();
  const other = { ...one, provider: 'github', subject: `other-${one.subject}` };
  const [a, b] = await Promise.all([server.identities.signIn(one), server.identities.signIn(other)]);
  t.is(a.id, b.id);
  t.is((await server.identities.list(a.id)).length, 2);
});

for (const [there, here] of [
  [true, false],
  [false, true],
  [false, false],
] as const)
  test(`an account is not linked when the provider ${there ? 'has' : 'has not'} verified the address and the account ${here ? 'has' : 'has not'}`, async (t) => {
    const person = vouched({ emailVerified: there });
    const { id } = await account(String(person.email), here);
    await t.throwsAsync(server.identities.signIn(person), { code: 'account_exists' });
    t.deepEqual(await server.identities.list(id), []);
    const [event] = await sql("SELECT event FROM audit_events WHERE type = 'login.failed' AND target = $1", id);
    t.deepEqual(JSON.parse(event.event).details, { method: 'google', reason: 'account_exists' });
  });

test('an account is linked when both have verified the address, and its holder is told by mail', async (t) => {
  const person = vouched();
  const { id } = await account(String(person.email).toUpperCase(), true);
  t.is((await server.identities.signIn(person)).id, id);
  t.like(await server.identities.list(id), [{ provider: 'google', subject: person.subject }]);
  const [mail] = await mailsTo(server, String(person.email).toUpperCase());
  t.deepEqual(mail, { template: 'sign_in_method_added', provider: 'Google', name: person.email });
  t.is((await sql("SELECT 1 FROM audit_events WHERE type = 'identity.linked' AND target = $1", id)).length, 1);
  // The same person again: nothing new.
  t.is((await server.identities.signIn(person)).id, id);
  t.is((await sql("SELECT 1 FROM audit_events WHERE type = 'identity.linked' AND target = $1", id)).length, 1);
});

test('an address that only looks the same is somebody else’s', async (t) => {
  const { id, email } = await account(`look-alike-${++serial}@example.com`, true);
  const person = vouched({ email: email.replace('look', 'ｌook') });
  await t.throwsAsync(server.identities.signIn(person), { code: 'account_exists' });
  t.deepEqual(await server.identities.list(id), []);
});

test('an address that stops being proven while somebody is on their way is not linked', async (t) => {
  const person = vouched();
  const { id } = await account(String(person.email), true);
  const store = server.stores.identities;
  const { subject } = person;
  const columns = { provider: 'google', issuer: GOOGLE, subject, email: null, emailVerified: false, profile: {} };
  t.is(await store.link({ id, credentialsEpoch: 0 }, columns, { emailKey: 'another@example.com' }), 'unproven');
  await sql('UPDATE users SET email_verified = false WHERE id = $1', id);
  t.is(await store.link({ id, credentialsEpoch: 0 }, columns), 'unproven');
  t.is(await store.link({ id: randomUUID(), credentialsEpoch: 0 }, columns), 'over');
});

test('an identity that signs in to one account is not linked to another', async (t) => {
  const person = vouched();
  await server.identities.signIn(person);
  const other = await account(`other-${person.email}`, true);
  await t.throwsAsync(server.identities.link(other, person), { code: 'identity_taken' });
  const unproven = await account(`unproven-${person.email}`, false);
  await t.throwsAsync(server.identities.link(unproven, vouched()), { code: 'email_not_verified' });
});

test('of the last two ways in, unlinked at once, one stays', async (t) => {
  const person = vouched();
  const user = await server.identities.signIn(person);
  await server.identities.link(user, vouched());
  const ids = (await server.identities.list(user.id)).map(({ id }) => id);
  const outcomes = await Promise.allSettled(ids.map((id) => server.identities.unlink(user, id)));
  t.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  t.is((await server.identities.list(user.id)).length, 1);
});

test('a provider that is not set up any more is no way in', async (t) => {
  const user = await server.identities.signIn(vouched());
  const [google] = await server.identities.list(user.id);
  await server.identities.link(user, vouched({ provider: 'former' }));
  await t.throwsAsync(server.identities.unlink(user, google?.id ?? ''), { code: 'last_way_in' });
  await account(`someone-${user.email}`, true);
  const stranger = await account(`stranger-${user.email}`, true);
  await t.throwsAsync(server.identities.unlink(stranger, google?.id ?? ''), { code: 'unknown_identity' });
});

test('an address that cannot be one counts as none', async (t) => {
  for (const email of [undefined, 'not an address', 'a@b@c', '\u202Eadmin@example.com'])
    await t.throwsAsync(
      server.identities.signIn(vouched({ email })),
      { code: 'identity_without_email' },
      String(email),
    );
});

test('a username is made of what the provider tells, and can always be one', (t) => {
  for (const [from, expected] of [
    [{ username: 'octocat' }, 'octocat'],
    [{ username: 'ada@corp.example' }, 'ada'],
    [{ email: 'grace.hopper+news@example.com' }, 'grace.hoppernews'],
    [{ email: '+@example.com', name: 'Ada Lovelace' }, 'Ada.Lovelace'],
    [{ name: '王小明' }, '王小明'],
    [{ username: '-_.ada' }, 'ada'],
    [{ username: '\u0000\u202E<b>', name: '!!!' }, 'b'],
    [{ username: '𝒜'.repeat(50) }, 'A'.repeat(40)],
    [{ username: `${'a'.repeat(39)}𠀀` }, 'a'.repeat(39)],
    [{}, 'user'],
  ] as const)
    t.is(derivedUsername(from), expected);
});
