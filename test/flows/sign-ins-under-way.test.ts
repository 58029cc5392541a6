// What was verified before a person's sign-ins were ended is worth nothing afterwards, however late it is written (decision 22).
import test from 'ava';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { somebody, type Upstream } from '../helpers/identity-provider.ts';
import { mailsTo, tokenTo } from '../helpers/mailbox.ts';
import { createPeople } from '../helpers/people.ts';
import { authorizationRequest, newApp, newPerson, type Person, passThrough, redeem } from '../helpers/relying-party.ts';
import { type Answer, bearer, createRest } from '../helpers/rest.ts';

const OWNERS = 'the owner has it now';
type Who = { id: string; email: string; password: string };

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

const login = ({ email, password }: { email: string; password: string }) =>
  rest.post('/auth/login', { email, password });

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** The link of a reset that was asked for beforehand. */
const resetLink = async (email: string) => {
  await rest.post('/auth/forgot-password', { email });
  return tokenTo(all.server, email, 'reset_password');
};
const reset = async (email: string): Promise<void> => {
  const { status } = await rest.post('/auth/reset-password', { token: await resetLink(email), new_password: OWNERS });
  if (status !== 204) throw new Error(`the reset was answered ${status}`);
};

const lives = async (tokens: unknown): Promise<boolean> => (await rest.get('/users/me', bearer(tokens))).status === 200;
const refreshes = async (token: unknown): Promise<boolean> =>
  (await rest.post('/auth/refresh', { refresh_token: token })).status === 200;

/** Holds up the first call of one of an object's functions, before it is made or once it is done, until `meanwhile` is over. */
const holdingUp = async <T>(
  target: object,
  name: string,
  when: 'before' | 'after',
  act: () => Promise<T>,
  meanwhile: () => Promise<unknown>,
  concerns: (args: unknown[]) => boolean = () => true,
): Promise<T> => {
  const real = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
  let arrived = () => {};
  let goOn = () => {};
  const here = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const open = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let first = true;
  Reflect.set(target, name, async (...args: unknown[]) => {
    if (!first || !concerns(args)) return real.apply(target, args);
    first = false;
    const done = when === 'after' ? await real.apply(target, args) : undefined;
    arrived();
    await open;
    return when === 'after' ? done : real.apply(target, args);
  });
  try {
    const going = act();
    await Promise.race([here, going.then(() => Promise.reject(new Error(`${name} was not called`)))]);
    await meanwhile();
    goOn();
    return await going;
  } finally {
    goOn();
    Reflect.set(target, name, real);
  }
};
const ofModel = (model: string) => (args: unknown[]) => args[0] === model;

/** Everything that ends a person's sign-ins. */
const ENDINGS: Record<string, (person: Who) => Promise<unknown>> = {
  'a password reset': (person) => reset(person.email),
  'a change of the password': async (person) => {
    const auth = bearer((await login(person)).body.access_token);
    const body = { current_password: person.password, new_password: OWNERS };
    const { status } = await rest.put('/users/me/password', body, auth);
    if (status !== 204) throw new Error(`the change was answered ${status}`);
  },
  'a password set by the operator': (person) => all.server.accounts.setPassword(person.email, OWNERS),
  'a sign-out everywhere': async (person) => {
    const { auth } = await createPeople(all.server).person('admin');
    await rest.post(`/admin/users/${person.id}/sign-out`, undefined, auth);
  },
  'a ban that came and went': async (person) => {
    const { auth } = await createPeople(all.server).person('admin');
    await rest.post(`/admin/users/${person.id}/ban`, { reason: 'a mistake' }, auth);
    await rest.post(`/admin/users/${person.id}/unban`, undefined, auth);
  },
  'a deletion that was called off': async (person) => {
    const user = await all.server.accounts.find(person.id);
    if (!user) throw new Error('nobody to delete');
    await all.server.deletion.schedule(user);
    const scheduled = await all.server.stores.users.findById(person.id);
    if (scheduled) await all.server.deletion.restore(scheduled);
  },
};

