// src/main.ts as a process of its own: what it says, what it refuses, how it ends and how it comes back.
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Client } from 'pg';

import { pino } from 'pino';
import { createSecrets } from '../src/domain/secrets.ts';
import { installationSecrets } from '../src/installation.ts';
import { createMail } from '../src/mail/outbox.ts';
import { createTransport } from '../src/mail/transport.ts';
import { openStores } from '../src/storage/open-stores.ts';

import { type Browser, createBrowser, type Visited } from './helpers/browser.ts';

import {
  cardOf,
  type Environment,
  emptyDatabase,
  freePort,
  killAll,
  NO_STORES,
  run,
  type Service,
  startService,
  temporaryDir,
} from './helpers/service.ts';
import { startSmtp } from './helpers/smtp.ts';

const { TEST_DATABASE_URL, TEST_REDIS_URL } = process.env;

/** Everything that any of the servers here has written. */
const written: string[] = [];
/** What a first start has left in DATA_DIR, and the card it showed. */
const first = { dataDir: '', card: {} as Record<string, string>, password: '', secret: '' };

const started = async (env: Environment = {}): Promise<Service> => {
  const service = await startService(env);
  service.ended.then(({ stdout, stderr }) => written.push(stdout, stderr));
  return service;
};
const refused = async (env: Environment) => {
  const ended = await run('src/main.ts', [], env);
  written.push(ended.stdout, ended.stderr);
  return ended;
};
/** A DATA_DIR of its own in the state after the first start, which saves making a new database. */
const usedDataDir = (): string => {
  const dataDir = join(temporaryDir(), 'data');
  cpSync(first.dataDir, dataDir, { recursive: true });
  return dataDir;
};

/** Whether something at this address takes connections; `refused` when the system says that nothing listens. */
const knock = async (port: number, host = '127.0.0.1'): Promise<string> => {
  const socket = connect({ port, host, timeout: 5_000 });
  try {
    await Promise.race([
      once(socket, 'connect'),
      once(socket, 'timeout').then(() => Promise.reject({ code: 'timeout' })),
    ]);
    return 'accepted';
  } catch (error) {
    return String(Object(error).code).replace('ECONNREFUSED', 'refused');
  } finally {
    socket.destroy();
  }
};

const AUTHORIZE = `/oauth/authorize?${new URLSearchParams({
  client_id: 'optima_client',
  response_type: 'code',
  redirect_uri: 'https://example.com/callback',
  scope: 'read:profile',
})}`;

const logIn = async (browser: ReturnType<typeof createBrowser>): Promise<Visited> =>
  browser.submit(await browser.go(AUTHORIZE), 'sign-in', { login: 'demo@example.com', password: first.password });

/** The tokens for the code that a redirect to the client bears. */
const redeem = async (origin: string, { url }: Visited): Promise<Record<string, unknown>> => {
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code: url.searchParams.get('code') ?? '',
    redirect_uri: 'https://example.com/callback',
    client_id: 'optima_client',
    client_secret: first.secret,
  });
  return (await fetch(`${origin}/oauth/token`, { method: 'POST', body })).json() as Promise<Record<string, unknown>>;
};

const tokenStatus = async (origin: string, id: string, secret: string): Promise<number> => {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: id, client_secret: secret });
  return (await fetch(`${origin}/oauth/token`, { method: 'POST', body })).status;
};

const lines = (text: string): string[] => text.split('\n').filter(Boolean);

// ---------------------------------------------------------------------------------------------------------------------
// Starting
// ---------------------------------------------------------------------------------------------------------------------

test.after.always(killAll);

