import test from 'ava';
import { createForeignHashes } from '../../src/domain/password-hashes/foreign.ts';
import { createPasswords } from '../../src/domain/passwords.ts';
import { createSecrets } from '../../src/domain/secrets.ts';

const foreign = createForeignHashes(createSecrets('a master key of at least 32 bytes, for tests'));
const passwords = createPasswords({ minLength: 8 }, foreign);

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
