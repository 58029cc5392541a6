// The drill: a server at work is backed up, lost, and made anew elsewhere from the backup. Embedded by npm run backup and restore;
// on PostgreSQL as docs/operations.md says, by pg_dump and pg_restore.
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { type Environment, emptyDatabase, killAll, run, startService, temporaryDir } from './helpers/service.ts';
import { createTraffic, TRAFFIC_CLIENT } from './helpers/traffic.ts';

const { TEST_DATABASE_URL } = process.env;
const dir = temporaryDir();
const passphraseFile = join(dir, 'passphrase');
writeFileSync(passphraseFile, 'a passphrase of sixteen and more\n');

test.after.always(killAll);

type Drill = {
  env: Environment;
  backUp(): Promise<void>;
  /** Everything that the server kept is gone. */
  lose(): Promise<void>;
  restore(): Promise<Environment>;
};

const drill = async (t: import('ava').ExecutionContext, { env, backUp, lose, restore }: Drill): Promise<void> => {
  t.timeout(300_000, 'two servers, one of them from nothing');
  const common = {
    ...TRAFFIC_CLIENT,
    RATE_LIMITS: 'register-network=10000/900,login-network=10000/900',
    LOG_LEVEL: 'error',
  };
  const before = await startService({ ...common, ...env });
  const traffic = createTraffic(before.origin);
  traffic.start(2);
  await traffic.passed(2);

  const acknowledged = [...traffic.people];
  await backUp();
  await traffic.passed(1);
  await traffic.stop();
  t.deepEqual(traffic.failures, [], 'nobody at work noticed the backup');
  await before.kill();
  await lose();

  const restored = await restore();
  const after = await startService({ ...common, ...restored, PORT: String(before.port) });
  const jwks = (await (await fetch(`${after.origin}/oauth/jwks`)).json()) as JSONWebKeySet;
  for (const { sub, idToken, accessToken } of acknowledged) {
    const { payload } = await jwtVerify(idToken, createLocalJWKSet(jwks), { issuer: before.origin });
    t.is(payload.sub, sub, 'what was signed before verifies');
    const userinfo = await fetch(`${after.origin}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${accessToken}` },
    });
    t.is(userinfo.status, 200, 'an access token from before is good');
  }
  t.deepEqual(await traffic.lost(acknowledged), [], 'everybody who was acknowledged is there, with all they held');
  const newcomers = createTraffic(after.origin, 'newcomer');
  newcomers.start(1);
  await newcomers.passed(1);
  await newcomers.stop();
  t.deepEqual(newcomers.failures, [], 'people arrive as before');
  const audit = await run('scripts/verify-audit.ts', [], { ...common, ...restored });
  t.is(audit.code, 0, audit.stderr);
  t.true(JSON.parse(audit.stdout).intact);
  await after.stop();
};

// ---------------------------------------------------------------------------------------------------------------------
// Embedded
// ---------------------------------------------------------------------------------------------------------------------

const embedded = TEST_DATABASE_URL ? test.serial.skip : test.serial;
const ONLY_EMBEDDED = TEST_DATABASE_URL ? ' (run without TEST_DATABASE_URL)' : '';
const answered = ({ code, stdout, stderr }: Awaited<ReturnType<typeof run>>) => {
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
};