test.serial('a first start on an empty DATA_DIR shows all that is needed to try it, and is ready', async (t) => {
  const service = await started();
  const { origin, dataDir } = service;
  const card = cardOf(service.output());
  first.card = card;
  first.password = card['Demo user']?.split(' ').at(-1) ?? '';
  first.secret = card['Demo client']?.split(' ').at(-1) ?? '';
  const discovery = `${origin}/.well-known/openid-configuration`;
  t.like(card, {
    Issuer: origin,
    Discovery: discovery,
    'Sign in': `${origin}/login`,
    'API docs': `${origin}/docs`,
    Emails: `${origin}/dev/mail`,
    Data: dataDir,
  });
  t.regex(card.Stores ?? '', /embedded/);
  t.regex(card['Demo user'] ?? '', /^demo@example\.com {2}password \S{12,}$/);
  t.regex(card['Demo client'] ?? '', /^optima_client {2}secret \S{32,}$/);

  t.like(await (await fetch(discovery)).json(), { issuer: origin });
  t.is((await fetch(`${origin}/docs`)).status, 200);
  t.is((await fetch(`${origin}/dev/mail`)).status, 200);
  const health = await fetch(`${origin}/health`);
  t.is(health.status, 200);
  t.like(await health.json(), { status: 'up', stores: { postgres: { status: 'up' } } });
  const browser = createBrowser(origin);
  const account = await browser.submit(await browser.go('/login'), 'sign-in', {
    login: 'demo@example.com',
    password: first.password,
  });
  t.is(account.url.pathname, '/account');
  t.regex(account.html, /<bdi class="account-label">demo</);

  t.is(statSync(dataDir).mode & 0o777, 0o700);
  for (const entry of readdirSync(dataDir, { withFileTypes: true })) {
    const mode = statSync(join(dataDir, entry.name)).mode & 0o777;
    if (entry.isFile()) t.is(mode, 0o600, entry.name);
    if (entry.isDirectory()) t.is(mode, 0o700, entry.name);
  }
  t.true(['secrets.json', 'demo.json', 'postgres'].every((name) => existsSync(join(dataDir, name))));

  t.is((await service.stop()).code, 0);
  first.dataDir = dataDir;
});

test.serial('the threads that hash passwords stand back behind the one that answers', async (t) => {
  if (process.platform !== 'linux') return t.pass('there are no threads to name here');
  const { pid } = await started();
  const read = (thread: string, what: string) => readFileSync(`/proc/${pid}/task/${thread}/${what}`, 'utf8');
  // proc(5): the nineteenth member of stat; the second one is a name in brackets.
  const niceOf = (thread: string) => read(thread, 'stat').split(') ')[1]?.split(' ')[16];
  const pool = readdirSync(`/proc/${pid}/task`).filter((thread) => read(thread, 'comm') === 'libuv-worker\n');
  t.true(pool.length >= 4);
  t.deepEqual([...new Set(pool.map(niceOf))], ['5']);
  t.is(niceOf(String(pid)), '0');
});

test.serial('a later start shows the same secrets, and a misspelt variable is warned of', async (t) => {
  const service = await started({ DATA_DIR: usedDataDir(), REDIS_UR: 'redis://:hunter2@localhost' });
  const card = cardOf(service.output());
  t.is(card['Demo client'], first.card['Demo client']);
  t.is(card['Demo user'], first.card['Demo user']);
  t.is(await tokenStatus(service.origin, 'optima_client', first.secret), 200);
  t.regex(service.output(), /WARN.*REDIS_UR is not a known variable; did you mean REDIS_URL\?/);
  t.notRegex(service.output(), /hunter2/);
  await service.stop();
});

test.serial('in development only this machine reaches it; HOST opens it', async (t) => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === 'IPv4' && !address.internal)?.address;
  if (!outside) return t.pass('this machine has no address but loopback');
  const dataDir = usedDataDir();
  const loopback = await started({ DATA_DIR: dataDir });
  t.is(await knock(loopback.port), 'accepted');
  t.is(await knock(loopback.port, outside), 'refused');
  await loopback.stop();
  const open = await started({ DATA_DIR: dataDir, HOST: '0.0.0.0' });
  t.is(await knock(open.port, outside), 'accepted');
  // The mails that it shows hold links that sign people in.
  t.is((await fetch(`${open.origin}/dev/mail`)).status, 200);
  t.is((await fetch(`http://${outside}:${open.port}/dev/mail`)).status, 404);
  await open.stop();
});

