// The scripts as an operator runs them: alone, and beside a running server on the same DATA_DIR.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Pool } from 'pg';
import { openEmbedded } from '../src/storage/embedded.ts';
import { createBrowser } from './helpers/browser.ts';
import {
  cardOf,
  type Ended,
  emptyDatabase,
  killAll,
  NO_POSTGRES,
  run,
  type Service,
  startService,
  temporaryDir,
} from './helpers/service.ts';

const dataDir = join(temporaryDir(), 'data');
const env = { DATA_DIR: dataDir };
let service: Service;

test.after.always(killAll);

const script = (name: string, args: string[], input = '') => run(`scripts/${name}.ts`, args, env, input);

/** What a script answers that has done its job: JSON on stdout, nothing else anywhere. */
const answerOf = ({ code, stdout, stderr }: Ended) => {
  if (code !== 0 || stderr !== '') throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout);
};

const metadataFile = (content: string): string => {
  const file = join(temporaryDir(), 'client.json');
  writeFileSync(file, content);
  return file;
};

const logIn = async (login: string, password: string) => {
  const browser = createBrowser(service.origin);
  return browser.submit(await browser.go('/login'), 'sign-in', { login, password });
};

const tokenStatus = async (id: string, secret: string): Promise<number> => {
  const body = new URLSearchParams({ grant_type: 'client_credentials' });
  const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
  return (await fetch(`${service.origin}/oauth/token`, { method: 'POST', body, headers: { authorization } })).status;
};

// ---------------------------------------------------------------------------------------------------------------------
// With no server running
// ---------------------------------------------------------------------------------------------------------------------

test.serial('migrate makes the database of a new DATA_DIR, and has nothing to do the second time', async (t) => {
  const applied = answerOf(await script('migrate', [])).applied;
  t.true(applied.length > 0);
  t.deepEqual(answerOf(await script('migrate', [])), { applied: [] });
});

test.serial('users and clients are created with no server running, by several scripts at once too', async (t) => {
  const create = (name: string, ...more: string[]) =>
    script('create-user', ['--email', `${name}@example.com`, '--password', `${name}-password`, ...more]);
  const [ada, grace, app] = await Promise.all([
    create('ada'),
    create('grace', '--username', 'Grace.H', '--role', 'admin', '--verified'),
    script('create-client', ['--metadata', '-'], '{"redirect_uris":["https://alone.example/cb"]}'),
  ]);
  t.like(answerOf(ada), { email: 'ada@example.com', username: null, role: 'user', email_verified: false });
  t.like(answerOf(grace), { email: 'grace@example.com', username: 'Grace.H', role: 'admin', email_verified: true });
  t.regex(answerOf(ada).id, /^[\da-f-]{36}$/);
  t.like(answerOf(app), { redirect_uris: ['https://alone.example/cb'] });
});

// ---------------------------------------------------------------------------------------------------------------------
// Beside a running server
// ---------------------------------------------------------------------------------------------------------------------

test.serial('what scripts created before the start is there after it', async (t) => {
  service = await startService(env);
  t.is((await logIn('ada@example.com', 'ada-password')).url.pathname, '/account');
  t.is((await logIn('grace.h', 'grace-password')).url.pathname, '/account');
});

test.serial(
  'a user created beside the server signs in at once; a reset password is the only one that works',
  async (t) => {
    const args = ['--email', 'Linus@Example.com', '--password', 'first password'];
    const user = answerOf(await script('create-user', args));
    const browser = createBrowser(service.origin);
    const account = await browser.submit(await browser.go('/login'), 'sign-in', {
      login: 'linus@example.com',
      password: 'first password',
    });
    t.is(account.url.pathname, '/account');

    const reset = await script('reset-password', ['--email', 'LINUS@example.com', '--password', 'second password']);
    t.deepEqual(answerOf(reset), { id: user.id, email: 'Linus@Example.com' });
    t.is((await browser.go('/account')).url.pathname, '/', 'the browser that was signed in is not any more');
    t.is((await logIn('linus@example.com', 'first password')).status, 401);
    t.is((await logIn('linus@example.com', 'second password')).url.pathname, '/account');
  },
);

