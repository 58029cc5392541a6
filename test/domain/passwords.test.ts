import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import test from 'ava';
import { isCommon } from '../../src/domain/common-passwords.ts';
import { createForeignHashes } from '../../src/domain/password-hashes/foreign.ts';
import { createPasswords } from '../../src/domain/passwords.ts';
import { createSecrets } from '../../src/domain/secrets.ts';

const foreign = createForeignHashes(createSecrets('a master key of at least 32 bytes, for tests'));
const passwords = createPasswords({ minLength: 8, blocklist: false }, foreign);

test('a password verifies against its own hash only', async (t) => {
  const hash = await passwords.hash('correct horse');
  t.regex(hash, /^\$argon2id\$v=19\$m=19456,p=1,t=2\$/);
  t.true(await passwords.verify(hash, 'correct horse'));
  t.false(await passwords.verify(hash, 'Correct horse'));
  t.false(await passwords.verify(hash, ''));
});

test('without a hash nothing verifies, not even the decoy’s own password', async (t) => {
  for (const missing of [null, undefined]) t.false(await passwords.verify(missing, 'a password nobody has'));
});

test('the same characters typed in another Unicode form are the same password', async (t) => {
  const composed = 'caf\u00e9-au-lait';
  const decomposed = 'cafe\u0301-au-lait';
  t.not(composed, decomposed);
  t.true(await passwords.verify(await passwords.hash(composed), decomposed));
});

test('length is counted in characters: too short and too long are refused, the limits are not', async (t) => {
  await t.throwsAsync(passwords.hash('sevenge'), { code: 'password_too_short' });
  // Seven characters, 28 bytes.
  await t.throwsAsync(passwords.hash('🔑'.repeat(7)), { code: 'password_too_short' });
  await t.notThrowsAsync(passwords.hash('🔑'.repeat(8)));
  await t.notThrowsAsync(passwords.hash('x'.repeat(256)));
  await t.throwsAsync(passwords.hash('x'.repeat(257)), { code: 'password_too_long' });
});

test('an overlong attempt is refused without being hashed', async (t) => {
  const hash = await passwords.hash('correct horse');
  t.false(await passwords.verify(hash, 'x'.repeat(1_000_000)));
});

// What production says.
const strict = createPasswords(
  { minLength: 8, blocklist: true, serviceNames: ['auth.example.com', 'example'] },
  foreign,
);

for (const password of [
  'password',
  'PASSWORD',
  'qwertyuiop',
  '1234567890',
  'iloveyou1',
  '\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44',
  'trustno1',
])
  test(`“${password}” is too common`, async (t) => {
    await t.throwsAsync(strict.hash(password), { code: 'password_too_common' });
    await t.notThrowsAsync(passwords.hash(password), 'where the list is off');
  });

test('the list is known from its first line to its last', async (t) => {
  const text = gunzipSync(
    readFileSync(new URL('../../src/domain/common-passwords.txt.gz', import.meta.url)),
  ).toString();
  const [header = '', body = ''] = text.split('\n\n', 2);
  t.regex(header, /^# .*\n.*scripts\/make-password-list\.ts/);
  const lines = body.split('\n').slice(0, -1);
  t.true(lines.length > 40_000);
  for (const line of [
    lines[0],
    lines[1],
    lines.at(-2),
    lines.at(-1),
    ...lines.filter((_, index) => index % 97 === 0),
  ]) {
    t.true(await isCommon(line ?? ''), line);
    t.false(await isCommon(`${line} and more`));
  }
  for (const none of ['', '\n', 'a\nb', `${lines[5]}\n${lines[6]}`, '\uffff', '!']) t.false(await isCommon(none));
});

test('a password must not be what everybody knows of its owner, in any letter case', async (t) => {
  const owner = { email: 'Ada.Lovelace@example.org', username: 'Countess99' };
  for (const password of ['ada.lovelace@EXAMPLE.org', 'ADA.lovelace', ' ada.lovelace ', 'countess99', 'COUNTESS99'])
    await t.throwsAsync(strict.hash(password, owner), { code: 'password_too_common' }, password);
  for (const password of ['User-Auth', 'USERAUTH', 'auth.Example.com'])
    await t.throwsAsync(strict.hash(password, owner), { code: 'password_too_common' }, password);
  for (const password of ['ada.lovelace 1815', 'countess of 99', 'example.org is mine'])
    await t.notThrowsAsync(strict.hash(password, owner), password);
  await t.notThrowsAsync(strict.hash('a name nobody has', { email: '', username: null }));
});

test('a password that is too common can still be rehashed: it is somebody’s already', async (t) => {
  t.true(await strict.verify(await strict.rehash('password'), 'password'));
});

test('a hash is made anew when today’s cost is another one, and only then', async (t) => {
  const hash = await passwords.hash('correct horse');
  t.false(passwords.needsRehash(hash));
  for (const cost of [
    { memoryCost: 20_000, timeCost: 2 },
    { memoryCost: 19_456, timeCost: 3 },
  ]) {
    const dearer = createPasswords({ minLength: 8, blocklist: false, cost }, foreign);
    t.true(dearer.needsRehash(hash));
    t.false(dearer.needsRehash(await dearer.hash('correct horse')));
    t.true(passwords.needsRehash(await dearer.hash('correct horse')));
  }
});

test('nothing but length, the list and the owner’s names speaks against a password', async (t) => {
  for (const password of ['all lower case words', '8 7 6 5 4 3 9', '\u{1f511}'.repeat(8), 'x'.repeat(256)])
    await t.notThrowsAsync(strict.hash(password));
});

test('a password costs 19 MiB and two passes, unless told otherwise', async (t) => {
  t.regex(await passwords.hash('a quiet harbour'), /^\$argon2id\$v=19\$m=19456,p=1,t=2\$/);
});
