// The direct way: a platform app sends the browser to a provider, gets a one-time code back, and exchanges it for tokens.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { APP, type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody } from '../helpers/identity-provider.ts';
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

const query = (sql: string, ...values: unknown[]) => all.server.database.pool.query(sql, values);

/** The browser as far as the app, which gets a code or an error. */
const direct = async (name: ProviderName, person = somebody(), returnTo?: string) => {
  const browser = createBrowser(all.server.issuer);
  all.upstream[name].switches.person = person;
  const arrived = await browser.go(await all.direct(browser, name, returnTo));
  return { person, arrived, code: arrived.url.searchParams.get('code') ?? '' };
};
const exchange = (code: unknown) => rest.post('/auth/exchange', { code });

for (const name of ['google', 'github', 'acme'] as const)
  test.serial(`${name} signs in to a platform app: a code in the address, the usual tokens for it, once`, async (t) => {
    const { person, arrived, code } = await direct(name, somebody(), `${APP}/signed-in?state=the-app%27s&lang=en`);
    t.is(arrived.url.origin, APP);
    t.deepEqual([...arrived.url.searchParams.keys()], ['state', 'lang', 'code']);
    t.is(arrived.url.searchParams.get('state'), "the-app's");
    t.is(code.length, 43);
    t.false(
      arrived.trail.some((address) => /token=|eyJ/.test(address)),
      'no token in any address',
    );

    const { status, body, headers } = await exchange(code);
    t.is(status, 200);
    t.is(headers.get('cache-control'), 'no-store');
    t.like(body, { token_type: 'bearer', expires_in: 1800 });
    const me = await rest.get('/users/me', bearer(body.access_token));
    t.like(me.body, { email: person.email, email_verified: true, name: person.name });
    const { body: refreshed } = await rest.post('/auth/refresh', { refresh_token: body.refresh_token });
    t.is((await rest.get('/users/me', bearer(refreshed.access_token))).status, 200);
    const sessions = (await rest.get('/users/me/sessions', bearer(refreshed.access_token))).body as unknown as object[];
    t.is(sessions.length, 1);
    t.like(sessions[0], { kind: 'app', current: true });
    const { rows } = await query(
      "SELECT event FROM audit_events WHERE type = 'login.succeeded' AND target = $1",
      me.body.id,
    );
    t.is(rows.length, 1);
    t.like(JSON.parse(rows[0].event), { client: 'user-auth', details: { method: name } });

    const again = await exchange(code);
    t.is(again.status, 422);
    t.is(again.body.code, 'invalid_one_time_token');
  });

const challenged = async (verifier: string, name: ProviderName = 'google') => {
  const browser = createBrowser(all.server.issuer);
  all.upstream[name].switches.person = somebody();
  const code_challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = new URLSearchParams({ return_to: `${APP}/in`, code_challenge, code_challenge_method: 'S256' });
  const door = await browser.go(`/oauth/${name}/login?${query}`);
  return (await browser.go(await all.through(name, door))).url.searchParams.get('code') ?? '';
};
const VERIFIER = 'the-verifier-of-a-careful-app_0123456789.~abc';

test.serial(
  'a code that was asked for with a challenge is exchanged by who has its verifier, and nobody else',
  async (t) => {
    const code = await challenged(VERIFIER);
    t.is((await rest.post('/auth/exchange', { code, code_verifier: VERIFIER })).status, 200);
    for (const [given, status] of [
      [{}, 422],
      [{ code_verifier: VERIFIER.replace('a', 'b') }, 422],
      [{ code_verifier: 'too short' }, 422],
    ] as const) {
      const stolen = await challenged(VERIFIER);
      t.is((await rest.post('/auth/exchange', { code: stolen, ...given })).status, status);
      // What does not fit is refused unread; a wrong verifier, or none, has spent the code.
      const then = (await rest.post('/auth/exchange', { code: stolen, code_verifier: VERIFIER })).status;
      t.is(then, 'code_verifier' in given && given.code_verifier === 'too short' ? 200 : 422);
    }
  },
);

test.serial('a verifier for a code without a challenge is refused: somebody has left the challenge out', async (t) => {
  const { code } = await direct('github');
  t.is((await rest.post('/auth/exchange', { code, code_verifier: VERIFIER })).status, 422);
});