test.serial(
  'the client that OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET name uses the token endpoint at once',
  async (t) => {
    const dataDir = usedDataDir();
    const secret = 'Zq8vT1mWc5Rk0LxJ7nYd';
    const bootstrap = { OAUTH_CLIENT_ID: 'platform', OAUTH_CLIENT_SECRET: secret };
    const without = await started({ DATA_DIR: dataDir, ...bootstrap });
    t.is(await tokenStatus(without.origin, 'platform', secret), 200);
    t.is(await tokenStatus(without.origin, 'platform', `${secret}x`), 401);
    t.is(await tokenStatus(without.origin, 'optima_client', first.secret), 200);
    t.false(without.output().includes(secret));
    await without.stop();

    const redirect = 'https://app.example/callback';
    const changed = 'Hd3pXs9uBn6KeW2gQa4f';
    const uris = `${redirect}, https://app.example/other`;
    const service = await started({
      DATA_DIR: dataDir,
      ...bootstrap,
      OAUTH_CLIENT_SECRET: changed,
      OAUTH_REDIRECT_URIS: uris,
    });
    const { origin } = service;
    t.is(await tokenStatus(origin, 'platform', changed), 200);
    t.is(await tokenStatus(origin, 'platform', secret), 401, 'the secret is as configured now');
    const authorize = (redirectUri: string) =>
      createBrowser(origin).go(
        `/oauth/authorize?${new URLSearchParams({ client_id: 'platform', response_type: 'code', redirect_uri: redirectUri })}`,
      );
    t.regex((await authorize(redirect)).url.pathname, /^\/interaction\//);
    t.is((await authorize('https://app.example/unregistered')).status, 400);
    await service.stop();
  },
);

test.serial('a client of the configuration with the demo client’s name takes its place', async (t) => {
  const secret = 'Zq8vT1mWc5Rk0LxJ7nYd';
  const env = { DATA_DIR: usedDataDir(), OAUTH_CLIENT_ID: 'optima_client', OAUTH_CLIENT_SECRET: secret };
  const service = await started(env);
  t.false('Demo client' in cardOf(service.output()));
  t.is(await tokenStatus(service.origin, 'optima_client', secret), 200);
  t.is(await tokenStatus(service.origin, 'optima_client', first.secret), 401);
  await service.stop();
});

test.serial('with SMTP_URL mails leave, also those that another process has handed in', async (t) => {
  const smtp = await startSmtp();
  t.teardown(smtp.stop);
  const dataDir = usedDataDir();
  const service = await started({ DATA_DIR: dataDir, SMTP_URL: smtp.url, MAIL_FROM: 'Acme <auth@acme.test>' });
  t.false('Emails' in cardOf(service.output()));
  t.is((await fetch(`${service.origin}/dev/mail`)).status, 404);

  const stores = await openStores({ dataDir, mode: 'share', migrations: 'require', onError: () => {} });
  const { masterKey } = await installationSecrets({ dataDir, production: false });
  const mail = createMail(
    stores.outgoingMails,
    createSecrets(masterKey),
    { appName: 'User Auth', host: 'localhost' },
    createTransport(smtp.url, 'other@acme.test'),
    pino({ level: 'silent' }),
  );
  await mail.send({ email: 'ada@example.com' }, { template: 'password_changed' });
  await stores.close();
  await service.wrote(/mail delivered/);
  t.is(smtp.received.length, 1);
  t.is(smtp.received[0]?.headers.get('from'), 'Acme <auth@acme.test>');
  t.notRegex(service.output(), /ada@example\.com/);
  t.is((await service.stop()).code, 0);
});

// ---------------------------------------------------------------------------------------------------------------------
// Refusing to start
// ---------------------------------------------------------------------------------------------------------------------

const PRODUCTION = {
  NODE_ENV: 'production',
  ISSUER: 'https://auth.example',
  JWT_SECRET_KEY: 'N7bq2XcV9sLmT4wRzK1yHd6uPf8jGa3eQo5iMn0t',
  // Nothing listens there, and nothing has to.
  SMTP_URL: 'smtp://127.0.0.1:1',
};

test.serial('production without its configuration refuses, naming every problem and never a value', async (t) => {
  const { code, stdout, stderr } = await refused({
    NODE_ENV: 'production',
    ISSUER: 'http://auth.example',
    JWT_SECRET_KEY: 'hunter2',
    DATABASE_URL: 'mysql://app:hunter2@db.example/app',
    PORT: 'hunter2',
    SMTP_URL: 'smtp://user:hunter2@smtp.example/path',
    OAUTH_CLIENT_ID: 'hunter2',
  });
  t.is(code, 1);
  t.is(stdout, '');
  for (const name of [
    'ISSUER',
    'JWT_SECRET_KEY',
    'DATABASE_URL',
    'REDIS_URL',
    'PORT',
    'SMTP_URL',
    'OAUTH_CLIENT_SECRET',
  ])
    t.regex(stderr, new RegExp(`^ {2}- .*\\b${name}\\b`, 'm'), name);
  t.notRegex(stderr, /hunter2|auth\.example|db\.example|smtp\.example|\bat .*:\d+:\d+/);
});

test.serial('a PostgreSQL or Redis that does not listen is named with its port, and never its password', async (t) => {
  const port = await freePort();
  const url = `127.0.0.1:${port}`;
  const production = await refused({
    ...PRODUCTION,
    DATABASE_URL: `postgres://app:hunter2@${url}/app`,
    REDIS_URL: `redis://:hunter2@${url}`,
  });
  t.is(production.code, 1);
  t.is(lines(production.stderr).length, 1, production.stderr);
  t.regex(production.stderr, new RegExp(`PostgreSQL: Connection refused on port ${port} .*DATABASE_URL`));

  // Here the database is the embedded one, so that Redis has its turn.
  const redis = await refused({ DATA_DIR: usedDataDir(), REDIS_URL: `redis://:hunter2@${url}` });
  t.is(redis.code, 1);
  t.is(lines(redis.stderr).length, 1, redis.stderr);
  t.regex(redis.stderr, new RegExp(`Redis: Connection refused on port ${port} .*REDIS_URL`));
  for (const { stdout, stderr } of [production, redis]) t.notRegex(stdout + stderr, /hunter2/);
});

test.serial('a port that is taken is said in one line', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as { port: number };
  const { code, stdout, stderr } = await refused({ DATA_DIR: usedDataDir(), PORT: String(port) });
  taken.close();
  t.is(code, 1);
  t.is(stdout, '');
  t.is(lines(stderr).length, 1, stderr);
  t.regex(stderr, /port is in use.*PORT/);
});