embedded(
  `npm run backup beside a server at work, npm run restore elsewhere: nothing acknowledged is lost${ONLY_EMBEDDED}`,
  async (t) => {
    const dataDir = join(dir, 'lost', 'data');
    const elsewhere = join(dir, 'elsewhere');
    const sealed = join(dir, 'sealed.backup');
    const plain = join(dir, 'plain.backup');
    const script = (name: string, args: string[], DATA_DIR: string) => run(`scripts/${name}.ts`, args, { DATA_DIR });
    let masterKey = '';

    await drill(t, {
      env: { DATA_DIR: dataDir },
      async backUp() {
        const withAll = ['--to', sealed, '--passphrase-file', passphraseFile, '--with-secrets'];
        t.deepEqual(answered(await script('backup', withAll, dataDir)), {
          backup: sealed,
          sealed: true,
          with_secrets: true,
        });
        masterKey = JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8')).masterKey;

        const alone = await script('backup', ['--to', plain], dataDir);
        t.is(alone.code, 0);
        t.regex(alone.stderr, /secrets\.json is not in the backup/);
        for (const file of [sealed, plain]) t.is(statSync(file).mode & 0o777, 0o600);
        const running = await script('restore', ['--from', sealed, '--passphrase-file', passphraseFile], dataDir);
        t.is(running.code, 1);
        t.regex(running.stderr, /in use by another server \(process \d+\)/);
      },
      async lose() {
        t.false(readFileSync(sealed).includes(masterKey));
        rmSync(dataDir, { recursive: true });
      },
      async restore() {
        // What opens it is asked for before anything is made.
        const locked = await script('restore', ['--from', plain], elsewhere);
        t.is(locked.code, 1);
        t.regex(locked.stderr, /put its secrets\.json into DATA_DIR/);
        const foreign = await run('scripts/restore.ts', ['--from', plain], {
          DATA_DIR: elsewhere,
          MASTER_KEY: 'm'.repeat(32),
        });
        t.is(foreign.code, 1);
        t.regex(foreign.stderr, /does not open with this MASTER_KEY/);
        t.false(existsSync(elsewhere));

        const args = ['--from', sealed, '--passphrase-file', passphraseFile];
        const { rows, applied } = answered(await script('restore', args, elsewhere));
        t.true(rows.users >= 3 && rows.signing_keys === 4 && rows.audit_events > 10);
        t.deepEqual(applied, []);
        t.is(statSync(join(elsewhere, 'secrets.json')).mode & 0o777, 0o600);
        return { DATA_DIR: elsewhere };
      },
    });
  },
);

// ---------------------------------------------------------------------------------------------------------------------
// PostgreSQL
// ---------------------------------------------------------------------------------------------------------------------

/** The newest of the machine's, which reads servers of its version and older. */
const programs = globSync('/usr/lib/postgresql/*/bin/pg_dump')
  .sort((a, b) => Number.parseInt(b.split('/')[4] ?? '', 10) - Number.parseInt(a.split('/')[4] ?? '', 10))
  .map((path) => path.replace(/pg_dump$/, ''));
const why = !TEST_DATABASE_URL
  ? 'no PostgreSQL: set TEST_DATABASE_URL'
  : programs.length === 0
    ? 'no pg_dump'
    : undefined;
const onPostgres = why ? test.serial.skip : test.serial;

onPostgres(
  `pg_dump under traffic, pg_restore into a new database: nothing acknowledged is lost${why ? ` (${why})` : ''}`,
  async (t) => {
    const dump = join(dir, 'user-auth.dump');
    const lost = await emptyDatabase();
    const made = await emptyDatabase();
    t.teardown(made.close);
    const keys = {
      MASTER_KEY: 'a master key that outlives the database',
      JWT_SECRET_KEY: 'a JWT secret that outlives the database',
    };
    const program = async (name: string, ...args: string[]) => {
      const { status, stderr } = spawnSync(`${programs[0]}${name}`, args, { encoding: 'utf8' });
      t.is(status, 0, stderr);
    };
    await drill(t, {
      env: { ...keys, DATABASE_URL: lost.url },
      backUp: () => program('pg_dump', '--format=custom', '--no-owner', `--file=${dump}`, lost.url),
      lose: lost.close,
      async restore() {
        await program(
          'pg_restore',
          '--no-owner',
          '--single-transaction',
          '--exit-on-error',
          `--dbname=${made.url}`,
          dump,
        );
        return { ...keys, DATABASE_URL: made.url };
      },
    });
  },
);
