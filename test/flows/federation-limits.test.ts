// How often, how long, and how lately: bounds on signing in through other providers.
import { once } from 'node:events';
import { get } from 'node:http';
import { queryObjects } from 'node:v8';
import test from 'ava';
import { DEFAULT_LIMITS, type LimitName } from '../../src/domain/throttles.ts';
import { createBrowser } from '../helpers/browser.ts';
import { APP, type Federated, startFederated } from '../helpers/federated.ts';
import { somebody } from '../helpers/identity-provider.ts';
import { mailsTo } from '../helpers/mailbox.ts';
import { newPerson, redeem } from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';

let all: Federated;
test.before(async () => {
  all = await startFederated();
});
test.beforeEach(() => {
  for (const name of ['google', 'github', 'acme'] as const) all.upstream[name].reset();
});
test.after.always(() => all?.close());

const query = async (sql: string, ...values: unknown[]) => (await all.server.database.pool.query(sql, values)).rows;

const limited = async (t: { teardown(fn: () => Promise<void>): void }, name: LimitName, points: number) => {
  const fresh = await startFederated({ rateLimits: { ...DEFAULT_LIMITS, [name]: { points, seconds: 600 } } });
  t.teardown(() => fresh.close());
  return fresh;
};
const LOGIN = `/oauth/google/login?return_to=${APP}/in`;

test.serial('ways to a provider and back are bounded by network, in words a person understands', async (t) => {
  const fresh = await limited(t, 'federation-network', 4);
  const browser = createBrowser(fresh.server.issuer);
  const { page } = await fresh.request(browser);
  // There and back, and there and there again: four.
  t.is((await browser.go(await fresh.press(browser, page, 'google'))).status, 0);
  const back = await fresh.direct(browser, 'google');
  await browser.go(LOGIN);
  for (const path of [LOGIN, back, '/oauth/google/callback?state=x&code=y']) {
    const refused = await browser.go(path);
    t.is(refused.status, 429, String(path));
    t.true(Number(refused.headers.get('retry-after')) > 0);
    t.regex(refused.html, /Too many|Wait/);
  }
  const asked = fresh.upstream.google.requests.length;
  const again = createBrowser(fresh.server.issuer);
  const { page: form } = await fresh.request(again);
  const href = /href="([^"]+)" id="provider-google"/.exec(form.html)?.[1] ?? '';
  const onForm = await again.go(href);
  t.is(onForm.status, 429);
  t.regex(onForm.html, /id="sign-in"/, 'the password is still a way in');
  t.is(fresh.upstream.google.requests.length, asked, 'and the provider hears nothing of it');
});

test.serial('codes that are none are counted by network; right ones are not', async (t) => {
  const fresh = await limited(t, 'exchange-network', 3);
  const rest = createRest(fresh.server.origin);
  const codes: string[] = [];
  for (let i = 0; i < 5; i++) {
    fresh.upstream.github.switches.person = somebody();
    const browser = createBrowser(fresh.server.issuer);
    codes.push((await browser.go(await fresh.direct(browser, 'github'))).url.searchParams.get('code') ?? '');
  }
  for (const code of codes.slice(1)) t.is((await rest.post('/auth/exchange', { code })).status, 200);
  for (let i = 0; i < 3; i++) t.is((await rest.post('/auth/exchange', { code: 'x'.repeat(43) })).status, 422);
  t.is((await rest.post('/auth/exchange', { code: codes[0] })).status, 429);
});

test.serial('new accounts through a provider count as registrations; who has one gets in', async (t) => {
  const fresh = await limited(t, 'register-network', 2);
  const through = async (person: ReturnType<typeof somebody>) => {
    const browser = createBrowser(fresh.server.issuer);
    fresh.upstream.github.switches.person = person;
    const { page } = await fresh.request(browser);
    return browser.go(await fresh.press(browser, page, 'github'));
  };
  const first = somebody();
  t.is((await through(first)).status, 0);
  t.is((await through(somebody())).status, 0);
  const refused = await through(somebody());
  t.is(refused.status, 429);
  t.true(Number(refused.headers.get('retry-after')) > 0);
  t.regex(refused.html, /Too many attempts/);
  t.is((await through(first)).status, 0);
});