const unusable: [title: string, env: () => Environment, says: RegExp][] = [
  ['a HOST that is not this machine’s', () => ({ DATA_DIR: usedDataDir(), HOST: '203.0.113.7' }), /HOST/],
  ['a DATA_DIR that is a file', () => ({ DATA_DIR: join(first.dataDir, 'demo.json') }), /^DATA_DIR .*file/],
  [
    'another MASTER_KEY than the database was made with',
    () => ({ DATA_DIR: usedDataDir(), MASTER_KEY: PRODUCTION.JWT_SECRET_KEY }),
    /^The signing keys .*MASTER_KEY/,
  ],
];
for (const [title, env, says] of unusable)
  test.serial(`${title} is said in one line`, async (t) => {
    const { code, stdout, stderr } = await refused({ PORT: String(await freePort()), ...env() });
    t.is(code, 1);
    t.is(stdout, '');
    t.is(lines(stderr).length, 1, stderr);
    t.regex(stderr, says);
  });

test.serial('with PORT=0 the issuer is one that answers, or ISSUER is asked for', async (t) => {
  const service = await started({ DATA_DIR: usedDataDir(), PORT: '0' }).catch((error: Error) => error);
  if (service instanceof Error) return t.regex(service.message, /PORT.*ISSUER|ISSUER.*PORT/);
  const { Issuer } = cardOf(service.output());
  t.is((await fetch(`${Issuer}/health`).catch(() => undefined))?.status, 200, Issuer);
  await service.stop();
});

