// Hashes made by the tools that people come from. Made by Python 3.11 with argon2-cffi 25.1.0, bcrypt 4.0.1, passlib 1.7.4 and
// Django 5.2.19, each by its own hashing function at a low cost (`PasswordHasher(…).hash`, `bcrypt.hashpw`,
// `passlib.hash.X.using(…).hash`, `XPasswordHasher().encode`); the scrypt object by hashlib.scrypt.
import test from 'ava';
import { createForeignHashes, type ExportedHash } from '../../src/domain/password-hashes/foreign.ts';
import { createPasswords } from '../../src/domain/passwords.ts';
import { createSecrets } from '../../src/domain/secrets.ts';

const secrets = createSecrets('a master key of at least 32 bytes, for tests');
const foreign = createForeignHashes(secrets);
const passwords = createPasswords({ minLength: 8, blocklist: false }, foreign);

const PASSWORD = 'correct horse';
const LONG = `${'x'.repeat(72)}tail`;

const VECTORS: Record<string, ExportedHash> = {
  'argon2-cffi id': '$argon2id$v=19$m=1024,t=2,p=1$HpKkM9COeXP3jt9wF7OFUA$YvR65rKRCwMCYHJupAZqd9nVNSLsx4fiLQiCrDz8Ons',
  'argon2-cffi i': '$argon2i$v=19$m=1024,t=2,p=2$DuS1PCqf1bRCHRMHJdMTAQ$HNoTvOgDahui889oN1iAZpSk9SYIFNwPbymfgjg0NjI',
  'argon2-cffi d': '$argon2d$v=19$m=1024,t=2,p=1$a2tUBqYGoEUdc0tIM6I7yQ$JFTu94WcKlXcT+4fL/Q+oQ',
  'argon2 v16': '$argon2i$v=16$m=1024,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$79uhzeglFImgzBRmjhBiK17Whu3wlDY1j++O8fJz1UA',
  'passlib argon2': '$argon2id$v=19$m=1024,t=2,p=1$NAaA0PpfqxViTElJyVnLmQ$jztad9/zTjh1TObKPQbB0Hy7w+GN/xLTlAm7OZkZeYY',
  'bcrypt 2a': '$2a$05$Hft9d064lIKxkhY2qP2fEujJsz9z8/Zgxc5BFeSUnG1tI1Zo7dMaO',
  'bcrypt 2b': '$2b$05$Bpg8k2ZxqAA.ww3vKf6MAelT6FsXurQxFOaqJP43V/EIRXrI2psK6',
  'bcrypt 2y': '$2y$05$Bpg8k2ZxqAA.ww3vKf6MAelT6FsXurQxFOaqJP43V/EIRXrI2psK6',
  'passlib bcrypt': '$2b$05$ZqFXCX5/dfe8Ck8gQ5gn3OoJyox9og4WNQ/s0/droq.B9TE8vW0uq',
  'passlib bcrypt-sha256 v2': '$bcrypt-sha256$v=2,t=2b,r=5$YQNhsNazxSlRHsFcKRXtT.$B3SSDaVJ21C6VXDsCdvRyXQ/ThMH8Q6',
  'passlib bcrypt-sha256 v1': '$bcrypt-sha256$2b,5$3Q4uhP7l7G/MB1RK/vvYTe$t94Gy9Uz/7BGyAVHTDYHlYa67FGiDyK',
  'passlib scrypt': '$scrypt$ln=10,r=8,p=1$ybmX0lqrdS4FQIgRIiSEcA$MOvsc8ySJtX1b1m3DkslRp+R4A5+Wf8Hrj8jI3AOFMY',
  'passlib scrypt p2': '$scrypt$ln=8,r=4,p=2$W0spRYgxBqBUam0NobR2Tg$ZiXZbVC4XA5QRaGELibTiRRGscNy58XCGPQkVhrjdLY',
  'passlib pbkdf2-sha1': '$pbkdf2$1000$tjZmLAUA4LxXCmFMCaFU6g$JqGPNgczxvRkkRVE87Rj0cLK6Z8',
  'passlib pbkdf2-sha256': '$pbkdf2-sha256$1000$htC6d24t5Tzn/H.vNUYIYQ$2o9X54atNS5Jj9myTcD3IRg9C8ngvWHe0jqJeKCpuyU',
  'passlib pbkdf2-sha512':
    '$pbkdf2-sha512$1000$TUlpLeU8Z4yRkpJSau19Lw$3ShTrTPJjmXj/qUhPF89jymACTdV6lS.0iXQU95XIQl6vVUa77riBy2mxfLrAsfj6jY.7R65agJavbTDxEAeYA',
  'PHC pbkdf2-sha256': '$pbkdf2-sha256$i=1000,l=32$c2l4dGVlbiBieXRlcyBvZg$y6QesfSHiadJe14jSg2x291T5Tyg3Jl9BU9qqM70WLU',
  'PHC pbkdf2-sha512':
    '$pbkdf2-sha512$i=1000$c2l4dGVlbiBieXRlcyBvZg$xtUHJEfRfqTEYYolO3dcYZg/Rmx0gSVJXOJcdPqweU9Cfo1peXdB3Cp2Pg4K2PQMWSd9d0nMQnMQkAbq70N3jw',
  'django pbkdf2_sha256': 'pbkdf2_sha256$1000$aSaltOfDjango$NvYdhsMXv1W6H+8eYZtBMUlbQwcIMLc366lg74t/sRE=',
  'django pbkdf2_sha1': 'pbkdf2_sha1$1000$aSaltOfDjango$l5WkY1QFKHraBsTq+hYCj6HxL6I=',
  'django argon2':
    'argon2$argon2id$v=19$m=1024,t=2,p=1$YVNhbHRPZkRqYW5nbzIyY2hhcnNfXw$4Euw5aqugq/nLmEzsH7pADzjjyXJJbfB+ydz0A9Niy8',
  'django bcrypt_sha256': 'bcrypt_sha256$$2b$05$ekYNNTLA1ZsxgtURrRiCEOq/RiKcSzkaxaFQZ1a5pjJ.XW7t5zYvC',
  'django bcrypt': 'bcrypt$$2b$05$Tg2yFm3w93XFIWItpe/pPu7CX2WI7St1ufFUkv0FeWLvH.iTJtJu2',
  'django scrypt':
    'scrypt$1024$aSaltOfDjango$8$5$iw4PwKDm2sZG2pr09Ez9UnCTCjuWmPFASJu+64U6K191Vs9kqhNLPjyy7ZllT0M6kNChT/ecuAH/dbUgqmgARA==',
  'django scrypt default':
    'scrypt$16384$aSaltOfDjango$8$5$J1UQG13TEd2LcPmPxcjjoD7ODudT6QRqaB99sk3nJ5uKILN0k94REiShY3qyScPGiZ+OBNtlkKcPJh8f+zzprg==',
  'scrypt object': {
    algorithm: 'scrypt',
    salt: 'YSBzYWx0IG9mIDE2IGJ5dA==',
    n: 4096,
    r: 8,
    p: 1,
    key_length: 64,
    hash: 'M/ixxUFCUlYuPUr1UCkPupyycyUcSusFwIirbfLiu/S0ikwu1fWCLFRhz60SzpREdpBrmBjjjsViqlolC15pJg==',
  },
};

