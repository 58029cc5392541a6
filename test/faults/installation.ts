// The whole installation of one run, in a temporary directory: stores, ways to them, mail server, upstream provider, two servers.
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { startIdentityProviders } from '../helpers/identity-provider.ts';
import { freePort } from '../helpers/service.ts';
import { startSmtp } from '../helpers/smtp.ts';
import { createCaller } from './caller.ts';
import { newPassword, pairOf } from './person.ts';
import { createReport } from './report.ts';
import { createServerProcess, type Environment, runScript } from './server-process.ts';
import { createPostgres, createRedis } from './stores.ts';
import { openWay } from './way.ts';
import { CALLBACK, createWorld, PLATFORM } from './world.ts';

const ISSUER = 'https://id.faults.example';
const ADMIN_SCOPES = ['read:users', 'write:users', 'read:audit', 'read:keys', 'write:keys'];
const secret = () => randomBytes(32).toString('base64url');

/** Everybody here comes from one address, and means it: what is bounded is not what is looked at. */
const UNBOUNDED = Object.keys(DEFAULT_LIMITS)
  .map((name) => `${name}=1000000/60`)
  .join(',');

export const openInstallation = async () => {
  const report = createReport();
  const dir = mkdtempSync(join(tmpdir(), 'ua-faults-'));
  // PostgreSQL may run as another user.
  chmodSync(dir, 0o755);
  const closers: (() => unknown)[] = [];
  const close = async (keep: boolean) => {
    while (closers.length > 0) await closers.pop()?.();
    if (keep) report.say(`what the servers and stores have said is in ${dir}`);
    else rmSync(dir, { recursive: true, force: true });
  };
  try {
    const postgres = await createPostgres(dir);
    closers.push(() => postgres.stop());
    const redis = await createRedis(dir);
    closers.push(() => redis.stop());
    await Promise.all([postgres.start(), redis.start()]);
    const ways = { postgres: await openWay(postgres.port), redis: await openWay(redis.port) };
    closers.push(() => Promise.all([ways.postgres.close(), ways.redis.close()]));
    const smtp = await startSmtp();
    closers.push(() => smtp.stop());
    const providers = await startIdentityProviders();
    closers.push(() => providers.close());
    providers.serve(ISSUER);
    const [acme] = providers.settings.openid;
    if (!acme) throw new Error('there is no upstream provider');

    const { clientId, clientSecret, name, label, issuer } = acme;
    const env: Environment = {
      PATH: process.env.PATH,
      NODE_ENV: 'production',
      ISSUER,
      HOST: '127.0.0.1',
      DATABASE_URL: postgres.url(ways.postgres.port),
      REDIS_URL: `redis://127.0.0.1:${ways.redis.port}`,
      MASTER_KEY: secret(),
      JWT_SECRET_KEY: secret(),
      SMTP_URL: smtp.url,
      OIDC_PROVIDERS: JSON.stringify([{ name, label, issuer, client_id: clientId, client_secret: clientSecret }]),
      FIRST_PARTY_ORIGINS: PLATFORM,
      OAUTH_CLIENT_ID: 'an-app',
      OAUTH_CLIENT_SECRET: secret(),
      OAUTH_REDIRECT_URIS: CALLBACK,
      RATE_LIMITS: UNBOUNDED,
    };
    const migrated = await runScript('scripts/migrate.ts', [], env, dir);
    if (migrated.code !== 0) throw new Error(migrated.output);

    const servers = [
      createServerProcess('A', await freePort(), env, dir),
      createServerProcess('B', await freePort(), env, dir),
    ] as const;
    closers.push(() => Promise.all(servers.map((server) => server.stop())));
    await Promise.all(servers.map((server) => server.start()));

    const call = createCaller(report);
    const email = 'root@example.com';
    const password = newPassword();
    const created = await runScript(
      'scripts/create-user.ts',
      ['--email', email, '--password', password, '--role', 'admin', '--verified'],
      env,
      dir,
    );
    if (created.code !== 0) throw new Error(created.output);
    const { access } = pairOf(await call(servers[0], 'POST', '/auth/login', { json: { email, password } }));
    const made = await call(servers[0], 'POST', '/users/api-keys', {
      headers: { authorization: `Bearer ${access}` },
      json: { name: 'faults', scopes: ADMIN_SCOPES },
    });
    if (made.status !== 201) throw new Error(`no key for the administrator: ${made.text}`);

    const world = createWorld({
      call,
      report,
      servers: [...servers],
      issuer: ISSUER,
      app: { clientId: 'an-app', clientSecret: String(env.OAUTH_CLIENT_SECRET) },
      adminKey: String(made.body.key),
      upstreamOrigin: providers.acme.origin,
    });
    report.say('two servers, PostgreSQL and Redis are up');
    return { world, report, postgres, redis, ways, smtp, upstream: providers.acme, env, dir, close };
  } catch (error) {
    await close(false);
    throw error;
  }
};
