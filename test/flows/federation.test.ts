// Signing in through Google, GitHub and a company's own provider, inside an app's authorization request.
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody } from '../helpers/identity-provider.ts';
import { newPerson, redeem, told } from '../helpers/relying-party.ts';

let all: Federated;

test.before(async () => {
  all = await startFederated();
});
test.beforeEach(() => {
  for (const name of ['google', 'github', 'acme'] as const) all.upstream[name].reset();
});
test.after.always(() => all?.close());

const query = (sql: string, ...values: unknown[]) => all.server.database.pool.query(sql, values);
const userOf = async (email: string) => (await query('SELECT * FROM users WHERE email = $1', email)).rows[0];

/** An app gets these claims when it asks for them. */
const TELLING = { claims: JSON.stringify({ id_token: { amr: null, acr: null, auth_time: null } }) };

/** A whole sign-in of somebody through a provider. */
const signIn = async (name: ProviderName, person = somebody(), params = {}) => {
  const browser = createBrowser(all.server.issuer);
  all.upstream[name].switches.person = person;
  const { rp, started, page } = await all.request(browser, params);
  const arrived = await browser.go(await all.press(browser, page, name));
  return { browser, rp, person, started, arrived };
};

for (const name of ['google', 'github', 'acme'] as const) {
  test.serial(
    `${name} signs somebody new in: the app gets its tokens, and the account what the provider tells`,
    async (t) => {
      const person = somebody({ preferred_username: `ada-${name}` });
      const { rp, started, arrived, browser } = await signIn(name, person, TELLING);
      const tokens = await redeem(rp, arrived.url, started);
      const claims = tokens.claims();
      t.deepEqual(claims?.amr, ['fed']);
      t.true(Math.abs(Number(claims?.auth_time ?? Date.now() / 1000) - Date.now() / 1000) < 30);
      const user = await userOf(String(person.email));
      t.like(user, {
        id: claims?.sub,
        email_verified: true,
        username: `ada-${name}`,
        name: person.name,
        picture: person.picture,
        password_hash: null,
        role: 'user',
      });
      const { rows } = await query('SELECT * FROM identities WHERE user_id = $1', user.id);
      t.is(rows.length, 1);
      t.like(rows[0], { provider: name, email: person.email, email_verified: true });
      const { rows: events } = await query('SELECT event FROM audit_events WHERE target = $1 ORDER BY seq', user.id);
      t.deepEqual(
        events
          .map(({ event }) => JSON.parse(event))
          .map(({ type, details }) => [type, details?.method])
          .slice(0, 2),
        [
          ['user.registered', name],
          ['login.succeeded', name],
        ],
      );
      t.false(arrived.trail.some((address) => /token=/.test(address)));

      // And again, in the same browser after signing out of nothing: the same account.
      const again = await signIn(name, person);
      t.is((await redeem(again.rp, again.arrived.url, again.started)).claims()?.sub, user.id);
      t.is((await query('SELECT count(*)::int AS n FROM users WHERE email = $1', person.email)).rows[0].n, 1);
      t.false(
        browser.cookies().some(({ name: cookie }) => cookie.startsWith('feder')),
        'nothing is left of the trip',
      );
    },
  );
}

test.serial('a sign-in asks with state, S256 and, of OpenID providers, nonce; each its own', async (t) => {
  const seen = new Set<string>();
  for (const name of ['google', 'github', 'acme'] as const)
    for (let i = 0; i < 2; i++) {
      const browser = createBrowser(all.server.issuer);
      const { page } = await all.request(browser);
      const href = new RegExp(`href="([^"]+)" id="provider-${name}"`).exec(page.html)?.[1] ?? '';
      const { url } = await browser.go(href);
      const sent = Object.fromEntries(url.searchParams);
      t.like(sent, {
        response_type: 'code',
        code_challenge_method: 'S256',
        redirect_uri: `${all.server.issuer}/oauth/${name}/callback`,
      });
      const fresh = [sent.state, sent.code_challenge, ...(name === 'github' ? [] : [sent.nonce])];
      for (const value of fresh) {
        t.is(value?.length, 43);
        t.false(seen.has(String(value)));
        seen.add(String(value));
      }
      const cookie = browser.cookies().find((one) => one.name.startsWith('federation-'));
      t.is(cookie?.path, `/oauth/${name}`);
      t.false(JSON.stringify(browser.cookies()).includes(String(sent.state)), 'the cookie cannot be read');
    }
});