for (const [ending, end] of Object.entries(ENDINGS)) {
  test.serial(`tokens written after ${ending}, for a password verified before it, are worth nothing`, async (t) => {
    const person = await newPerson(all.server);
    const { artifacts } = all.server.stores;
    const grant = ofModel('Grant');
    const { body } = await holdingUp(
      artifacts,
      'upsert',
      'before',
      () => login(person),
      () => end(person),
      grant,
    );
    t.truthy(body.access_token);
    t.false(await lives(body.access_token));
    t.false(await refreshes(body.refresh_token));
  });

  test.serial(`a browser signs in to nothing by a password verified before ${ending}`, async (t) => {
    const person = await newPerson(all.server);
    const browser = createBrowser(all.server.issuer);
    const page = await browser.go('/login');
    const { artifacts } = all.server.stores;
    const submit = () => browser.submit(page, 'sign-in', { login: person.email, password: person.password });
    const isAnswer = (args: unknown[]) => args[0] === 'Interaction';
    const at = await holdingUp(artifacts, 'upsert', 'before', submit, () => end(person), isAnswer);
    t.not(at.url.pathname, '/account');
    t.is((await browser.go('/account')).url.pathname, '/');
  });

  test.serial(`a session written after ${ending} is nobody's, and its browser can sign in anew`, async (t) => {
    const person = await newPerson(all.server);
    const browser = createBrowser(all.server.issuer);
    const page = await browser.go('/login');
    const { artifacts } = all.server.stores;
    const submit = () => browser.submit(page, 'sign-in', { login: person.email, password: person.password });
    await holdingUp(artifacts, 'upsert', 'before', submit, () => end(person), ofModel('Session'));
    t.is((await browser.go('/account')).url.pathname, '/');
    const { rp } = await newApp(all.server);
    const started = await authorizationRequest(rp);
    const asked = await browser.go(started.url);
    t.regex(asked.html, /id="sign-in"/);
    const restored = (await login({ ...person, password: OWNERS })).status === 200;
    const now: Person = restored ? { ...person, password: OWNERS } : person;
    const arrived = await passThrough(browser, asked, now);
    t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
    t.is((await browser.go('/account')).url.pathname, '/account');
  });
}

for (const [ending, end] of Object.entries(ENDINGS))
  test.serial(`an API key that is asked for before ${ending} is not made after it`, async (t) => {
    const person = await newPerson(all.server);
    const auth = bearer((await login(person)).body.access_token);
    const make = () => rest.post('/users/api-keys', { name: 'a way back in' }, auth);
    const isPerson = (args: unknown[]) => args[0] === person.id;
    const { users } = all.server.stores;
    const made = await holdingUp(users, 'findById', 'after', make, () => end(person), isPerson);
    t.is(made.status, 401);
    t.is(made.body.code, 'stale_sign_in');
    const { rows } = await all.server.database.pool.query('SELECT FROM api_keys WHERE user_id = $1', [person.id]);
    t.is(rows.length, 0);
  });

test.serial('an address that is asked for with a password that was reset meanwhile is not pending', async (t) => {
  const person = await newPerson(all.server);
  const auth = bearer((await login(person)).body.access_token);
  const thiefs = `thief-of-${person.email}`;
  const ask = () => rest.put('/users/me', { email: thiefs, current_password: person.password, name: 'Thief' }, auth);
  const { users } = all.server.stores;
  const isPerson = (args: unknown[]) => args[0] === person.email.toLowerCase();
  const asked = await holdingUp(users, 'findByLogin', 'after', ask, () => reset(person.email), isPerson);
  t.is(asked.status, 401);
  t.is(asked.body.code, 'stale_sign_in');
  t.deepEqual(await mailsTo(all.server, thiefs), []);
  const mine = bearer((await login({ ...person, password: OWNERS })).body.access_token);
  const me = (await rest.get('/users/me', mine)).body;
  t.false('pending_email' in me || 'name' in me);
});

