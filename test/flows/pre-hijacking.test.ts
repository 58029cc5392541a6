// Accounts that somebody prepares before their owner comes: every attack of “Pre-hijacked accounts: an empirical study of security
// failures in user account creation on the web” (Sudhodanan and Paverd, USENIX Security 2022), as the attacker would do it.
import test from 'ava';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody, type Upstream } from '../helpers/identity-provider.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import { bearer, createRest } from '../helpers/rest.ts';

let all: Federated;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  all = await startFederated();
  rest = createRest(all.server.origin);
});
test.beforeEach(() => {
  for (const name of ['google', 'github', 'acme'] as const) all.upstream[name].reset();
});
test.after.always(() => all?.close());

const ATTACKERS = 'the password of the attacker';
const VICTIMS = 'the password of the victim';

let serial = 0;
const newVictim = () => `victim-${++serial}@example.com`;
const login = (email: string, password: string) => rest.post('/auth/login', { email, password });

/** The attacker registers with the victim's address, and is signed in. */
const preRegister = async (email: string) => {
  await rest.post('/auth/register', { email, password: ATTACKERS });
  const { body } = await login(email, ATTACKERS);
  return { access: bearer(body.access_token), refresh: String(body.refresh_token) };
};

const through = async (name: ProviderName, person: Upstream, browser: Browser = createBrowser(all.server.issuer)) => {
  all.upstream[name].switches.person = person;
  const { page } = await all.request(browser, { prompt: undefined });
  return browser.go(await all.press(browser, page, name));
};

/** The victim takes what is theirs, by the only proof there is: their mail. */
const recover = async (email: string) => {
  await rest.post('/auth/forgot-password', { email });
  const token = await tokenTo(all.server, email, 'reset_password');
  return rest.post('/auth/reset-password', { token, new_password: VICTIMS });
};

const identitiesOf = async (email: string): Promise<string[]> =>
  (
    await all.server.database.pool.query(
      'SELECT i.subject FROM identities i JOIN users u ON u.id = i.user_id WHERE u.email = $1 ORDER BY i.subject',
      [email],
    )
  ).rows.map(({ subject }) => subject);

test.serial(
  'classic-federated merge: the victim does not end up in an account whose password the attacker knows',
  async (t) => {
    const email = newVictim();
    await preRegister(email);
    for (const name of ['google', 'github', 'acme'] as const) {
      const at = await through(name, somebody({ email }));
      t.is(at.status, 400);
      t.regex(at.html, /There is an account with your email address already/);
      t.regex(at.html, /id="forgot-password"/, 'the way out is on the page');
    }
    t.deepEqual(await identitiesOf(email), []);

    // The way out works: from then on it is the victim's alone.
    t.is((await recover(email)).status, 204);
    const person = somebody({ email });
    t.is((await through('google', person)).status, 0);
    t.deepEqual(await identitiesOf(email), [person.sub]);
    t.is((await login(email, ATTACKERS)).status, 401);
  },
);

test.serial(
  'unexpired session: what the attacker is signed in with ends when the victim takes the account',
  async (t) => {
    const email = newVictim();
    const { access, refresh } = await preRegister(email);
    const browser = createBrowser(all.server.issuer);
    t.is(
      (await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: ATTACKERS })).url.pathname,
      '/account',
    );
    const key = await rest.post('/users/api-keys', { name: 'back door' }, access);
    t.is(key.status, 201);

    t.regex((await through('google', somebody({ email }))).html, /Forgot password/);
    t.is((await recover(email)).status, 204);
    t.is((await rest.get('/users/me', access)).status, 401);
    t.is((await rest.post('/auth/refresh', { refresh_token: refresh })).status, 401);
    t.is((await browser.go('/account')).url.pathname, '/');
    t.is((await rest.get('/users/me', { 'X-API-Key': String(key.body.key) })).status, 401);
  },
);