test.serial('consent is asked for as after any sign-in, and prompt=none then signs in silently', async (t) => {
  const browser = createBrowser(all.server.issuer);
  const { rp, started, page, client } = await all.request(browser, {}, false);
  const consent = await browser.go(await all.press(browser, page, 'google'));
  t.regex(consent.html, /id="allow"/);
  const { sub } = (await redeem(rp, (await browser.submit(consent, 'allow')).url, started)).claims() ?? {};
  const again = await browser.go(
    `/oauth/authorize?${new URLSearchParams({ client_id: client.client_id, response_type: 'code', scope: 'openid', prompt: 'none', redirect_uri: 'https://app.example/callback' })}`,
  );
  t.truthy(told(again).code);
  t.truthy(sub);
});

test.serial('somebody who turns back is on the sign-in page, is told so, and can go on with a password', async (t) => {
  const person = await newPerson(all.server);
  for (const name of ['google', 'github', 'acme'] as const) {
    const browser = createBrowser(all.server.issuer);
    all.upstream[name].switches.cancels = true;
    const { page, rp, started } = await all.request(browser);
    const back = await browser.go(await all.press(browser, page, name));
    t.is(back.status, 400);
    t.regex(back.html, /You turned back at (Google|GitHub|Acme Staff)\./);
    t.regex(back.html, /role="alert"/);
    const arrived = await browser.submit(back, 'sign-in', { login: person.email, password: person.password });
    t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
  }
});

test.serial('a provider that refuses is told apart from one that is out of order', async (t) => {
  for (const [error, words, status] of [
    ['unauthorized_client', /didn’t sign you in/, 400],
    ['temporarily_unavailable', /can’t sign you in right now/, 503],
  ] as const) {
    const browser = createBrowser(all.server.issuer);
    all.upstream.github.switches.error = error;
    const { page } = await all.request(browser);
    const back = await browser.go(await all.press(browser, page, 'github'));
    t.is(back.status, status);
    t.regex(back.html, words);
    t.regex(back.html, /id="provider-google"/, 'the other ways in are there');
  }
});

