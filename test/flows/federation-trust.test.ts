// Whose word on an address is taken, for which account, and what is left behind where it is not.
import test from 'ava';
import { createProviders } from '../../src/federation/providers.ts';
import { createProviderNetwork } from '../../src/oidc/outbound.ts';
import { type Browser, createBrowser, type Visited } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody, type Upstream } from '../helpers/identity-provider.ts';
import { linkTo, mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { newPerson } from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer } from '../helpers/server.ts';

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

const STRANGERS = 'the password of a stranger';
const OWNERS = 'the password of the owner';
let serial = 0;
const newAddress = (domain = 'example.com') => `owner-${++serial}@${domain}`;

const query = async (sql: string, ...values: unknown[]) => (await all.server.database.pool.query(sql, values)).rows;
const register = (email: string, password: string) => rest.post('/auth/register', { email, password });
const login = (email: string, password: string) => rest.post('/auth/login', { email, password });

const through = async (
  name: ProviderName,
  person: Upstream,
  { at = all, browser = createBrowser(at.server.issuer) }: { browser?: Browser; at?: Federated } = {},
): Promise<Visited> => {
  at.upstream[name].switches.person = person;
  const { page } = await at.request(browser);
  return browser.go(await at.press(browser, page, name));
};
const isRefused = (t: import('ava').ExecutionContext, at: Visited) => {
  t.is(at.status, 400);
  t.regex(at.html, /There is an account with your email address already/);
};
const reset = async (email: string) => {
  await rest.post('/auth/forgot-password', { email });
  const token = await tokenTo(all.server, email, 'reset_password');
  return rest.post('/auth/reset-password', { token, new_password: OWNERS });
};
const eventsOf = async (type: string, target: string) =>
  (await query('SELECT event FROM audit_events WHERE type = $1 AND target = $2 ORDER BY seq', type, target)).map(
    ({ event }) => JSON.parse(event),
  );

// An account that a stranger has made, and its owner's mail.

test.serial(
  'confirm link, then Google: the page of the link asks for the password, which the owner cannot know',
  async (t) => {
    const email = newAddress();
    const { body } = await register(email, STRANGERS);
    const owner = createBrowser(all.server.issuer);
    const page = await owner.go(await linkTo(all.server, email, 'verify_email'));
    t.regex(page.html, /somebody else did, with your address: don’t confirm/);
    for (const [given, status] of [
      [{}, 400],
      [{ password: '' }, 400],
      [{ password: OWNERS }, 401],
    ] as const) {
      const refused = await owner.submit(page, 'prove', given);
      t.is(refused.status, status);
      t.regex(refused.html, /role="alert" id="password-error"/);
    }
    t.deepEqual(await query('SELECT email_verified, holder_proven FROM users WHERE id = $1', body.id), [
      { email_verified: false, holder_proven: false },
    ]);
    isRefused(t, await through('google', somebody({ email })));
  },
);

test.serial('confirm link by REST, then Google: the account is not opened while it may be a stranger’s', async (t) => {
  const email = newAddress();
  const { body } = await register(email, STRANGERS);
  const strangers = bearer((await login(email, STRANGERS)).body.access_token);
  const key = await rest.post('/users/api-keys', { name: 'back door' }, strangers);
  t.is(
    (await rest.post('/auth/verify-email', { token: await tokenTo(all.server, email, 'verify_email') })).status,
    204,
  );
  const trojan = createBrowser(all.server.issuer);
  const account = await trojan.submit(await trojan.go('/login'), 'sign-in', { login: email, password: STRANGERS });
  all.upstream.github.switches.person = somebody();
  await trojan.go(await all.through('github', await trojan.submit(account, 'link-github')));
  t.is((await query('SELECT 1 FROM identities WHERE user_id = $1', body.id)).length, 1);

  const owner = somebody({ email });
  isRefused(t, await through('google', owner));
  t.is((await reset(email)).status, 204);
  // Nothing of the stranger's is left: password, session, tokens, API key, identity.
  t.is((await login(email, STRANGERS)).status, 401);
  t.is((await trojan.go('/account')).url.pathname, '/');
  t.is((await rest.get('/users/me', strangers)).status, 401);
  t.is((await rest.get('/users/me', { 'X-API-Key': String(key.body.key) })).status, 401);
  t.deepEqual(await query('SELECT 1 FROM identities WHERE user_id = $1', body.id), []);
  // What has gone is told to the owner, and on record.
  t.deepEqual(
    (await mailsTo(all.server, email))
      .slice(0, 2)
      .map(({ template }) => template)
      .sort(),
    ['password_changed', 'sign_in_method_removed'],
  );
  t.like((await eventsOf('identity.unlinked', String(body.id)))[0], {
    details: { provider: 'github', reason: 'first_proof' },
  });
  t.like((await eventsOf('api_key.revoked', String(key.body.id)))[0], {
    details: { owner: body.id, reason: 'first_proof' },
  });

  t.is((await through('google', owner)).status, 0, 'and from then on a provider’s word is enough');
  t.deepEqual(await query('SELECT provider FROM identities WHERE user_id = $1', body.id), [{ provider: 'google' }]);
});

