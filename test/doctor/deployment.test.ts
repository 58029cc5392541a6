// The checks of `npm run doctor` of a database and of what answers at ISSUER, each made to fail once; and the whole as it is run.
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { Client } from 'pg';
import { checkClients } from '../../scripts/doctor/clients.ts';
import type { Finding } from '../../scripts/doctor/finding.ts';
import { checkIssuer, checkProxies } from '../../scripts/doctor/issuer.ts';
import { checkKeys, signingKeysOf } from '../../scripts/doctor/keys.ts';
import { checkOutbox } from '../../scripts/doctor/mail.ts';
import { checkMigrations, checkPeople, checkPostgres } from '../../scripts/doctor/postgres.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { SEEN_HEADER, seenQuestion } from '../../src/http/seen.ts';
import { configOf, isFine, MASTER_KEY, PRODUCTION, told } from '../helpers/findings.ts';
import { startServer } from '../helpers/server.ts';
import { freePort, killAll, NO_STORES, run, startService, temporaryDir } from '../helpers/service.ts';

const { TEST_DATABASE_URL, TEST_REDIS_URL } = process.env;

const server = await startServer();
const db = new Client({ connectionString: server.database.connectionString });
await db.connect();
test.after.always(async () => {
  await db.end();
  await server.close();
  killAll();
});

const configHere = (env: Record<string, string> = {}) => configOf({ ISSUER: server.issuer, ...env });

// ---------------------------------------------------------------------------------------------------------------------
// The database
// ---------------------------------------------------------------------------------------------------------------------

test.serial('migrations that are missing, were changed, or are newer', async (t) => {
  t.true(isFine(await checkMigrations(db)));
  const { rows } = await db.query(`SELECT * FROM _prisma_migrations ORDER BY migration_name DESC LIMIT 1`);
  const [{ migration_name: name, checksum }] = rows;
  await db.query('UPDATE _prisma_migrations SET checksum = $2 WHERE migration_name = $1', [name, 'x']);
  t.regex(told(await checkMigrations(db)), new RegExp(`^fail migrations: ${name} was changed`));
  await db.query(
    `UPDATE _prisma_migrations SET checksum = $2, migration_name = '9999_newer' WHERE migration_name = $1`,
    [name, checksum],
  );
  const findings = await checkMigrations(db);
  t.regex(told(findings), new RegExp(`fail migrations: The database lacks 1, from ${name}`));
  t.regex(told(findings), /warn migrations: The database has 1 that this version does not know, such as 9999_newer/);
  t.regex(findings[0]?.mend ?? '', /npm run migrate/);
  await db.query(`UPDATE _prisma_migrations SET migration_name = $1 WHERE migration_name = '9999_newer'`, [name]);
});

test.serial('a PostgreSQL that does not wait for the disk', async (t) => {
  t.true(isFine(await checkPostgres(db, configHere())));
  await db.query('BEGIN; SET LOCAL synchronous_commit = off');
  const findings = await checkPostgres(db, configHere({ DATABASE_URL: 'postgres://localhost/x' }));
  await db.query('ROLLBACK');
  t.regex(told(findings), /warn postgres: PostgreSQL does not wait for the disk/);
});

test.serial('keys that do not open, are missing, or have signed for too long', async (t) => {
  const config = configHere();
  const keys = await signingKeysOf(db);
  t.true(isFine(await checkKeys(keys, config, MASTER_KEY)));
  t.regex(told(await checkKeys(keys, config, undefined)), /^fail keys: There is no MASTER_KEY/);
  t.regex(told(await checkKeys(keys, config, 'm'.repeat(32))), /^fail keys: The \w+ key \S+ does not open/);
  t.regex(told(await checkKeys(keys.slice(1), config, MASTER_KEY)), /^fail keys: No \w+ key signs/);
  const waiting = keys.map((key) => ({ ...key, days: -0.01 }));
  t.regex(told(await checkKeys(waiting, config, MASTER_KEY)), /^fail keys: No RS256 key signs/);
  const old = keys.map((key) => ({ ...key, days: 92 }));
  t.regex(told(await checkKeys(old, config, MASTER_KEY)), /^warn keys: The RS256 key has signed for 92 days/);
  t.true(isFine(await checkKeys(old, { ...config, keyRotationDays: 0 }, MASTER_KEY)));
  const ancient = keys.map((key) => ({ ...key, days: 400 }));
  t.regex(told(await checkKeys(ancient, { ...config, keyRotationDays: 0 }, MASTER_KEY)), /^warn keys: The RS256/);
});

