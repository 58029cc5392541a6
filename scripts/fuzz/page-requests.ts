// Requests to the pages: their forms, with the cookies and form tokens that go with them, and addresses that are nobody's.
import fc, { type Arbitrary } from 'fast-check';
import { bodyOfPairs, otherHeaders } from './parts.ts';
import type { FuzzRequest, Pairs } from './request.ts';
import { hostileName, hostileText } from './values.ts';

type Page = { path: string; cookies?: string; form?: Record<string, string>; query?: Record<string, string> };

const login = { cookies: '{{login.cookies}}' };
const consent = { cookies: '{{consent.cookies}}' };
const account = { cookies: '{{account.cookies}}' };
const form = { cookies: '{{form.cookies}}' };
const MAILED = { csrf: '{{form.csrf}}', token: '{{mail.token}}' };
const VERIFIED = { csrf: '{{form.csrf}}', token: '{{mail.verify}}' };

const PAGES: readonly Page[] = [
  { path: '' },
  { path: 'login' },
  { path: 'docs' },
  { path: 'docs/start.js' },
  { path: 'assets/style.css', query: { v: 'x' } },
  { path: 'dev/mail', ...form },
  { path: 'dev/mail/{{none.uuid}}' },
  { path: 'dev/mail/{{mail.id}}/html' },
  { path: 'interaction/{{login.uid}}', ...login },
  {
    path: 'interaction/{{login.uid}}/login',
    ...login,
    form: { csrf: '{{login.csrf}}', login: '{{user.email}}', password: 'wrong' },
  },
  {
    path: 'interaction/{{login.uid}}/login',
    ...login,
    form: { csrf: '{{login.csrf}}', login: '{{user.email}}', password: '{{user.password}}' },
  },
  { path: 'interaction/{{login.uid}}/cancel', ...login, form: { csrf: '{{login.csrf}}' } },
  { path: 'interaction/{{login.uid}}/with/google', ...login },
  { path: 'interaction/{{login.uid}}/signed-in', ...login },
  { path: 'interaction/{{consent.uid}}', ...consent },
  { path: 'interaction/{{consent.uid}}/consent', ...consent, form: { csrf: '{{consent.csrf}}', decision: 'allow' } },
  { path: 'interaction/{{consent.uid}}/account', ...consent, form: { csrf: '{{consent.csrf}}', account: 'continue' } },
  { path: 'oauth/authorize/{{login.uid}}', ...login },
  { path: 'account', ...account, query: { outcome: 'linked', identity: 'x' } },
  { path: 'account/approvals/{{approval.id}}', ...account, form: { csrf: '{{account.csrf}}', decision: 'approve' } },
  { path: 'account/link/google', ...account, form: { csrf: '{{account.csrf}}' } },
  { path: 'account/unlink/{{none.uuid}}', ...account, form: { csrf: '{{account.csrf}}' } },
  { path: 'device', ...account, form: { xsrf: '{{device.xsrf}}', user_code: '{{television.user_code}}' } },
  {
    path: 'device',
    ...account,
    form: { xsrf: '{{device.xsrf}}', user_code: '{{television.user_code}}', confirm: 'yes' },
  },
  { path: 'oauth/logout/confirm', ...account, form: { xsrf: '{{logout.xsrf}}', logout: 'yes' } },
  {
    path: 'oauth/google/callback',
    cookies: '{{trip.cookies}}',
    query: { state: '{{trip.state}}', code: '{{trip.code}}', iss: '{{trip.iss}}' },
  },
  {
    path: 'oauth/acme/callback',
    cookies: '{{trip.cookies}}',
    query: { state: '{{trip.state}}', error: 'access_denied' },
  },
  { path: 'forgot-password', ...form, query: { interaction: '{{login.uid}}' } },
  {
    path: 'forgot-password',
    ...form,
    form: { csrf: '{{form.csrf}}', email: '{{user.email}}', interaction: '{{login.uid}}' },
  },
  { path: 'resend-verification', ...form, form: { csrf: '{{form.csrf}}', email: '{{user.email}}' } },
  { path: 'verify-email', ...form, query: { token: '{{mail.verify}}' } },
  { path: 'verify-email', ...form, form: { ...VERIFIED, password: '{{user.password}}' } },
  { path: 'confirm-email', ...form, form: { ...MAILED, password: '{{user.password}}' } },
  { path: 'reset-password', ...form, query: { token: '{{mail.token}}' } },
  { path: 'reset-password', ...form, form: { ...MAILED, new_password: 'a new password', repeated: 'another' } },
];

