// Parts that requests of every kind have: headers that mean something to some layer, and bodies in the wrong clothes.
import fc, { type Arbitrary } from 'fast-check';
import type { Body, FuzzRequest, Pairs } from './request.ts';
import { hostileText } from './values.ts';

const FORM = 'application/x-www-form-urlencoded';

const HEADERS: Record<string, readonly string[]> = {
  accept: ['text/html', 'application/json', '*/*', 'text/html;q=0.1, application/json', ';q=x', 'text/plain'],
  'accept-language': ['zh-CN', 'en, de;q=0.5', '*', 'x'.repeat(500), ';q=', '--'],
  'accept-encoding': ['gzip', 'identity;q=0'],
  origin: ['null', 'https://platform.example', 'https://evil.example', '{{issuer}}'],
  'sec-fetch-site': ['cross-site', 'same-origin', 'none', 'x'],
  'x-request-id': ['a'.repeat(65), 'short', 'with space in it', '{jndi:x}'],
  'x-forwarded-for': ['192.0.2.1', '::1', 'x, y, z', ','.repeat(100)],
  'x-forwarded-host': ['evil.example'],
  'x-forwarded-proto': ['https', 'javascript'],
  'x-real-ip': ['192.0.2.1'],
  forwarded: ['for=192.0.2.1;host=evil.example'],
  'user-agent': ['Mozilla/5.0', '', 'x'.repeat(3000), 'é\u00ff'],
  'if-none-match': ['*', '"x"'],
  'if-modified-since': ['yesterday'],
  range: ['bytes=0-0', 'bytes=-1'],
  cookie: [
    'session=x; session.sig=y',
    '=',
    ';;;',
    'form=%',
    `session=${'x'.repeat(2000)}`,
    '__proto__=x',
    'interaction=x',
    'device=x',
  ],
  'access-control-request-method': ['POST'],
  'x-api-key': ['{{user.key}}', '{{admin.key}}', 'uak_x', ''],
  'x-client-cert': ['x', '%00'],
  dpop: ['x', 'e30.e30.e30', '{{sign.dpop}}'],
  'x-http-method-override': ['DELETE'],
  te: ['trailers'],
};

/** A few headers, known ones and unknown, with values right and wrong. */
export const otherHeaders: Arbitrary<Pairs> = fc.oneof(
  { arbitrary: fc.constant<Pairs>([]), weight: 3 },
  {
    arbitrary: fc.array(
      fc
        .constantFrom(...Object.keys(HEADERS))
        .chain((name) =>
          fc.tuple(
            fc.constant(name),
            fc.oneof(
              { arbitrary: fc.constantFrom(...(HEADERS[name] ?? [''])), weight: 4 },
              { arbitrary: hostileText.map((text) => text.slice(0, 4_000)), weight: 1 },
            ),
          ),
        ),
      { maxLength: 3 },
    ),
    weight: 2,
  },
);

const TYPES = [
  'application/json',
  FORM,
  'text/plain',
  'application/x-ndjson',
  'multipart/form-data; boundary=x',
  'multipart/form-data',
  '',
  'application/json; charset=utf-7',
  'application/json; charset=utf-16le',
  `${FORM}; charset=latin1`,
  'application/vnd.api+json',
  'text/html',
  'application/jwt',
  'x',
  '/;;;=',
];

const RAW: Arbitrary<Body> = fc.oneof(
  fc
    .constantFrom(
      '',
      ' ',
      'null',
      '7',
      '"x"',
      '[]',
      '{',
      '{"a":1,"a":2}',
      '{"__proto__":{"role":"admin"}}',
      '\ufeff{}',
      '{}{}',
      '{"a":1e999}',
      '\u0000',
      '&&&',
      '=',
      'a=%',
      'a=%ff',
      'a[__proto__][b]=1',
      '--x\r\n\r\n--x--',
      'e30.e30.',
    )
    .map((text): Body => ({ as: 'raw', text })),
  hostileText.map((text): Body => ({ as: 'raw', text })),
  fc
    .string({ unit: fc.integer({ min: 0x80, max: 0xff }).map((code) => String.fromCharCode(code)), maxLength: 20 })
    .map((text): Body => ({ as: 'raw', text, latin1: true })),
  fc
    .tuple(fc.constantFrom(10, 500, 16_000, 49_000), fc.constantFrom('[' as const, '{"a":' as const))
    .map(([depth, open]): Body => ({ as: 'deep', depth, open })),
);

type Carried = Partial<FuzzRequest>;

const carried = (body: Body | undefined, type: string | undefined, more: Pairs = []): Carried => ({
  body,
  headers: [...(type === undefined ? [] : ([['content-type', type]] as Pairs)), ...more],
});

/** This body as it should be sent, or sent otherwise, or another one altogether. */
export const dressed = (body: Body, type: string): Arbitrary<Carried> =>
  fc.oneof(
    { arbitrary: fc.constant(carried(body, type)), weight: 12 },
    { arbitrary: RAW.map((raw) => carried(raw, type)), weight: 2 },
    { arbitrary: fc.constantFrom(...TYPES).map((other) => carried(body, other)), weight: 1 },
    { arbitrary: fc.tuple(RAW, fc.constantFrom(...TYPES)).map(([raw, other]) => carried(raw, other)), weight: 1 },
    {
      arbitrary: fc
        .constantFrom('gzip', 'br', 'deflate', 'identity', 'x', 'gzip, gzip')
        .map((how) => carried(body, type, [['content-encoding', how]])),
      weight: 1,
    },
    { arbitrary: fc.constantFrom<Carried>(carried(undefined, type), carried(body, undefined), {}), weight: 1 },
  );

export const bodyOfPairs = (pairs: Pairs): Arbitrary<Carried> => {
  // As JSON what comes twice is a list.
  const names = [...new Set(pairs.map(([name]) => name))];
  const value = Object.fromEntries(
    names.map((name) => {
      const values = pairs.filter(([other]) => other === name).map(([, one]) => one);
      return [name, values.length === 1 ? values[0] : values];
    }),
  );
  return fc.oneof(
    { arbitrary: dressed({ as: 'form', pairs }, FORM), weight: 12 },
    { arbitrary: dressed({ as: 'json', value }, 'application/json'), weight: 1 },
  );
};
