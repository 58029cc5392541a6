// Providers that lie, are slow, or are out of order; and callbacks that are not this browser's.
import test from 'ava';
import { createProviders, PROVIDER_MS } from '../../src/federation/providers.ts';
import { ANSWER_MS } from '../../src/http/deadline.ts';
import { createProviderNetwork } from '../../src/oidc/outbound.ts';
import { type Browser, createBrowser, type Visited } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, type Switches, somebody, type Upstream } from '../helpers/identity-provider.ts';
import { newPerson, redeem } from '../helpers/relying-party.ts';

let all: Federated;

test.before(async () => {
  all = await startFederated();
});
test.beforeEach(() => {
  for (const name of ['google', 'github', 'acme'] as const) all.upstream[name].reset();
});
test.after.always(() => all?.close());

const usersOf = async (email: string | undefined): Promise<number> =>
  (await all.server.database.pool.query('SELECT count(*)::int AS n FROM users WHERE email = $1', [email])).rows[0].n;

/** A sign-in with the provider switched so, as far as it gets. */
const attempt = async (name: ProviderName, switches: Partial<Switches>) => {
  const browser = createBrowser(all.server.issuer);
  const person = somebody();
  Object.assign(all.upstream[name].switches, { person, ...switches });
  const { page, rp, started } = await all.request(browser);
  const at = await browser.go(await all.press(browser, page, name));
  return { browser, person, at, rp, started };
};

/** The sign-in page is there again, says what is wrong, and still signs in. */
const survives = async (
  t: import('ava').ExecutionContext,
  { browser, at, rp, started }: Pick<Awaited<ReturnType<typeof attempt>>, 'browser' | 'at' | 'rp' | 'started'>,
): Promise<void> => {
  const person = await newPerson(all.server);
  const arrived = await browser.submit(at, 'sign-in', { login: person.email, password: person.password });
  t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
};

const now = () => Math.floor(Date.now() / 1000);

for (const name of ['google', 'acme'] as const)
  for (const [lie, switches] of Object.entries<Partial<Switches>>({
    'a wrong nonce': { idToken: (claims) => ({ ...claims, nonce: 'x'.repeat(43) }) },
    'no nonce': { idToken: ({ nonce: _, ...claims }) => claims },
    'a wrong audience': { idToken: (claims) => ({ ...claims, aud: 'another-client' }) },
    'an audience of several, issued to another': {
      idToken: (claims) => ({ ...claims, aud: [String(claims.aud), 'another-client'], azp: 'another-client' }),
    },
    'an audience of several, issued to nobody': {
      idToken: (claims) => ({ ...claims, aud: [String(claims.aud), 'another-client'] }),
    },
    'a wrong issuer': { idToken: (claims) => ({ ...claims, iss: 'https://evil.example' }) },
    'an expired ID token': { idToken: (claims) => ({ ...claims, iat: now() - 7200, exp: now() - 3600 }) },
    'an ID token from the future': { idToken: (claims) => ({ ...claims, iat: now() + 3600, exp: now() + 7200 }) },
    'an ID token that is not valid yet': { idToken: (claims) => ({ ...claims, nbf: now() + 3600 }) },
    'an ID token that names another party it was issued to': {
      idToken: (claims) => ({ ...claims, azp: 'another-client' }),
    },
    'an ID token signed with the client secret': { hmacKey: 'client secret' },
    'an ID token signed with the public key as a secret': { hmacKey: 'public key as PEM' },
    'an ID token signed with the published key as a secret': { hmacKey: 'public key as JWK' },
    'an ID token without an end': { idToken: ({ exp: _, ...claims }) => claims },
    'an ID token without a subject': { idToken: ({ sub: _, ...claims }) => claims },
    'a foreign signature': { signedByStranger: true },
    'no signature': { unsigned: true },
  }))
    test.serial(`${name} with ${lie} signs nobody in, and the sign-in goes on`, async (t) => {
      const tried = await attempt(name, switches);
      t.is(tried.at.status, 503);
      t.regex(tried.at.html, /(Google|Acme Staff) can’t sign you in right now/);
      t.is(await usersOf(tried.person.email), 0);
      t.regex(all.server.log(), /the ID token of (google|acme) is not valid/);
      await survives(t, tried);
    });

test.serial('a subject that cannot be kept to the letter is none', async (t) => {
  for (const sub of [7, '', ' padded', 'x'.repeat(256), 'nul\u0000', 'line\nline', '\ud800', ['a'], null]) {
    const tried = await attempt('google', { idToken: (claims) => ({ ...claims, sub: sub as string }) });
    t.is(tried.at.status, 503, JSON.stringify(sub));
    t.is(await usersOf(tried.person.email), 0);
  }
});