test.serial('confirm link of a changed address, then Google: the same', async (t) => {
  const [strangers, email] = [newAddress(), newAddress()];
  await register(strangers, STRANGERS);
  const auth = bearer((await login(strangers, STRANGERS)).body.access_token);
  t.is((await rest.put('/users/me', { email, current_password: STRANGERS }, auth)).status, 200);
  const owner = createBrowser(all.server.issuer);
  const page = await owner.go(await linkTo(all.server, email, 'confirm_email_change'));
  t.is((await owner.submit(page, 'prove', {})).status, 400);
  const token = await tokenTo(all.server, email, 'confirm_email_change');
  t.is((await rest.post('/auth/verify-email', { token })).status, 204);
  isRefused(t, await through('google', somebody({ email })));
});

test.serial('a stranger’s provider, the owner’s confirmation, then Google: the account is not opened', async (t) => {
  const email = newAddress();
  const trojan = somebody({ email, email_verified: false });
  t.is((await through('acme', trojan)).status, 0);
  const owner = createBrowser(all.server.issuer);
  const page = await owner.go(await linkTo(all.server, email, 'verify_email'));
  t.is((await owner.submit(page, 'prove')).status, 200);
  isRefused(t, await through('google', somebody({ email })));
  t.is((await reset(email)).status, 204);
  isRefused(t, await through('acme', trojan));
});

for (const [how, prove] of Object.entries<(email: string) => Promise<number>>({
  'the password': async (email) => {
    const browser = createBrowser(all.server.issuer);
    const page = await browser.go(await linkTo(all.server, email, 'verify_email'));
    return (await browser.submit(page, 'prove', { password: OWNERS })).status;
  },
  'the session of the browser': async (email) => {
    const browser = createBrowser(all.server.issuer);
    await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: OWNERS });
    const page = await browser.go(await linkTo(all.server, email, 'verify_email'));
    if (/type="password"/.test(page.html)) throw new Error('asked for a password that the session stands for');
    return (await browser.submit(page, 'prove')).status;
  },
  'the password by REST': async (email) => {
    const token = await tokenTo(all.server, email, 'verify_email');
    const wrong = await rest.post('/auth/verify-email', { token, password: 'something else' });
    if (wrong.status !== 401) return wrong.status;
    return (await rest.post('/auth/verify-email', { token, password: OWNERS })).status === 204 ? 200 : 0;
  },
}))
  test.serial(
    `who confirms their address and shows who they are by ${how} finds their account through Google`,
    async (t) => {
      const email = newAddress();
      const { body } = await register(email, OWNERS);
      t.is(await prove(email), 200);
      t.is((await through('google', somebody({ email }))).status, 0);
      t.is((await query('SELECT 1 FROM identities WHERE user_id = $1', body.id)).length, 1);
      t.is((await login(email, OWNERS)).status, 200);
      // Their keys and identities outlive a forgotten password.
      const auth = bearer((await login(email, OWNERS)).body.access_token);
      const key = await rest.post('/users/api-keys', { name: 'service' }, auth);
      t.is((await reset(email)).status, 204);
      t.is((await rest.get('/users/me', { 'X-API-Key': String(key.body.key) })).status, 200);
      t.is((await query('SELECT 1 FROM identities WHERE user_id = $1', body.id)).length, 1);
    },
  );
test.serial('a session of somebody else proves nothing about the account of a link', async (t) => {
  const email = newAddress();
  await register(email, STRANGERS);
  const other = await newPerson(all.server);
  const browser = createBrowser(all.server.issuer);
  await browser.submit(await browser.go('/login'), 'sign-in', { login: other.email, password: other.password });
  const page = await browser.go(await linkTo(all.server, email, 'verify_email'));
  t.regex(page.html, /type="password"/);
  t.is((await browser.submit(page, 'prove', { password: other.password })).status, 401);
});

// Whom to believe.