test.serial(
  'trojan identifier: the attacker cannot add a provider of their own and come back through it',
  async (t) => {
    const email = newVictim();
    await preRegister(email);
    const browser = createBrowser(all.server.issuer);
    const account = await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: ATTACKERS });
    const refused = await browser.submit(account, 'link-google');
    t.regex(refused.html, /Confirm your email address first/);
    t.deepEqual(await identitiesOf(email), []);

    // Nor on a trip that was begun while the account could: the rule is held where the link is made.
    await all.server.database.pool.query('UPDATE users SET email_verified = true WHERE email = $1', [email]);
    const trojan = somebody();
    all.upstream.google.switches.person = trojan;
    const back = await all.through('google', await browser.submit(account, 'link-google'));
    await all.server.database.pool.query('UPDATE users SET email_verified = false WHERE email = $1', [email]);
    t.regex((await browser.go(back)).html, /Confirm your email address first/);
    t.deepEqual(await identitiesOf(email), []);
  },
);

test.serial(
  'trojan identifier by a first sign-in: an identity from before the address was proven goes with the proof',
  async (t) => {
    // The attacker's own account at a provider, with the victim's address, which that provider has not verified.
    const email = newVictim();
    const trojan = somebody({ email, email_verified: false });
    t.is((await through('acme', trojan)).status, 0);
    t.deepEqual(await identitiesOf(email), [trojan.sub]);

    t.is((await recover(email)).status, 204);
    t.deepEqual(await identitiesOf(email), []);
    const at = await through('acme', trojan);
    t.is(at.status, 400, 'the attacker is a stranger again, with an address that is not theirs');
    t.regex(at.html, /There is an account with your email address already/);
    const { body } = await login(email, VICTIMS);
    t.like((await rest.get('/users/me', bearer(body.access_token))).body, { email, email_verified: true });
  },
);

test.serial(
  'unexpired email change: a link that the attacker holds back is of no use once the victim has the account',
  async (t) => {
    const email = newVictim();
    const attackers = `attacker-${serial}@example.com`;
    const { access } = await preRegister(email);
    t.is((await rest.put('/users/me', { email: attackers, current_password: ATTACKERS }, access)).status, 200);
    const link = await tokenTo(all.server, attackers, 'confirm_email_change');

    t.is((await recover(email)).status, 204);
    t.is((await through('google', somebody({ email }))).status, 0);
    t.is((await rest.post('/auth/verify-email', { token: link })).status, 422);
    t.is((await rest.post('/auth/forgot-password', { email: attackers })).status, 202);
    t.is(
      (await all.server.mail.kept()).filter(
        ({ to, message }) => to.email === attackers && message.template === 'reset_password',
      ).length,
      0,
    );
    const { body } = await login(email, VICTIMS);
    t.is((await rest.get('/users/me', bearer(body.access_token))).body.pending_email, undefined);
  },
);

test.serial('non-verifying provider: an address that a provider has not verified opens nobody’s account', async (t) => {
  const email = newVictim();
  const { id } = await all.server.accounts.create({ email, password: VICTIMS, emailVerified: true });
  for (const name of ['google', 'github', 'acme'] as const)
    for (const email_verified of [false, 'false', undefined]) {
      const attacker = somebody({
        email,
        ...(email_verified === undefined ? { email_verified: false } : { email_verified }),
      });
      const at = await through(name, attacker);
      t.is(at.status, 400, `${name} ${email_verified}`);
      t.regex(at.html, /There is an account with your email address already/);
    }
  t.deepEqual(await identitiesOf(email), []);
  t.is((await login(email, VICTIMS)).status, 200);
  const { rows } = await all.server.database.pool.query(
    "SELECT count(*)::int AS n FROM audit_events WHERE type = 'login.failed' AND target = $1",
    [id],
  );
  t.is(rows[0].n, 9, 'and each attempt is on record');
});

test.serial(
  'non-verifying provider, the other way round: the victim is not let into what the attacker has made',
  async (t) => {
    const email = newVictim();
    const trojan = somebody({ email, email_verified: false });
    t.is((await through('acme', trojan)).status, 0);
    // The victim comes through a provider that has verified the address.
    const victim = somebody({ email });
    const at = await through('google', victim);
    t.is(at.status, 400);
    t.regex(at.html, /There is an account with your email address already/);
    t.deepEqual(await identitiesOf(email), [trojan.sub]);

    t.is((await recover(email)).status, 204);
    t.is((await through('google', victim)).status, 0);
    t.deepEqual(await identitiesOf(email), [victim.sub]);
  },
);