for (const query of [
  'code_challenge=short',
  `code_challenge=${'x'.repeat(44)}`,
  `code_challenge=${'x'.repeat(43)}&code_challenge=${'x'.repeat(43)}`,
  `code_challenge=${'x'.repeat(43)}&code_challenge_method=plain`,
  'code_challenge_method=plain',
  `code_challenge=${'x'.repeat(42)}%2B`,
])
  test.serial(
    `a challenge that is none is refused before anybody goes anywhere: ${query.replace(/x+/, 'x…')}`,
    async (t) => {
      const path = `/oauth/google/login?return_to=${APP}/&${query}`;
      const answer = await fetch(new URL(path, all.server.origin), {
        redirect: 'manual',
        headers: { accept: 'application/json' },
      });
      t.is(answer.status, 422);
      t.is(((await answer.json()) as Record<string, unknown>).code, 'invalid_code_challenge');
      t.deepEqual(answer.headers.getSetCookie(), []);
    },
  );

test.serial('somebody who is banned gets no code, and the attempt is on record', async (t) => {
  const { person } = await direct('google');
  await query('UPDATE users SET banned_at = now() WHERE email = $1', person.email);
  const { arrived } = await direct('google', person);
  t.is(arrived.url.origin, all.server.issuer, 'the browser stays here');
  t.is(arrived.status, 400);
  t.regex(arrived.html, /This account can’t be signed in to/);
  t.regex(arrived.html, /\?error=account_unavailable"/);
  t.notRegex(arrived.html, /id="provider-/, 'no other way leads in');
  const { rows } = await query(
    "SELECT a.event FROM audit_events a JOIN users u ON a.target = u.id::text WHERE a.type = 'login.failed' AND u.email = $1",
    person.email,
  );
  t.like(JSON.parse(rows[0].event), { client: 'user-auth', details: { method: 'google', reason: 'banned' } });
});

test.serial('of 50 exchanges of one code at once, one gets tokens', async (t) => {
  const { code } = await direct('github');
  const answers = await Promise.all(Array.from({ length: 50 }, () => exchange(code)));
  t.is(answers.filter(({ status }) => status === 200).length, 1);
  t.is(answers.filter(({ status }) => status === 422).length, 49);
});

test.serial('a code brought again ends what it gave, where who brings it could have been the first', async (t) => {
  const code = await challenged(VERIFIER);
  const { body } = await rest.post('/auth/exchange', { code, code_verifier: VERIFIER });
  const isIn = async () => (await rest.get('/users/me', bearer(body.access_token))).status === 200;
  t.true(await isIn());
  // Somebody who has found the code in an address.
  for (const more of [{}, { code_verifier: VERIFIER.replace('careful', 'artless') }]) {
    t.is((await rest.post('/auth/exchange', { code, ...more })).status, 422);
    t.true(await isIn());
  }
  t.is((await rest.post('/auth/exchange', { code, code_verifier: VERIFIER })).status, 422);
  t.false(await isIn());
  t.is((await rest.post('/auth/refresh', { refresh_token: body.refresh_token })).status, 401);
});

test.serial('an exchange that could not be put on record has not happened: nothing is issued', async (t) => {
  const { person, code } = await direct('google');
  const grants = async () => {
    const owner = 'SELECT id::text FROM users WHERE email = $1';
    const ofOwner = `SELECT FROM oauth_tokens WHERE model = 'Grant' AND account_id = (${owner})`;
    return (await query(ofOwner, person.email)).rowCount;
  };
  const before = await grants();
  await query('ALTER TABLE audit_events RENAME TO audit_events_away');
  // What is broken is documented nowhere: past the helper, which holds answers against what is.
  const refused = await fetch(`${all.server.origin}/auth/exchange`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  }).finally(() => query('ALTER TABLE audit_events_away RENAME TO audit_events'));
  t.true(refused.status >= 500);
  t.is(await grants(), before);
});

test.serial('a code is of no use when it is made up, or its holder was banned meanwhile', async (t) => {
  for (const code of ['', 'x', 'x'.repeat(43), 7, null]) t.is((await exchange(code)).status, 422, String(code));
  const { person, code } = await direct('google');
  await query('UPDATE users SET banned_at = now() WHERE email = $1', person.email);
  t.is((await exchange(code)).status, 422);
  // Nor after the ban, which ends whatever is theirs.
  const { person: other, code: theirs } = await direct('google');
  const { rows } = await query('SELECT id FROM users WHERE email = $1', other.email);
  await all.server.stores.artifacts.destroyByAccount(rows[0].id);
  t.is((await exchange(theirs)).status, 422);
});

test.serial('a code lives for a minute and is stored sealed under its hash', async (t) => {
  const { code } = await direct('google');
  const { artifacts } = all.server.stores;
  const idHash = createHash('sha256').update(code).digest('base64url');
  const found = await artifacts.find('FederationCode', idHash);
  t.regex(String(found?.payload), /^v1\./);
  t.false(JSON.stringify(found).includes(code));
  // The same entry, about to expire.
  await artifacts.upsert('FederationCode', idHash, {
    payload: String(found?.payload),
    expiresAt: Math.floor(Date.now() / 1000) + 1,
  });
  await sleep(2_100);
  t.is((await exchange(code)).status, 422);
});

for (const returnTo of [
  'https://evil.example/',
  'https://platform.example.evil.example/',
  'https://platform.example@evil.example/',
  'https://user:pw@platform.example/',
  'http://platform.example/',
  'https://platform.example:8443/',
  '//evil.example/',
  '/\\evil.example',
  '/account',
  'javascript:alert(1)//https://platform.example',
  'blob:https://platform.example/5fbabb32',
  'https:\\\\evil.example',
  'https://platform.example/#fragment',
  `https://platform.example/${'x'.repeat(600)}`,
  '',
])
  test.serial(`return_to=${returnTo.slice(0, 60)} is refused, and nobody is sent anywhere`, async (t) => {
    const answer = await fetch(
      new URL(`/oauth/google/login?${new URLSearchParams({ return_to: returnTo })}`, all.server.origin),
      { redirect: 'manual', headers: { accept: 'application/json' } },
    );
    t.is(answer.status, 422);
    t.is(((await answer.json()) as Record<string, unknown>).code, 'invalid_return_to');
    t.deepEqual(answer.headers.getSetCookie(), []);
  });

test.serial('two return_to at once are refused as well', async (t) => {
  const path = `/oauth/google/login?return_to=${APP}/&return_to=https://evil.example/`;
  t.is((await fetch(new URL(path, all.server.origin), { redirect: 'manual' })).status, 422);
});

test.serial('without return_to it is a sign-in on our own pages', async (t) => {
  const page = await createBrowser(all.server.issuer).go('/oauth/google/login');
  t.regex(page.html, /id="provider-google"/);
  t.regex(page.trail.join(' '), /\/login /);
});

test.serial('somebody who turns back is back at the app, which is told as OAuth would', async (t) => {
  all.upstream.github.switches.cancels = true;
  const { arrived } = await direct('github', somebody(), `${APP}/in?state=1`);
  t.is(arrived.url.href, `${APP}/in?state=1&error=access_denied`);
});

test.serial('what an app cannot know is said on a page of ours, which leads back to it', async (t) => {
  const person = somebody();
  await all.server.accounts.create({ email: String(person.email), password: 'a long password' });
  const { arrived } = await direct('google', person);
  t.is(arrived.status, 400);
  t.regex(arrived.html, /There is an account with your email address already/);
  t.regex(arrived.html, new RegExp(`id="back" href="${APP}/signed-in\\?error=account_exists"`));

  all.upstream.github.switches.fault = { path: '/api/user', as: '500' };
  const down = await direct('github');
  t.is(down.arrived.status, 503);
  t.regex(down.arrived.html, /GitHub can’t sign you in right now/);
  t.regex(down.arrived.html, /href="[^"]+\?error=temporarily_unavailable"/);
});

test.serial(
  'where one provider is down the others are there, and lead to the same app by the same challenge',
  async (t) => {
    const browser = createBrowser(all.server.issuer);
    all.upstream.github.switches.fault = { path: '/api/user', as: '500' };
    const code_challenge = createHash('sha256').update(VERIFIER).digest('base64url');
    const query = new URLSearchParams({ return_to: `${APP}/in?state=1&lang=en`, code_challenge });
    const door = await browser.go(`/oauth/github/login?${query}`);
    const down = await browser.go(await all.through('github', door));
    t.is(down.status, 503);
    const others = [...down.html.matchAll(/href="([^"]+)" id="provider-(\w+)"/g)].map(([, href = '', id]) => ({
      href,
      id,
    }));
    t.deepEqual(
      others.map(({ id }) => id),
      ['google', 'acme'],
    );
    for (const { href, id } of others) {
      all.upstream[id as ProviderName].switches.person = somebody();
      const there = await browser.go(href.replaceAll('&amp;', '&'));
      const { url } = await browser.go(await all.through(id as ProviderName, there));
      t.is(`${url.origin}${url.pathname}`, `${APP}/in`, id);
      t.deepEqual([...url.searchParams.keys()], ['state', 'lang', 'code']);
      const code = url.searchParams.get('code') ?? '';
      t.is((await rest.post('/auth/exchange', { code, code_verifier: VERIFIER })).status, 200, id);
    }
  },
);

