import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import test from 'ava';
import { ConfigError, readConfig, variables } from '../src/config.ts';
import { DEFAULT_LIMITS } from '../src/domain/throttles.ts';
import { AUTHORITY } from './helpers/certificates.ts';

const strong = 'w7Jk2pQ9vR4tXz1LmN8bYc5dFg3hKs6AqEuTiOoPyW0';
const production = {
  NODE_ENV: 'production',
  ISSUER: 'https://auth.test',
  JWT_SECRET_KEY: strong,
  DATABASE_URL: 'postgres://app:pa%23ss@db.test:5432/app',
  REDIS_URL: 'rediss://:pass@redis.test:6380/0',
  SMTP_URL: 'smtps://auth:pa%23ss@smtp.test',
};

type Environment = Record<string, string | undefined>;

const refusal = (env: Environment): ConfigError => {
  try {
    readConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('was accepted');
};
const accepted = (env: Environment) => readConfig(env).config;

test('an empty environment gives the documented defaults', (t) => {
  const { config, warnings } = readConfig({});
  t.deepEqual(config, {
    production: false,
    issuer: 'http://localhost:8290',
    host: '127.0.0.1',
    port: 8290,
    tls: undefined,
    dataDir: '.data',
    databaseUrl: undefined,
    redisUrl: undefined,
    jwtSecretKey: undefined,
    masterKey: undefined,
    keyEncryptionSecrets: [],
    keyRotationDays: 90,
    signingKeysModule: undefined,
    jwtAlgorithm: 'HS256',
    accessTokenTtlSeconds: 30 * 60,
    refreshTokenTtlSeconds: 7 * 24 * 60 * 60,
    refreshRetrySeconds: 60,
    sessionTtlSeconds: 3600,
    sessionMaxSeconds: 30 * 24 * 60 * 60,
    cacheEntries: 10_000,
    dpopRequireNonce: false,
    mtls: { certificateHeader: undefined, verifiedHeader: undefined, origin: undefined },
    outbound: { extraCa: undefined, reachLoopback: false },
    trustProxy: 0,
    registration: 'open',
    bootstrapClient: undefined,
    federation: { google: undefined, github: undefined, openid: [] },
    firstPartyOrigins: [],
    passwordMinLength: 6,
    rateLimits: DEFAULT_LIMITS,
    smtpUrl: undefined,
    mailFrom: 'User Auth <no-reply@localhost>',
    passwordBlocklist: false,
    logLevel: 'info',
    logPii: false,
    webConcurrency: 1,
  });
  t.deepEqual(warnings, []);
});

test('clients register themselves by a token in production, unless it is said otherwise', (t) => {
  t.is(accepted(production).registration, 'token');
  t.is(accepted({ ...production, DCR: 'off' }).registration, 'off');
  t.is(accepted({ DCR: 'token' }).registration, 'token');
});

test('an empty variable counts as not set', (t) => {
  t.deepEqual(accepted(Object.fromEntries(variables.map((name) => [name, '']))), accepted({}));
});

test('production listens everywhere and asks for longer passwords', (t) => {
  const { config, warnings } = readConfig(production);
  t.like(config, { production: true, host: '0.0.0.0', passwordMinLength: 8, issuer: 'https://auth.test' });
  t.deepEqual(warnings, []);
});

test('common passwords are refused in production, whatever the minimum length is set to', (t) => {
  t.like(readConfig({ ...production, PASSWORD_MIN_LENGTH: '6' }).config, {
    passwordMinLength: 6,
    passwordBlocklist: true,
  });
  t.false(accepted({ PASSWORD_MIN_LENGTH: '8' }).passwordBlocklist);
});

test('units are converted to seconds', (t) => {
  t.like(accepted({ ACCESS_TOKEN_EXPIRE_MINUTES: '5', REFRESH_TOKEN_EXPIRE_DAYS: '2', SESSION_EXPIRE_SECONDS: '60' }), {
    accessTokenTtlSeconds: 300,
    refreshTokenTtlSeconds: 172_800,
    sessionTtlSeconds: 60,
  });
});

test('a session lasts for thirty days at most, or for as long as it may lie unused, unless it is said otherwise', (t) => {
  t.is(accepted({ SESSION_EXPIRE_SECONDS: '31536000' }).sessionMaxSeconds, 31_536_000);
  t.is(accepted({ SESSION_EXPIRE_SECONDS: '31536000', SESSION_MAX_AGE_DAYS: '7' }).sessionMaxSeconds, 604_800);
  t.is(accepted({ SESSION_MAX_AGE_DAYS: '365' }).sessionMaxSeconds, 31_536_000);
});

test('the issuer follows the port, and loses its trailing slash', (t) => {
  t.is(accepted({ PORT: '9000' }).issuer, 'http://localhost:9000');
  t.is(accepted({ PORT: '9000', ISSUER: 'http://Auth.test:8080/' }).issuer, 'http://auth.test:8080');
});

test('the master key is its own variable', (t) => {
  t.is(accepted({ JWT_SECRET_KEY: strong }).masterKey, undefined);
  t.is(accepted({ MASTER_KEY: strong }).masterKey, strong);
});

test('the number of proxies may be told as true or false', (t) => {
  for (const [value, count] of Object.entries({ true: 1, false: 0, 0: 0, 2: 2, 10: 10 })) {
    t.is(accepted({ TRUST_PROXY: value }).trustProxy, count);
  }
});

test('the log level may be spelled in capitals', (t) => {
  t.is(accepted({ LOG_LEVEL: 'DEBUG' }).logLevel, 'debug');
});

test('the bootstrap client takes its redirect URIs separated by spaces or commas', (t) => {
  const env = { OAUTH_CLIENT_ID: 'app', OAUTH_CLIENT_SECRET: strong };
  t.deepEqual(accepted(env).bootstrapClient, { clientId: 'app', clientSecret: strong, redirectUris: [] });
  t.deepEqual(
    accepted({ ...env, OAUTH_REDIRECT_URIS: 'https://a.test/cb, http://localhost:3000/cb https://b.test/cb?x=1' })
      .bootstrapClient?.redirectUris,
    ['https://a.test/cb', 'http://localhost:3000/cb', 'https://b.test/cb?x=1'],
  );
});

test('half a bootstrap client is a problem', (t) => {
  t.deepEqual(refusal({ OAUTH_CLIENT_ID: 'app' }).problems, [
    'OAUTH_CLIENT_ID cannot be used without OAUTH_CLIENT_SECRET',
  ]);
  t.deepEqual(refusal({ OAUTH_CLIENT_SECRET: strong }).problems, [
    'OAUTH_CLIENT_SECRET cannot be used without OAUTH_CLIENT_ID',
  ]);
  t.deepEqual(refusal({ OAUTH_REDIRECT_URIS: 'https://a.test/cb' }).problems, [
    'OAUTH_REDIRECT_URIS cannot be used without OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET',
  ]);
});

const acme = {
  name: 'acme',
  label: 'Acme Staff',
  issuer: 'https://sso.acme.test/realms/staff',
  client_id: 'user-auth',
  client_secret: 'the secret of acme',
};

const unacceptable: Record<string, string[]> = {
  NODE_ENV: ['Production', 'prod', 'staging'],
  ISSUER: [
    ...['localhost:8290', 'ftp://auth.test', 'http:auth.test', 'http:/auth.test', 'http:\\\\auth.test', 'http://'],
    ...[
      'https://auth.test/path',
      'https://auth.test//',
      'https://auth.test?',
      'https://auth.test/#',
      ' https://auth.test',
    ],
    ...['https://me:pw@auth.test', 'https://auth.test:99999', 'https://auth .test'],
  ],
  HOST: ['http://localhost', 'localhost:80', 'a b', '[::1]'],
  PORT: ['8290abc', '65536', '-1', '8290.0', '8e3', '0x10', ' 80', '+80', '080', '９０'],
  TRUST_PROXY: ['yes', '11', '-1', 'TRUE', 'constructor', '1.5'],
  DCR: ['on', 'Open', 'true'],
  WEB_CONCURRENCY: ['0', '257', 'auto'],
  LOG_LEVEL: ['loud', 'verbose'],
  DATABASE_URL: [
    ...['mysql://db/app', 'postgresql+asyncpg://u:p@db/app', 'db:5432', 'postgres:db', 'postgres://u:p#w@db/app'],
    ...['postgres://u:1#w@db/app', 'postgres://u:50%off@db/app', 'postgres://u:p@db:port/app'],
  ],
  REDIS_URL: ['localhost:6379', 'http://redis', 'redis://', 'redis:///0', 'redis://:a#b@redis'],
  MASTER_KEY: ['short', 'x'.repeat(31)],
  JWT_SECRET_KEY: ['short', 'x'.repeat(31)],
  KEY_ENCRYPTION_SECRET: ['short', `${'x'.repeat(32)},short`, Array(3).fill('x'.repeat(32)).join()],
  KEY_ROTATION_DAYS: ['-1', '1.5', '9999'],
  JWT_ALGORITHM: ['none', 'hs256', 'HS512'],
  ACCESS_TOKEN_EXPIRE_MINUTES: ['0', '-5', '43201', '30m', '1e2', 'Infinity'],
  REFRESH_TOKEN_EXPIRE_DAYS: ['0', '366', '7d'],
  REFRESH_RETRY_SECONDS: ['-1', '601', '60s'],
  DPOP_REQUIRE_NONCE: ['yes', '1', 'TRUE'],
  MTLS_CERTIFICATE_HEADER: ['authorization', 'x-api-key', 'x client'],
  MTLS_VERIFIED_HEADER: ['cookie', 'x:y'],
  MTLS_ORIGIN: ['http://mtls.example.com', 'https://mtls.example.com/path', 'mtls.example.com'],
  EXTRA_CA: ['/nowhere/ca.pem', '/'],
  OUTBOUND_LOOPBACK: ['yes', '0'],
  LOG_PII: ['yes', '1', 'True'],
  SESSION_EXPIRE_SECONDS: ['0', '31536001', '3600s'],
  SESSION_MAX_AGE_DAYS: ['0', '366', '30d'],
  CACHE_ENTRIES: ['99', '1000001', '10k'],
  PASSWORD_MIN_LENGTH: ['5', '65', 'long'],
  RATE_LIMITS: [
    'login',
    'login-network=0/60',
    'nonsense=1/60',
    'key-account=1/86401',
    'key-account=1.5/60',
    'toString=1/1',
  ],
  SMTP_URL: [
    ...['smtp.test', 'http://smtp.test', 'smtp:smtp.test', 'smtp://', 'smtp:///x', 'smtp://smtp.test/path'],
    ...['smtp://u:a#b@smtp.test', 'smtp://u:50%off@smtp.test', 'smtp://:pw@smtp.test', 'smtp://smtp.test:99999'],
    ...['smtp://smtp.test?pool=true', 'smtp://smtp .test', 'smtp://u:p/w@smtp.test'],
  ],
  MAIL_FROM: [
    ...['nobody', 'a@b@c.test', 'Name a@b.test', 'Name <a@b.test', '<a@b.test>', 'a@b.test, c@d.test'],
    ...['Name\r\nBcc: x@y.test <a@b.test>', '"Quoted" <a@b.test>', 'Name <a@b.test>\n', 'Na,me <a@b.test>'],
  ],
  OAUTH_CLIENT_ID: ['with\nnewline', 'café'],
  OAUTH_CLIENT_SECRET: ['tab\t', 'ключ'],
  OAUTH_REDIRECT_URIS: ['https://a.test/cb#x', 'a.test/cb', 'javascript:alert(1)'],
  GOOGLE_CLIENT_ID: ['with\nnewline'],
  GOOGLE_CLIENT_SECRET: ['ключ'],
  GOOGLE_AUTH_TIME: ['yes', '1'],
  GOOGLE_ISSUER: [
    'http://accounts.test',
    'accounts.google.com',
    'https://accounts.test?x=1',
    'https://u:p@accounts.test',
  ],
  GITHUB_CLIENT_ID: ['café'],
  GITHUB_CLIENT_SECRET: ['tab\t'],
  GITHUB_URL: ['http://github.test', 'github.test', 'https://github.test#x'],
  GITHUB_API_URL: ['ftp://api.test', 'https:api.test'],
  OIDC_PROVIDERS: [
    ...['[', '{}', 'acme', '[{"name":"acme"}]'],
    ...[
      { name: 'google' },
      { name: 'authorize' },
      { name: 'password' },
      { name: 'Acme' },
      { label: '' },
      { issuer: 'http://sso.acme.test' },
      { issuer: 'https://sso.acme.test?realm=staff' },
      { client_secret: '' },
      { scope: 'openid' },
    ].map((more) => JSON.stringify([{ ...acme, ...more }])),
    JSON.stringify([acme, acme]),
  ],
  FIRST_PARTY_ORIGINS: [
    'http://app.test',
    'https://app.test/path',
    'app.test',
    '*',
    'https://app.test https://b.test?x',
  ],
};

test('a value that does not parse is refused by the name of its variable, and never shown', (t) => {
  for (const [name, values] of Object.entries(unacceptable)) {
    for (const value of values) {
      const { problems, message } = refusal({
        OAUTH_CLIENT_ID: 'app',
        OAUTH_CLIENT_SECRET: strong,
        GOOGLE_CLIENT_ID: 'app',
        GOOGLE_CLIENT_SECRET: strong,
        GITHUB_CLIENT_ID: 'app',
        GITHUB_CLIENT_SECRET: strong,
        DATABASE_URL: 'postgres:///app',
        TRUST_PROXY: '1',
        MTLS_CERTIFICATE_HEADER: 'x-client-cert',
        [name]: value,
      });
      t.is(problems.length, 1, `${name}=${value}`);
      t.true(problems[0]?.startsWith(`${name} must be `), `${name}=${value}: ${problems[0]}`);
      // Values that are words of the message itself prove nothing.
      if (value.length > 8) t.false(message.includes(value), `${name}=${value}: ${message}`);
    }
  }
});

test('providers to sign in with are read from what belongs together, and nothing is made of half of it', (t) => {
  const { federation, firstPartyOrigins } = accepted({
    GOOGLE_CLIENT_ID: 'id',
    GOOGLE_CLIENT_SECRET: 'secret',
    GITHUB_CLIENT_ID: 'id',
    GITHUB_CLIENT_SECRET: 'secret',
    GITHUB_URL: 'https://github.acme.test/',
    GITHUB_API_URL: 'https://github.acme.test/api/v3',
    OIDC_PROVIDERS: JSON.stringify([acme, { ...acme, name: 'local', issuer: 'http://localhost:8080/realms/staff' }]),
    FIRST_PARTY_ORIGINS: 'https://app.test, http://localhost:3000',
  });
  const client = { clientId: 'id', clientSecret: 'secret' };
  t.deepEqual(federation.google, { ...client, issuer: 'https://accounts.google.com' });
  const telling = accepted({ GOOGLE_CLIENT_ID: 'id', GOOGLE_CLIENT_SECRET: 'secret', GOOGLE_AUTH_TIME: 'true' });
  t.true(telling.federation.google?.authTime);
  t.deepEqual(federation.github, {
    ...client,
    url: 'https://github.acme.test',
    apiUrl: 'https://github.acme.test/api/v3',
  });
  t.deepEqual(
    federation.openid.map(({ name, label, clientId }) => [name, label, clientId]),
    [
      ['acme', 'Acme Staff', 'user-auth'],
      ['local', 'Acme Staff', 'user-auth'],
    ],
  );
  t.deepEqual(firstPartyOrigins, ['https://app.test', 'http://localhost:3000']);
  for (const name of ['GOOGLE', 'GITHUB'])
    for (const [given, absent] of [
      ['ID', 'SECRET'],
      ['SECRET', 'ID'],
    ])
      t.deepEqual(refusal({ [`${name}_CLIENT_${given}`]: 'value' }).problems, [
        `${name}_CLIENT_${given} cannot be used without ${name}_CLIENT_${absent}`,
      ]);
});

test('every variable with a form has one that is refused', (t) => {
  t.deepEqual(
    variables.filter((name) => !(name in unacceptable)),
    // The files are in test/tls.test.ts.
    ['TLS_CERT', 'TLS_KEY', 'DATA_DIR', 'SIGNING_KEYS_MODULE'],
  );
});

test('mail goes by any server and from any address that can be written plainly', (t) => {
  for (const url of [
    ...['smtp://localhost:1025', 'smtps://smtp.test', 'smtp://user%40host:p%23w@smtp.test:587', 'smtp://[::1]:25/'],
  ]) {
    t.is(accepted({ SMTP_URL: url }).smtpUrl, url);
  }
  for (const from of ['no-reply@auth.test', 'Acme Inc. <auth@acme.test>', '优 <a@b.test>'])
    t.is(accepted({ MAIL_FROM: from }).mailFrom, from);
  t.is(accepted({ ISSUER: 'https://Auth.test:8443' }).mailFrom, 'User Auth <no-reply@auth.test>');
  t.is(accepted({ ISSUER: 'http://[::1]:8290' }).mailFrom, 'User Auth <no-reply@localhost>');
});

test('what stores accept is accepted', (t) => {
  for (const url of [
    ...[
      'postgres://db/app',
      'postgresql://u:p%40w@db:5433/app?sslmode=require',
      'postgres:///app?host=/run/postgresql',
    ],
    ...['postgresql://u@%2Frun%2Fpostgresql/app', 'postgres://u:p@[::1]:5432/app'],
  ]) {
    t.is(accepted({ DATABASE_URL: url }).databaseUrl, url);
  }
  for (const url of ['redis://localhost', 'redis://:p@redis:6379/1', 'rediss://user:p%23@redis.test:6380']) {
    t.is(accepted({ REDIS_URL: url }).redisUrl, url);
  }
});

test('all problems are told at once, those of single variables and those between them', (t) => {
  const { problems, message } = refusal({
    NODE_ENV: 'production',
    ISSUER: 'http://auth.test',
    PORT: 'eighty',
    JWT_SECRET_KEY: 'hunter2',
    WEB_CONCURRENCY: '4',
    OAUTH_CLIENT_ID: 'app',
    ACCESS_TOKEN_EXPIRE_MINUTES: 'soon',
  });
  const named = problems.map((problem) => problem.split(' ')[0]).sort();
  t.deepEqual(named, [
    'ACCESS_TOKEN_EXPIRE_MINUTES',
    'DATABASE_URL',
    'ISSUER',
    'JWT_SECRET_KEY',
    'OAUTH_CLIENT_ID',
    'PORT',
    'REDIS_URL',
    'SMTP_URL',
    'WEB_CONCURRENCY',
  ]);
  for (const problem of problems) t.true(message.includes(problem));
  for (const value of ['hunter2', 'eighty', 'soon', 'auth.test']) t.false(message.includes(value));
});

test('production refuses to start without issuer, secret, stores and mail server', (t) => {
  t.deepEqual(refusal({ NODE_ENV: 'production' }).problems, [
    'ISSUER must be set in production',
    'JWT_SECRET_KEY must be set in production',
    'DATABASE_URL must be set in production',
    'REDIS_URL must be set in production',
    'SMTP_URL must be set in production',
  ]);
  t.deepEqual(refusal({ ...production, ISSUER: 'HTTP://auth.test' }).problems, ['ISSUER must be https in production']);
});

test('a short secret is told as short alone', (t) => {
  t.deepEqual(refusal({ ...production, JWT_SECRET_KEY: 'secret' }).problems, [
    'JWT_SECRET_KEY must be at least 32 bytes long',
  ]);
});

test('several processes need a database they can share', (t) => {
  t.is(accepted({ ...production, WEB_CONCURRENCY: '2' }).webConcurrency, 2);
  t.regex(refusal({ WEB_CONCURRENCY: '2' }).message, /WEB_CONCURRENCY above 1 needs DATABASE_URL/);
});

const guessable = [
  'x'.repeat(64),
  '0'.repeat(32),
  'abababababababababababababababababab',
  'abcd1234abcd1234abcd1234abcd1234',
  '12345678901234567890123456789012',
  '0123456789abcdef0123456789abcdef',
  'abcdefghijklmnopqrstuvwxyz012345',
  'zyxwvutsrqponmlkjihgfedcba987654',
  'change-me-change-me-change-me-change-me',
  'change-me-0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c',
  'CHANGE_ME_IN_PRODUCTION_PLEASE_1234567890',
  'changethis-changethis-changethis-x',
  'your-secret-key-here-at-least-32-characters',
  'your-super-secret-key-change-this-in-production',
  'your_jwt_secret_key_your_jwt_secret_key',
  'super-secret-jwt-token-with-at-least-32-characters-long',
  'dev-secret-key-with-at-least-32-characters',
  'this-is-a-very-long-secret-key-for-testing-only',
  'please-replace-me-with-a-random-string!',
  'secretsecretsecretsecretsecretsecret',
  'passwordpasswordpasswordpassword',
  'keyboard cat keyboard cat keyboard cat',
];

test('production refuses a secret that can be guessed, and development warns of it', (t) => {
  for (const value of guessable) {
    for (const name of ['JWT_SECRET_KEY', 'MASTER_KEY', 'OAUTH_CLIENT_SECRET']) {
      const env = { ...production, OAUTH_CLIENT_ID: 'app', OAUTH_CLIENT_SECRET: strong, [name]: value };
      const { problems, message } = refusal(env);
      t.is(problems.length, 1, value);
      t.regex(problems[0] ?? '', new RegExp(`^${name} is too easy to guess`), value);
      t.false(message.includes(value));

      const { warnings } = readConfig({ ...env, NODE_ENV: 'development' });
      t.deepEqual(warnings, problems);
    }
  }
  t.regex(
    refusal({ ...production, OAUTH_CLIENT_ID: 'app', OAUTH_CLIENT_SECRET: 'q8Zk2' }).message,
    /OAUTH_CLIENT_SECRET is/,
  );
});

test('production takes random secrets in every usual notation', (t) => {
  for (const value of [
    '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    'eJ3Kq0Zl/8vW5tY+uR2nXo7pB1sD6fH9gC4mA0kLwEx=',
    'kR7-qW2_xN9pL4vB8mZ1cY6tD3sF0hJ5gU7wE2oI9aK',
    '6f9619ff-8b86-d011-b42d-00c04fc964ff-3c1e',
    '83920174650192837465820194736501',
    'prod-secret-9f86d081884c7d659a2feaa0c55ad015',
    'tractor umbrella violin glacier mosaic 47',
  ]) {
    t.is(accepted({ ...production, JWT_SECRET_KEY: value }).jwtSecretKey, value);
  }
});

test('a nearly right name gets a warning that names the right one', (t) => {
  for (const [name, meant] of Object.entries({
    REDIS_UR: 'REDIS_URL',
    REDIS_URI: 'REDIS_URL',
    REDSI_URL: 'REDIS_URL',
    REDISURL: 'REDIS_URL',
    redis_url: 'REDIS_URL',
    DATABASE_URI: 'DATABASE_URL',
    DATABSE_URL: 'DATABASE_URL',
    DATBASE_ULR: 'DATABASE_URL',
    ISUER: 'ISSUER',
    ISSUER_: 'ISSUER',
    PROT: 'PORT',
    HSOT: 'HOST',
    DATADIR: 'DATA_DIR',
    NODE_EVN: 'NODE_ENV',
    JWT_SECRET: 'JWT_SECRET_KEY',
    JWT_SECERT_KEY: 'JWT_SECRET_KEY',
    JWT_ALGORITM: 'JWT_ALGORITHM',
    MASTERKEY: 'MASTER_KEY',
    ACCESS_TOKEN_EXPIRE: 'ACCESS_TOKEN_EXPIRE_MINUTES',
    ACCESS_TOKEN_EXPIRES_MINUTE: 'ACCESS_TOKEN_EXPIRE_MINUTES',
    REFRESH_TOKEN_EXPIRE_DAY: 'REFRESH_TOKEN_EXPIRE_DAYS',
    SESSION_EXPIRY_SECONDS: 'SESSION_EXPIRE_SECONDS',
    OAUTH_REDIRECT_URI: 'OAUTH_REDIRECT_URIS',
    OUATH_CLIENT_ID: 'OAUTH_CLIENT_ID',
    WEB_CONCURENCY: 'WEB_CONCURRENCY',
    TRUST_PROXI: 'TRUST_PROXY',
    // Known for later, so that setting one up early and wrongly is noticed.
    GOOGLE_CLINET_ID: 'GOOGLE_CLIENT_ID',
    GITHUB_CLIENT_SECRETS: 'GITHUB_CLIENT_SECRET',
    SMTP_URI: 'SMTP_URL',
  })) {
    t.deepEqual(readConfig({ [name]: 'value' }).warnings, [`${name} is not a known variable; did you mean ${meant}?`]);
  }
});

test("other programs' variables get no warning", (t) => {
  const names = `
    PATH HOME PWD OLDPWD SHELL SHLVL USER LOGNAME MAIL TERM LANG LANGUAGE LC_ALL LC_CTYPE TZ EDITOR VISUAL PAGER TMPDIR TEMP TMP PS1 IFS
    HOSTNAME HOSTTYPE HOSTS HOSTALIASES POST PORTS COST PART SORT SPORT PORT_A REPORT EXPORT IMPORT DISPLAY COLORTERM COLUMNS LINES
    USERNAME USERPROFILE COMPUTERNAME APPDATA LOCALAPPDATA PROGRAMDATA SYSTEMROOT COMSPEC PATHEXT WINDIR OS Path
    XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR XDG_SESSION_ID XDG_SESSION_TYPE DESKTOP_SESSION SESSION_MANAGER
    SSH_AUTH_SOCK SSH_CONNECTION SSH_TTY GPG_AGENT_INFO DBUS_SESSION_BUS_ADDRESS WAYLAND_DISPLAY TERM_PROGRAM TERM_SESSION_ID WSL_DISTRO_NAME
    HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
    NODE NODE_OPTIONS NODE_PATH NODE_DEBUG NODE_EXTRA_CA_CERTS NODE_V8_COVERAGE NODE_NO_WARNINGS NODE_CHANNEL_FD NODE_UNIQUE_ID NODE_VERSION YARN_VERSION
    npm_config_cache npm_config_user_agent npm_execpath npm_lifecycle_event npm_lifecycle_script npm_node_execpath npm_package_json npm_package_name
    INIT_CWD COLOR FORCE_COLOR NO_COLOR CI DEBUG VERBOSE NVM_DIR NVM_BIN VOLTA_HOME PNPM_HOME BUN_INSTALL COREPACK_HOME
    GITHUB_ACTIONS GITHUB_TOKEN GITHUB_ENV GITHUB_SHA GITHUB_REF GITHUB_ACTOR GITHUB_WORKSPACE GITHUB_RUN_ID GITLAB_CI RUNNER_OS RUNNER_TEMP
    GITLAB_CLIENT_ID GITLAB_CLIENT_SECRET AUTH0_CLIENT_ID APPLE_CLIENT_ID FACEBOOK_CLIENT_SECRET CLIENT_ID CLIENT_SECRET
    PGHOST PGPORT PGUSER PGDATA PGPASSWORD PGDATABASE PGSSLMODE POSTGRES_USER POSTGRES_DB POSTGRES_PASSWORD POSTGRES_HOST POSTGRES_PORT
    DATABASE DATABASE_HOST DATABASE_NAME DATABASE_USER DATABASE_PORT DATABASE_PASSWORD DATABASE_SSL DATABASE_POOL TEST_DATABASE_URL TEST_REDIS_URL DIRECT_URL MYSQL_URL MONGO_URL
    REDIS_HOST REDIS_PORT REDIS_DB REDIS_PASSWORD REDIS_SSL REDIS_TLS REDIS_TLS_URL REDIS_PORT_6379_TCP REDIS_SERVICE_HOST REDIS_SERVICE_PORT REDIS_USER
    KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT KUBERNETES_PORT_443_TCP_ADDR USER_AUTH_PORT USER_AUTH_SERVICE_HOST
    DYNO HEROKU_APP_NAME RAILWAY_ENVIRONMENT RENDER FLY_APP_NAME VERCEL_URL APP_URL BASE_URL HTTP_URL SITE_URL API_URL FTP_URL SMTP_HOST SMTP_PORT SMTP_USER SMTP_PASS
    AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN ACCESS_TOKEN REFRESH_TOKEN SESSION_ID SESSION_SECRET SECRET_KEY RAILS_MASTER_KEY JWT_PUBLIC_KEY JWT_PRIVATE_KEY JWT_EXPIRE
    PYTHONPATH VIRTUAL_ENV CONDA_PREFIX PYENV_ROOT JAVA_HOME MAVEN_HOME GOPATH GOROOT GOPROXY CARGO_HOME RUSTUP_HOME RUST_LOG RUST_BACKTRACE DOCKER_HOST COMPOSE_PROJECT_NAME
    LOG_FORMAT LOG_FILE LOG_DIR DATA_PATH DATA_URL CACHE_DIR TEMP_DIR WEB_PORT WEB_HOST MASTER_URL USER_DATA_DIR MASTER_PORT
    LS_COLORS LESSOPEN MANPATH INFOPATH INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID MEMORY_PRESSURE_WATCH NOTIFY_SOCKET LISTEN_FDS
  `
    .trim()
    .split(/\s+/);
  t.deepEqual(readConfig(Object.fromEntries(names.map((name) => [name, 'value']))).warnings, []);
});

const example = new URL('../.env.example', import.meta.url);

test('.env.example documents exactly the variables that are read', async (t) => {
  const documented = (await readFile(example, 'utf8')).matchAll(/^# ([A-Z][A-Z\d_]*)=/gm);
  t.deepEqual([...documented].map(([, name]) => name).sort(), [...variables].sort());
});

test('.env.example changes nothing, as it is or with every line uncommented', async (t) => {
  const source = await readFile(example, 'utf8');
  t.deepEqual(parseEnv(source), {});
  const uncommented = source.replace(/^# (?=[A-Z][A-Z\d_]*=)/gm, '');
  t.deepEqual(readConfig(parseEnv(uncommented)), readConfig({}));
});

/** What loadConfig answers in a process of its own whose working directory holds `dotEnv`. */
const loaded = async (
  t: { teardown(fn: () => Promise<void>): void },
  dotEnv: string | undefined,
  env: Environment = {},
) => {
  const cwd = await mkdtemp(join(tmpdir(), 'config-'));
  t.teardown(() => rm(cwd, { recursive: true }));
  if (dotEnv !== undefined) await writeFile(join(cwd, '.env'), dotEnv);
  const script = `import(process.argv[1]).then(({ loadConfig }) => {
    try { console.log(JSON.stringify(loadConfig())); } catch (error) { console.log(JSON.stringify({ problems: error.problems })); }
  })`;
  const module = new URL('../src/config.ts', import.meta.url).href;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script, module], { cwd, env, encoding: 'utf8' });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
};

test('.env is read beneath the environment, which wins even when set to nothing', async (t) => {
  const dotEnv =
    '\uFEFF# a comment\nPORT=9001\r\nexport LOG_LEVEL=debug # loud\nDATABASE_URL="postgres://u:p@db/app"\nREDIS_UR=x\n';
  const { config, warnings } = await loaded(t, dotEnv, { PORT: '9002', DATABASE_URL: '' });
  t.like(config, { port: 9002, logLevel: 'debug', databaseUrl: undefined });
  t.deepEqual(warnings, ['REDIS_UR is not a known variable; did you mean REDIS_URL?']);
});

test('without .env the environment stands alone', async (t) => {
  t.like((await loaded(t, undefined, { PORT: '9003' })).config, { port: 9003, issuer: 'http://localhost:9003' });
});

test('a line of .env that cannot be read is reported beside the other problems, and never shown', async (t) => {
  const dotEnv = [
    'LOG_LEVEL=info',
    'JWT_SECRET_KEY: hunter2', // not a .env line
    'OAUTH_CLIENT_SECRET="hunter2', // an open quote
    'MASTER_KEY=hunter2#hunter3', // would lose everything from the #
    "DATA_DIR='multi",
    "line'",
    'REDIS_URL="a" hunter2',
    'PORT=hunter2',
    '',
  ].join('\n');
  const { problems } = await loaded(t, dotEnv);
  t.deepEqual(
    problems.map((problem: string) => problem.split(' ').slice(0, 3).join(' ')),
    ['.env line 2', '.env line 3', '.env line 4', '.env line 7', 'PORT must be'],
  );
  t.false(JSON.stringify(problems).includes('hunter'));
});

test('a proxy’s word on certificates is believed only where a proxy is, and never in place of a header that others send', (t) => {
  const header = { MTLS_CERTIFICATE_HEADER: 'x-client-cert' };
  t.regex(refusal(header).message, /MTLS_CERTIFICATE_HEADER needs TRUST_PROXY/);
  for (const TRUST_PROXY of ['0', 'false']) t.regex(refusal({ ...header, TRUST_PROXY }).message, /needs TRUST_PROXY/);
  t.regex(refusal({ MTLS_VERIFIED_HEADER: 'x-client-verify' }).message, /without MTLS_CERTIFICATE_HEADER/);
  t.regex(
    refusal({ ...header, TRUST_PROXY: '1', MTLS_VERIFIED_HEADER: 'x-client-cert' }).message,
    /must be two headers/,
  );
  for (const name of ['authorization', 'x-forwarded-for', 'x-api-key', 'x client', 'x-ä'])
    t.regex(refusal({ MTLS_CERTIFICATE_HEADER: name, TRUST_PROXY: '1' }).message, /MTLS_CERTIFICATE_HEADER must be/);
  const given = { ...header, MTLS_VERIFIED_HEADER: 'X-Client-Verify', TRUST_PROXY: '1' };
  const told = { certificateHeader: 'x-client-cert', verifiedHeader: 'X-Client-Verify', origin: undefined };
  t.deepEqual(accepted(given).mtls, told);
  const MTLS_ORIGIN = 'https://MTLS.example.com/';
  t.deepEqual(accepted({ ...given, MTLS_ORIGIN }).mtls, { ...told, origin: 'https://mtls.example.com' });
  t.regex(refusal({ MTLS_ORIGIN }).message, /MTLS_ORIGIN cannot be used without MTLS_CERTIFICATE_HEADER/);
});

test('production reaches no address of its own for a client, and a further authority is a file of certificates', async (t) => {
  t.regex(refusal({ ...production, OUTBOUND_LOOPBACK: 'true' }).message, /OUTBOUND_LOOPBACK is for development/);
  t.true(accepted({ OUTBOUND_LOOPBACK: 'true' }).outbound.reachLoopback);
  const directory = await mkdtemp(join(tmpdir(), 'ua-ca-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const file = join(directory, 'ca.pem');
  t.regex(refusal({ EXTRA_CA: file }).message, /EXTRA_CA must be a file/);
  await writeFile(file, 'no certificate');
  t.regex(refusal({ EXTRA_CA: file }).message, /EXTRA_CA must be a file/);
  await writeFile(file, `a comment\n${AUTHORITY}`);
  t.is(accepted({ EXTRA_CA: file }).outbound.extraCa, AUTHORITY);
});
