// Each variable by itself: what it may be, what it becomes, and what it is when nobody sets it.
import { isIP } from 'node:net';
import { z } from 'zod';
import { certificatesIn } from './config-certificates.ts';
import { isOrigin, isProviderUrl, kindFields, openIdProvidersOf } from './config-federation.ts';
import { isMailbox, isSmtpUrl } from './config-mail.ts';
import { DEFAULT_LIMITS, type Limit } from './domain/throttles.ts';

// One rule, one message of ours: zod's own messages may quote what they refuse.
const text = (message: string, accepts: (value: string) => boolean) => z.string().refine(accepts, message);

const oneOf = <const T extends string>(...options: T[]) => z.enum(options, `must be one of ${options.join(', ')}`);

const whole = (min: number, max: number, unit = '') =>
  text(
    `must be a whole number${unit && ` of ${unit}`} from ${min} to ${max}`,
    (value) => /^(0|[1-9]\d{0,8})$/.test(value) && Number(value) >= min && Number(value) <= max,
  ).transform(Number);

// The parser forgives blanks, backslashes and missing slashes; an identifier that others compare must not need it.
const urlOf = (value: string, schemes: RegExp) =>
  schemes.test(value) && !/[\s\\]/.test(value) ? (URL.parse(value) ?? undefined) : undefined;