test.serial(
  'what a browser takes along goes to that provider’s paths alone, over https, and no script reads it',
  async (t) => {
    const secure = await startFederated({ issuer: 'https://id.example.com' });
    t.teardown(() => secure.close());
    const answer = await fetch(new URL(`/oauth/github/login?return_to=${APP}/`, secure.server.origin), {
      redirect: 'manual',
    });
    t.is(answer.status, 303);
    t.is(answer.headers.get('cache-control'), 'no-store');
    const [cookie = '', ...more] = answer.headers.getSetCookie();
    t.deepEqual(more, []);
    t.regex(
      cookie,
      /^__Secure-federation-[\w-]{12}=v1\.[\w-]+; path=\/oauth\/github; expires=[^;]+; samesite=lax; secure; httponly$/i,
    );
    const expires = Date.parse(/expires=([^;]+)/i.exec(cookie)?.[1] ?? '') - Date.now();
    t.true(expires > 3_590_000 && expires <= 3_600_000);
  },
);

test.serial('each of twelve tabs comes to its own end, whatever the order', async (t) => {
  const browser = createBrowser(all.server.issuer);
  const backs: URL[] = [];
  for (let i = 0; i < 12; i++) backs.push(await all.direct(browser, 'google', `${APP}/tab-${i}`));
  t.is(browser.cookies().filter(({ name }) => name.startsWith('federation-')).length, 12);
  for (const i of [5, 0, 11, 3, 4, 1, 10, 2, 9, 6, 8, 7]) {
    const at = await browser.go(String(backs[i]));
    t.is(at.url.pathname, `/tab-${i}`);
    t.truthy(at.url.searchParams.get('code'));
  }
  t.is(browser.cookies().filter(({ name }) => name.startsWith('federation-')).length, 0);
});

