// Somebody about whom nothing changes: by them it is told what goes on without a store, and when all is well again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './caller.ts';
import { type Person, pairOf, register, steps } from './person.ts';
import type { ServerProcess } from './server-process.ts';
import { allowApp } from './sign-ins.ts';
import { SEEN_EVERYWHERE_MS, type World } from './world.ts';

/** After the store is back, and without a restart. */
const RECOVERED_MS = 5_000;
/** After a grant was changed Redis has no copy of it for a minute (storage/artifacts-layered.ts). */
const UNSETTLED_MS = 65_000;

export type Steady = Awaited<ReturnType<typeof createSteady>>;

export const createSteady = async (world: World) => {
  const { report, call, servers } = world;
  const found: Person | undefined = await register(world);
  if (!found) throw new Error('nobody could be registered to begin with');
  const person = found;
  const own = steps(world, person);
  await own.login();
  await own.makeKey();
  person.app = await allowApp(world, person);
  let since = Date.now();
  const { pair, key } = person;
  await sleep(2 * SEEN_EVERYWHERE_MS);
  if (!pair || !key) throw new Error('nobody could sign in to begin with');

  const jwt = { headers: { authorization: `Bearer ${pair.access}` } };
  const byKey = { headers: { 'x-api-key': key.secret } };
  const get = async (server: ServerProcess, path: string, asked = {}) =>
    (await call(server, 'GET', path, asked)).status;
  const userinfo = (server: ServerProcess) =>
    call(server, 'GET', '/oauth/userinfo', { headers: { authorization: `Bearer ${person.app?.access}` } });
  const introspected = async (server: ServerProcess) =>
    (await world.asApp('/oauth/introspect', { token: String(person.app?.access) }, server)).body.active === true;

  const onEach = (ask: (server: ServerProcess) => Promise<void>) =>
    Promise.all(servers.filter((server) => server.isRunning()).map(ask));
  const goesOn = (what: string, kept: boolean, server: ServerProcess) =>
    report.check(`degraded mode: ${what}`, kept, `process ${server.name}`);

  const refused = async (what: string, asked: Promise<Answer>, server: ServerProcess) => {
    const { status } = await asked;
    report.check(
      `degraded mode: ${what} is refused without Redis`,
      status === 503,
      `process ${server.name}: ${status}`,
    );
  };

  const published = async (server: ServerProcess, without: string) => {
    goesOn(`discovery without ${without}`, (await get(server, '/.well-known/openid-configuration')) === 200, server);
    goesOn(`JWKS without ${without}`, (await get(server, '/oauth/jwks')) === 200, server);
  };

  /** Whether this process serves everything again. */
  const isWell = async (server: ServerProcess): Promise<boolean> => {
    if ((await get(server, '/health')) !== 200) return false;
    const json = { email: person.email, password: person.password };
    const login = await call(server, 'POST', '/auth/login', { json });
    if (login.status !== 200) return false;
    const { access, refresh } = pairOf(login);
    const me = await get(server, '/users/me', { headers: { authorization: `Bearer ${access}` } });
    const refreshed = await call(server, 'POST', '/auth/refresh', { json: { refresh_token: refresh } });
    const page = await call(server, 'GET', '/login', { headers: { accept: 'text/html' } });
    return me === 200 && refreshed.status === 200 && page.status < 400 && page.status > 0;
  };

  return {
    /** Makes sure that their access token lives, and that each process has seen it lately. */
    async prepare(): Promise<void> {
      if (!person.app || person.app.losses !== world.losses()) person.app = undefined;
      for (let tries = 0; !person.app && tries < 20; tries += 1) {
        person.app = await allowApp(world, person);
        since = Date.now();
        if (!person.app) await sleep(250);
      }
      await onEach(async (server) => {
        await userinfo(server);
        await introspected(server);
        await get(server, '/users/me', byKey);
      });
    },

    /** docs/operations.md, "When a store is away": what goes on, and what does not. */
    withoutRedis: () =>
      onEach(async (server) => {
        await published(server, 'Redis');
        goesOn('API keys without Redis', (await get(server, '/users/me', byKey)) === 200, server);
        goesOn('first-party JWTs without Redis', (await get(server, '/users/me', jwt)) === 200, server);
        const { email, password } = person;
        await Promise.all([
          refused('signing in', call(server, 'POST', '/auth/login', { json: { email, password } }), server),
          refused(
            'refreshing',
            call(server, 'POST', '/auth/refresh', { json: { refresh_token: pair.refresh } }),
            server,
          ),
          refused('an opaque access token', userinfo(server), server),
          refused('revoking', world.asApp('/oauth/revoke', { token: String(person.app?.access) }, server), server),
          refused('changing an account', call(server, 'PUT', '/users/me', { ...jwt, json: { name: 'New' } }), server),
        ]);
      }),

    withoutPostgres: () =>
      onEach(async (server) => {
        await published(server, 'PostgreSQL');
        if (Date.now() - since < UNSETTLED_MS) return;
        goesOn('userinfo of a live token without PostgreSQL', (await userinfo(server)).status === 200, server);
        goesOn('introspection of a live token without PostgreSQL', await introspected(server), server);
      }),

    /** Waits until every process is well, and holds against the promise how long that takes. */
    async recovers(fault: string): Promise<void> {
      const from = Date.now();
      await onEach(async (server) => {
        let well = false;
        while (!well && Date.now() - from < 4 * RECOVERED_MS) {
          well = await isWell(server);
          if (!well) await sleep(100);
        }
        const ms = Date.now() - from;
        report.recovered(fault, ms);
        report.check(
          'all is well within 5 s of the store’s return',
          well && ms <= RECOVERED_MS,
          `${server.name}: ${ms} ms`,
        );
      });
    },
  };
};
