// Somebody who uses the service all day: signs in, refreshes, revokes, makes keys, changes the password, and may be banned.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { dpopProof, newKey } from '../helpers/client-keys.ts';
import type { Answer } from './caller.ts';
import { type AppTokens, allowApp, signInUpstream } from './sign-ins.ts';
import type { Credential, World } from './world.ts';

type Pair = { access: string; refresh: string };

export type Person = {
  id: string;
  email: string;
  password: string;
  pair?: Pair | undefined;
  key?: { id: string; secret: string } | undefined;
  app?: AppTokens | undefined;
  consented: boolean;
};

/** Within what a proof is fresh for, also by a clock that is 30 s off. */
const PROVED_AGAIN_MS = 2_000;

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

export const newPassword = (): string => `correct-${randomBytes(12).toString('base64url')}`;

export const pairOf = ({ body }: Answer): Pair => ({
  access: String(body.access_token),
  refresh: String(body.refresh_token),
});

/** Somebody new, whose account was acknowledged; undefined when nobody knows. */
export const register = async (world: World): Promise<Person | undefined> => {
  const email = `person-${randomBytes(8).toString('hex')}@example.com`;
  const password = newPassword();
  const answer = await world.ask('POST', '/auth/register', { json: { email, password } });
  if (answer.unknown) return undefined;
  if (!world.report.check('who registers gets an account', answer.status === 201, answer.text)) return undefined;
  const id = String(answer.body.id);
  world.ledger.users.push({ id, email, banned: false });
  world.ledger.audited.push({ type: 'user.registered', target: id });
  world.ledger.mailed.add(email);
  return { id, email, password, consented: false };
};

const heldBy = (person: Person): Credential[] => [
  ...(person.pair ? [{ kind: 'jwt' as const, value: person.pair.access }] : []),
  ...(person.pair ? [{ kind: 'refresh' as const, value: person.pair.refresh }] : []),
  ...(person.app ? [{ kind: 'opaque' as const, value: person.app.access }] : []),
  ...(person.app?.refresh ? [{ kind: 'app refresh' as const, value: person.app.refresh }] : []),
];

const keyOf = ({ key }: Person): Credential[] => (key ? [{ kind: 'key', value: key.secret }] : []);