test.serial('a code and a grant of an app that are written after a reset are worth nothing', async (t) => {
  for (const model of ['Grant', 'AuthorizationCode', 'Session']) {
    const person = await newPerson(all.server);
    const { rp } = await newApp(all.server);
    const browser = createBrowser(all.server.issuer);
    const started = await authorizationRequest(rp, { scope: 'openid offline_access', prompt: 'consent' });
    const page = await browser.go(started.url);
    const consent = await browser.submit(page, 'sign-in', { login: person.email, password: person.password });
    const allow = () => browser.submit(consent, 'allow');
    const { artifacts } = all.server.stores;
    const at: Visited = await holdingUp(
      artifacts,
      'upsert',
      'before',
      allow,
      () => reset(person.email),
      ofModel(model),
    );
    if (at.status === 0 && at.url.searchParams.has('code'))
      await t.throwsAsync(redeem(rp, at.url, started), undefined, model);
    else t.not(at.url.pathname, '/account');
    t.is((await browser.go('/account')).url.pathname, '/', model);
  }
});

test.serial('a refresh that is under way when the password is reset gives nothing that lasts', async (t) => {
  const person = await newPerson(all.server);
  const { body } = await login(person);
  const { artifacts } = all.server.stores;
  const refresh = () => rest.post('/auth/refresh', { refresh_token: body.refresh_token });
  const isToken = ofModel('RefreshToken');
  const got = await holdingUp(artifacts, 'upsert', 'before', refresh, () => reset(person.email), isToken);
  t.is(got.status, 200);
  t.false(await lives(got.body.access_token));
  t.false(await refreshes(got.body.refresh_token));
});

test.serial('who was signed in before epochs were kept stays signed in', async (t) => {
  const person = await newPerson(all.server);
  const asBefore = 'UPDATE users SET credentials_epoch = DEFAULT WHERE id = $1 RETURNING credentials_epoch AS epoch';
  t.deepEqual((await all.server.database.pool.query(asBefore, [person.id])).rows, [{ epoch: 0 }]);
  const { body } = await login(person);
  t.true(await lives(body.access_token));
});

test.serial('after a reset the new password signs in as ever, tokens are refreshed, and apps get theirs', async (t) => {
  const person = await newPerson(all.server);
  await reset(person.email);
  const owner = { ...person, password: OWNERS };
  const { body } = await login(owner);
  t.true(await lives(body.access_token));
  t.true(await refreshes(body.refresh_token));
  const { rp } = await newApp(all.server);
  const browser = createBrowser(all.server.issuer);
  const started = await authorizationRequest(rp);
  const arrived = await passThrough(browser, await browser.go(started.url), owner);
  t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
});

test.serial(
  'a provider’s person who is taken out of the account by a reset comes back to nothing: by code',
  async (t) => {
    const stranger = somebody({ email: 'victim-code@example.com', email_verified: false });
    all.upstream.acme.switches.person = stranger;
    const browser = createBrowser(all.server.issuer);
    await browser.go(await all.direct(browser, 'acme'));
    const callback = await all.direct(browser, 'acme');
    const { artifacts } = all.server.stores;
    const come = () => browser.go(callback);
    const meanwhile = () => reset(String(stranger.email));
    const at = await holdingUp(artifacts, 'upsert', 'before', come, meanwhile, ofModel('FederationCode'));
    const code = at.url.searchParams.get('code');
    t.truthy(code);
    t.is((await rest.post('/auth/exchange', { code })).body.code, 'invalid_one_time_token');
  },
);

test.serial('… and on the hosted pages, whether the reset is before or after its identity was looked at', async (t) => {
  for (const [name, when] of [
    ['find', 'after'],
    ['used', 'before'],
    ['used', 'after'],
  ] as const) {
    const stranger: Upstream = somebody({ email: `victim-${name}-${when}@example.com`, email_verified: false });
    all.upstream.acme.switches.person = stranger;
    const first = createBrowser(all.server.issuer);
    await first.go(await all.press(first, await first.go('/login'), 'acme'));
    const browser = createBrowser(all.server.issuer);
    const callback = await all.press(browser, await browser.go('/login'), 'acme');
    const come = () => browser.go(callback);
    const at = await holdingUp(all.server.stores.identities, name, when, come, () => reset(String(stranger.email)));
    t.not(at.url.pathname, '/account', `${name} ${when}`);
    t.is((await browser.go('/account')).url.pathname, '/', `${name} ${when}`);
  }
});

