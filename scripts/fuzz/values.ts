// What callers should not send, and do: nothing, too much, the wrong kind, half characters, and what other layers take for their own.
import fc, { type Arbitrary } from 'fast-check';

/** Names of members that every object has without having been given them. */
const INHERITED = [
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'prototype',
  'valueOf',
  '__defineGetter__',
];

/** Were it to come back as it is, it would be an element of a page. */
export const MARKUP = '"><fuzz x=\'`';

const ODD = [
  '',
  ' ',
  '\t',
  '\0',
  'a\0b',
  '\u0001\u001b[31m\u007f\u0085',
  '\r\nX-Injected: yes',
  '\n',
  '\ud800',
  'a\udc00b',
  '\u202eevil',
  '\u2028\u2029',
  '\ufeff',
  '\uffff',
  'İıﬀﬃ',
  'e\u0301'.repeat(20),
  '👩‍👩‍👧‍👦'.repeat(5),
  MARKUP,
  "' OR 1=1 --",
  '%',
  '%_\\',
  '%00',
  '%ff%fe',
  '%u0000',
  '../../../etc/passwd',
  '..%2f',
  '//evil.example/',
  '\\\\evil.example',
  '<%= 7*7 %>#{7*7}',
  '{% raw %}',
  '$where',
  'null',
  'undefined',
  'NaN',
  'true',
  '[]',
  '{}',
  '[object Object]',
  '0',
  '-1',
  '-0',
  '1e400',
  '0x10',
  '2147483648',
  '9007199254740993',
  '99999999999999999999999999',
  '1970-01-01T00:00:00Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999Z',
  '+275760-09-13T00:00:00.001Z',
  '2026-02-30',
  'http://[',
  'http://user:pass@host:99999/#x',
  'https://xn--/',
  'javascript:alert(1)',
  'data:text/html,x',
  'file:///etc/passwd',
  'http://169.254.169.254/latest',
  'urn:',
  'a@b',
  'a@b@c.example',
  '"a b"@c.example',
  `${'a'.repeat(64)}@${'b'.repeat(63)}.example`,
  'eyJhbGciOiJub25lIn0.e30.',
  'eyJhbGciOiJIUzI1NiJ9.e30.AAAA',
  'e30.e30.e30',
  '....',
  'uak_',
  ...INHERITED,
];

const long = fc
  .tuple(
    fc.constantFrom('a', '0', ' ', '\0', '%', 'é', '𝕏', '(', '[', '.', 'a.', '\\', '"', '&'),
    fc.constantFrom(65, 321, 2_100, 17_000, 110_000),
  )
  .map(([unit, length]) => unit.repeat(Math.ceil(length / unit.length)));

/** Shrinks to the empty one. */
export const hostileText: Arbitrary<string> = fc.oneof(
  { arbitrary: fc.constantFrom(...ODD), weight: 8 },
  { arbitrary: fc.string({ unit: 'binary', maxLength: 40 }), weight: 3 },
  { arbitrary: fc.string({ unit: 'grapheme', maxLength: 40 }), weight: 2 },
  // UTF-16 as JavaScript has it: halves of characters included.
  {
    arbitrary: fc
      .array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 })
      .map((codes) => String.fromCharCode(...codes)),
    weight: 2,
  },
  { arbitrary: fc.string({ maxLength: 60 }), weight: 2 },
  { arbitrary: long, weight: 1 },
);

export const hostileName: Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    ...INHERITED,
    '',
    'a[b]',
    'a[]',
    'a[b][c][d]',
    '[',
    ']',
    '.',
    'id',
    'role',
    'is_admin',
    'email_verified',
    '\0',
    MARKUP,
  ),
  fc.string({ unit: 'binary', maxLength: 10 }),
);

/** Anything that JSON can say. */
export const hostileJson: Arbitrary<unknown> = fc.oneof(
  {
    arbitrary: fc.constantFrom<unknown>(
      null,
      true,
      false,
      0,
      -1,
      1.5,
      1e308,
      2 ** 53,
      -(2 ** 31) - 1,
      [],
      {},
      [null],
      [[]],
    ),
    weight: 4,
  },
  { arbitrary: hostileText, weight: 6 },
  { arbitrary: fc.array(hostileText, { maxLength: 4 }), weight: 2 },
  { arbitrary: fc.dictionary(hostileName, hostileText, { maxKeys: 3 }), weight: 2 },
  { arbitrary: fc.jsonValue({ maxDepth: 4 }), weight: 2 },
  { arbitrary: fc.constantFrom(150, 3_000).map((length) => new Array(length).fill('x')), weight: 1 },
);