test.serial('a client created beside the server is usable at once, with the secret that is shown once', async (t) => {
  const metadata = {
    client_name: 'Acme Notes',
    redirect_uris: ['https://acme.example/callback'],
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
  };
  // Who is first-party, the operator says, not the app.
  const asked = metadataFile(JSON.stringify({ ...metadata, first_party: true }));
  const client = answerOf(await script('create-client', ['--metadata', asked]));
  t.like(client, metadata);
  t.true(client.client_secret.length >= 32);
  t.is(await tokenStatus(client.client_id, client.client_secret), 200);
  t.is(await tokenStatus(client.client_id, 'another secret, as long as it'), 401);

  const browser = createBrowser(service.origin);
  const query = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    redirect_uri: 'https://acme.example/callback',
  });
  const login = await browser.go(`/oauth/authorize?${query}`);
  t.regex(login.html, /<bdi class="client">Acme Notes</);
  const consent = await browser.submit(login, 'sign-in', { login: 'ada@example.com', password: 'ada-password' });
  t.regex(consent.html, /id="allow"/);
});

test.serial('an initial access token made beside the server registers as many clients as it says', async (t) => {
  const made = answerOf(await script('create-initial-access-token', ['--name', 'Partners', '--uses', '1']));
  t.like(made, { name: 'Partners', uses_left: 1 });
  const register = async () => {
    const response = await fetch(`${service.origin}/oauth/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${made.initial_access_token}` },
      body: JSON.stringify({ redirect_uris: ['https://partner.example/cb'] }),
    });
    return response.status;
  };
  t.is(await register(), 201);
  t.is(await register(), 401);
});