const slip = (names: readonly string[]): Arbitrary<[string, string, string]> =>
  fc.tuple(
    fc.oneof(
      { arbitrary: fc.constantFrom(...names, 'csrf', 'outcome'), weight: 5 },
      { arbitrary: hostileName, weight: 1 },
    ),
    fc.constantFrom('other', 'other', 'without', 'twice', 'member'),
    hostileText,
  );

const spoilt = (right: Record<string, string>): Arbitrary<Pairs> =>
  fc.array(slip(Object.keys(right)), { maxLength: 2 }).map((slips) => {
    let pairs: Pairs = Object.entries(right);
    for (const [name, how, value] of slips) {
      if (how !== 'twice') pairs = pairs.filter(([other]) => other !== name);
      if (how === 'other' || how === 'twice') pairs.push([name, value]);
      if (how === 'member') pairs.push([`${name}[a]`, value]);
    }
    return pairs;
  });

/** The path as it is, or with one of its names another. */
const segmentsOf = (path: string): Arbitrary<string[]> => {
  const segments = path.split('/');
  return fc.oneof(
    { arbitrary: fc.constant(segments), weight: 8 },
    {
      arbitrary: fc
        .tuple(fc.nat(segments.length - 1), hostileText)
        .map(([at, text]) => segments.map((one, index) => (index === at && index > 0 ? text.slice(0, 9_000) : one))),
      weight: 1,
    },
  );
};

const pageRequestOf = ({ path, cookies, form: fields, query }: Page): Arbitrary<FuzzRequest> => {
  const method = fields ? 'POST' : 'GET';
  const cookie: Arbitrary<Pairs> = cookies
    ? fc.constantFrom<Pairs>([['cookie', cookies]], [['cookie', cookies]], [['cookie', cookies]], [])
    : fc.constant<Pairs>([]);
  return fc
    .tuple(
      segmentsOf(path),
      spoilt(query ?? {}),
      fields ? spoilt(fields).chain(bodyOfPairs) : fc.constant<Partial<FuzzRequest>>({}),
      cookie,
      otherHeaders,
    )
    .map(([segments, pairs, carried, withCookie, others]) => ({
      operation: `${method} /${path.replace(/\{\{\w+\.(\w+)\}\}/g, ':$1')} (page)`,
      method,
      path: segments,
      query: pairs,
      body: carried.body,
      headers: [['accept', 'text/html'] as [string, string], ...withCookie, ...others, ...(carried.headers ?? [])],
    }));
};

const nobodys: Arbitrary<FuzzRequest> = fc
  .tuple(
    fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'),
    fc.array(
      fc.oneof(
        hostileText,
        fc.constantFrom('oauth', 'users', 'admin', '.well-known', 'docs', 'assets', 'device', 'interaction'),
      ),
      { maxLength: 4 },
    ),
    otherHeaders,
  )
  .map(([method, path, headers]) => ({
    operation: 'any other path',
    method,
    path: path.map((one) => one.slice(0, 3_000)),
    query: [],
    headers,
    body: undefined,
  }));

export const pageRequest: Arbitrary<FuzzRequest> = fc.oneof(
  ...PAGES.map((page) => ({ arbitrary: pageRequestOf(page), weight: 2 })),
  { arbitrary: nobodys, weight: 6 },
);