test.serial('userinfo that is about somebody else is not believed', async (t) => {
  const tried = await attempt('acme', { idToken: (claims) => ({ ...claims, sub: 'somebody-else' }) });
  t.regex(tried.at.html, /can’t sign you in right now/);
  t.is(await usersOf(tried.person.email), 0);
});

const FAULTS = ['500', 'html', 'huge', 'array', 'types', 'elsewhere'] as const;
for (const [name, paths] of [
  ['google', ['/token', '/jwks']],
  ['github', ['/login/oauth/access_token', '/api/user', '/api/user/emails']],
  ['acme', ['/token', '/me']],
] as const)
  for (const path of paths)
    test.serial(`${name} whose ${path} is out of order signs nobody in, and the sign-in goes on`, async (t) => {
      // Keys are remembered: a provider that nobody has asked yet, and who signs in there does so after all faults.
      const fresh = path === '/jwks' ? await startFederated() : all;
      if (fresh !== all) t.teardown(() => fresh.close());
      const { switches, requests } = fresh.upstream[name];
      const turnedBack: { browser: Browser; at: Visited; person: Upstream }[] = [];
      for (const as of FAULTS) {
        // No addresses at all is an answer.
        if (path === '/api/user/emails' && as === 'array') continue;
        const browser = createBrowser(fresh.server.issuer);
        const person = somebody();
        Object.assign(switches, { person, fault: { path, as } });
        const { page } = await fresh.request(browser);
        const at = await browser.go(await fresh.press(browser, page, name));
        t.is(at.status, 503, as);
        t.regex(at.html, /can’t sign you in right now/, as);
        t.regex(at.html, /id="sign-in"/);
        t.false(requests.includes('GET /elsewhere'), 'nobody goes where it points');
        t.false(requests.includes('POST /elsewhere'), 'nobody goes where it points');
        turnedBack.push({ browser, at, person });
      }
      for (const { browser, at, person } of turnedBack) {
        Object.assign(switches, { person, fault: undefined });
        t.is((await browser.go(await fresh.press(browser, at, name))).status, 0, 'and when it is mended, it signs in');
      }
    });

test.serial('a provider that cannot be discovered is told on the sign-in page, and tried anew', async (t) => {
  const fresh = await startFederated();
  t.teardown(() => fresh.close());
  for (const as of FAULTS) {
    fresh.upstream.acme.switches.fault = { path: '/.well-known', as };
    const browser = createBrowser(fresh.server.issuer);
    const { page } = await fresh.request(browser);
    const href = /href="([^"]+)" id="provider-acme"/.exec(page.html)?.[1] ?? '';
    const at = await browser.go(href);
    t.is(at.status, 503, as);
    t.regex(at.html, /Acme Staff can’t sign you in right now/);
    const direct = await browser.go('/oauth/acme/login?return_to=https://platform.example/in');
    t.is(direct.status, 503);
    t.regex(direct.html, /id="back" href="https:\/\/platform\.example\/in\?error=temporarily_unavailable"/);
  }
  fresh.upstream.acme.switches.fault = undefined;
  const browser = createBrowser(fresh.server.issuer);
  const { page } = await fresh.request(browser);
  t.is((await browser.go(await fresh.press(browser, page, 'acme'))).status, 0);
});

test.serial('metadata of another issuer is not believed', async (t) => {
  const fresh = await startFederated();
  await fresh.close();
  const { openid } = fresh.upstream.settings;
  const [acme] = openid;
  const providers = createProviders(
    { openid: [{ ...(acme as NonNullable<typeof acme>), issuer: `${all.upstream.google.origin}/` }] },
    all.server.issuer,
    createProviderNetwork(),
  );
  const error = await t.throwsAsync(providers.all[0]?.authorizationUrl(providers.newTrip()) ?? Promise.resolve());
  t.regex(String(error?.message), /is not the metadata of/);
});

test.serial('a provider that does not answer is waited for four seconds, and no longer', async (t) => {
  const tried = await Promise.all(
    (
      [
        ['google', '/token'],
        ['github', '/api/user'],
        ['acme', '/me'],
      ] as const
    ).map(async ([name, path]) => {
      const started = Date.now();
      const { at } = await attempt(name, { fault: { path, as: 'slow' } });
      return { at, ms: Date.now() - started };
    }),
  );
  for (const { at, ms } of tried) {
    t.is(at.status, 503);
    t.regex(at.html, /can’t sign you in right now/);
    t.true(ms > 4_000 && ms < 15_000, `${ms} ms`);
  }
  t.regex(all.server.log(), /\/token did not answer \(TimeoutError\)/, 'the operator is told what was waited for');
});