test.serial('no provider makes us flood an address with mails', async (t) => {
  const fresh = await limited(t, 'mail-account', 1);
  const email = 'flooded@example.com';
  const rest = createRest(fresh.server.origin);
  await rest.post('/auth/forgot-password', { email });
  fresh.upstream.acme.switches.person = somebody({ email, email_verified: false });
  const browser = createBrowser(fresh.server.issuer);
  const { page } = await fresh.request(browser);
  t.is((await browser.go(await fresh.press(browser, page, 'acme'))).status, 0);
  t.deepEqual(await mailsTo(fresh.server, email), []);
});

// How long.

test.serial(
  'who takes half an hour at the provider is signed in; past its time it is said in words, and the app’s sign-in goes on',
  async (t) => {
    const browser = createBrowser(all.server.issuer);
    all.upstream.google.switches.person = somebody();
    const { page, rp, started } = await all.request(browser);
    const late = await all.press(browser, page, 'google');
    const cookies = browser.cookies();
    const trip = cookies.find(({ name }) => name.startsWith('federation-'));
    t.truthy(trip);
    // The browser has dropped the cookie by itself: its time is over.
    browser.setCookies(cookies.filter((one) => one !== trip));
    const over = await browser.go(late);
    t.is(over.status, 400);
    t.regex(over.html, /has taken too long/);
    t.regex(over.html, /id="back" href="\/login"/);
    const anew = await browser.go(page.url);
    const arrived = await browser.go(await all.press(browser, anew, 'google'));
    t.truthy((await redeem(rp, arrived.url, started)).claims()?.sub);
  },
);

test.serial('of two tabs of one browser on their way to one provider each comes to its own app', async (t) => {
  const browser = createBrowser(all.server.issuer);
  all.upstream.google.switches.person = somebody();
  const one = await all.request(browser);
  const back = await all.press(browser, one.page, 'google');
  const two = await all.request(browser);
  const later = await all.press(browser, two.page, 'google');
  t.truthy((await redeem(one.rp, (await browser.go(back)).url, one.started)).claims()?.sub);
  // Whoever has signed in in the first tab meanwhile: the second one ends as well.
  t.truthy((await redeem(two.rp, (await browser.go(later)).url, two.started)).claims()?.sub);
});

test.serial('a browser that has set out more often than anybody does still comes back', async (t) => {
  const browser = createBrowser(all.server.issuer);
  for (let i = 0; i < 45; i++) await browser.go(LOGIN);
  all.upstream.google.switches.person = somebody();
  t.truthy((await browser.go(await all.direct(browser, 'google'))).url.searchParams.get('code'));
  t.true(
    browser.cookies().filter(({ name }) => name.startsWith('federation-')).length < 40,
    'and does not carry on with all',
  );
});

// How lately.

const linkedPerson = async () => {
  const person = await newPerson(all.server);
  await query('UPDATE users SET email_verified = true WHERE id = $1', person.id);
  const browser = createBrowser(all.server.issuer);
  const page = await browser.submit(await browser.go('/login'), 'sign-in', {
    login: person.email,
    password: person.password,
  });
  const upstream = somebody();
  all.upstream.github.switches.person = upstream;
  const after = await browser.go(await all.through('github', await browser.submit(page, 'link-github')));
  return { person, browser, upstream, page: after, unlink: /id="(unlink-[^"]+)"/.exec(after.html)?.[1] ?? '' };
};
const identitiesOf = async (id: string) => (await query('SELECT 1 FROM identities WHERE user_id = $1', id)).length;

/** As if the clock had moved on by so many seconds for everything that looks at it in this process. */
const after = async <T>(seconds: number, act: () => Promise<T>): Promise<T> => {
  const now = Date.now;
  Date.now = () => now() + seconds * 1000;
  try {
    return await act();
  } finally {
    Date.now = now;
  }
};

