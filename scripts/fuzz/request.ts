// A request as it is generated: a template, whose {{names}} stand for what only a running service knows. So the same seed makes the
// same requests, a failing one can be shrunk, and what is printed of it holds no secret.

export type Pairs = [name: string, value: string][];

export type Body =
  | { as: 'json'; value: unknown }
  | { as: 'form'; pairs: Pairs }
  /** As it is; `latin1` where it is to be bytes that are no UTF-8. */
  | { as: 'raw'; text: string; latin1?: boolean }
  /** Nested so deep. */
  | { as: 'deep'; depth: number; open: '[' | '{"a":' };

export type FuzzRequest = {
  /** What it is about, for the figures: `POST /auth/login`. */
  operation: string;
  method: string;
  /** Segments that are not escaped yet. */
  path: string[];
  query: Pairs;
  headers: Pairs;
  body: Body | undefined;
};

/** The names, and what they stand for now. */
export type Known = (name: string) => string | undefined;

const NAME = /\{\{([\w.]+)\}\}/;

/** Escapes as a URL does, half characters included, which `encodeURIComponent` refuses: as the three bytes that they would be. */
export const escaped = (text: string): string =>
  [...text]
    .map((one) => {
      const code = one.codePointAt(0) ?? 0;
      if (code < 0xd800 || code > 0xdfff) return encodeURIComponent(one);
      return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)]
        .map((byte) => `%${byte.toString(16).toUpperCase()}`)
        .join('');
    })
    .join('');

const split = (text: string, known: Known, encode: (text: string) => string): string =>
  text
    .split(NAME)
    .map((part, index) => encode(index % 2 ? (known(part) ?? `no-${part}`) : part))
    .join('');

const filled = (value: unknown, known: Known): unknown => {
  if (typeof value === 'string') return split(value, known, String);
  if (Array.isArray(value)) return value.map((one) => filled(one, known));
  if (typeof value !== 'object' || value === null) return value;
  // Also where a member is called __proto__.
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, filled(one, known)]));
};

const pairsOf = (pairs: Pairs, known: Known): string =>
  pairs.map(([name, value]) => `${split(name, known, escaped)}=${split(value, known, escaped)}`).join('&');

const bodyOf = (body: Body, known: Known): Buffer => {
  if (body.as === 'json') return Buffer.from(JSON.stringify(filled(body.value, known)) ?? '');
  if (body.as === 'form') return Buffer.from(pairsOf(body.pairs, known));
  if (body.as === 'raw') return Buffer.from(split(body.text, known, String), body.latin1 ? 'latin1' : 'utf8');
  return Buffer.from(`${body.open.repeat(body.depth)}0${(body.open === '[' ? ']' : '}').repeat(body.depth)}`);
};

export type Filled = { method: string; target: string; headers: Pairs; body: Buffer | undefined };

// What a client of HTTP can put into a header at all; anything else is the business of wire.ts.
const SENDABLE = /[^\t\x20-\x7e\x80-\xff]/g;

/** The request with everything put in. */
export const fill = ({ method, path, query, headers, body }: FuzzRequest, known: Known): Filled => ({
  method,
  target: `/${path.map((one) => split(one, known, escaped)).join('/')}${query.length > 0 ? `?${pairsOf(query, known)}` : ''}`,
  headers: headers.map(([name, value]) => [name, split(value, known, String).replace(SENDABLE, '')]),
  body: body && bodyOf(body, known),
});