// Keys are remembered: providers that nobody has asked yet.
for (const round of [
  [
    ['google', '/jwks'],
    ['acme', '/jwks'],
    ['github', '/api/user/emails'],
  ],
  [
    ['github', '/login/oauth/access_token'],
    ['acme', '/token', 'drip'],
  ],
] as const) {
  const paths = round.map(([name, path]) => `${name} whose ${path}`).join(', ');
  test.serial(`${paths} never answers, or for ever, is waited for four seconds, and no longer`, async (t) => {
    const fresh = await startFederated();
    t.teardown(() => fresh.close());
    await Promise.all(
      round.map(async ([name, path, as = 'slow']) => {
        Object.assign(fresh.upstream[name].switches, { person: somebody(), fault: { path, as } });
        const browser = createBrowser(fresh.server.issuer);
        const { page } = await fresh.request(browser);
        const back = await fresh.press(browser, page, name);
        const started = Date.now();
        const at = await browser.go(back);
        t.is(at.status, 503);
        t.regex(at.html, /can’t sign you in right now/);
        t.true(Date.now() - started < 9_000);
      }),
    );
  });
}

test.serial('a provider that cannot be discovered in time is told on the sign-in page', async (t) => {
  const fresh = await startFederated();
  t.teardown(() => fresh.close());
  fresh.upstream.acme.switches.fault = { path: '/.well-known', as: 'slow' };
  const browser = createBrowser(fresh.server.issuer);
  const { page } = await fresh.request(browser);
  const href = /href="([^"]+)" id="provider-acme"/.exec(page.html)?.[1] ?? '';
  const started = Date.now();
  const at = await browser.go(href);
  t.is(at.status, 503);
  t.true(Date.now() - started < 9_000);
});

test.serial('the way there ends in time as well, also where what hangs has no time limit of its own', async (t) => {
  // As a look-up of a name does while no name server answers.
  const network = { ...createProviderNetwork(), request: () => new Promise<never>(() => {}) };
  const provider = createProviders(all.upstream.settings, all.server.issuer, network).find('acme');
  const trip = { state: 's', verifier: 'v', nonce: 'n' };
  const started = Date.now();
  const error = await t.throwsAsync(provider?.authorizationUrl(trip) ?? Promise.resolve());
  t.like(error, { fault: 'unavailable', message: `acme did not answer all that was asked within ${PROVIDER_MS} ms` });
  t.true(Date.now() - started < 9_000);
});

test.serial('a provider that takes its time at every endpoint is waited for four seconds in all', async (t) => {
  const fresh = await startFederated();
  t.teardown(() => fresh.close());
  const person = somebody();
  fresh.upstream.acme.switches.person = person;
  const browser = createBrowser(fresh.server.issuer);
  const { page } = await fresh.request(browser);
  const back = await fresh.press(browser, page, 'acme');
  // Each within its own time.
  fresh.upstream.acme.switches.late = { paths: ['/token', '/jwks', '/me'], ms: 2_000 };
  const started = Date.now();
  const at = await browser.go(back);
  const ms = Date.now() - started;
  t.is(at.status, 503);
  t.true(ms > 3_900 && ms < 9_000, `${ms} ms`);
  t.regex(fresh.server.log(), /acme did not answer all that was asked within 4200 ms/);
  t.is(await fresh.server.accounts.named(String(person.email)), undefined);
  fresh.upstream.acme.switches.late = undefined;
  t.is((await browser.go(await fresh.press(browser, at, 'acme'))).status, 0);
});

test.serial(
  'with the bounds of every day, three and a half seconds are not too long, and whoever waits longer reads why',
  async (t) => {
    const fresh = await startFederated({ answerMs: ANSWER_MS });
    t.teardown(() => fresh.close());
    const visit = async (switches: Partial<Switches>) => {
      Object.assign(fresh.upstream.google.switches, { person: somebody(), ...switches });
      const browser = createBrowser(fresh.server.issuer);
      const { page } = await fresh.request(browser);
      const back = await fresh.press(browser, page, 'google');
      return browser.go(back);
    };
    t.is((await visit({ late: { paths: ['/token'], ms: 3_500 } })).status, 0);
    const at = await visit({ late: undefined, fault: { path: '/token', as: 'slow' } });
    t.is(at.status, 503);
    t.regex(at.html, /Google can’t sign you in right now/, 'not a page that knows of nothing');
  },
);

