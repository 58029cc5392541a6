// Adding and removing other providers: on the account page, and by REST.
import test from 'ava';
import { type Browser, createBrowser, type Visited } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody, type Upstream } from '../helpers/identity-provider.ts';
import { linkTo, mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { newPerson, type Person } from '../helpers/relying-party.ts';
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

const query = async (sql: string, ...values: unknown[]) => (await all.server.database.pool.query(sql, values)).rows;
const typesOf = async (id: string) =>
  (await query('SELECT type FROM audit_events WHERE target = $1 ORDER BY seq', id)).map(({ type }) => type);

const verified = async (): Promise<Person> => {
  const person = await newPerson(all.server);
  await query('UPDATE users SET email_verified = true WHERE id = $1', person.id);
  return person;
};

/** A browser that is signed in with a password, at the account page. */
const atAccount = async (person: Person): Promise<{ browser: Browser; page: Visited }> => {
  const browser = createBrowser(all.server.issuer);
  const page = await browser.submit(await browser.go('/login'), 'sign-in', {
    login: person.email,
    password: person.password,
  });
  if (page.url.pathname !== '/account') throw new Error(`not at the account page: ${page.url}`);
  return { browser, page };
};

const add = async (browser: Browser, page: Visited, name: ProviderName, who: Upstream): Promise<Visited> => {
  all.upstream[name].switches.person = who;
  return browser.go(await all.through(name, await browser.submit(page, `link-${name}`)));
};

const auth = async ({ email, password }: Person) =>
  bearer((await rest.post('/auth/login', { email, password })).body.access_token);
const listOf = async (headers: Record<string, string>) =>
  (await rest.get('/users/me/identities', headers)).body as unknown as Record<string, unknown>[];

test.serial('a provider is added on the account page, signs in from then on, and its holder is told', async (t) => {
  const person = await verified();
  const { browser, page } = await atAccount(person);
  t.regex(page.html, /id="link-google"[^>]*>Add Google</);
  // Another address than the account's: the person has shown that both are theirs.
  const upstream = somebody({ preferred_username: 'octocat' });
  const after = await add(browser, page, 'github', upstream);
  t.regex(after.url.search, /^\?outcome=linked&identity=[\w-]+$/);
  t.regex(after.html, /Added\. From now on you can sign in with it/);
  t.regex(after.html, new RegExp(`id="outcome">[^<]* GitHub <bdi>${upstream.email}</bdi>`));
  t.deepEqual((await mailsTo(all.server, person.email))[0], {
    template: 'sign_in_method_added',
    provider: 'GitHub',
    name: upstream.email,
  });
  t.true((await typesOf(person.id)).includes('identity.linked'));

  const other = createBrowser(all.server.issuer);
  all.upstream.github.switches.person = upstream;
  const { page: login } = await all.request(other);
  t.truthy((await other.go(await all.press(other, login, 'github'))).url.searchParams.get('code'));
  t.is((await query('SELECT count(*)::int AS n FROM users WHERE email = $1', upstream.email))[0].n, 0);
  const [used] = await query(
    "SELECT event FROM audit_events WHERE type = 'login.succeeded' AND target = $1 ORDER BY seq DESC LIMIT 1",
    person.id,
  );
  t.like(JSON.parse(used.event).details, { method: 'github' });
});

test.serial('an account whose address is not proven takes no provider', async (t) => {
  const person = await newPerson(all.server);
  const { browser, page } = await atAccount(person);
  const refused = await browser.submit(page, 'link-google');
  t.regex(refused.html, /Confirm your email address first/);
  t.deepEqual(await query('SELECT 1 FROM identities WHERE user_id = $1', person.id), []);
});

test.serial('what signs in to another account already is not added to this one', async (t) => {
  const upstream = somebody();
  const [one, two] = [await verified(), await verified()];
  const first = await atAccount(one);
  await add(first.browser, first.page, 'google', upstream);
  const second = await atAccount(two);
  const refused = await add(second.browser, second.page, 'google', upstream);
  t.regex(refused.html, /belongs to another account already/);
  t.deepEqual(await query('SELECT user_id FROM identities WHERE subject = $1', upstream.sub), [{ user_id: one.id }]);
});

test.serial('nothing is added to whoever is signed in by the time the browser is back', async (t) => {
  const [one, two] = [await verified(), await verified()];
  const { browser, page } = await atAccount(one);
  const back = await all.through('google', await browser.submit(page, 'link-google'));
  // Somebody else signs in to the same browser meanwhile.
  const session = (await atAccount(two)).browser.cookies().filter(({ name }) => name.startsWith('session'));
  browser.setCookies([...browser.cookies().filter(({ name }) => !name.startsWith('session')), ...session]);
  t.is((await browser.go(back)).url.pathname, '/account');
  t.deepEqual(await query('SELECT 1 FROM identities WHERE user_id IN ($1, $2)', one.id, two.id), []);
});

test.serial('a callback made elsewhere adds nothing to the account of who is led to it', async (t) => {
  const attacker = await atAccount(await verified());
  const back = await all.through('google', await attacker.browser.submit(attacker.page, 'link-google'));
  const victim = await verified();
  const { browser } = await atAccount(victim);
  const led = await browser.go(back);
  t.is(led.status, 400);
  t.regex(led.html, /doesn’t belong to this sign-in/);
  t.deepEqual(await query('SELECT 1 FROM identities WHERE user_id = $1', victim.id), []);
});

test.serial('forms of the account page must come from the account page', async (t) => {
  const person = await verified();
  const { browser, page } = await atAccount(person);
  const foreign = { headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' } };
  t.is((await browser.submit(page, 'link-google', {}, foreign)).status, 403);
  t.is((await browser.submit(page, 'link-google', { csrf: 'made-up' })).status, 403);
  const elsewhere = await atAccount(await verified());
  const token = /name="csrf" value="([^"]+)"/.exec(elsewhere.page.html)?.[1] ?? '';
  t.is((await browser.submit(page, 'link-google', { csrf: token })).status, 403);
  t.is((await browser.go('/account/link/google')).status, 405, 'nothing happens by a link');
  const signedOut = createBrowser(all.server.issuer);
  t.is((await signedOut.go('/account/link/google', { method: 'POST' })).url.pathname, '/');
});