test.serial(
  'a company’s provider without domains makes accounts with proven addresses, and opens none that is there',
  async (t) => {
    const email = newAddress();
    t.is((await through('acme', somebody({ email }))).status, 0);
    const [user] = await query('SELECT email_verified, holder_proven FROM users WHERE email = $1', email);
    t.deepEqual(user, { email_verified: true, holder_proven: false });
    // Nor does its word on an address make that address's owner share the account with whoever it let in.
    isRefused(t, await through('google', somebody({ email })));

    const owner = await all.server.accounts.create({ email: newAddress(), password: OWNERS, emailVerified: true });
    isRefused(t, await through('acme', somebody({ email: owner.email })));
  },
);

test.serial('what is not said in so many words is not said: an address is verified by true alone', async (t) => {
  const owner = await all.server.accounts.create({ email: newAddress(), password: OWNERS, emailVerified: true });
  for (const said of [1, 'yes', 'True', {}, ['true'], [], null]) {
    all.upstream.google.switches.idToken = (claims) => ({ ...claims, email_verified: said });
    isRefused(t, await through('google', somebody({ email: owner.email })));
  }
  for (const email of [
    [owner.email],
    { toString: owner.email },
    7,
    `${owner.email}\n`,
    `${owner.email},x@evil.example`,
  ]) {
    all.upstream.google.switches.idToken = (claims) => ({ ...claims, email, email_verified: true });
    const at = await through('google', somebody());
    t.is(at.status === 0 ? 'signed in' : '', '', JSON.stringify(email));
  }
  t.deepEqual(await query('SELECT 1 FROM identities WHERE user_id = $1', owner.id), []);
});

test.serial('a company’s provider is believed for the domains that are its own, and verifies no other', async (t) => {
  const direct = (person: Upstream) => {
    all.upstream.acme.switches.person = person;
    return identifiedAt(['acme.example']);
  };
  t.like(await direct(somebody({ email: 'ada@acme.example' })), { emailVerified: true, authoritative: true });
  t.like(await direct(somebody({ email: 'ada@ACME.example' })), { emailVerified: true, authoritative: true });
  for (const email of ['ada@gmail.com', 'ada@sub.acme.example', 'ada@acme.example.evil.example', 'ada@notacme.example'])
    t.like(await direct(somebody({ email })), { emailVerified: false, authoritative: false }, email);
  t.like(await direct(somebody({ email: 'ada@acme.example', email_verified: false })), { emailVerified: false });
});

/** Who comes back from `acme` where it is believed for these domains. */
const identifiedAt = async (emailDomains: string[]) => {
  const [acme] = all.upstream.settings.openid;
  if (!acme) throw new Error('no acme');
  const providers = createProviders(
    { openid: [{ ...acme, emailDomains }] },
    all.server.issuer,
    createProviderNetwork(),
  );
  const provider = providers.find('acme');
  if (!provider) throw new Error('no acme');
  const trip = providers.newTrip();
  const back = await createBrowser(all.upstream.acme.origin).go(await provider.authorizationUrl(trip));
  return provider.identify(back.url.searchParams, trip);
};

test.serial(
  'who came by a provider without domains can become the proven holder by a mail, and keeps that way in',
  async (t) => {
    const person = somebody({ email: newAddress() });
    all.upstream.acme.switches.person = person;
    const browser = createBrowser(all.server.issuer);
    await browser.go(await all.press(browser, await browser.go('/login'), 'acme'));
    const proven = async () =>
      (await query('SELECT holder_proven AS p FROM users WHERE email = $1', person.email))[0].p;
    t.false(await proven());
    const rest = createRest(all.server.origin);
    await rest.post('/auth/resend-verification', { email: person.email });
    const token = await tokenTo(all.server, String(person.email), 'verify_email');
    // Somebody else who reads the mail proves nothing of who signs in; the person in their own browser does.
    const page = await browser.go(`/verify-email?token=${token}`);
    await browser.submit(page, 'prove');
    t.true(await proven());
    await rest.post('/auth/forgot-password', { email: person.email });
    const reset = await tokenTo(all.server, String(person.email), 'reset_password');
    await rest.post('/auth/reset-password', { token: reset, new_password: OWNERS });
    t.is((await through('acme', person)).status, 0);
  },
);

test.serial('… or by adding a provider that is to be believed for the same address', async (t) => {
  for (const [same, expected] of [
    [true, true],
    [false, false],
  ]) {
    const person = somebody({ email: newAddress() });
    all.upstream.acme.switches.person = person;
    const browser = createBrowser(all.server.issuer);
    const at = await browser.go(await all.press(browser, await browser.go('/login'), 'acme'));
    all.upstream.google.switches.person = somebody({ email: same ? String(person.email) : newAddress() });
    await browser.go(await all.through('google', await browser.submit(at, 'link-google')));
    const [user] = await query('SELECT holder_proven FROM users WHERE email = $1', person.email);
    t.is(user.holder_proven, expected);
  }
});