test.serial(
  'a name and a picture that the ID token leaves out are asked for; without them nobody is turned away',
  async (t) => {
    const claims = ({ name: _, picture: __, ...rest }: import('jose').JWTPayload) => rest;
    const told = await attempt('google', { idToken: claims });
    t.is(told.at.status, 0);
    const rows = async (email: unknown) =>
      (await all.server.database.pool.query('SELECT name, picture FROM users WHERE email = $1', [email])).rows[0];
    t.deepEqual(await rows(told.person.email), { name: told.person.name, picture: told.person.picture });
    const silent = await attempt('google', { idToken: claims, fault: { path: '/me', as: '500' } });
    t.is(silent.at.status, 0);
    t.is((await rows(silent.person.email)).name, null);
    // Whether the address is theirs cannot be left open.
    const open = await attempt('google', {
      idToken: ({ email_verified: _, ...rest }) => rest,
      fault: { path: '/me', as: '500' },
    });
    t.is(open.at.status, 503);
  },
);

test.serial('a provider that is not there at all is told so', async (t) => {
  const fresh = await startFederated();
  t.teardown(() => fresh.server.close());
  await fresh.upstream.close();
  const browser = createBrowser(fresh.server.issuer);
  const { page } = await fresh.request(browser);
  const href = /href="([^"]+)" id="provider-google"/.exec(page.html)?.[1] ?? '';
  const at = await browser.go(href);
  t.is(at.status, 503);
  t.regex(at.html, /id="provider-github"/);
});

test.serial('what a provider says or sends is never in the log', async (t) => {
  const { person, at } = await attempt('google', { idToken: (claims) => ({ ...claims, nonce: 'wrong' }) });
  t.is(at.status, 503);
  const log = all.server.log();
  for (const secret of [person.email, person.name, all.upstream.settings.google?.clientSecret, 'eyJ'])
    t.false(log.includes(String(secret)), String(secret));
});

// Callbacks.

const pressed = async (name: ProviderName = 'google') => {
  const browser = createBrowser(all.server.issuer);
  all.upstream[name].switches.person = somebody();
  const { page, rp, started } = await all.request(browser);
  return { browser, rp, started, back: await all.press(browser, page, name) };
};
const isMismatch = (t: import('ava').ExecutionContext, at: Visited) => {
  t.is(at.status, 400);
  t.regex(at.html, /doesn’t belong to this sign-in/);
};

for (const name of ['google', 'github', 'acme'] as const)
  test.serial(`a callback of ${name} works once`, async (t) => {
    const { browser, back } = await pressed(name);
    const kept = browser.cookies();
    t.is((await browser.go(back)).status, 0);
    const codes = all.upstream[name].requests.filter((one) => one.startsWith('POST')).length;
    // The same browser again, then one that still has the cookies of before.
    isMismatch(t, await browser.go(back));
    browser.setCookies(kept);
    const replayed = await browser.go(back);
    t.true(replayed.status === 400, 'the interaction is over');
    t.is(all.upstream[name].requests.filter((one) => one.startsWith('POST')).length, codes, 'nothing is asked of it');
  });

test.serial('of one callback delivered ten times at once, one signs in', async (t) => {
  const { browser, back } = await pressed('github');
  const cookies = browser.cookies();
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => {
      const tab = createBrowser(all.server.issuer);
      tab.setCookies(cookies);
      return tab.go(back);
    }),
  );
  t.is(answers.filter(({ status }) => status === 0).length, 1);
  const exchanged = all.upstream.github.requests.filter((one) => one === 'POST /login/oauth/access_token').length;
  t.true(exchanged > 0);
});

test.serial('two people’s first sign-ins at once, and one person’s twice, make a user each', async (t) => {
  const [person, other] = [somebody(), somebody()];
  const tabs = [];
  for (const who of [person, person, other]) {
    all.upstream.google.switches.person = who;
    const browser = createBrowser(all.server.issuer);
    const { page, rp, started } = await all.request(browser);
    tabs.push({ browser, rp, started, back: await all.press(browser, page, 'google') });
  }
  const subs = await Promise.all(
    tabs.map(
      async ({ browser, back, rp, started }) => (await redeem(rp, (await browser.go(back)).url, started)).claims()?.sub,
    ),
  );
  t.is(subs[0], subs[1]);
  t.is(await usersOf(person.email), 1);
  t.not(subs[2], subs[0]);
  t.is(await usersOf(other.email), 1);
});

test.serial('a callback in another browser signs nobody in there, and the sign-in goes on in its own', async (t) => {
  const { back, browser, rp, started } = await pressed();
  const other = createBrowser(all.server.issuer);
  const there = await other.go(back);
  isMismatch(t, there);
  t.regex(there.html, /id="back" href="\/login"/);
  t.truthy((await redeem(rp, (await browser.go(back)).url, started)).claims()?.sub);
});