test.serial('of two servers on one DATA_DIR the second refuses, naming the first, which goes on', async (t) => {
  const dataDir = usedDataDir();
  const one = await started({ DATA_DIR: dataDir });
  const two = await refused({ DATA_DIR: dataDir, PORT: String(await freePort()) });
  t.is(two.code, 1);
  t.is(lines(two.stderr).length, 1, two.stderr);
  t.true(two.stderr.includes(dataDir));
  t.regex(two.stderr, new RegExp(`process ${one.pid}\\b`));
  t.is((await fetch(`${one.origin}/health`)).status, 200);
  await one.stop();
});

// ---------------------------------------------------------------------------------------------------------------------
// Ending
// ---------------------------------------------------------------------------------------------------------------------

/** Sends a token request without the end of its body: a request under way for as long as the caller likes. */
const slowRequest = async (port: number) => {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: 'optima_client',
    client_secret: first.secret,
  }).toString();
  const socket: Socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let answer = '';
  // What ended it is part of the answer.
  socket.on('error', ({ message }) => {
    answer += message;
  });
  const head = [
    'POST /oauth/token HTTP/1.1',
    `Host: localhost:${port}`,
    'Content-Type: application/x-www-form-urlencoded',
    `Content-Length: ${body.length}`,
    'Expect: 100-continue',
  ];
  socket.setEncoding('utf8').write(`${head.join('\r\n')}\r\n\r\n`);
  // The server says that it has read the head; it has to, before anything else happens.
  const [interim] = await once(socket, 'data');
  if (interim !== 'HTTP/1.1 100 Continue\r\n\r\n') throw new Error(`not asked to continue: ${interim}`);
  socket.on('data', (text: string) => {
    answer += text;
  });
  const closed = new Promise<string>((resolve) => socket.once('close', () => resolve(answer)));
  socket.write(body.slice(0, 20));
  return { finish: () => socket.write(body.slice(20)), closed };
};

/** How it ended, soon enough for nobody to think it waits: 5 s pass before Node gives up an idle connection, 10 before we do. */
const soon = (service: Service) => Promise.race([service.ended, sleep(4_000, undefined, { ref: false })]);

test.serial('SIGTERM lets a slow request finish, lets nobody new in, and ends with 0', async (t) => {
  const service = await started({ DATA_DIR: usedDataDir() });
  const request = await slowRequest(service.port);
  service.signal('SIGTERM');
  await service.wrote(/finishing the requests under way/);
  t.is(await knock(service.port), 'refused');
  await sleep(1_000);
  request.finish();
  const answer = await request.closed;
  t.regex(answer, /^HTTP\/1\.1 200 /);
  t.regex(answer, /"access_token":"/);
  const { code, stdout, stderr } = await service.ended;
  t.is(code, 0);
  t.is(stderr, '');
  t.regex(stdout, /closed/);
  t.notRegex(stdout, /ERROR/);
  t.false(existsSync(join(service.dataDir, '.s.PGSQL.5432')), 'the database was closed too');
});

test.serial('SIGTERM does not wait for connections that are only kept alive', async (t) => {
  const service = await started({ DATA_DIR: usedDataDir() });
  const agent = new Agent({ keepAlive: true, maxSockets: 5 });
  const sockets = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const request = get(`${service.origin}/health`, { agent });
      const [response] = await once(request, 'response');
      await once(response.resume(), 'end');
      return request.socket as Socket;
    }),
  );
  t.true(sockets.every(({ destroyed }) => !destroyed));
  service.signal('SIGTERM');
  t.is((await soon(service))?.code, 0);
  agent.destroy();
  await service.ended;
});

test.serial('SIGTERM does not wait for connections that were opened in advance and never used', async (t) => {
  // As browsers do; the address bar's guess is enough.
  const service = await started({ DATA_DIR: usedDataDir() });
  const silent = connect(service.port, '127.0.0.1').on('error', () => {});
  await once(silent, 'connect');
  await fetch(`${service.origin}/health`);
  service.signal('SIGTERM');
  t.is((await soon(service))?.code, 0);
  silent.destroy();
  await service.ended;
});

