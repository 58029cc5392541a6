import test from 'ava';
import { hash } from 'bcryptjs';
import { createAccounts } from '../../src/domain/accounts.ts';
import { claimsOf } from '../../src/domain/claims.ts';
import { createForeignHashes } from '../../src/domain/password-hashes/foreign.ts';
import { createPasswords } from '../../src/domain/passwords.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { openStores } from '../../src/storage/open-stores.ts';
import type { Stores } from '../../src/storage/stores.ts';
import { testDatabase } from '../helpers/database.ts';

const foreign = createForeignHashes(createSecrets('a master key of at least 32 bytes, for tests'));
let database: Awaited<ReturnType<typeof testDatabase>>;
let stores: Stores;
let accounts: ReturnType<typeof createAccounts>;

test.before(async () => {
  database = await testDatabase();
  stores = await openStores({
    databaseUrl: database.connectionString,
    dataDir: '',
    mode: 'share',
    migrations: 'require',
    onError: () => {},
  });
  accounts = createAccounts(stores, createPasswords({ minLength: 6, blocklist: false }, foreign));
});

test.after.always(async () => {
  await stores?.close();
  await database?.close();
});

test('an account is found by its email address and its username, in any letter case', async (t) => {
  const created = await accounts.create({ email: 'Ada@Example.com', password: 'secret1', username: 'Ada.L' });
  for (const login of ['ada@example.com', 'ADA@EXAMPLE.COM', ' Ada@Example.com ', 'ada.l', 'ADA.L'])
    t.is((await accounts.authenticate(login, 'secret1'))?.id, created.id, login);
  t.is(created.email, 'Ada@Example.com');
  t.is(await accounts.authenticate('ada@example.com', 'secret2'), undefined);
  t.is(await accounts.authenticate('nobody@example.com', 'secret1'), undefined);
});

test('of 50 parallel creations with one email address, one succeeds', async (t) => {
  const attempts = await Promise.allSettled(
    Array.from({ length: 50 }, (_, i) => accounts.create({ email: i % 2 ? 'race@example.com' : 'RACE@example.com' })),
  );
  t.is(attempts.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const attempt of attempts) if (attempt.status === 'rejected') t.is(attempt.reason.code, 'email_taken');
});

test('a username is taken in any letter case, and told apart from a taken email address', async (t) => {
  await accounts.create({ email: 'first@example.com', username: 'Taken' });
  await t.throwsAsync(accounts.create({ email: 'second@example.com', username: 'tAKEN' }), { code: 'username_taken' });
  await t.throwsAsync(accounts.create({ email: 'FIRST@example.com', username: 'other' }), { code: 'email_taken' });
});

for (const email of [
  '',
  'no-at',
  '@example.com',
  'a@',
  'a b@example.com',
  'a@b@c',
  'a@exa mple.com',
  'a<b>@example.com',
  'a\0@example.com',
  'a\u202e@example.com',
])
  test(`“${email}” is not an email address`, async (t) => {
    await t.throwsAsync(accounts.create({ email }), { code: 'invalid_email' });
  });

for (const username of ['', 'a@b', 'with space', '-dash', '.dot', 'x'.repeat(65), 'a/b', 'a\u202eb'])
  test(`“${username.slice(0, 20)}” is not a username`, async (t) => {
    await t.throwsAsync(accounts.create({ email: 'u@example.com', username }), { code: 'invalid_username' });
  });

test('a banned account neither signs in nor is found', async (t) => {
  const { id } = await accounts.create({ email: 'banned@example.com', password: 'secret1' });
  await database.pool.query('UPDATE users SET banned_at = now() WHERE id = $1', [id]);
  t.is(await accounts.authenticate('banned@example.com', 'secret1'), undefined);
  t.is(await accounts.find(id), undefined);
});

test('an id that is no uuid is nobody’s, and no database error', async (t) => {
  for (const id of ['', 'x', "' OR 1=1 --", '00000000-0000-0000-0000-00000000000g'])
    t.is(await accounts.find(id), undefined);
});