test.serial('clients that lead where they should not, or are of no use to anybody', async (t) => {
  t.true(isFine(await checkClients(db, PRODUCTION)));
  const add = (id: string, metadata: unknown, days = 0) =>
    db.query(
      `INSERT INTO oauth_clients (client_id, metadata, created_at) VALUES ($1, $2, now() - make_interval(days => $3))`,
      [id, JSON.stringify(metadata), days],
    );
  await add('plain', { redirect_uris: ['http://app.example/cb?secret=hunter2'] });
  await add('wild', { redirect_uris: ['https://*.example/cb'] });
  await add('fragment', {
    redirect_uris: ['https://ok.example/'],
    post_logout_redirect_uris: ['https://ok.example/#x'],
  });
  await add('user', { redirect_uris: ['https://me:hunter2@ok.example/'] });
  await add('nowhere', { redirect_uris: [] });
  await add('old', { redirect_uris: ['https://ok.example/'] }, 100);
  await add('robot', { redirect_uris: [], grant_types: ['client_credentials'] }, 100);
  await add('sound', { redirect_uris: ['https://ok.example/', 'http://127.0.0.1/cb', 'com.example.app:/cb'] });
  await add('\u001b[31mred', { redirect_uris: ['nonsense'] });
  await add('optima_client', { redirect_uris: ['http://localhost:8300/callback'] });
  const text = told(await checkClients(db, PRODUCTION));
  for (const says of [
    /fail clients: plain: redirect_uris must be https.*\(http:\/\/app\.example\/cb\)/,
    /fail clients: wild: redirect_uris must not have wildcards/,
    /fail clients: fragment: post_logout_redirect_uris must not have a fragment/,
    /fail clients: user: redirect_uris must not have a user or password \(https:\/\/ok\.example/,
    /fail clients: optima_client|fail clients: The demo client/,
    /warn clients: nowhere has nowhere/,
    /warn clients: old is 100 days old/,
  ])
    t.regex(text, says);
  t.notRegex(text, /robot|sound|hunter2/);
  t.false(text.includes('\u001b'));
  t.notRegex(told(await checkClients(db, configHere())), /fail/, 'while developing, it is only told');
  await db.query('DELETE FROM oauth_clients');
});

test.serial('mails that are late or were given up; nobody to administer; a demo user in production', async (t) => {
  t.true(isFine(await checkOutbox(db)));
  await db.query(
    `INSERT INTO outgoing_mails (id, sealed, next_attempt_at, last_error) VALUES
       (gen_random_uuid(), 'x', now() - interval '1 hour', NULL), (gen_random_uuid(), 'x', NULL, 'refused')`,
  );
  t.regex(told(await checkOutbox(db)), /warn outbox: .* due .*: 1\.\nwarn outbox: .* given up: 1\./);
  await db.query('DELETE FROM outgoing_mails');

  t.regex(told(await checkPeople(db, PRODUCTION)), /^warn people: There is no administrator/);
  const { id } = await server.accounts.create({ email: 'demo@example.com', password: 'a long password' });
  await db.query(`UPDATE users SET role = 'admin' WHERE id = $1`, [id]);
  t.regex(told(await checkPeople(db, PRODUCTION)), /^fail people: The demo user/);
  t.true(isFine(await checkPeople(db, configHere())));
});

// ---------------------------------------------------------------------------------------------------------------------
// What answers at ISSUER
// ---------------------------------------------------------------------------------------------------------------------

const listening = async (t: import('ava').ExecutionContext, listener: RequestListener): Promise<string> => {
  const http = createServer(listener).listen(0, 'localhost');
  await once(http, 'listening');
  t.teardown(() => void http.close());
  return `http://localhost:${(http.address() as AddressInfo).port}`;
};

test.serial('an issuer that nobody answers for, or somebody else', async (t) => {
  const kids = (await signingKeysOf(db)).map(({ kid }) => kid);
  const right = await checkIssuer(configHere(), kids);
  t.true(right.reached && isFine(right.findings), told(right.findings));

  const silent = await checkIssuer(configHere({ ISSUER: `http://localhost:${await freePort()}` }), kids);
  t.false(silent.reached);
  t.regex(told(silent.findings), /^fail issuer: Nothing answers at .* \(ECONNREFUSED\)/);
  const stranger = await listening(t, (_, res) => void res.writeHead(404).end('<h1>no</h1>'));
  t.regex(
    told((await checkIssuer(configHere({ ISSUER: stranger }), kids)).findings),
    /^fail issuer: .* answers 404, and no metadata/,
  );

  // By another name: what answers says who it is.
  const alias = await listening(t, async (req, res) => {
    const answer = await fetch(server.origin + req.url);
    res.writeHead(answer.status, { 'content-type': 'application/json', date: 'Mon, 01 Jan 2024 00:00:00 GMT' });
    res.end(await answer.text());
  });
  const other = told((await checkIssuer(configHere({ ISSUER: alias }), [...kids, 'of-another-database'])).findings);
  t.regex(other, new RegExp(`fail issuer: ${alias} answers as ${server.issuer}`));
  t.regex(other, /fail issuer: .* publishes other signing keys/);
  t.regex(other, /fail clock: The clock of the server is [\d.]+ s behind/);
});

test.serial('the server tells what it sees to who holds the master key, and to nobody else', async (t) => {
  t.true(isFine((await checkProxies(configHere(), MASTER_KEY)).filter(({ check }) => check === 'proxy')));
  t.regex(told(await checkProxies(configHere(), 'm'.repeat(32))), /fail proxy: The server does not say what it sees/);
  const ask = async (question: string | undefined) => {
    const response = await fetch(`${server.origin}/health`, {
      headers: question === undefined ? {} : { [SEEN_HEADER]: question },
    });
    return 'seen' in ((await response.json()) as object);
  };
  const secrets = createSecrets(MASTER_KEY);
  const now = Math.floor(Date.now() / 60_000);
  t.true(await ask(seenQuestion(secrets)));
  const [, proof = ''] = seenQuestion(secrets, now).split('.');
  for (const bad of [
    undefined,
    'x',
    `${now}.`,
    `${now - 1}.${proof}`,
    seenQuestion(secrets, now - 10),
    seenQuestion(secrets, now + 10),
  ])
    t.false(await ask(bad), bad);
});

test.serial('a server behind proxies that believes too many, or too few, or a client’s own certificate', async (t) => {
  const shared = { masterKey: MASTER_KEY };
  const trusting = await startServer(
    { ...shared, trustProxy: 1, mtls: { certificateHeader: 'x-client-cert' } },
    server,
  );
  t.teardown(trusting.close);
  const env = { TRUST_PROXY: '1', MTLS_CERTIFICATE_HEADER: 'x-client-cert', ISSUER: trusting.origin };
  const direct = told(await checkProxies(configHere(env), MASTER_KEY));
  t.regex(direct, /fail proxy: Clients can choose the address/);
  t.regex(direct, /fail proxy: Clients can send the header that their certificate is read from/);

  // As nginx does, with the header set on every request.
  const to =
    (target: string): RequestListener =>
    async (req, res) => {
      const headers = {
        [SEEN_HEADER]: String(req.headers[SEEN_HEADER]),
        'x-forwarded-for': `${req.headers['x-forwarded-for']}, 198.51.100.9`,
        'x-client-cert': '',
      };
      const answer = await fetch(target + req.url, { headers });
      res.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
    };
  const proxied = await listening(t, to(trusting.origin));
  const good = await checkProxies(configHere({ ...env, ISSUER: proxied }), MASTER_KEY);
  t.true(isFine(good.filter(({ check }) => check === 'proxy')), told(good));
  const blind = await listening(t, to(server.origin));
  t.regex(
    told(await checkProxies(configHere({ ISSUER: blind }), MASTER_KEY)),
    /fail proxy: Everybody is counted as one network/,
  );
});

// ---------------------------------------------------------------------------------------------------------------------
// As it is run
// ---------------------------------------------------------------------------------------------------------------------

test.serial('doctor tells of every wrong variable, with exit code 1', async (t) => {
  const { code, stdout } = await run('scripts/doctor.ts', ['--json'], {
    PORT: 'x',
    JWT_SECRET_KEY: 'hunter2',
    ISSUER: 'y',
  });
  t.is(code, 1);
  const { healthy, checks } = JSON.parse(stdout);
  t.false(healthy);
  for (const name of ['PORT', 'JWT_SECRET_KEY', 'ISSUER'])
    t.true(
      checks.some(({ status, says }: Finding) => status === 'fail' && says.startsWith(name)),
      name,
    );
  t.notRegex(stdout, /hunter2/);
});

test.serial('doctor without a database makes none, and says what to start', async (t) => {
  const dataDir = join(temporaryDir(), 'data');
  mkdirSync(dataDir);
  const port = await freePort();
  const env = { DATA_DIR: dataDir, PORT: String(port), REDIS_URL: `redis://:hunter2@127.0.0.1:${port}` };
  const { code, stdout } = await run('scripts/doctor.ts', [], env);
  t.is(code, 1);
  t.regex(stdout, /MEND {2}postgres +There is no database in DATA_DIR/);
  t.regex(stdout, /MEND {2}redis +127\.0\.0\.1:\d+ does not answer/);
  t.regex(stdout, /MEND {2}issuer +Nothing answers at/);
  t.regex(stdout, /\d+ in order, \d+ to look at, 3 to mend\n$/);
  const away = await run('scripts/doctor.ts', [], {
    ...env,
    DATABASE_URL: `postgres://app:hunter2@127.0.0.1:${port}/app`,
  });
  t.is(away.code, 1);
  t.regex(away.stdout, /MEND {2}postgres +PostgreSQL: cannot connect \(ECONNREFUSED\)/);
  for (const text of [stdout, away.stdout, away.stderr]) t.notRegex(text, /hunter2/);
});

const withStores = TEST_DATABASE_URL && TEST_REDIS_URL ? test.serial : test.serial.skip;

withStores(
  `doctor finds nothing to mend in a server that runs as it should, and changes nothing${TEST_REDIS_URL && TEST_DATABASE_URL ? '' : ` (${NO_STORES})`}`,
  async (t) => {
    const { connectionString } = server.database;
    await db.query(`DELETE FROM users`);
    const env = {
      DATABASE_URL: connectionString,
      REDIS_URL: TEST_REDIS_URL,
      MASTER_KEY,
      JWT_SECRET_KEY: 'j'.repeat(40),
    };
    const service = await startService(env);
    const counted = async () =>
      (await db.query('SELECT (SELECT count(*) FROM audit_events) + (SELECT count(*) FROM signing_keys) AS n')).rows;
    const before = await counted();
    const { code, stdout } = await run('scripts/doctor.ts', [], {
      ...env,
      PORT: String(service.port),
      DATA_DIR: service.dataDir,
    });
    t.is(code, 0, stdout);
    t.notRegex(stdout, /MEND/);
    for (const check of ['redis', 'clock', 'migrations', 'keys', 'outbox', 'issuer', 'proxy'])
      t.regex(stdout, new RegExp(`^ok {4}${check} `, 'm'), check);
    t.deepEqual(await counted(), before);
    await service.stop();
  },
);
