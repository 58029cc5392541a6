// Configuration: environment in, one typed value out. The only reader of process.env in src and scripts.
// Every problem is reported at once, and nothing said here ever contains a value: one of them may be a secret.
import { z } from 'zod';
import { readDotEnv } from './config-dot-env.ts';
import { federationOf } from './config-federation.ts';
import { fields, type Variable } from './config-fields.ts';
import { defaultMailFrom } from './config-mail.ts';
import { misspellings } from './config-misspellings.ts';
import { problemsBetween, weakSecrets } from './config-rules.ts';
import { type TlsSettings, tlsOf } from './config-tls.ts';
import { DEFAULT_LIMITS, type Limits } from './domain/throttles.ts';
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
  /** Since its last use. */
  sessionTtlSeconds: number;
  /** However much it is used. */
  sessionMaxSeconds: number;
  /** How many users, clients and keys each process keeps at hand, of each kind. */
  cacheEntries: number;
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

/** Thirty days. */
const SESSION_MAX_AGE_SECONDS = 30 * 86_400;

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
    // Whoever lets sessions lie unused for longer than the default means them to last for as long.
    sessionMaxSeconds:
      values.SESSION_MAX_AGE_DAYS === undefined
        ? Math.max(SESSION_MAX_AGE_SECONDS, values.SESSION_EXPIRE_SECONDS)
        : values.SESSION_MAX_AGE_DAYS * 86_400,
    cacheEntries: values.CACHE_ENTRIES,
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