test.serial('once the last request is answered, its connection is not waited for either', async (t) => {
  const service = await started({ DATA_DIR: usedDataDir() });
  const request = await slowRequest(service.port);
  service.signal('SIGTERM');
  await service.wrote(/finishing the requests under way/);
  request.finish();
  t.is((await soon(service))?.code, 0);
  t.regex(await request.closed, /^HTTP\/1\.1 200 /);
});

test.serial('a second SIGTERM or Ctrl-C does not cut off what the first one lets finish', async (t) => {
  // Ctrl-C under npm comes twice: from the terminal, and from npm.
  const service = await started({ DATA_DIR: usedDataDir() });
  const request = await slowRequest(service.port);
  service.signal('SIGINT');
  await service.wrote(/finishing the requests under way/);
  service.signal('SIGINT');
  service.signal('SIGTERM');
  await sleep(500);
  request.finish();
  t.regex(await request.closed, /^HTTP\/1\.1 200 /);
  t.is((await service.ended).code, 0);
  t.false(existsSync(join(service.dataDir, '.s.PGSQL.5432')), 'the database was closed too');
});

test.serial(
  'a request that never ends is cut off after the ten seconds, and the exit is still a clean one',
  async (t) => {
    const service = await started({ DATA_DIR: usedDataDir() });
    const request = await slowRequest(service.port);
    t.is((await service.stop()).code, 0);
    t.notRegex(await request.closed, /200/);
  },
);

// ---------------------------------------------------------------------------------------------------------------------
// kill -9
// ---------------------------------------------------------------------------------------------------------------------

test.serial('after kill -9 between login and consent the same browser goes on where it was', async (t) => {
  const dataDir = usedDataDir();
  const before = await started({ DATA_DIR: dataDir });
  const env = { DATA_DIR: dataDir, PORT: String(before.port) };
  const browser = createBrowser(before.origin);
  const untouched = createBrowser(before.origin);
  const consent = await logIn(browser);
  t.regex(consent.html, /id="allow"/);
  const login = await untouched.go(AUTHORIZE);
  await before.kill();

  const after = await started(env);
  t.regex((await browser.go(consent.url)).html, /id="allow"/, 'the page of the started interaction is there');
  const answered = await browser.submit(consent, 'allow');
  t.is(answered.url.host, 'example.com');
  t.is((await redeem(after.origin, answered)).token_type, 'Bearer');
  const second = await untouched.submit(login, 'sign-in', { login: 'demo@example.com', password: first.password });
  t.is(second.url.host, 'example.com', 'a login form from before takes the password; the consent is remembered');

  // A browser whose interaction is gone is told so on a page, with what to do.
  const elsewhere = await createBrowser(after.origin).go(consent.url);
  t.is(elsewhere.status, 400);
  t.regex(elsewhere.html, /session_not_found/);
  await after.stop();
});

/** Past the consent page, which comes until somebody has allowed it. */
const allowed = (browser: Browser, page: Visited): Promise<Visited> | Visited =>
  page.html.includes('id="allow"') ? browser.submit(page, 'allow') : page;

test.serial('after kill -9 under parallel sign-ins the database opens and nobody is lost', async (t) => {
  const dataDir = usedDataDir();
  let service = await started({ DATA_DIR: dataDir });
  const env = { DATA_DIR: dataDir, PORT: String(service.port) };
  for (const killAfterMs of [150, 400]) {
    let running = true;
    let through = 0;
    const signIns = Array.from({ length: 4 }, async () => {
      while (running) {
        const browser = createBrowser(service.origin);
        const { url } = await allowed(browser, await logIn(browser));
        if (url.searchParams.has('code')) through += 1;
      }
    }).map((signIn) => signIn.catch(() => {}));
    for (const deadline = Date.now() + 30_000; through < 4 && Date.now() < deadline; ) await sleep(10);
    t.true(through >= 4, 'people are signing in');
    await sleep(killAfterMs);
    running = false;
    await service.kill();
    await Promise.all(signIns);

    service = await started(env);
    t.is(cardOf(service.output())['Demo user'], first.card['Demo user'], 'the user is there, with the same password');
    const browser = createBrowser(service.origin);
    const answered = await allowed(browser, await logIn(browser));
    t.is((await redeem(service.origin, answered)).token_type, 'Bearer');
  }
  t.is((await service.stop()).code, 0);
});