test.serial('a provider that is not set up has no button, and its addresses answer 404 in words', async (t) => {
  const bare = await startFederated({ federation: { openid: [] } });
  t.teardown(() => bare.close());
  const browser = createBrowser(bare.server.issuer);
  const { page } = await bare.request(browser);
  t.notRegex(page.html, /id="provider-|or continue with/);
  for (const path of [
    '/oauth/google/login',
    '/oauth/github/callback?code=a&state=b',
    '/oauth/unheard-of/login?return_to=x',
  ]) {
    const answer = await fetch(new URL(path, bare.server.origin), { headers: { accept: 'application/json' } });
    t.is(answer.status, 404);
    t.is(answer.headers.get('content-type'), 'application/problem+json');
    const problem = (await answer.json()) as Record<string, unknown>;
    t.is(problem.code, 'unknown_provider');
    t.regex(String(problem.detail), /Signing in with [\w-]+ is not set up here/);
    const read = await browser.go(path);
    t.is(read.status, 404);
    t.regex(read.html, /doesn’t sign anybody in with that provider/);
  }
});

test.serial('no provider stands before the engine’s own endpoints', async (t) => {
  for (const path of ['/oauth/jwks', '/oauth/authorize', '/oauth/logout', '/oauth/userinfo'])
    t.not((await fetch(new URL(path, all.server.origin), { redirect: 'manual' })).status, 404, path);
});

test.serial('usernames are derived and made unique', async (t) => {
  const first = await signIn('github', somebody({ preferred_username: 'octocat' }));
  t.truthy(told(first.arrived).code);
  const second = somebody({ preferred_username: 'OctoCat' });
  t.truthy(told((await signIn('github', second)).arrived).code);
  t.regex((await userOf(String(second.email))).username, /^OctoCat-\d+$/);
  const { preferred_username: _, ...nameless } = somebody({ email: `grace.hopper+${Date.now()}@example.com` });
  t.truthy(told((await signIn('google', nameless)).arrived).code);
  t.regex((await userOf(String(nameless.email))).username, /^grace\.hopper\d+$/);
});

test.serial('a changed address at the provider changes neither who it is nor the account’s address', async (t) => {
  const person = somebody();
  const first = await signIn('google', person);
  const { sub } = (await redeem(first.rp, first.arrived.url, first.started)).claims() ?? {};
  const moved = { ...person, email: `moved-${person.email}` };
  const second = await signIn('google', moved);
  t.is((await redeem(second.rp, second.arrived.url, second.started)).claims()?.sub, sub);
  t.is((await userOf(String(person.email))).id, sub);
  t.is(await userOf(moved.email), undefined);
  const { rows } = await query('SELECT email FROM identities WHERE user_id = $1', sub);
  t.deepEqual(rows, [{ email: moved.email }]);
});

test.serial('an address that the provider has not verified is asked to be proven, like any other', async (t) => {
  for (const name of ['google', 'github', 'acme'] as const) {
    const person = somebody({ email_verified: false });
    t.truthy(told((await signIn(name, person)).arrived).code);
    t.is((await userOf(String(person.email))).email_verified, false);
    const [mail] = (await all.server.mail.kept()).filter(({ to }) => to.email === person.email);
    t.is(mail?.message.template, 'verify_email');
  }
});

test.serial('without an address there is no account, and the person is told why', async (t) => {
  for (const name of ['google', 'github', 'acme'] as const) {
    const { email: _, email_verified: __, ...person } = somebody();
    const { arrived } = await signIn(name, person);
    t.is(arrived.status, 400);
    t.regex(arrived.html, /doesn’t tell us an email address/);
  }
});

test.serial('amr says that a provider signed in and how, auth_time when', async (t) => {
  const hourAgo = Math.floor(Date.now() / 1000) - 3600;
  Object.assign(all.upstream.acme.switches, { amr: ['pwd', 'mfa'], signedInAt: hourAgo });
  // The provider tells when somebody signed in only where it is asked: by max_age.
  const { rp, started, arrived } = await signIn('acme', somebody(), { max_age: '7200' });
  const claims = (await redeem(rp, arrived.url, started)).claims();
  t.is(claims?.auth_time, hourAgo);
  t.is(claims?.acr, 'aal1');
  t.deepEqual(claims?.amr, ['fed', 'pwd', 'mfa']);
});

test.serial('ID tokens say how, how sure and when without being asked', async (t) => {
  for (const name of ['google', 'github', 'acme'] as const) {
    const { rp, started, arrived } = await signIn(name, somebody());
    const claims = (await redeem(rp, arrived.url, started)).claims();
    t.deepEqual(claims?.amr, ['fed'], name);
    t.is(claims?.acr, 'aal1', name);
    t.true(Math.abs(Number(claims?.auth_time) - Date.now() / 1000) < 30, name);
  }
});

test.serial('acr can be asked for after a sign-in through a provider', async (t) => {
  const { rp, started, arrived } = await signIn('github', somebody(), { acr_values: 'aal1' });
  t.is((await redeem(rp, arrived.url, started)).claims()?.acr, 'aal1');
});

test.serial(
  'prompt=login and max_age go to the provider, and what it says of the time is held against them',
  async (t) => {
    const person = somebody();
    const { browser, rp, arrived, started } = await signIn('acme', person);
    const { sub } = (await redeem(rp, arrived.url, started)).claims() ?? {};
    for (const [params, asked, tooOld] of [
      [{ prompt: 'login' }, { prompt: 'login', max_age: '0' }, 120],
      [{ max_age: '0' }, { prompt: 'login', max_age: '0' }, 120],
    ] as const) {
      all.upstream.acme.switches.person = person;
      const stale = await all.request(browser, params);
      t.notRegex(stale.page.html, /id="provider-github"/, 'GitHub cannot say when');
      const href = /href="([^"]+)" id="provider-acme"/.exec(stale.page.html)?.[1] ?? '';
      const door = await browser.go(href);
      t.like(Object.fromEntries(door.url.searchParams), asked);
      all.upstream.acme.switches.signedInAt = Math.floor(Date.now() / 1000) - tooOld;
      all.upstream.acme.switches.idToken = (claims) => ({ ...claims, auth_time: Number(claims.auth_time) });
      const refused = await browser.go(await all.through('acme', door));
      t.is(refused.status, 400);
      t.regex(refused.html, /wants you to sign in anew, and Acme.* can’t confirm/);

      all.upstream.acme.switches.signedInAt = undefined;
      const anew = await browser.go(await all.press(browser, refused, 'acme'));
      const claims = (await redeem(stale.rp, anew.url, stale.started)).claims();
      t.is(claims?.sub, sub);
      t.true(Number(claims?.auth_time ?? Date.now() / 1000) > Date.now() / 1000 - 60);
    }
  },
);