// Whose name it is.

test.serial('a provider whose issuer changes inherits nobody’s account', async (t) => {
  const one = await startFederated();
  const email = newAddress();
  const person = somebody({ email });
  t.is((await through('github', person, { at: one })).status, 0);
  const [before] = (await one.server.database.pool.query('SELECT issuer FROM identities')).rows;
  t.is(before.issuer, one.upstream.github.origin);

  // The same service, whose GITHUB_URL is another one from now on; there somebody else has the number.
  const other = await startFederated();
  const second = await startServer({ federation: other.upstream.settings }, one.server);
  other.upstream.serve(second.issuer);
  t.teardown(async () => {
    await second.close();
    await one.close();
    await other.close();
  });
  const stranger = { ...person, email: newAddress(), name: 'Somebody Else' };
  const vouched = {
    provider: 'github',
    subject: person.sub.replace(/\D/g, ''),
    emailVerified: true,
    authoritative: true,
  };
  const theirs = await second.identities.signIn({
    ...vouched,
    issuer: other.upstream.github.origin,
    email: stranger.email,
  });
  t.is(theirs.email, stranger.email, 'an account of their own');
  const again = await one.server.identities.signIn({ ...vouched, issuer: one.upstream.github.origin, email });
  t.is(again.email, email);
});

test.serial(
  'identities from before issuers were kept are their provider’s of the first start that knows',
  async (t) => {
    const person = somebody();
    t.is((await through('google', person)).status, 0);
    await query("UPDATE identities SET issuer = '' WHERE subject = $1", person.sub);
    await all.server.stores.identities.nameIssuers([
      { id: 'google', issuer: all.upstream.google.origin },
      { id: 'github', issuer: 'https://github.com' },
    ]);
    t.deepEqual(await query('SELECT issuer FROM identities WHERE subject = $1', person.sub), [
      { issuer: all.upstream.google.origin },
    ]);
    // One that an older process wrote since.
    await query("UPDATE identities SET issuer = '' WHERE subject = $1", person.sub);
    t.is((await through('google', person)).status, 0);
    t.deepEqual(await query('SELECT issuer FROM identities WHERE subject = $1', person.sub), [
      { issuer: all.upstream.google.origin },
    ]);
  },
);

// Refusals leave nothing behind.

const insistingOn = (sub: string) => ({ claims: JSON.stringify({ id_token: { sub: { value: sub } } }) });

test.serial(
  'an app that insists on another account: nobody is made, nothing is linked, and it is on record',
  async (t) => {
    const other = await newPerson(all.server);
    const there = await all.server.accounts.create({ email: newAddress(), password: OWNERS, emailVerified: true });
    const leaving = await all.server.accounts.create({ email: newAddress(), password: OWNERS, emailVerified: true });
    const leavingPerson = somebody({ email: leaving.email });
    t.is((await through('google', leavingPerson)).status, 0);
    await query("UPDATE users SET erase_after = now() + interval '3 days' WHERE id = $1", leaving.id);
    const count = async () =>
      (await query('SELECT (SELECT count(*) FROM users)::int AS u, (SELECT count(*) FROM identities)::int AS i'))[0];
    const failures = async () =>
      (await query("SELECT event FROM audit_events WHERE type = 'login.failed'"))
        .map(({ event }) => JSON.parse(event).details)
        .filter(({ reason }) => reason === 'wrong_account').length;
    const [before, failed] = [await count(), await failures()];
    for (const person of [somebody(), somebody({ email: there.email }), leavingPerson]) {
      const browser = createBrowser(all.server.issuer);
      all.upstream.google.switches.person = person;
      const { page } = await all.request(browser, insistingOn(other.id));
      const at = await browser.go(await all.press(browser, page, 'google'));
      t.is(at.status, 400);
      t.regex(at.html, /asked for a different account/);
    }
    t.deepEqual(await count(), before);
    t.is(await failures(), failed + 3);
    t.truthy((await query('SELECT erase_after FROM users WHERE id = $1', leaving.id))[0].erase_after, 'nor restored');
    t.is((await mailsTo(all.server, there.email)).length, 0);
  },
);