test.serial('who turns back, or meets a provider that is down, is back at the account', async (t) => {
  const { browser, page } = await atAccount(await verified());
  all.upstream.github.switches.cancels = true;
  const back = await add(browser, page, 'github', somebody());
  t.is(back.url.href, `${all.server.issuer}/account`);
  all.upstream.github.switches.cancels = false;
  all.upstream.github.switches.fault = { path: '/api', as: 'html' };
  const down = await add(browser, page, 'github', somebody());
  t.is(down.status, 503);
  t.regex(down.html, /id="back" href="\/account"/);
});

test.serial('identities are listed and removed by REST, by their owner alone', async (t) => {
  const person = await verified();
  const { browser, page } = await atAccount(person);
  const upstream = somebody();
  await add(browser, page, 'google', upstream);
  const mine = await auth(person);
  const [identity] = await listOf(mine);
  t.like(identity, {
    provider: 'google',
    subject: upstream.sub,
    email: upstream.email,
    email_verified: true,
    name: upstream.name,
  });
  const path = `/users/me/identities/${identity?.id}`;
  t.is((await rest.delete(path, undefined, await auth(await verified()))).status, 404);
  t.is((await rest.delete('/users/me/identities/nonsense', undefined, mine)).status, 404);
  t.is((await rest.get('/users/me/identities')).status, 401);
  const key = await rest.post('/users/api-keys', { name: 'key', scopes: ['read:profile', 'write:profile'] }, mine);
  const byKey = { 'X-API-Key': String(key.body.key) };
  t.is((await rest.get('/users/me/identities', byKey)).status, 403);
  t.is((await rest.delete(path, undefined, byKey)).status, 403);

  t.is((await rest.delete(path, undefined, mine)).status, 204);
  t.deepEqual(await listOf(mine), []);
  t.is((await rest.delete(path, undefined, mine)).status, 404);
  t.deepEqual((await mailsTo(all.server, person.email))[0], { template: 'sign_in_method_removed', provider: 'Google' });
  t.true((await typesOf(person.id)).includes('identity.unlinked'));
});