// Published with Firebase's scrypt tool: https://github.com/firebase/scrypt
const FIREBASE = {
  algorithm: 'firebase-scrypt',
  hash: 'lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==',
  salt: '42xEC+ixf3L2lw==',
  signer_key: 'jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==',
  salt_separator: 'Bw==',
  rounds: 8,
  mem_cost: 14,
} as const;

for (const [title, hash] of Object.entries(VECTORS))
  test(`a hash of ${title} verifies its own password only, and is to be replaced`, async (t) => {
    const stored = foreign.accept(hash);
    t.true(await passwords.verify(stored, PASSWORD));
    t.false(await passwords.verify(stored, 'Correct horse'));
    t.false(await passwords.verify(stored, ''));
    t.true(passwords.needsRehash(stored));
  });

test('Firebase’s own example verifies, and its signer key is not in what is stored', async (t) => {
  const stored = foreign.accept(FIREBASE);
  t.true(await passwords.verify(stored, 'user1password'));
  t.false(await passwords.verify(stored, 'user2password'));
  t.true(passwords.needsRehash(stored));
  t.false(stored.includes(FIREBASE.signer_key.slice(0, 16)));
  t.false(stored.includes(FIREBASE.hash.slice(0, 16)));
  const elsewhere = createForeignHashes(createSecrets('another master key, of 32 bytes or more'));
  t.false(await elsewhere.verify(stored, 'user1password'));
});