export const steps = (world: World, person: Person) => {
  const { report, ledger } = world;
  const fine = (what: string, answer: Answer, status = 200) =>
    report.check(`what was acknowledged works: ${what}`, answer.status === status, `${answer.status} ${answer.text}`);

  const all = {
    async login(): Promise<void> {
      const { email, password } = person;
      const answer = await world.ask('POST', '/auth/login', { json: { email, password } });
      if (answer.unknown || !fine('signing in', answer)) return;
      person.pair = pairOf(answer);
      ledger.audited.push({ type: 'login.succeeded', target: person.id });
    },

    async me(): Promise<void> {
      if (!person.pair) return all.login();
      const answer = await world.ask('GET', '/users/me', bearer(person.pair.access));
      if (!answer.unknown) fine('a first-party JWT', answer);
    },

    /** Twice at once now and then, and again for as long as the answer is lost. */
    async refresh(): Promise<void> {
      if (!person.pair) return all.login();
      const { refresh } = person.pair;
      const ask = () => world.ask('POST', '/auth/refresh', { json: { refresh_token: refresh } });
      const answers = Math.random() < 0.3 ? await Promise.all([ask(), ask()]) : [await ask()];
      const known = answers.filter(({ unknown }) => !unknown);
      const answer = known[0] ?? (await world.untilKnown(ask));
      // The fate of the family is unknown: it is given up, as an app would.
      person.pair = undefined;
      if (!answer || !known.concat(answer).every((one) => fine('a refresh token', one))) return;
      const successors = new Set(known.map(({ body }) => body.refresh_token));
      report.check('a refresh token has one successor', successors.size <= 1);
      person.pair = pairOf(answer);
    },

    async useKey(): Promise<void> {
      if (!person.key) return all.makeKey();
      const answer = await world.ask('GET', '/users/me', { headers: { 'x-api-key': person.key.secret } });
      if (!answer.unknown) fine('an API key', answer);
    },

    async makeKey(): Promise<void> {
      if (!person.pair || person.key) return all.me();
      const json = { name: 'faults', scopes: ['read:profile'] };
      const answer = await world.ask('POST', '/users/api-keys', { json, ...bearer(person.pair.access) });
      if (answer.unknown || !fine('making an API key', answer, 201)) return;
      person.key = { id: String(answer.body.id), secret: String(answer.body.key) };
      ledger.audited.push({ type: 'api_key.created', target: person.key.id });
    },

    async endKey(): Promise<void> {
      const { pair, key } = person;
      if (!pair || !key) return all.makeKey();
      const ask = () => world.ask('DELETE', `/users/api-keys/${key.id}`, bearer(pair.access));
      const answer = await world.untilKnown(ask);
      const dead = keyOf(person);
      person.key = undefined;
      // 404: an earlier request, whose answer was lost, has done it.
      if (!answer || !report.check('an API key can be ended', [204, 404].includes(answer.status), answer.text)) return;
      if (answer.status === 204) ledger.audited.push({ type: 'api_key.revoked', target: key.id });
      await world.areDead(dead, 'the key was deleted');
    },

    async logout(): Promise<void> {
      const { pair } = person;
      if (!pair) return all.login();
      const answer = await world.untilKnown(() =>
        world.ask('POST', '/auth/logout', { json: {}, ...bearer(pair.access) }),
      );
      person.pair = undefined;
      if (!answer || !report.check('who signs out is let go', [204, 401].includes(answer.status), answer.text)) return;
      if (answer.status === 204) ledger.audited.push({ type: 'logout', target: person.id });
      const dead: Credential[] = [
        { kind: 'jwt', value: pair.access },
        { kind: 'refresh', value: pair.refresh },
      ];
      await world.areDead(dead, 'signing out');
    },

    /** One JWT alone, by RFC 7009: its grant goes on. */
    async revokeJwt(): Promise<void> {
      const { pair } = person;
      if (!pair) return all.login();
      const form = { token: pair.access, client_id: 'user-auth' };
      const answer = await world.untilKnown(() => world.ask('POST', '/oauth/revoke', { form }));
      if (answer && fine('revoking a JWT', answer))
        await world.areDead([{ kind: 'jwt', value: pair.access }], 'revoking it');
      await all.refresh();
    },

    async allow(): Promise<void> {
      const app = await allowApp(world, person);
      if (app) person.app = app;
    },

    async userinfo(): Promise<void> {
      const { app } = person;
      if (!app) return all.allow();
      const server = world.pick();
      const accepted = await world.accepts(server, { kind: 'opaque', value: app.access });
      // Redis was emptied since: access tokens may go with it, and are refreshed.
      if (accepted === undefined || app.losses !== world.losses()) return;
      report.check('what was acknowledged works: an access token', accepted, server.name);
    },

    async refreshApp(): Promise<void> {
      const { app } = person;
      if (!app?.refresh) return all.allow();
      const form = { grant_type: 'refresh_token', refresh_token: app.refresh };
      const losses = world.losses();
      const answer = await world.untilKnown(() => world.asApp('/oauth/token', form));
      person.app = undefined;
      if (!answer || !fine("an app's refresh token", answer)) return;
      person.app = { ...pairOf(answer), losses };
    },

    async revokeApp(): Promise<void> {
      const { app } = person;
      if (!app?.refresh) return all.allow();
      const token = app.refresh;
      const answer = await world.untilKnown(() => world.asApp('/oauth/revoke', { token }));
      person.app = undefined;
      if (!answer || !fine('revoking a refresh token', answer)) return;
      const dead: Credential[] = [
        { kind: 'app refresh', value: token },
        { kind: 'opaque', value: app.access },
      ];
      await world.areDead(dead, 'revoking the refresh token');
    },

    async changePassword(): Promise<'gone' | undefined> {
      const { pair, password: current_password } = person;
      if (!pair) {
        await all.login();
        return undefined;
      }
      const password = newPassword();
      const json = { current_password, new_password: password };
      const answer = await world.ask('PUT', '/users/me/password', { json, ...bearer(pair.access) });
      const dead = heldBy(person);
      person.pair = undefined;
      person.app = undefined;
      // It may be done already, or in a moment: which password is theirs nobody knows, and they are replaced by somebody new.
      if (answer.unknown) return 'gone';
      if (!fine('changing the password', answer, 204)) return undefined;
      const old: Credential = { kind: 'password', email: person.email, value: current_password };
      person.password = password;
      ledger.audited.push({ type: 'password.changed', target: person.id });
      await world.areDead([...dead, old], 'changing the password');
      return undefined;
    },

    /** A DPoP proof at every process at once, and again when something may have been lost in between. */
    async prove(): Promise<void> {
      const dpop = await dpopProof(await newKey(), 'POST', `${world.issuer}/oauth/token`);
      const presented = async (): Promise<number> => {
        const form = { grant_type: 'client_credentials' };
        const running = world.servers.filter((server) => server.isRunning());
        const answers = await Promise.all(running.map((server) => world.asApp('/oauth/token', form, server, { dpop })));
        return answers.filter(({ status }) => status === 200).length;
      };
      const served = await presented();
      report.check('a DPoP proof is good once', served <= 1, `${served} times at once`);
      await sleep(PROVED_AGAIN_MS);
      if (served > 0) report.check('a DPoP proof is good once', (await presented()) === 0, 'again later');
    },

    upstream: () => signInUpstream(world),

    /** For good: whoever it was is replaced by somebody new. */
    async ban(): Promise<'gone' | undefined> {
      const path = `/admin/users/${person.id}/ban`;
      const answer = await world.untilKnown(() => world.asAdmin('POST', path, { reason: 'a fault drill' }));
      const user = ledger.users.find(({ id }) => id === person.id);
      if (!answer || !user) return 'gone';
      if (!fine('banning', answer)) return 'gone';
      user.banned = true;
      ledger.audited.push({ type: 'user.banned', target: person.id });
      const password: Credential = { kind: 'password', email: person.email, value: person.password };
      await world.areDead([...heldBy(person), ...keyOf(person), password], 'a ban');
      return 'gone';
    },
  };
  return all;
};