test.serial('the platform’s own apps exchange their codes from a browser, and pages of others do not', async (t) => {
  const asks = (origin: string) =>
    fetch(new URL('/auth/exchange', all.server.origin), {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
  const answer = await asks(APP);
  t.is(answer.status, 204);
  t.is(answer.headers.get('access-control-allow-origin'), APP);
  t.is(answer.headers.get('access-control-allow-methods'), 'POST');
  t.is(answer.headers.get('access-control-allow-headers'), 'content-type');
  t.is(answer.headers.get('access-control-allow-credentials'), null);
  for (const origin of ['https://evil.example', 'null', `${APP}.evil.example`])
    t.is((await asks(origin)).headers.get('access-control-allow-origin'), null, origin);

  const { code } = await direct('google');
  for (const [body, status] of [
    [{ code }, 200],
    // Also what is refused can be read there.
    [{ code }, 422],
  ] as const) {
    const { headers, ...exchanged } = await rest.post('/auth/exchange', body, { origin: APP });
    t.is(exchanged.status, status);
    t.is(headers.get('access-control-allow-origin'), APP);
    t.regex(headers.get('vary') ?? '', /Origin/);
  }
  t.is((await rest.post('/auth/login', {}, { origin: APP })).headers.get('access-control-allow-origin'), null);
});

test.serial('a callback that is only looked at spends nothing', async (t) => {
  const browser = createBrowser(all.server.issuer);
  all.upstream.github.switches.person = somebody();
  const callback = await all.direct(browser, 'github');
  const looked = await browser.go(callback, { method: 'HEAD' });
  t.is(looked.status, 405);
  t.is(looked.headers.get('allow'), 'GET');
  t.is((await exchange((await browser.go(callback)).url.searchParams.get('code'))).status, 200);
});

test.serial('an address to come back to has no answer of its own', async (t) => {
  for (const own of ['?code=x', '?error=access_denied', '?state=1&code=']) {
    const browser = createBrowser(all.server.issuer);
    const at = await browser.go(`/oauth/google/login?${new URLSearchParams({ return_to: `${APP}/in${own}` })}`);
    t.is(at.status, 422, own);
  }
});
