// What everybody in this run shares: the two processes, the app, the administrator, and the ledger of what was acknowledged.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer, Asked, Caller } from './caller.ts';
import { createPages, type Pages } from './pages.ts';
import type { Report } from './report.ts';
import type { ServerProcess } from './server-process.ts';

export const CALLBACK = 'https://app.example/callback';
export const PLATFORM = 'https://platform.example';

/** How long a process may go on with what it has read of keys and clients (docs/operations.md, "Several processes"). */
export const SEEN_EVERYWHERE_MS = 1_100;
/** How long a lost answer is asked for again: within REFRESH_RETRY_SECONDS, also by a clock that is 30 s fast. */
const PATIENCE_MS = 25_000;

export type Credential =
  | { kind: 'jwt' | 'key' | 'opaque' | 'refresh' | 'app refresh'; value: string }
  | { kind: 'password'; email: string; value: string };

export type Ledger = {
  users: { id: string; email: string; banned: boolean }[];
  /** Of what was revoked or banned, and acknowledged as such. */
  dead: Credential[];
  audited: { type: string; target: string }[];
  mailed: Set<string>;
};

export type World = ReturnType<typeof createWorld>;

export type Fixed = {
  call: Caller;
  report: Report;
  servers: [ServerProcess, ServerProcess];
  issuer: string;
  app: { clientId: string; clientSecret: string };
  adminKey: string;
  upstreamOrigin: string;
};

export const createWorld = (fixed: Fixed) => {
  const { call, report, servers, issuer, app, adminKey } = fixed;
  let turn = 0;
  /** How often Redis has lost what it had. */
  let losses = 0;

  /** Another process each time, of those that run. */
  const pick = (): ServerProcess => {
    turn += 1;
    const [first, second] = turn % 2 === 0 ? servers : [servers[1], servers[0]];
    return first.isRunning() ? first : second;
  };

  const basic = `Basic ${Buffer.from(`${app.clientId}:${app.clientSecret}`).toString('base64')}`;

  const world = {
    ...fixed,
    pick,
    losses: () => losses,
    redisWasEmptied: () => {
      losses += 1;
    },
    /** Of every sign-in. */
    idTokens: [] as string[],
    ledger: { users: [], dead: [], audited: [], mailed: new Set() } as Ledger,
    ask: (method: string, path: string, asked?: Asked) => call(pick(), method, path, asked),
    asAdmin: (method: string, path: string, json?: unknown) =>
      call(pick(), method, path, { headers: { 'x-api-key': adminKey }, json }),
    asApp: (path: string, form: Record<string, string>, server = pick(), headers: Record<string, string> = {}) =>
      call(server, 'POST', path, { headers: { authorization: basic, ...headers }, form }),
    browser: (): Pages => createPages(call, issuer, pick),

    /** Asks until the answer says what became of it; undefined when patience ends first. */
    async untilKnown(ask: () => Promise<Answer>): Promise<Answer | undefined> {
      for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(300)) {
        const answer = await ask();
        if (!answer.unknown) return answer;
      }
      return undefined;
    },

    /** Whether this process takes it for good; undefined when it cannot say. */
    async accepts(server: ServerProcess, credential: Credential): Promise<boolean | undefined> {
      const { kind, value } = credential;
      const asked = (answer: Answer, good = answer.status === 200) => (answer.unknown ? undefined : good);
      if (kind === 'key') return asked(await call(server, 'GET', '/users/me', { headers: { 'x-api-key': value } }));
      if (kind === 'jwt')
        return asked(await call(server, 'GET', '/users/me', { headers: { authorization: `Bearer ${value}` } }));
      if (kind === 'refresh')
        return asked(await call(server, 'POST', '/auth/refresh', { json: { refresh_token: value } }));
      if (kind === 'app refresh')
        return asked(await world.asApp('/oauth/token', { grant_type: 'refresh_token', refresh_token: value }, server));
      if (kind === 'password')
        return asked(await call(server, 'POST', '/auth/login', { json: { email: credential.email, password: value } }));
      const userinfo = await call(server, 'GET', '/oauth/userinfo', { headers: { authorization: `Bearer ${value}` } });
      const introspected = await world.asApp('/oauth/introspect', { token: value }, server);
      if (userinfo.unknown || introspected.unknown) return undefined;
      return userinfo.status === 200 || introspected.body.active === true;
    },

    /** They were revoked, and that was acknowledged: neither process takes one of them from now on. */
    async areDead(credentials: Credential[], why: string): Promise<void> {
      world.ledger.dead.push(...credentials);
      await sleep(SEEN_EVERYWHERE_MS);
      for (const server of servers)
        for (const credential of credentials) {
          if (!server.isRunning()) continue;
          const accepted = await world.accepts(server, credential);
          if (accepted === undefined) continue;
          report.check('nothing revoked or banned is accepted', !accepted, `${credential.kind} after ${why}`);
        }
    },
  };
  return world;
};