const isIssuer = (value: string) => {
  const url = urlOf(value, /^https?:\/\/[^/]/i);
  return url?.pathname === '/' && !/[?#@]/.test(value);
};

// A forgotten percent-encoding in a password moves the host, or throws only once the driver decodes it.
const isStoreUrl = (value: string, schemes: RegExp) => {
  const url = urlOf(value, schemes);
  return url !== undefined && !value.includes('#') && !/%(?![0-9a-f]{2})/i.test(value);
};

const secret = text('must be at least 32 bytes long', (value) => Buffer.byteLength(value) >= 32).optional();

// VSCHAR, RFC 6749 appendix A
const visible = text('must be printable ASCII', (value) => /^[\x20-\x7e]+$/.test(value)).optional();

const providerUrl = text('must be an https URL (http on localhost) without query or fragment', isProviderUrl);
const withoutSlash = (value: string) => value.replace(/\/+$/, '');

export const secretsOf = (value: string): string[] => value.split(',').map((one) => one.trim());

const listed = (value: string) => value.split(/[\s,]+/).filter(Boolean);

const flag = text('must be true or false', (value) => /^(true|false)$/.test(value))
  .transform((value) => value === 'true')
  .default(false);

// RFC 9110 §5.1; not one that says something else already.
const headerName = text(
  'must be the name of a header that the proxy sets and nothing else uses, such as x-client-cert',
  (value) => /^x-[a-z0-9-]{1,60}$/i.test(value) && !/^x-(forwarded|api-key|request-id|real-ip)/i.test(value),
).optional();

// At most a thousand million points, at most a day.
const RATE_LIMIT = /^([a-z-]+)=([1-9]\d{0,8})\/([1-9]\d{0,3}|[1-7]\d{4}|8[0-5]\d{3}|86[0-3]\d{2}|86400)$/;

export const fields = {
  NODE_ENV: oneOf('development', 'test', 'production').default('development'),
  ISSUER: text('must be an http(s) URL of scheme, host and port alone: no path, query or fragment', isIssuer)
    .transform((value) => new URL(value).origin)
    .optional(),
  HOST: text(
    'must be an IP address or a host name',
    (value) => isIP(value) > 0 || /^[a-z\d._-]+$/i.test(value),
  ).optional(),
  PORT: whole(0, 65_535).default(8290),
  TRUST_PROXY: text('must be a whole number of proxies from 0 to 10, or true or false', (value) =>
    /^(\d|10|true|false)$/.test(value),
  )
    .transform((value) => ({ true: 1, false: 0 })[value] ?? Number(value))
    .default(0),
  TLS_CERT: z.string().optional(),
  TLS_KEY: z.string().optional(),
  MTLS_CERTIFICATE_HEADER: headerName,
  MTLS_VERIFIED_HEADER: headerName,
  MTLS_ORIGIN: text(
    'must be an https origin (scheme, host and port alone)',
    (value) => /^https:/i.test(value) && isIssuer(value),
  )
    .transform((value) => new URL(value).origin)
    .optional(),
  EXTRA_CA: text('must be a file of certificates (PEM) that can be read', (path) => certificatesIn(path) !== undefined)
    .transform((path) => certificatesIn(path))
    .optional(),
  OUTBOUND_LOOPBACK: flag,
  WEB_CONCURRENCY: whole(1, 256, 'processes').default(1),
  LOG_LEVEL: z
    .string()
    .toLowerCase()
    .pipe(oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'))
    .default('info'),
  LOG_PII: flag,
  DATA_DIR: z.string().default('.data'),
  DATABASE_URL: text(
    'must be a postgres:// or postgresql:// URL, special characters in the password percent-encoded',
    (value) => isStoreUrl(value, /^postgres(ql)?:\/\//),
  ).optional(),
  REDIS_URL: text('must be a redis:// or rediss:// URL, special characters in the password percent-encoded', (value) =>
    isStoreUrl(value, /^rediss?:\/\/[^/]/),
  ).optional(),
  MASTER_KEY: secret,
  JWT_SECRET_KEY: secret,
  KEY_ENCRYPTION_SECRET: text(
    'must be one or two values of at least 32 bytes, separated by a comma',
    (value) =>
      secretsOf(value).every((one) => Buffer.byteLength(one) >= 32) && [1, 2].includes(secretsOf(value).length),
  )
    .transform(secretsOf)
    .default([]),
  SIGNING_KEYS_MODULE: z.string().optional(),
  KEY_ROTATION_DAYS: whole(0, 3_650, 'days').default(90),
  JWT_ALGORITHM: oneOf('HS256', 'RS256', 'ES256', 'EdDSA').default('HS256'),
  ACCESS_TOKEN_EXPIRE_MINUTES: whole(1, 43_200, 'minutes').default(30),
  REFRESH_TOKEN_EXPIRE_DAYS: whole(1, 365, 'days').default(7),
  REFRESH_RETRY_SECONDS: whole(0, 600, 'seconds').default(60),
  DPOP_REQUIRE_NONCE: flag,
  SESSION_EXPIRE_SECONDS: whole(1, 31_536_000, 'seconds').default(3600),
  SESSION_MAX_AGE_DAYS: whole(1, 365, 'days').optional(),
  CACHE_ENTRIES: whole(100, 1_000_000, 'entries').default(10_000),
  PASSWORD_MIN_LENGTH: whole(6, 64, 'characters').optional(),
  RATE_LIMITS: text(
    `must be name=points/seconds, separated by commas; the names are ${Object.keys(DEFAULT_LIMITS).join(', ')}`,
    (value) =>
      listed(value).every((one) => {
        const [, name = ''] = RATE_LIMIT.exec(one) ?? [];
        return Object.hasOwn(DEFAULT_LIMITS, name);
      }),
  )
    .default('')
    .transform((value) =>
      Object.fromEntries(
        listed(value).map((one): [string, Limit] => {
          const [, name = '', points, seconds] = RATE_LIMIT.exec(one) ?? [];
          return [name, { points: Number(points), seconds: Number(seconds) }];
        }),
      ),
    ),
  SMTP_URL: text(
    'must be a smtp:// or smtps:// URL of host and port, special characters in user and password percent-encoded',
    isSmtpUrl,
  ).optional(),
  MAIL_FROM: text(
    'must be an email address, or a name and the address in angle brackets, such as User Auth <no-reply@example.com>',
    isMailbox,
  ).optional(),
  DCR: oneOf('off', 'token', 'open').optional(),
  OAUTH_CLIENT_ID: text(
    'must be 1 to 200 printable ASCII characters without spaces, and not user-auth, which is built in',
    (value) => /^[\x21-\x7e]{1,200}$/.test(value) && value !== 'user-auth',
  ).optional(),
  OAUTH_CLIENT_SECRET: visible,
  // RFC 6749 §3.1.2: absolute, no fragment
  OAUTH_REDIRECT_URIS: text('must be http(s) URLs without fragment, separated by spaces or commas', (value) =>
    listed(value).every((uri) => urlOf(uri, /^https?:\/\/[^/]/i) !== undefined && !uri.includes('#')),
  )
    .transform(listed)
    .default([]),
  ...kindFields(visible, (otherwise, name) =>
    // An issuer is compared to the letter; to the others paths are added.
    providerUrl.transform(name === 'issuer' ? String : withoutSlash).default(otherwise),
  ),
  GOOGLE_AUTH_TIME: flag,
  OIDC_PROVIDERS: text(
    'must be a JSON array of at most 10 objects with name (lower-case letters, digits and hyphens; each once, and none of ours), label, issuer (https), client_id and client_secret; email_domains (lower-case domains, or *) may be there',
    (value) => openIdProvidersOf(value) !== undefined,
  )
    .transform((value) => openIdProvidersOf(value) ?? [])
    .default([]),
  FIRST_PARTY_ORIGINS: text(
    'must be https origins (scheme, host and port alone; http on localhost), separated by spaces or commas',
    (value) => listed(value).every(isOrigin),
  )
    .transform((value) => listed(value).map((one) => new URL(one).origin))
    .default([]),
};

export type Variable = keyof typeof fields;