test.serial('the same by a password: what was refused is no sign-in', async (t) => {
  const [other, mine] = [await newPerson(all.server), await newPerson(all.server)];
  await query("UPDATE users SET erase_after = now() + interval '3 days' WHERE id = $1", mine.id);
  const browser = createBrowser(all.server.issuer);
  const { page } = await all.request(browser, insistingOn(other.id));
  const at = await browser.submit(page, 'sign-in', { login: mine.email, password: mine.password });
  t.regex(at.html, /asked for a different account/);
  t.truthy((await query('SELECT erase_after FROM users WHERE id = $1', mine.id))[0].erase_after);
  t.deepEqual(await eventsOf('login.succeeded', mine.id), []);
  t.like((await eventsOf('login.failed', mine.id))[0].details, { method: 'password', reason: 'wrong_account' });
});

test.serial('a sign-in that is refused for its age or for having no address is on record', async (t) => {
  const failures = async (reason: string, method = 'google') =>
    (await query("SELECT event FROM audit_events WHERE type = 'login.failed'"))
      .map(({ event }) => JSON.parse(event).details)
      .filter((details) => details.reason === reason && details.method === method).length;
  const { email: _, email_verified: __, ...nameless } = somebody();
  const before = await failures('no_email');
  await through('google', nameless);
  t.is(await failures('no_email'), before + 1);
  const browser = createBrowser(all.server.issuer);
  const { page } = await all.request(browser, { max_age: '0' });
  all.upstream.acme.switches.idToken = ({ auth_time: ___, ...claims }) => claims;
  await browser.go(await all.press(browser, page, 'acme'));
  t.is(await failures('not_anew', 'acme'), 1);
});

test.serial('GitHub: a verified address that is not the primary one proves nothing', async (t) => {
  const owner = await all.server.accounts.create({ email: newAddress(), password: OWNERS, emailVerified: true });
  const primary = newAddress();
  all.upstream.github.switches.emails = [
    { email: owner.email, primary: false, verified: true },
    { email: primary, primary: true, verified: false },
  ];
  t.is((await through('github', somebody())).status, 0);
  t.deepEqual(await query('SELECT 1 FROM identities WHERE user_id = $1', owner.id), []);
  t.deepEqual(await query('SELECT email_verified FROM users WHERE email = $1', primary), [{ email_verified: false }]);
});

test.serial(
  'what a provider calls somebody hides nothing on the account page, also where there is no name',
  async (t) => {
    const holder = await newPerson(all.server);
    await query('UPDATE users SET email_verified = true WHERE id = $1', holder.id);
    const browser = createBrowser(all.server.issuer);
    const credentials = { login: holder.email, password: holder.password };
    let page = await browser.submit(await browser.go('/login'), 'sign-in', credentials);
    const { email: _, ...nameless } = somebody({ preferred_username: '\u202e\u2066nimda\u200b' });
    for (const [name, person] of [
      ['google', somebody({ email: 'moc.elpmaxe@\u202eada\u200b' })],
      ['acme', nameless],
    ] as const) {
      all.upstream[name].switches.person = person;
      page = await browser.go(await all.through(name, await browser.submit(page, `link-${name}`)));
      t.regex(page.url.search, /^\?outcome=linked/, name);
      t.notRegex(page.html, /[\u202e\u2066\u200b]/, name);
    }
    t.regex(page.html, /moc\.elpmaxe@ada/);
    t.regex(page.html, /<bdi>nimda<\/bdi>/);
  },
);

test.serial(
  'a hostile name at the provider is text on every page, and no letter of it reorders or hides others',
  async (t) => {
    const hostile = '<script>alert(1)</script>\u202e\u200b"><img src=x onerror=alert(2)>';
    for (const name of [hostile, 'x'.repeat(5_000), '\u0000\u0007', '{{ 1234*5678 }}']) {
      const person = somebody({ name, preferred_username: name, picture: 'javascript:alert(3)' });
      const browser = createBrowser(all.server.issuer);
      all.upstream.google.switches.person = person;
      const href = /href="([^"]+)" id="provider-google"/.exec((await browser.go('/login')).html)?.[1] ?? '';
      const page = await browser.go(await all.through('google', await browser.go(href)));
      t.is(page.url.pathname, '/account');
      t.notRegex(page.html, /<script|<img src=x|javascript:|\u202e|\u200b|7006652/);
      const [user] = await query('SELECT name, picture, username FROM users WHERE email = $1', person.email);
      t.is(user.picture, null);
      t.true((user.name ?? '').length <= 200);
      t.regex(user.username, /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u);
      const { page: consent } = await all.request(browser, {}, false);
      t.notRegex(consent.html, /<script|<img src=x|\u202e|\u200b/);
    }
    // The address is shown too, where there is no better name for the identity.
    const odd = somebody({ email: `"<b>"@${'x'.repeat(10)}.example`, name: hostile });
    t.is((await through('google', odd)).status, 400);
  },
);
