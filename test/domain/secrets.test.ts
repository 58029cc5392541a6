import test from 'ava';
import { createSecrets, equalSecrets, randomSecret } from '../../src/domain/secrets.ts';

const secrets = createSecrets('a master key of at least 32 bytes, for tests');

test('a sealed value opens again, under the same key and for the same context only', (t) => {
  const sealed = secrets.seal('{"d":"private"}', 'signing-key:1');
  t.is(secrets.open(sealed, 'signing-key:1'), '{"d":"private"}');
  t.throws(() => secrets.open(sealed, 'signing-key:2'));
  t.throws(() => createSecrets('another master key of 32 bytes or more').open(sealed, 'signing-key:1'));
});

test('a sealed value does not open when one character of it was changed, cut or added', (t) => {
  const sealed = secrets.seal('something worth keeping', 'context');
  for (const at of [3, 10, 25, sealed.length - 3]) {
    const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
    t.throws(() => secrets.open(changed, 'context'), undefined, `changed at ${at}`);
  }
  for (const broken of ['', 'v1.', 'v1.AAAA', sealed.slice(0, -8), `${sealed}AAAA`, sealed.replace('v1.', 'v2.')])
    t.throws(() => secrets.open(broken, 'context'), undefined, JSON.stringify(broken));
});

test('sealing twice gives two different values that do not contain the plaintext', (t) => {
  const plaintext = 'a-very-recognisable-secret';
  const [one, two] = [secrets.seal(plaintext, 'c'), secrets.seal(plaintext, 'c')];
  t.not(one, two);
  t.false(Buffer.from(one.slice(3), 'base64url').includes(plaintext));
});

test('a keyed hash is of one value, one purpose and one master key', (t) => {
  const hash = secrets.keyedHash('client-secret:a', 'secret');
  t.true(secrets.matches('client-secret:a', 'secret', hash));
  t.false(secrets.matches('client-secret:b', 'secret', hash));
  t.false(secrets.matches('client-secret:a', 'Secret', hash));
  t.not(createSecrets('another master key of 32 bytes or more').keyedHash('client-secret:a', 'secret'), hash);
  // The border between purpose and value cannot be moved.
  t.not(secrets.keyedHash('a', 'b\0c'), secrets.keyedHash('a\0b', 'cc'));
});

test('keys derived for different purposes differ', (t) => {
  const [cookieKey = ''] = secrets.cookieKeys;
  t.is(Buffer.from(cookieKey, 'base64url').length, 32);
  t.not(cookieKey, secrets.keyedHash('', ''));
});

test('secrets of different lengths compare as different without an error', (t) => {
  t.true(equalSecrets('same', 'same'));
  t.false(equalSecrets('short', 'a longer one'));
  t.false(equalSecrets('', 'x'));
});

test('random secrets have the bits that were asked for and do not repeat', (t) => {
  t.is(Buffer.from(randomSecret(32), 'base64url').length, 32);
  t.is(new Set(Array.from({ length: 1000 }, () => randomSecret(16))).size, 1000);
});