test.serial('ways in are added and removed on the account page by who signed in within ten minutes', async (t) => {
  const { person, browser, page, unlink } = await linkedPerson();
  for (const button of ['link-google', unlink]) {
    const asked = await after(700, () => browser.submit(page, button));
    t.regex(asked.url.pathname, /^\/interaction\//, button);
    t.regex(asked.html, /Confirm it’s you/);
    t.is(await identitiesOf(person.id), 1);
  }
  const asked = await after(700, () => browser.submit(page, unlink));
  // By the password, or by a provider that is linked, GitHub as well: here it shows who it is, not when.
  t.regex(asked.html, /id="provider-github"/);
  const back = await browser.submit(asked, 'sign-in', { login: person.email, password: person.password });
  t.is(back.url.pathname, '/account');
  t.regex((await browser.submit(back, unlink)).html, /Removed\./);
  t.is(await identitiesOf(person.id), 0);
});

test.serial('a linked provider shows as well that it is still the same person', async (t) => {
  const { person, browser, page, unlink, upstream } = await linkedPerson();
  const asked = await after(700, () => browser.submit(page, unlink));
  all.upstream.github.switches.person = upstream;
  const back = await browser.go(await all.press(browser, asked, 'github'));
  t.is(back.url.pathname, '/account');
  t.regex((await browser.submit(back, unlink)).html, /Removed\./);
  t.is(await identitiesOf(person.id), 0);
});

test.serial('whatever a provider says of when, coming back from it anew shows it to our own pages', async (t) => {
  for (const [name, prompt, when] of [
    ['google', 'select_account', undefined],
    ['github', 'select_account', undefined],
    ['acme', 'login', Math.floor(Date.now() / 1000) - 86_400],
  ] as const) {
    const who = somebody();
    all.upstream[name].switches.person = who;
    const browser = createBrowser(all.server.issuer);
    const page = await browser.go(await all.press(browser, await browser.go('/login'), name));
    const asked = await after(700, () => browser.submit(page, name === 'github' ? 'link-google' : 'link-github'));
    const href = new RegExp(`href="([^"]+)" id="provider-${name}"`).exec(asked.html)?.[1] ?? '';
    const door = await browser.go(href);
    t.is(door.url.searchParams.get('prompt'), prompt, name);
    t.is(door.url.searchParams.get('max_age'), null, name);
    all.upstream[name].switches.signedInAt = when;
    const back = await browser.go(await all.through(name, door));
    t.is(back.url.pathname, '/account', name);
    // At once, without being asked again.
    const on = await browser.submit(back, name === 'github' ? 'link-google' : 'link-github');
    t.is(on.status, 0, name);
    t.is(on.url.searchParams.get('prompt'), 'select_account');
    all.upstream[name].reset();
  }
});

test.serial('by REST a sign-in at the provider of an hour ago is an hour old, whatever the token’s age', async (t) => {
  const rest = createRest(all.server.origin);
  const who = somebody();
  const hourAgo = Math.floor(Date.now() / 1000) - 3600;
  all.upstream.acme.switches.person = who;
  all.upstream.acme.switches.idToken = (claims) => ({ ...claims, auth_time: hourAgo });
  const browser = createBrowser(all.server.issuer);
  const code = (await browser.go(await all.direct(browser, 'acme'))).url.searchParams.get('code');
  const { body } = await rest.post('/auth/exchange', { code });
  const refreshed = await rest.post('/auth/refresh', { refresh_token: body.refresh_token });
  for (const token of [body.access_token, refreshed.body.access_token]) {
    const auth = bearer(token);
    const [identity] = (await rest.get('/users/me/identities', auth)).body as unknown as { id: string }[];
    t.is((await rest.delete(`/users/me/identities/${identity?.id}`, undefined, auth)).body.code, 'stale_sign_in');
  }
});

test.serial('by REST they are removed with the password, or by a sign-in of the last ten minutes', async (t) => {
  const { person } = await linkedPerson();
  const rest = createRest(all.server.origin);
  const { body } = await rest.post('/auth/login', { email: person.email, password: person.password });
  const mine = bearer(body.access_token);
  const [identity] = (await rest.get('/users/me/identities', mine)).body as unknown as { id: string }[];
  const path = `/users/me/identities/${identity?.id}`;
  const stale = await after(700, () => rest.delete(path, undefined, mine));
  t.is(stale.status, 401);
  t.is(stale.body.code, 'stale_sign_in');
  t.regex(
    stale.headers.get('www-authenticate') ?? '',
    /^Bearer error="insufficient_user_authentication", max_age="600", resource_metadata="[^"]+"$/,
  );
  // Refreshing is no sign-in.
  const refreshed = await after(700, async () => {
    const { body: pair } = await rest.post('/auth/refresh', { refresh_token: body.refresh_token });
    return rest.delete(path, undefined, bearer(pair.access_token));
  });
  t.is(refreshed.status, 401);
  t.is(
    (await after(700, () => rest.delete(path, { current_password: 'wrong' }, mine))).body.code,
    'invalid_credentials',
  );
  t.is(await identitiesOf(person.id), 1);
  t.is((await after(700, () => rest.delete(path, { current_password: person.password }, mine))).status, 204);
  t.is(await identitiesOf(person.id), 0);
});