test('bcrypt looks at 72 bytes, what is wrapped around it at all of them', async (t) => {
  const plain = foreign.accept('$2b$05$OFFTpjig02xkQsHgYvpZyeHkDjp/3EWTkCdKiNrIfr8yH410X0HxO');
  t.true(await passwords.verify(plain, LONG));
  t.true(await passwords.verify(plain, `${'x'.repeat(72)}other`));
  t.false(await passwords.verify(plain, 'x'.repeat(71)));
  const wrapped = foreign.accept('$bcrypt-sha256$v=2,t=2b,r=5$3Hn2ZdDGCTyhpeYAhqqjse$L7EU4w/pOso6EjqeSF5ipgNb.fnfxPm');
  t.true(await passwords.verify(wrapped, LONG));
  t.false(await passwords.verify(wrapped, `${'x'.repeat(72)}other`));
});

test('a hash from elsewhere is of the password as typed there, and verifies so or normalised', async (t) => {
  const decomposed = foreign.accept('$2b$05$gDKSbhlmp9A.BbuBv2D5mOwVHZss/CDZYIyiiTChTPTDlZt.hn4uu');
  t.true(await passwords.verify(decomposed, 'cafe\u0301 au lait'));
  t.false(await passwords.verify(decomposed, 'caf\u00e9 au lait'), 'it was never typed like this there');
  const composed = foreign.accept('$2b$05$Zr/fXYZD2CWDNQquDOGT8.DqektSst14KVuF3t2XhjrYgvib22z6e');
  t.true(await passwords.verify(composed, 'caf\u00e9 au lait'));
  t.true(await passwords.verify(composed, 'cafe\u0301 au lait'));
});

test('an imported argon2id hash at today’s cost is still to be replaced', (t) => {
  const hash = '$argon2id$v=19$m=19456,t=2,p=1$sPY+h1CKUep9r5XSWsv5Xw$G+Ki32ikhHLu1q4Txwr9RIQsUnPnGf8M52RK174TZLQ';
  t.true(passwords.needsRehash(foreign.accept(hash)));
});