test.serial('a provider that keeps silent about when is no proof of a new sign-in', async (t) => {
  const { browser } = await signIn('acme');
  const { page } = await all.request(browser, { prompt: 'login' });
  all.upstream.acme.switches.idToken = ({ auth_time: _, ...claims }) => claims;
  t.regex((await browser.go(await all.press(browser, page, 'acme'))).html, /can’t confirm that you did/);
  // Nor is GitHub, to whoever types its address.
  const uid = /\/interaction\/([\w-]+)\/login/.exec(page.html)?.[1];
  t.regex((await browser.go(`/interaction/${uid}/with/github`)).html, /GitHub can’t confirm that you did/);
});

test.serial('Google has no button where an app insists on when, unless it was set up to say so', async (t) => {
  const { browser, arrived } = await signIn('google');
  t.is(arrived.status, 0);
  const { page } = await all.request(browser, { max_age: '60', prompt: 'login' });
  t.notRegex(page.html, /id="provider-google"/);
  const uid = /\/interaction\/([\w-]+)\/login/.exec(page.html)?.[1];
  t.regex((await browser.go(`/interaction/${uid}/with/google`)).html, /Google can’t confirm that you did/);

  const { google } = all.upstream.settings;
  const fresh = await startFederated({}, google && { google: { ...google, authTime: true } });
  t.teardown(() => fresh.close());
  fresh.upstream.google.switches.tellsWhen = true;
  const again = createBrowser(fresh.server.issuer);
  const asked = await fresh.request(again, { prompt: 'login' });
  const href = /href="([^"]+)" id="provider-google"/.exec(asked.page.html)?.[1] ?? '';
  const door = await again.go(href);
  t.like(Object.fromEntries(door.url.searchParams), { prompt: 'select_account', max_age: '0' });
  fresh.upstream.google.switches.signedInAt = Math.floor(Date.now() / 1000) - 600;
  const refused = await again.go(await fresh.through('google', door));
  t.regex(refused.html, /Google can’t confirm/);
  fresh.upstream.google.switches.signedInAt = undefined;
  const anew = await again.go(await fresh.press(again, refused, 'google'));
  t.deepEqual((await redeem(asked.rp, anew.url, asked.started)).claims()?.amr, ['fed']);
});

test.serial('a ban stops who signs in through a provider, before and after they were here', async (t) => {
  const person = somebody();
  const { rp, arrived, started } = await signIn('google', person);
  const tokens = await redeem(rp, arrived.url, started);
  await query("UPDATE users SET banned_at = now(), ban_reason = 'spam' WHERE id = $1", tokens.claims()?.sub);
  const another = createBrowser(all.server.issuer);
  const { page } = await all.request(another);
  all.upstream.google.switches.person = person;
  const refused = await another.go(await all.press(another, page, 'google'));
  t.is(refused.status, 400);
  t.regex(refused.html, /This account can’t be signed in to/);
  const { rows } = await query(
    "SELECT event FROM audit_events WHERE type = 'login.failed' AND target = $1",
    tokens.claims()?.sub,
  );
  t.like(JSON.parse(rows[0].event).details, { method: 'google', reason: 'banned' });

  // Through another provider, by the same address.
  const github = await signIn('github', { ...somebody(), email: String(person.email) });
  t.regex(github.arrived.html, /This account can’t be signed in to/);
  t.is(
    (await query('SELECT count(*)::int AS n FROM identities WHERE user_id = $1', tokens.claims()?.sub)).rows[0].n,
    1,
  );
});

test.serial('signing in through a provider restores an account that waits to be erased', async (t) => {
  const person = somebody();
  const first = await signIn('google', person);
  const { sub } = (await redeem(first.rp, first.arrived.url, first.started)).claims() ?? {};
  await query("UPDATE users SET erase_after = now() + interval '3 days' WHERE id = $1", sub);
  const second = await signIn('google', person);
  t.is((await redeem(second.rp, second.arrived.url, second.started)).claims()?.sub, sub);
  t.is((await userOf(String(person.email))).erase_after, null);
  await query("UPDATE users SET erase_after = now() - interval '1 second' WHERE id = $1", sub);
  t.regex((await signIn('google', person)).arrived.html, /This account can’t be signed in to/);
});

test.serial('an app that insists on another account is not given this one', async (t) => {
  const other = await newPerson(all.server);
  const { arrived } = await signIn('google', somebody(), {
    claims: JSON.stringify({ id_token: { sub: { value: other.id } } }),
  });
  t.is(arrived.status, 400);
  t.regex(arrived.html, /asked for a different account/);
});