test.serial('a resource made beside the server has tokens at once, and is refused a second time', async (t) => {
  const resource = {
    identifier: 'https://notes.example/',
    name: 'Acme Notes',
    scopes: [{ name: 'notes:read', description: { en: 'Read your notes', 'zh-CN': '读取您的笔记' } }],
    default_scopes: ['notes:read'],
  };
  const asked = metadataFile(JSON.stringify(resource));
  const made = answerOf(await script('create-resource', ['--metadata', asked]));
  t.like(made, { ...resource, token_format: 'jwt', access_token_ttl_seconds: 1800 });
  const client = answerOf(
    await script(
      'create-client',
      ['--metadata', '-'],
      '{"redirect_uris":[],"response_types":[],"grant_types":["client_credentials"]}',
    ),
  );
  const response = await fetch(`${service.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: client.client_id,
      client_secret: client.client_secret,
      resource: resource.identifier,
    }),
  });
  t.like(await response.json(), { scope: 'notes:read', expires_in: 1800 });
  t.regex((await script('create-resource', ['--metadata', asked])).stderr, /^resource_exists: /);
});

test.serial('keys that are rotated beside the server are published by it within 5 s', async (t) => {
  const kids = async () => {
    const { keys } = (await (await fetch(`${service.origin}/oauth/jwks`)).json()) as { keys: { kid: string }[] };
    return keys.map(({ kid }) => kid);
  };
  const before = await kids();
  const rotated = answerOf(await script('rotate-keys', [])) as { kid: string; alg: string; state: string }[];
  const next = rotated.filter(({ kid }) => !before.includes(kid)).map(({ kid }) => kid);
  t.is(next.length, 4, 'one of each algorithm');
  const until = Date.now() + 5_000;
  let published = await kids();
  while (!next.every((kid) => published.includes(kid)) && Date.now() < until) {
    await sleep(100);
    published = await kids();
  }
  t.true([...before, ...next].every((kid) => published.includes(kid)));
});

test.serial('a first-party client is not asked for consent, and a public client gets no secret', async (t) => {
  const metadata = { redirect_uris: ['https://own.example/cb'], token_endpoint_auth_method: 'none' };
  const client = answerOf(
    await script('create-client', ['--first-party', '--metadata', '-'], JSON.stringify(metadata)),
  );
  t.false('client_secret' in client);
  const browser = createBrowser(service.origin);
  const query = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    scope: 'openid',
    redirect_uri: 'https://own.example/cb',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  const login = await browser.go(`/oauth/authorize?${query}`);
  const answered = await browser.submit(login, 'sign-in', { login: 'ada@example.com', password: 'ada-password' });
  t.is(answered.url.host, 'own.example');
  t.true(answered.url.searchParams.has('code'));
});

test.serial('a misspelt variable is warned of on stderr, and stdout stays JSON', async (t) => {
  const { code, stdout, stderr } = await run('scripts/migrate.ts', [], { ...env, DATABASE_UR: 'x' });
  t.is(code, 0);
  t.deepEqual(JSON.parse(stdout), { applied: [] });
  t.regex(stderr, /^DATABASE_UR is not a known variable; did you mean DATABASE_URL\?\n$/);
});

test.serial('a script started through npm says the same', async (t) => {
  const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  for (const name of [
    'create-user',
    'reset-password',
    'create-client',
    'create-resource',
    'create-initial-access-token',
    'rotate-keys',
    'migrate',
  ])
    t.is(scripts[name], `node scripts/${name}.ts`);
});

// ---------------------------------------------------------------------------------------------------------------------
// Wrong use
// ---------------------------------------------------------------------------------------------------------------------

const user = ['--email', 'new@example.com', '--password', 'new-password'];
const clientOf = (metadata: unknown) => ['--metadata', metadataFile(JSON.stringify(metadata))];
const redirect = { redirect_uris: ['https://acme.example/callback'] };

const wrong: [title: string, name: string, args: string[], says: RegExp][] = [
  ['no options', 'create-user', [], /--email is missing \(usage: --email/],
  ['no password', 'create-user', ['--email', 'new@example.com'], /--password is missing/],
  ['an empty password', 'create-user', ['--email', 'new@example.com', '--password', ''], /--password is missing/],
  ['an option without its value', 'create-user', ['--password', 'new-password', '--email'], /--email/],
  [
    'a password that looks like an option',
    'create-user',
    ['--email', 'new@example.com', '--password', '-secret-1'],
    /use '--password=-XYZ'.*usage/,
  ],
  ['an unknown option', 'create-user', [...user, '--admin'], /--admin.*usage/],
  ['a positional argument', 'create-user', [...user, 'extra'], /extra.*usage/],
  ['an unknown role', 'create-user', [...user, '--role', 'root'], /--role is user or admin/],
  ['no email address', 'create-user', ['--email', 'new', '--password', 'new-password'], /^invalid_email: /],
  ['a bad username', 'create-user', [...user, '--username', 'a@b'], /^invalid_username: /],
  [
    'a short password',
    'create-user',
    ['--email', 'new@example.com', '--password', 'short'],
    /^password_too_short: .*6/,
  ],
  [
    'a taken email address',
    'create-user',
    ['--email', 'ADA@example.com', '--password', 'new-password'],
    /^email_taken: /,
  ],
  ['a taken username', 'create-user', [...user, '--username', 'grace.h'], /^username_taken: /],
  [
    'an unknown user',
    'reset-password',
    ['--email', 'nobody@example.com', '--password', 'new-password'],
    /^unknown_user: /,
  ],
  ['no password', 'reset-password', ['--email', 'ada@example.com'], /--password is missing/],
  [
    'a short password',
    'reset-password',
    ['--email', 'ada@example.com', '--password', 'short'],
    /^password_too_short: /,
  ],
  ['no name', 'create-initial-access-token', [], /--name is missing/],
  ['no use at all', 'create-initial-access-token', ['--name', 'x', '--uses', '0'], /^--uses: /],
  ['a lifetime in words', 'create-initial-access-token', ['--name', 'x', '--expires-in', 'long'], /^--expires-in: /],
  ['no metadata', 'create-client', [], /--metadata is missing/],
  [
    'an unreadable file',
    'create-client',
    ['--metadata', '/nowhere/client.json'],
    /\/nowhere\/client\.json cannot be read: ENOENT/,
  ],
  ['a directory for a file', 'create-client', ['--metadata', '/'], /cannot be read: EISDIR/],
  ['no JSON', 'create-client', ['--metadata', metadataFile('{"client_name": ')], /is not JSON/],
  ['nothing on standard input', 'create-client', ['--metadata', '-'], /is not JSON/],
  ['a JSON array', 'create-client', clientOf([redirect]), /is not a JSON object/],
  ['JSON null', 'create-client', clientOf(null), /is not a JSON object/],
  ['no redirect_uris', 'create-client', clientOf({ client_name: 'x' }), /^invalid_client_metadata: .*redirect_uris/],
  [
    'redirect_uris that are none',
    'create-client',
    clientOf({ redirect_uris: ['nowhere'] }),
    /^invalid_client_metadata: .*redirect_uris/,
  ],
  [
    'an unknown grant type',
    'create-client',
    clientOf({ ...redirect, grant_types: ['magic'] }),
    /^invalid_client_metadata: .*grant_types/,
  ],
  [
    'an unknown auth method',
    'create-client',
    clientOf({ ...redirect, token_endpoint_auth_method: 'magic' }),
    /^invalid_client_metadata: .*token_endpoint_auth_method/,
  ],
  [
    'a logo that is no URL',
    'create-client',
    clientOf({ ...redirect, logo_uri: 'logo.png' }),
    /^invalid_client_metadata: .*logo_uri/,
  ],
  [
    'a number for client_id',
    'create-client',
    clientOf({ ...redirect, client_id: 7 }),
    /^invalid_client_metadata: .*client_id/,
  ],
  [
    'members that nobody knows',
    'create-client',
    clientOf({ ...redirect, colour: 'red', previous_secret: {} }),
    /^invalid_client_metadata: .*colour, previous_secret/,
  ],
  [
    'a short secret',
    'create-client',
    clientOf({ ...redirect, client_secret: 'short' }),
    /^invalid_client_metadata: .*client_secret/,
  ],
  [
    'a taken client_id',
    'create-client',
    clientOf({ ...redirect, client_id: 'optima_client' }),
    /^client_exists: .*optima_client/,
  ],
  ['no metadata', 'create-resource', [], /--metadata is missing/],
  ['no JSON', 'create-resource', ['--metadata', metadataFile('{')], /cannot be read: not JSON/],
  ['no scopes', 'create-resource', clientOf({ identifier: 'https://a.example/', name: 'A' }), /^--metadata: .*scopes/],
  [
    'an identifier with a fragment',
    'create-resource',
    clientOf({ identifier: 'https://a.example/#b', name: 'A', scopes: [] }),
    /^invalid_resource: .*fragment/,
  ],
  ['an option that it has not', 'rotate-keys', ['--now'], /--now.*usage/],
  ['a positional argument', 'migrate', ['--force'], /--force/],
  ['no file to write', 'backup', [], /--to is missing/],
  ['its key beside it in the clear', 'backup', ['--to', '/nowhere/x', '--with-secrets'], /needs --passphrase-file/],
  ['a place that is not there', 'backup', ['--to', '/nowhere/x'], /\/nowhere\/x cannot be written \(ENOENT\)/],
  ['no file to read', 'restore', [], /--from is missing/],
  ['a file that is no backup', 'restore', ['--from', metadataFile('{}')], /is no backup/],
  ['a passphrase that is none', 'restore', ['--from', 'x', '--passphrase-file', metadataFile('short')], /at least 16/],
  ['an unknown option', 'doctor', ['--fix'], /--fix.*usage/],
];

for (const [title, name, args, says] of wrong)
  test.serial(`${name} refuses ${title} in one clear line`, async (t) => {
    const { code, stdout, stderr } = await script(name, args);
    t.is(code, 1);
    t.is(stdout, '');
    t.regex(stderr, says);
    t.regex(stderr, /^[^\n]+\n$/);
    t.notRegex(stderr, /new-password|\bat .*:\d+:\d+/);
  });

test.serial('wrong use says so also where there is no database to ask', async (t) => {
  const { code, stdout, stderr } = await run('scripts/create-user.ts', [], {
    DATABASE_URL: 'postgres://127.0.0.1:1/x',
  });
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /^--email is missing/);
});

test.serial('a database that does not answer is said in one line', async (t) => {
  const { code, stdout, stderr } = await run('scripts/create-user.ts', user, {
    ...env,
    DATABASE_URL: 'postgres://app:hunter2@127.0.0.1:1/app',
  });
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /^PostgreSQL: Connection refused on port 1 [^\n]*\n$/);
  t.notRegex(stderr, /hunter2/);
});

test.serial('a wrong configuration is said with every problem', async (t) => {
  const { code, stdout, stderr } = await run('scripts/migrate.ts', [], { ...env, PORT: 'x', LOG_LEVEL: 'y' });
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /- PORT [^\n]*\n[^\n]*- LOG_LEVEL /);
});

// ---------------------------------------------------------------------------------------------------------------------
// What is kept
// ---------------------------------------------------------------------------------------------------------------------

/** Every row of every table, as text. */
const dump = async (): Promise<string> => {
  const database = await openEmbedded(dataDir, 'share');
  const pool = new Pool({ connectionString: database.connectionString, max: 1 });
  try {
    const { rows: tables } = await pool.query(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'`);
    const contents: string[] = [];
    for (const { name } of tables) {
      const { rows } = await pool.query(`SELECT row_to_json(t)::text AS row FROM "${name}" t`);
      contents.push(name, ...rows.map(({ row }) => row));
    }
    return contents.join('\n');
  } finally {
    await pool.end();
    await database.close();
  }
};

