// Configuration: environment in, one typed value out. The only reader of process.env in src and scripts.
// Every problem is reported at once, and nothing said here ever contains a value: one of them may be a secret.
import { isIP } from 'node:net';
import { z } from 'zod';
import { certificatesIn } from './config-certificates.ts';
import { readDotEnv } from './config-dot-env.ts';
import {
  federationOf,
  isOrigin,
  isProviderUrl,
  kindFields,
  openIdProvidersOf,
  problemsOfFederation,
} from './config-federation.ts';
import { defaultMailFrom, isMailbox, isSmtpUrl } from './config-mail.ts';
import { misspellings } from './config-misspellings.ts';
import { isGuessable } from './config-secret-strength.ts';
import { problemsOfTls, type TlsSettings, tlsOf } from './config-tls.ts';
import { DEFAULT_LIMITS, type Limit, type Limits } from './domain/throttles.ts';
import type { FederationSettings } from './federation/providers.ts';
import type { RegistrationPolicy } from './oidc/features/clients.ts';
import type { MtlsSettings } from './oidc/features/mtls.ts';
import type { OutboundSettings } from './oidc/outbound.ts';

export type Config = {
  production: boolean;
  /** Base of every URL we publish: scheme, host and port, no trailing slash. */
  issuer: string;
  host: string;
  /** 0 asks the system for any free port. */
  port: number;
  /** Absent: the server speaks plain http, and whatever stands in front of it ends TLS. */
  tls?: TlsSettings | undefined;
  dataDir: string;
  /** Absent (outside production): the embedded database in `dataDir`. */
  databaseUrl?: string;
  /** Absent (outside production): what would be in Redis is in Postgres. */
  redisUrl?: string;
  jwtSecretKey?: string;
  /** Root of the keys that seal signing keys, sign cookies and key the secret hashes (HKDF, RFC 5869). */
  masterKey?: string;
  /** What seals the signing keys, in place of the master key, and what did before it. */
  keyEncryptionSecrets: string[];
  /** How long a signing key signs; 0 for as long as nobody rotates it. */
  keyRotationDays: number;
  /** Path of a module that brings keys which sign elsewhere: see external-keys.ts. */
  signingKeysModule?: string;
  jwtAlgorithm: 'HS256' | 'RS256' | 'ES256' | 'EdDSA';
  accessTokenTtlSeconds: number;
  refreshTokenTtlSeconds: number;
  /** How long a spent refresh token is taken for the retry of a request whose answer was lost. */
  refreshRetrySeconds: number;
  sessionTtlSeconds: number;
  /** Whether DPoP proofs need a nonce of ours. */
  dpopRequireNonce: boolean;
  /** How the proxy in front hands on the certificates of clients; empty where it does not. */
  mtls: MtlsSettings;
  /** How addresses that clients name are fetched. */
  outbound: OutboundSettings;
  /** How many proxies in front are believed about the client's address and scheme. */
  trustProxy: number;
  /** Who may register clients: nobody, who has an initial access token, or anybody. */
  registration: RegistrationPolicy;
  bootstrapClient?: { clientId: string; clientSecret: string; redirectUris: string[] };
  /** The other providers that people can sign in with. */
  federation: FederationSettings;
  /** Where the direct way to sign in through one of them may lead. */
  firstPartyOrigins: string[];
  passwordMinLength: number;
  rateLimits: Limits;
  /** Absent (outside production): mails are kept and shown at /dev/mail. */
  smtpUrl?: string;
  mailFrom: string;
  /** Whether new passwords are held against the list of common ones: in production, whatever the minimum length. */
  passwordBlocklist: boolean;
  logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  /** Whether lines above debug may hold the email and network addresses of people. */
  logPii: boolean;
  /** Processes to run. */
  webConcurrency: number;
};

type Environment = Record<string, string | undefined>;

/** The environment cannot be run with. `message` lists every problem by the variable's name, never its value. */
export class ConfigError extends Error {
  readonly problems: string[];