test.serial('the export holds the identities', async (t) => {
  const person = await verified();
  const { browser, page } = await atAccount(person);
  const upstream = somebody();
  await add(browser, page, 'google', upstream);
  const { body } = await rest.get('/users/me/export', await auth(person));
  t.like((body.identities as object[])[0], { provider: 'google', subject: upstream.sub, email: upstream.email });
});

test.serial('the last way in stays, until there is a password', async (t) => {
  const upstream = somebody();
  const browser = createBrowser(all.server.issuer);
  all.upstream.google.switches.person = upstream;
  const back = await browser.go(
    await all.through(
      'google',
      await browser.go(/href="([^"]+)" id="provider-google"/.exec((await browser.go('/login')).html)?.[1] ?? ''),
    ),
  );
  t.is(back.url.pathname, '/account');
  t.regex(back.html, /Set one by mail/);
  const unlink = /id="(unlink-[^"]+)"/.exec(back.html)?.[1] ?? '';
  const refused = await browser.submit(back, unlink);
  t.regex(refused.html, /This is the only way in to your account/);

  // The same by REST, and what needs a password says what to do.
  const code = (await browser.go(await all.direct(browser, 'google'))).url.searchParams.get('code');
  const { body } = await rest.post('/auth/exchange', { code });
  const mine = bearer(body.access_token);
  const [identity] = await listOf(mine);
  const last = await rest.delete(`/users/me/identities/${identity?.id}`, undefined, mine);
  t.is(last.status, 409);
  t.is(last.body.code, 'last_way_in');
  for (const answer of [
    await rest.delete('/users/me', { current_password: 'anything' }, mine),
    await rest.put('/users/me', { email: 'new@example.com', current_password: 'anything' }, mine),
    await rest.put('/users/me/password', { current_password: 'anything', new_password: 'a long password' }, mine),
  ]) {
    t.is(answer.status, 409);
    t.is(answer.body.code, 'password_not_set');
  }

  await rest.post('/auth/forgot-password', { email: upstream.email });
  t.truthy(await linkTo(all.server, String(upstream.email), 'reset_password'));
  const token = await tokenTo(all.server, String(upstream.email), 'reset_password');
  t.is((await rest.post('/auth/reset-password', { token, new_password: 'a long password' })).status, 204);
  const person = { id: '', email: String(upstream.email), password: 'a long password' };
  const { browser: again, page } = await atAccount(person);
  const removed = await again.submit(page, unlink);
  t.regex(removed.html, /Removed\./);
  t.deepEqual(await listOf(await auth(person)), []);
  t.is((await rest.delete('/users/me', { current_password: person.password }, await auth(person))).status, 204);
});

test.serial('administrators list users by provider', async (t) => {
  const admin = await verified();
  await query("UPDATE users SET role = 'admin' WHERE id = $1", admin.id);
  const both = await verified();
  const { browser, page } = await atAccount(both);
  await add(browser, page, 'acme', somebody());
  const only = await all.server.identities.signIn({
    provider: 'acme',
    ...somebody(),
    issuer: all.upstream.acme.origin,
    subject: 'only',
    emailVerified: true,
    authoritative: false,
  });
  const headers = await auth(admin);
  const listed = async (search: Record<string, string>) => {
    const { body } = await rest.get(`/admin/users?${new URLSearchParams(search)}`, headers);
    const items = body.items as { id: string }[];
    t.is(body.total, items.length);
    return items.map(({ id }) => id).sort();
  };
  t.deepEqual(await listed({ provider: 'acme' }), [both.id, only.id].sort());
  for (const sort of ['email', '-username', 'created_at'])
    t.deepEqual(await listed({ provider: 'acme', sort }), [both.id, only.id].sort(), sort);
  t.deepEqual(await listed({ provider: 'acme', q: both.email }), [both.id]);
  t.deepEqual(await listed({ provider: 'unheard-of' }), []);
  t.true((await listed({ provider: 'password' })).includes(both.id));
  t.false((await listed({ provider: 'none' })).includes(only.id));
  const nobody = await all.server.accounts.create({ email: 'nothing-at-all@example.com' });
  t.deepEqual(await listed({ provider: 'none' }), [nobody.id]);
});