// ---------------------------------------------------------------------------------------------------------------------
// Production
// ---------------------------------------------------------------------------------------------------------------------

const withStores = TEST_DATABASE_URL && TEST_REDIS_URL ? test.serial : test.serial.skip;
const WITHOUT = TEST_DATABASE_URL && TEST_REDIS_URL ? '' : ` (${NO_STORES})`;

withStores(
  `production waits for npm run migrate, and brings neither demo user nor demo client${WITHOUT}`,
  async (t) => {
    const database = await emptyDatabase();
    t.teardown(database.close);
    const env = {
      ...PRODUCTION,
      DATA_DIR: join(temporaryDir(), 'data'),
      DATABASE_URL: database.url,
      REDIS_URL: TEST_REDIS_URL,
      PORT: String(await freePort()),
    };
    const behind = await refused(env);
    t.is(behind.code, 1);
    t.is(lines(behind.stderr).length, 1, behind.stderr);
    t.regex(behind.stderr, /Target database is not up to date.*npm run migrate/);

    const migrated = await run('scripts/migrate.ts', [], env);
    t.is(migrated.code, 0, migrated.stderr);
    t.true(JSON.parse(migrated.stdout).applied.length > 0);

    const service = await started(env);
    t.like(await (await fetch(`${service.origin}/health`)).json(), {
      status: 'up',
      stores: { postgres: { status: 'up' }, redis: { status: 'up' } },
    });
    t.is(await tokenStatus(service.origin, 'optima_client', first.secret), 401);
    const client = new Client({ connectionString: database.url });
    await client.connect();
    for (const table of ['users', 'oauth_clients'])
      t.is((await client.query(`SELECT count(*)::int AS n FROM ${table}`)).rows[0].n, 0, table);
    await client.end();
    t.false(existsSync(env.DATA_DIR), 'production keeps nothing of its own');

    const request = await slowRequest(service.port);
    service.signal('SIGTERM');
    await service.wrote(/finishing the requests under way/);
    request.finish();
    t.regex(await request.closed, /^HTTP\/1\.1 401 /);
    const { code, stdout, stderr } = await service.ended;
    t.is(code, 0);
    t.is(stderr, '');
    for (const line of lines(stdout)) t.notThrows(() => JSON.parse(line), line);
    t.notRegex(stdout, /demo@example\.com|optima_client/);
  },
);

withStores(`production names a Redis that does not listen${WITHOUT}`, async (t) => {
  const database = await emptyDatabase();
  t.teardown(database.close);
  const port = await freePort();
  const env = { ...PRODUCTION, DATABASE_URL: database.url, REDIS_URL: `redis://:hunter2@127.0.0.1:${port}` };
  t.is((await run('scripts/migrate.ts', [], env)).code, 0);
  const { code, stdout, stderr } = await refused(env);
  t.is(code, 1);
  t.is(lines(stderr).length, 1, stderr);
  t.regex(stderr, new RegExp(`Redis: Connection refused on port ${port} `));
  t.notRegex(stdout + stderr, /hunter2/);
});

withStores(`production ends on SIGTERM also when nobody reads its log any more${WITHOUT}`, async (t) => {
  const database = await emptyDatabase();
  t.teardown(database.close);
  const env = { ...PRODUCTION, DATABASE_URL: database.url, REDIS_URL: TEST_REDIS_URL };
  t.is((await run('scripts/migrate.ts', [], env)).code, 0);
  const service = await started(env);
  service.stopReading();
  service.signal('SIGTERM');
  const ended = await soon(service);
  await service.kill();
  t.is(ended?.code, 0);
});

test.serial('no start says that anything MUST or SHOULD be changed', (t) => {
  t.true(written.length > 0);
  for (const text of written) t.notRegex(text, /\b(MUST|SHOULD)\b|oidc-provider/);
});