  constructor(problems: string[]) {
    super(['The configuration does not work:', ...problems.map((problem) => `  - ${problem}`)].join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

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

const secretsOf = (value: string): string[] => value.split(',').map((one) => one.trim());

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

const fields = {
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

type Variable = keyof typeof fields;

/** Every variable that is read: what .env.example documents. */
export const variables: readonly string[] = Object.keys(fields);

/**
 * Turns an environment into a Config. An empty variable counts as not set.
 *
 * @throws {ConfigError} with every problem at once.
 */
export function readConfig(env: Environment): { config: Config; warnings: string[] } {
  const given: Partial<Record<Variable, string>> = Object.fromEntries(
    variables.map((name) => [name, env[name] || undefined]),
  );
  const parsed = z.object(fields).safeParse(given);
  const singly = (parsed.error?.issues ?? []).map(({ path, message }) => `${String(path[0])} ${message}`);
  // The rules between variables look at what was given, so that they are reported beside those of single ones.
  const problems = [...singly, ...problemsBetween(given)];
  if (!parsed.success || problems.length > 0) throw new ConfigError([...problems, ...misspellings(env, variables)]);

  const values = parsed.data;
  const production = values.NODE_ENV === 'production';
  const issuer = values.ISSUER ?? `http${values.TLS_CERT ? 's' : ''}://localhost:${values.PORT}`;
  const config: Config = {
    production,
    issuer,
    host: values.HOST ?? (production ? '0.0.0.0' : '127.0.0.1'),
    port: values.PORT,
    tls: tlsOf(values.TLS_CERT, values.TLS_KEY),
    dataDir: values.DATA_DIR,
    databaseUrl: values.DATABASE_URL,
    redisUrl: values.REDIS_URL,
    jwtSecretKey: values.JWT_SECRET_KEY,
    masterKey: values.MASTER_KEY,
    keyEncryptionSecrets: values.KEY_ENCRYPTION_SECRET,
    signingKeysModule: values.SIGNING_KEYS_MODULE,
    keyRotationDays: values.KEY_ROTATION_DAYS,
    jwtAlgorithm: values.JWT_ALGORITHM,
    accessTokenTtlSeconds: values.ACCESS_TOKEN_EXPIRE_MINUTES * 60,
    refreshTokenTtlSeconds: values.REFRESH_TOKEN_EXPIRE_DAYS * 86_400,
    refreshRetrySeconds: values.REFRESH_RETRY_SECONDS,
    sessionTtlSeconds: values.SESSION_EXPIRE_SECONDS,
    dpopRequireNonce: values.DPOP_REQUIRE_NONCE,
    mtls: {
      certificateHeader: values.MTLS_CERTIFICATE_HEADER,
      verifiedHeader: values.MTLS_VERIFIED_HEADER,
      origin: values.MTLS_ORIGIN,
    },
    outbound: { extraCa: values.EXTRA_CA, reachLoopback: values.OUTBOUND_LOOPBACK },
    trustProxy: values.TRUST_PROXY,
    registration: values.DCR ?? (production ? 'token' : 'open'),
    bootstrapClient:
      values.OAUTH_CLIENT_ID && values.OAUTH_CLIENT_SECRET
        ? {
            clientId: values.OAUTH_CLIENT_ID,
            clientSecret: values.OAUTH_CLIENT_SECRET,
            redirectUris: values.OAUTH_REDIRECT_URIS,
          }
        : undefined,
    federation: federationOf(values),
    firstPartyOrigins: values.FIRST_PARTY_ORIGINS,
    rateLimits: { ...DEFAULT_LIMITS, ...values.RATE_LIMITS },
    passwordMinLength: values.PASSWORD_MIN_LENGTH ?? (production ? 8 : 6),
    smtpUrl: values.SMTP_URL,
    mailFrom: values.MAIL_FROM ?? defaultMailFrom(issuer),
    passwordBlocklist: production,
    logLevel: values.LOG_LEVEL,
    logPii: values.LOG_PII,
    webConcurrency: values.WEB_CONCURRENCY,
  };
  return {
    config,
    warnings: [...(production ? [] : weakSecrets(given)), ...misspellings(env, variables)],
  };
}

/**
 * Reads the process's environment, with the `.env` of the working directory, when there is one, beneath it:
 * a variable set in the environment wins, also when it is set to nothing.
 *
 * @throws {ConfigError} with every problem of both at once.
 */
export function loadConfig(): { config: Config; warnings: string[] } {
  const file = readDotEnv('.env');
  try {
    const answer = readConfig({ ...file.env, ...process.env });
    if (file.problems.length === 0) return answer;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError([...file.problems, ...error.problems]);
  }
  throw new ConfigError(file.problems);
}

function problemsBetween(given: Partial<Record<Variable, string>>): string[] {
  const problems: string[] = [];
  if (given.NODE_ENV === 'production') {
    for (const name of ['ISSUER', 'JWT_SECRET_KEY', 'DATABASE_URL', 'REDIS_URL', 'SMTP_URL'] as const) {
      if (!given[name]) problems.push(`${name} must be set in production`);
    }
    if (given.ISSUER && /^http:/i.test(given.ISSUER)) problems.push('ISSUER must be https in production');
    problems.push(...weakSecrets(given));
  }
  if (given.NODE_ENV === 'production' && given.OUTBOUND_LOOPBACK === 'true')
    problems.push('OUTBOUND_LOOPBACK is for development: in production nobody may send this server to itself');
  // Anybody could send the header to a server that no proxy stands in front of.
  if (given.MTLS_CERTIFICATE_HEADER && (!given.TRUST_PROXY || /^(0|false)$/.test(given.TRUST_PROXY)))
    problems.push(
      'MTLS_CERTIFICATE_HEADER needs TRUST_PROXY: only a proxy in front can be believed about certificates',
    );
  if (given.MTLS_VERIFIED_HEADER && !given.MTLS_CERTIFICATE_HEADER)
    problems.push('MTLS_VERIFIED_HEADER cannot be used without MTLS_CERTIFICATE_HEADER');
  if (given.MTLS_ORIGIN && !given.MTLS_CERTIFICATE_HEADER)
    problems.push('MTLS_ORIGIN cannot be used without MTLS_CERTIFICATE_HEADER');
  if (given.MTLS_VERIFIED_HEADER && given.MTLS_VERIFIED_HEADER === given.MTLS_CERTIFICATE_HEADER)
    problems.push('MTLS_VERIFIED_HEADER and MTLS_CERTIFICATE_HEADER must be two headers');
  if (Number(given.WEB_CONCURRENCY) > 1 && !given.DATABASE_URL) {
    problems.push('WEB_CONCURRENCY above 1 needs DATABASE_URL: the embedded database serves one process');
  }
  if (given.PORT === '0' && !given.ISSUER)
    problems.push('PORT 0 takes any free port, so ISSUER must say which URL leads to it');
  const pair = ['OAUTH_CLIENT_ID', 'OAUTH_CLIENT_SECRET'] as const;
  const present = [...pair, 'OAUTH_REDIRECT_URIS' as const].filter((name) => given[name]);
  const absent = pair.filter((name) => !given[name]);
  if (present.length > 0 && absent.length > 0) {
    problems.push(`${present.join(' and ')} cannot be used without ${absent.join(' and ')}`);
  }
  return [...problems, ...problemsOfTls(given), ...problemsOfFederation(given)];
}

function weakSecrets(given: Partial<Record<Variable, string>>): string[] {
  // At least 128 bits (RFC 6749 §10.10) fit into no fewer characters than 16; the keys have a longer minimum of their own.
  const sealing = secretsOf(given.KEY_ENCRYPTION_SECRET ?? '').some((one) => one.length >= 32 && isGuessable(one));
  const easy = sealing ? ['KEY_ENCRYPTION_SECRET has a value that is too easy to guess for production'] : [];
  return (['JWT_SECRET_KEY', 'MASTER_KEY', 'OAUTH_CLIENT_SECRET'] as const)
    .flatMap((name) => {
      const value = given[name];
      if (!value) return [];
      const least = name === 'OAUTH_CLIENT_SECRET' ? 16 : 32;
      const short = Buffer.byteLength(value) < least;
      // A short key is refused as such already.
      if (short ? least === 32 : !isGuessable(value)) return [];
      return [
        `${name} is too easy to guess for production: use a random value, such as \`openssl rand -base64 48\` prints`,
      ];
    })
    .concat(easy);
}