test.serial('neither a secret nor a password is found in the database, its files, or the log', async (t) => {
  const password = 'Wv7qTz2kXn9b-a-password';
  answerOf(await script('create-user', ['--email', 'kept@example.com', '--password', password]));
  const client = answerOf(
    await script(
      'create-client',
      ['--metadata', '-'],
      '{"redirect_uris":[],"response_types":[],"grant_types":["client_credentials"]}',
    ),
  );
  t.is(await tokenStatus(client.client_id, client.client_secret), 200);
  t.is((await logIn('kept@example.com', password)).url.pathname, '/account');
  const demoSecret = cardOf(service.output())['Demo client']?.split(' ').at(-1) ?? '';
  const demoPassword = cardOf(service.output())['Demo user']?.split(' ').at(-1) ?? '';

  const secrets = [password, client.client_secret, demoSecret, demoPassword];
  const rows = await dump();
  t.true(rows.includes('kept@example.com') && rows.includes(client.client_id), 'it is a dump of all there is');
  for (const secret of secrets) t.false(rows.includes(secret));
  const log = service.output().replace(/^[^[]*/, '');
  t.regex(log, /POST \/oauth\/token 200/);
  for (const secret of secrets) t.false(log.includes(secret));

  // Nor in what PostgreSQL keeps besides tables: its log of changes, its temporary files.
  t.is((await service.stop()).code, 0);
  const files = readdirSync(join(dataDir, 'postgres'), { recursive: true, withFileTypes: true });
  const contents = files
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
  t.true(contents.some((content) => content.includes('kept@example.com')));
  for (const secret of secrets) t.false(contents.some((content) => content.includes(secret)));
});

// ---------------------------------------------------------------------------------------------------------------------
// On a PostgreSQL
// ---------------------------------------------------------------------------------------------------------------------

const withPostgres = process.env.TEST_DATABASE_URL ? test.serial : test.serial.skip;

withPostgres(
  `migrate is what production asks for, and needs no Redis${process.env.TEST_DATABASE_URL ? '' : ` (${NO_POSTGRES})`}`,
  async (t) => {
    const database = await emptyDatabase();
    t.teardown(database.close);
    const production = {
      NODE_ENV: 'production',
      ISSUER: 'https://auth.example',
      JWT_SECRET_KEY: 'N7bq2XcV9sLmT4wRzK1yHd6uPf8jGa3eQo5iMn0t',
      DATABASE_URL: database.url,
      REDIS_URL: 'redis://127.0.0.1:1',
      SMTP_URL: 'smtp://127.0.0.1:1',
    };
    const create = ['--email', 'admin@example.com', '--password', 'a long password', '--role', 'admin'];
    const early = await run('scripts/create-user.ts', create, production);
    t.is(early.code, 1);
    t.regex(early.stderr, /^Target database is not up to date[^\n]*npm run migrate\n$/);
    const results = await Promise.all([1, 2].map(() => run('scripts/migrate.ts', [], production)));
    const applied = results.map((result) => answerOf(result).applied.length);
    t.true(applied.includes(0) && Math.max(...applied) > 0, 'of two at once, one applies');
    const short = await run('scripts/create-user.ts', [...create.slice(0, 3), 'seven77'], {
      ...production,
      REDIS_URL: process.env.TEST_REDIS_URL ?? production.REDIS_URL,
    });
    t.is(short.code, 1);
    if (process.env.TEST_REDIS_URL) t.regex(short.stderr, /^password_too_short: [^\n]*8/);
  },
);