const S = '$c29tZXNhbHRzb21lc2FsdA';
const D = '$79uhzeglFImgzBRmjhBiK17Whu3wlDY1j++O8fJz1UA';
for (const [code, hashes] of Object.entries({
  hash_too_costly: [
    `$argon2id$v=19$m=1048577,t=1,p=1${S}${D}`,
    `$argon2id$v=19$m=1048576,t=5,p=1${S}${D}`,
    `$argon2id$v=19$m=19456,t=9999999,p=1${S}${D}`,
    `$argon2id$v=19$m=19456,t=2,p=64${S}${D}`,
    `$2b$16$${'a'.repeat(53)}`,
    `$2b$31$${'a'.repeat(53)}`,
    `bcrypt_sha256$$2b$20$${'a'.repeat(53)}`,
    `$bcrypt-sha256$v=2,t=2b,r=16$${'a'.repeat(22)}$${'a'.repeat(31)}`,
    `$scrypt$ln=19,r=8,p=1${S}${D}`,
    `$scrypt$ln=14,r=8,p=1024${S}${D}`,
    `scrypt$1048576$salt$8$1${D}`,
    `$pbkdf2-sha256$5000001${S}${D}`,
    `$pbkdf2-sha1$4000000${S}${D}`,
    `pbkdf2_sha256$9999999$salt${D}`,
    { algorithm: 'scrypt', hash: 'A'.repeat(44), salt: 'AAAA', n: 2 ** 30, r: 8, p: 1 },
    { ...FIREBASE, mem_cost: 24 },
  ],
  malformed_hash: [
    `$argon2id$v=19$m=19456,t=2${S}${D}`,
    `$argon2id$v=19$m=19456,t=2,p=1,x=1${S}${D}`,
    `$argon2id$v=19$m=19456,t=2,t=2,p=1${S}${D}`,
    `$argon2id$v=18$m=19456,t=2,p=1${S}${D}`,
    `$argon2id$v=19$m=19456,t=0,p=1${S}${D}`,
    `$argon2id$v=19$m=4,t=1,p=1${S}${D}`,
    `$argon2id$v=19$m=19456,t=-2,p=1${S}${D}`,
    `$argon2id$v=19$m=19456,t=2,p=1${S}$79uhzeg`,
    `$argon2id$v=19$m=19456,t=2,p=1${S}$79uh!eglFImgzBRmjhBiK17Whu3wlDY1j++O8fJz1UA`,
    `$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${D}`,
    `$2b$03$${'a'.repeat(53)}`,
    `$2b$10$${'a'.repeat(52)}`,
    `$2x$10$${'a'.repeat(53)}`,
    'bcrypt$nonsense',
    `$bcrypt-sha256$v=3,t=2b,r=5$${'a'.repeat(22)}$${'a'.repeat(31)}`,
    `$scrypt$ln=0,r=8,p=1${S}${D}`,
    `$scrypt$ln=10,r=0,p=1${S}${D}`,
    `scrypt$1000$salt$8$1${D}`,
    `$pbkdf2-sha256$0${S}${D}`,
    `$pbkdf2-md5$1000${S}${D}`,
    `$pbkdf2-sha256$i=1000,l=64${S}${D}`,
    `$pbkdf2-sha256$i=0${S}${D}`,
    `$pbkdf2-sha256$l=32,i=1000${S}${D}`,
    `pbkdf2_sha256$1e3$salt${D}`,
    { algorithm: 'scrypt', hash: 'A'.repeat(44), salt: 'AAAA', n: 1000, r: 8, p: 1 },
    { algorithm: 'scrypt', hash: 'A'.repeat(44), salt: 'AAAA', n: 1024, r: 8, p: 1, key_length: 64 },
    { algorithm: 'scrypt', hash: 'A'.repeat(44), salt: '', n: 1024, r: 8, p: 1 },
    { ...FIREBASE, signer_key: 'AAAA' },
    { ...FIREBASE, hash: 'A'.repeat(24) },
  ],
  unsupported_hash: [
    'correct horse',
    '5f4dcc3b5aa765d61d8327deb882cf99',
    '$1$salt$digest',
    '$6$rounds=5000$salt$digest',
    '!unusable',
    `$firebase-scrypt$${secrets.seal('{}', 'x')}`,
  ],
}))
  for (const hash of hashes)
    test(`${code}: ${JSON.stringify(hash).slice(0, 200)}`, (t) => {
      const error = t.throws(() => foreign.accept(hash as ExportedHash), { code });
      t.false(error?.message.includes('79uh'), 'what it says repeats nothing of the hash');
    });

test('a stored hash that cannot be read matches nothing, and is no error', async (t) => {
  for (const stored of ['', 'nonsense', '$2b$99$x', '$firebase-scrypt$v1.AAAA'])
    t.false(await passwords.verify(stored, PASSWORD), stored);
});