const recorded = async (type: string, reason: string): Promise<number> =>
  (await query('SELECT event FROM audit_events WHERE type = $1', type)).filter(
    ({ event }) => JSON.parse(event).details.reason === reason,
  ).length;

test.serial('callbacks that come to nothing are on record, as often as tells, and no more', async (t) => {
  const fresh = await startFederated();
  t.teardown(() => fresh.close());
  const browser = createBrowser(fresh.server.issuer);
  const rows = async (reason: string) =>
    (await fresh.server.database.pool.query("SELECT event FROM audit_events WHERE type = 'login.failed'")).rows.filter(
      ({ event }) => JSON.parse(event).details.reason === reason,
    ).length;
  const { page } = await fresh.request(browser);
  fresh.upstream.google.switches.fault = { path: '/token', as: '500' };
  await browser.go(await fresh.press(browser, page, 'google'));
  t.is(await rows('provider_unavailable'), 1);
  for (let n = 0; n < 25; n += 1) await browser.go(`/oauth/google/callback?state=${n}&code=y`);
  t.is(await rows('provider_mismatch'), 19);
});

test.serial('an identity that could not be added is on record', async (t) => {
  const { upstream } = await linkedPerson();
  const other = await newPerson(all.server);
  await query('UPDATE users SET email_verified = true WHERE id = $1', other.id);
  const browser = createBrowser(all.server.issuer);
  const credentials = { login: other.email, password: other.password };
  const page = await browser.submit(await browser.go('/login'), 'sign-in', credentials);
  all.upstream.github.switches.person = upstream;
  const back = await browser.go(await all.through('github', await browser.submit(page, 'link-github')));
  t.is(back.url.search, '?outcome=identity_taken');
  t.is(await recorded('identity.refused', 'identity_taken'), 1);
});

test.serial('names of cookies that somebody makes up leave nothing behind', async (t) => {
  // On a connection of its own: counting takes long enough for one that is kept to be closed.
  const callback = async (n: number) => {
    const cookie = Array.from({ length: 10 }, (_, i) => `federation-${n}-${i}=x`).join('; ');
    const url = `${all.server.origin}/oauth/google/callback?state=x&code=y`;
    const [response] = await once(get(url, { agent: false, headers: { cookie } }), 'response');
    response.resume();
    t.is(response.statusCode, 400);
  };
  await callback(0);
  const before = queryObjects(RegExp, { format: 'count' });
  for (let n = 1; n <= 20; n += 1) await callback(n);
  t.true(queryObjects(RegExp, { format: 'count' }) - before < 20, 'a pattern was kept for each of 200 names');
});