test('a new password replaces the old one and ends what the account holds', async (t) => {
  const { id } = await accounts.create({ email: 'reset@example.com', password: 'before1' });
  await stores.artifacts.upsert('Session', 'hash', {
    payload: 'sealed',
    expiresAt: Math.floor(Date.now() / 1000) + 60,
    accountId: id,
    uid: 'uid',
  });
  await accounts.setPassword('RESET@example.com', 'after12');
  t.is(await stores.artifacts.find('Session', 'hash'), undefined);
  t.is(await accounts.authenticate('reset@example.com', 'before1'), undefined);
  t.is((await accounts.authenticate('reset@example.com', 'after12'))?.id, id);
  await t.throwsAsync(accounts.setPassword('nobody@example.com', 'after12'), { code: 'unknown_user' });
  await t.throwsAsync(accounts.setPassword('reset@example.com', 'short'), { code: 'password_too_short' });
});

test('a hash made at a lower cost is replaced at the next sign-in', async (t) => {
  const { id } = await accounts.create({ email: 'old@example.com', password: 'secret1' });
  const weak = await (await import('argon2')).hash('secret1', { memoryCost: 8192, timeCost: 2, parallelism: 1 });
  await database.pool.query('UPDATE users SET password_hash = $2 WHERE id = $1', [id, weak]);
  t.truthy(await accounts.authenticate('old@example.com', 'secret1'));
  const { rows } = await database.pool.query('SELECT password_hash FROM users WHERE id = $1', [id]);
  t.regex(rows[0].password_hash, /m=19456/);
  t.truthy(await accounts.authenticate('old@example.com', 'secret1'));
});

test('a password that could not be chosen today signs in with its old hash, which is replaced all the same', async (t) => {
  const { id } = await accounts.create({ email: 'short@example.com', password: 'secret1' });
  const stored = foreign.accept(await hash('abc', 4));
  await database.pool.query('UPDATE users SET password_hash = $2 WHERE id = $1', [id, stored]);
  t.is(await accounts.authenticate('short@example.com', 'abd'), undefined);
  t.is((await accounts.authenticate('short@example.com', 'abc'))?.id, id);
  const { rows } = await database.pool.query('SELECT password_hash FROM users WHERE id = $1', [id]);
  t.regex(rows[0].password_hash, /^\$argon2id\$v=19\$m=19456,p=1,t=2/);
  t.is((await accounts.authenticate('short@example.com', 'abc'))?.id, id);
  t.is(await accounts.authenticate('short@example.com', 'abd'), undefined);
});

const claimsById = async (id: string) => {
  const user = await accounts.find(id);
  return user ? claimsOf(user) : {};
};

test('every OIDC standard claim can be stored and is given back; unknown ones are absent', async (t) => {
  const { id } = await accounts.create({ email: 'full@example.com', username: 'full' });
  t.deepEqual(Object.keys(await claimsById(id)).sort(), [
    'email',
    'email_verified',
    'preferred_username',
    'sub',
    'updated_at',
  ]);
  await database.pool.query(
    `UPDATE users SET name='N', given_name='G', family_name='F', middle_name='M', nickname='Nick', profile='https://p/',
     picture='https://pic/', website='https://w/', gender='x', birthdate='1815-12-10', zoneinfo='Europe/London',
     locale='en-GB', phone_number='+44 1', phone_number_verified=true, address='{"country":"UK"}' WHERE id=$1`,
    [id],
  );
  const claims = await claimsById(id);
  // OIDC Core §5.1, the whole table.
  const all =
    'sub name given_name family_name middle_name nickname preferred_username profile picture website email email_verified gender birthdate zoneinfo locale phone_number phone_number_verified address updated_at';
  t.deepEqual(Object.keys(claims).sort(), all.split(' ').sort());
  t.deepEqual('address' in claims && claims.address, { country: 'UK' });
  t.is('updated_at' in claims && typeof claims.updated_at, 'number');
});