test.serial('a callback with another browser’s answer signs nobody in as somebody else', async (t) => {
  // Login CSRF: the attacker's answer, with the victim's state.
  const attacker = await pressed();
  const victim = await pressed();
  const forged = new URL(victim.back);
  forged.searchParams.set('code', String(attacker.back.searchParams.get('code')));
  const at = await victim.browser.go(forged);
  t.is(at.status, 400, 'the provider does not take the code with this verifier');
  t.regex(at.html, /id="sign-in"/);
});

test.serial('a callback that somebody made up is their mistake, not an outage of the provider', async (t) => {
  for (const name of ['google', 'github', 'acme'] as const)
    for (const code of ['made up', '', undefined]) {
      const { browser, back, rp, started } = await pressed(name);
      const forged = new URL(back);
      if (code === undefined) forged.searchParams.delete('code');
      else forged.searchParams.set('code', code);
      const at = await browser.go(forged);
      t.is(at.status, 400, `${name} ${code}`);
      t.regex(at.html, /didn’t sign you in/);
      await survives(t, { browser, at, rp, started });
    }
});

test.serial('a trip that was begun elsewhere ends nowhere: the interaction belongs to its own browser', async (t) => {
  // The attacker brings the victim's browser onto a trip for the attacker's interaction.
  const attacker = createBrowser(all.server.issuer);
  const { page } = await all.request(attacker);
  const href = /href="([^"]+)" id="provider-google"/.exec(page.html)?.[1] ?? '';
  const victim = createBrowser(all.server.issuer);
  const led = await victim.go(href);
  t.is(led.status, 400, 'the link is of no use without the interaction’s cookie');
  t.regex(led.html, /This sign-in is no longer open/);

  // Even with the cookie of the trip, which only the attacker's browser has.
  const door = await attacker.go(href);
  const trip = attacker.cookies().filter(({ name }) => name.startsWith('federation-'));
  victim.setCookies(trip);
  const person = somebody();
  all.upstream.google.switches.person = person;
  const end = await victim.go(await all.through('google', door));
  t.is(end.status, 400);
  t.regex(end.html, /This sign-in is no longer open/);
  t.is(await usersOf(person.email), 0);
});

test.serial('a wrong or missing state is back on the sign-in page, which goes on', async (t) => {
  for (const state of ['wrong', '', undefined]) {
    const { browser, back, rp, started } = await pressed();
    const forged = new URL(back);
    if (state === undefined) forged.searchParams.delete('state');
    else forged.searchParams.set('state', state);
    const at = await browser.go(forged);
    isMismatch(t, at);
    await survives(t, { browser, at, rp, started });
  }
});

test.serial('an answer of one provider is not taken at another’s callback', async (t) => {
  const { browser, back } = await pressed('google');
  const elsewhere = new URL(back);
  elsewhere.pathname = '/oauth/acme/callback';
  isMismatch(t, await browser.go(elsewhere));
  // A callback that names another issuer (RFC 9207).
  const mixed = new URL(back);
  mixed.searchParams.set('iss', all.upstream.acme.origin);
  const at = await browser.go(mixed);
  t.is(at.status, 400);
  t.regex(all.server.log(), /the answer is not from/);
});

test.serial('nor where the browser shows the cookie of the trip there as well', async (t) => {
  for (const [from, to] of [
    ['google', 'acme'],
    ['acme', 'github'],
    ['github', 'google'],
  ] as const) {
    const { browser, back } = await pressed(from);
    // As a host beside ours could have it (RFC 6265 §8.6).
    browser.setCookies(
      browser.cookies().map((one) => (one.name.startsWith('federation-') ? { ...one, path: `/oauth/${to}` } : one)),
    );
    const asked = all.upstream[to].requests.length;
    const elsewhere = new URL(back);
    elsewhere.pathname = `/oauth/${to}/callback`;
    isMismatch(t, await browser.go(elsewhere));
    t.is(all.upstream[to].requests.length, asked, `${to} does not hear of a code of ${from}`);
  }
});

test.serial('a cookie that was altered, or made by others, is none', async (t) => {
  for (const change of [(value: string) => `${value.slice(0, -8)}AAAAAAAA`, () => 'v1.AAAA', () => '[]']) {
    const { browser, back } = await pressed();
    browser.setCookies(
      browser.cookies().map((one) => (one.name.startsWith('federation-') ? { ...one, value: change(one.value) } : one)),
    );
    isMismatch(t, await browser.go(back));
  }
});