test.serial('an identity that is being linked while the account is reset does not stay behind', async (t) => {
  for (const when of ['before', 'after'] as const) {
    const person = await newPerson(all.server);
    await all.server.database.pool.query('UPDATE users SET email_verified = true WHERE id = $1', [person.id]);
    const browser = createBrowser(all.server.issuer);
    const account = await browser.submit(await browser.go('/login'), 'sign-in', {
      login: person.email,
      password: person.password,
    });
    all.upstream.github.switches.person = somebody();
    const callback = await all.through('github', await browser.submit(account, 'link-github'));
    const token = await resetLink(person.email);
    const come = () => browser.go(callback);
    // 'after': the link's transaction is open, and holds the row that the reset waits for; so it is not waited for in turn.
    // So too where the database is embedded, which serves one transaction at a time, and this one has begun.
    let done: Promise<Answer> | undefined;
    const meanwhile = async () => {
      done = rest.post('/auth/reset-password', { token, new_password: OWNERS });
      await (when === 'before' && process.env.TEST_DATABASE_URL ? done : wait(300));
    };
    await holdingUp(all.server.stores.identities, 'link', when, come, meanwhile);
    t.is((await done)?.status, 204);
    const { rows } = await all.server.database.pool.query('SELECT provider FROM identities WHERE user_id = $1', [
      person.id,
    ]);
    t.deepEqual(rows, [], when);
  }
});

/** Goes on doing something in several hands until `stop`, and keeps what they got. */
const inLoops = <T>(hands: number, act: () => Promise<T | undefined>) => {
  const got: T[] = [];
  let stopped = false;
  const hand = async () => {
    while (!stopped) {
      const one = await act();
      if (one === undefined) return;
      got.push(one);
    }
  };
  const going = Promise.all(Array.from({ length: hands }, hand));
  return async (): Promise<T[]> => {
    stopped = true;
    await going;
    return got;
  };
};

for (const [name, end] of Object.entries(ENDINGS).slice(0, 2))
  test.serial(`who signs in in loops with the old password while ${name} goes on is out afterwards`, async (t) => {
    for (let round = 0; round < 4; round += 1) {
      const person = await newPerson(all.server);
      const stop = inLoops(3, async () => {
        const { status, body } = await login(person);
        return status === 200 ? body : undefined;
      });
      await wait(50 + 23 * round);
      await end(person);
      await wait(100);
      const got = await stop();
      t.true(got.length > 0);
      for (const { access_token, refresh_token } of got) {
        t.false(await lives(access_token));
        t.false(await refreshes(refresh_token));
      }
    }
  });

test.serial('a stranger’s identity that comes in loops while its account is reset is out afterwards', async (t) => {
  for (let round = 0; round < 4; round += 1) {
    const stranger = somebody({ email: `victim-loop-${round}@example.com`, email_verified: false });
    all.upstream.github.switches.person = stranger;
    const callbacks: (() => Promise<Visited>)[] = [];
    const first = createBrowser(all.server.issuer);
    await first.go(await all.direct(first, 'github'));
    for (let n = 0; n < 12; n += 1) {
      const browser = createBrowser(all.server.issuer);
      const callback = await all.direct(browser, 'github');
      callbacks.push(() => browser.go(callback));
    }
    const token = await resetLink(String(stranger.email));
    const stop = inLoops(3, async () => {
      const at = await callbacks.pop()?.();
      if (!at) return undefined;
      const code = at.url.searchParams.get('code');
      return code === null ? '' : String((await rest.post('/auth/exchange', { code })).body.access_token ?? '');
    });
    await wait(10 * round);
    t.is((await rest.post('/auth/reset-password', { token, new_password: OWNERS })).status, 204);
    for (const access of await stop()) if (access) t.false(await lives(access));
  }
});
