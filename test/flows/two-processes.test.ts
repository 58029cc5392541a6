// What must hold whichever process is asked: single use under a hundred redemptions at once, and refresh tokens that survive lost
// answers, killed processes and a flushed Redis.
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import * as oidc from 'openid-client';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { assertion, dpopProof, newKey, presented, signed } from '../helpers/client-keys.ts';
import { type IdentityProviders, somebody, startIdentityProviders } from '../helpers/identity-provider.ts';
import { mailsTo, tokenTo } from '../helpers/mailbox.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  register,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { killAll } from '../helpers/service.ts';
import { NO_PROCESSES, startTwoProcesses, type TwoProcesses } from '../helpers/two-processes.ts';

const AT_ONCE = 100;
const APP = 'https://platform.example';
const PASSWORD = 'a long password';
const OFFLINE = { scope: 'openid email offline_access', prompt: 'consent' };
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const CIBA = 'urn:openid:params:grant-type:ciba';

let both: TwoProcesses;
let upstream: IdentityProviders;
let rest: ReturnType<typeof createRest>;
let person: Person;

test.before(async () => {
  if (left) return;
  upstream = await startIdentityProviders();
  const { github } = upstream.settings;
  const started = await startTwoProcesses(
    {
      FIRST_PARTY_ORIGINS: APP,
      GITHUB_CLIENT_ID: github?.clientId,
      GITHUB_CLIENT_SECRET: github?.clientSecret,
      GITHUB_URL: github?.url,
      GITHUB_API_URL: github?.apiUrl,
    },
    { federation: upstream.settings, firstPartyOrigins: [APP] },
  );
  if (!started) throw new Error(NO_PROCESSES);
  both = started;
  upstream.serve(both.server.issuer);
  rest = createRest(both.origins[0]);
  person = await newPerson(both.server);
});
test.after.always(async () => {
  await both?.close();
  await upstream?.close();
  killAll();
});

const left = !process.env.TEST_DATABASE_URL;
/** One after the other: some kill a process, or empty Redis. */
const promise = (title: string, keep: (t: ExecutionContext) => Promise<void>) =>
  left ? test.serial.skip(`${title} (${NO_PROCESSES})`, keep) : test.serial(title, keep);

type Answer = { status: number; body: Record<string, unknown>; location: string | null };

const ask = async (origin: string, path: string, init: RequestInit = {}): Promise<Answer> => {
  const response = await fetch(`${origin}${path}`, { redirect: 'manual', ...init });
  const text = await response.text();
  const body = text.startsWith('{') ? JSON.parse(text) : {};
  return { status: response.status, body, location: response.headers.get('location') };
};
const post = (origin: string, path: string, form: Record<string, string>, headers: Record<string, string> = {}) =>
  ask(origin, path, { method: 'POST', body: new URLSearchParams(form), headers });
const json = (origin: string, path: string, body: unknown, headers: Record<string, string> = {}, method = 'POST') =>
  ask(origin, path, {
    method,
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });

type Client = { client_id: string; client_secret?: string | undefined };
const credentials = ({ client_id, client_secret }: Client): Record<string, string> => ({
  client_id,
  ...(client_secret !== undefined && { client_secret }),
});
const cookiesOf = (browser: Browser, path = '/') =>
  browser
    .cookies()
    .filter((cookie) => path.startsWith(cookie.path))
    .map(({ name, value }) => `${name}=${value}`)
    .join('; ');

const code = async (app: Awaited<ReturnType<typeof newApp>>) => {
  const started = await authorizationRequest(app.rp, OFFLINE);
  const browser = createBrowser(both.server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  return {
    grant_type: 'authorization_code',
    redirect_uri: CALLBACK,
    code: String(told(arrived).code),
    code_verifier: started.verifier,
    ...credentials(app.client),
  };
};

/** Nothing of what came with these tokens is good at either process. */
const over = async (t: ExecutionContext, client: Client, { access_token, refresh_token }: Answer['body']) => {
  for (const origin of both.origins) {
    const told = await post(origin, '/oauth/introspect', { ...credentials(client), token: String(access_token) });
    t.deepEqual(told.body, { active: false });
    const form = { ...credentials(client), grant_type: 'refresh_token', refresh_token: String(refresh_token) };
    t.is((await post(origin, '/oauth/token', form)).body.error, 'invalid_grant');
  }
};

const registered = async () => {
  const email = `registered-${randomUUID()}@example.com`;
  await rest.post('/auth/register', { email, password: PASSWORD });
  return email;
};
const login = async (email: string, password = PASSWORD) => (await rest.post('/auth/login', { email, password })).body;

/** A browser that is back from a provider with its answer, on behalf of a platform app. */
const back = async () => {
  upstream.github.switches.person = somebody();
  const browser = createBrowser(both.server.issuer);
  const door = await browser.go(`/oauth/github/login?return_to=${encodeURIComponent(`${APP}/in`)}`);
  const { url } = await createBrowser(upstream.github.origin).go(door.url);
  return { browser, url };
};
const exchangeCode = async () => {
  const { browser, url } = await back();
  return (await browser.go(url)).url.searchParams.get('code') ?? '';
};

const television = () =>
  register(both.server, {
    grant_types: [DEVICE, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'none',
  });
const deviceCode = async (client: Client) => {
  const scope = 'openid email offline_access';
  const { body } = await post(both.origins[1], '/oauth/device_authorization', { ...credentials(client), scope });
  const browser = createBrowser(both.server.issuer);
  const typed = await browser.submit(await browser.go('/device'), 'continue', { user_code: String(body.user_code) });
  await passThrough(browser, await browser.submit(typed, 'confirm'), person);
  return { ...credentials(client), grant_type: DEVICE, device_code: String(body.device_code) };
};

const till = () =>
  register(both.server, {
    grant_types: [CIBA, 'refresh_token'],
    response_types: [],
    redirect_uris: [],
    backchannel_token_delivery_mode: 'poll',
  });
const approval = async (client: Client) => {
  const asked = { scope: 'openid email offline_access', login_hint: person.email };
  const { body } = await post(both.origins[1], '/oauth/backchannel', { ...credentials(client), ...asked });
  const browser = createBrowser(both.server.issuer);
  const login = { login: person.email, password: person.password };
  const page = await browser.submit(await browser.go('/login'), 'sign-in', login);
  const button = /id="(approve-[^"]+)"/.exec(page.html)?.[1] ?? '';
  await browser.submit(page, button);
  return { ...credentials(client), grant_type: CIBA, auth_req_id: String(body.auth_req_id) };
};

const service = (metadata: Record<string, unknown> = {}) =>
  register(both.server, {
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    ...metadata,
  });

// ---------------------------------------------------------------------------------------------------------------------
// Single use
// ---------------------------------------------------------------------------------------------------------------------

type Redemption = {
  /** Brings what there is to redeem; called a hundred times at once. */
  redeem(origin: string): Promise<Answer>;
  succeeded(answer: Answer): boolean;
  /** A second use ends what the first one got; here perhaps before it has got it. */
  perhapsNone?: boolean;
  /** What must hold of the one that got something. */
  afterwards?(t: ExecutionContext, got: Answer): Promise<void>;
};
const isOk = ({ status }: Answer) => status === 200;
const isDone = ({ status }: Answer) => status === 204;

/** What is good for one use, and how it is brought. */
const SINGLE_USE: Record<string, () => Promise<Redemption>> = {
  async 'an authorization code (and what it gave is over)'() {
    const app = await newApp(both.server);
    const form = await code(app);
    return {
      redeem: (origin) => post(origin, '/oauth/token', form),
      succeeded: isOk,
      afterwards: (t, got) => over(t, app.client, got.body),
    };
  },
  async 'a device code (and what it gave is over)'() {
    const client = await television();
    const form = await deviceCode(client);
    return {
      perhapsNone: true,
      redeem: (origin) => post(origin, '/oauth/token', form),
      succeeded: isOk,
      afterwards: (t, got) => over(t, client, got.body),
    };
  },
  async 'an auth_req_id (and what it gave is over)'() {
    const client = await till();
    const form = await approval(client);
    return {
      perhapsNone: true,
      redeem: (origin) => post(origin, '/oauth/token', form),
      succeeded: isOk,
      afterwards: (t, got) => over(t, client, got.body),
    };
  },
  async 'a pushed request_uri'() {
    const app = await newApp(both.server);
    const browser = createBrowser(both.server.issuer);
    await signIn(browser, app.rp, person);
    const started = await authorizationRequest(app.rp);
    const { search } = await oidc.buildAuthorizationUrlWithPAR(app.rp, started.url.searchParams);
    const cookie = cookiesOf(browser);
    return {
      redeem: (origin) => ask(origin, `/oauth/authorize${search}`, { headers: { cookie } }),
      succeeded: ({ location }) => location !== null && new URL(location, APP).searchParams.has('code'),
    };
  },
  async 'a link for a new password'() {
    const email = await registered();
    await rest.post('/auth/forgot-password', { email });
    const token = await tokenTo(both.server, email, 'reset_password');
    let tries = 0;
    return {
      redeem(origin) {
        tries += 1;
        return json(origin, '/auth/reset-password', { token, new_password: `another password ${tries}` });
      },
      succeeded: isDone,
    };
  },
  async 'a link that proves an address'() {
    const token = await tokenTo(both.server, await registered(), 'verify_email');
    return { redeem: (origin) => json(origin, '/auth/verify-email', { token }), succeeded: isDone };
  },
  async 'a link that changes an address'() {
    const email = await registered();
    const change = { email: `moved-${email}`, current_password: PASSWORD };
    await rest.put('/users/me', change, bearer((await login(email)).access_token));
    const token = await tokenTo(both.server, change.email, 'confirm_email_change');
    return { redeem: (origin) => json(origin, '/auth/verify-email', { token }), succeeded: isDone };
  },
  async 'the state of a trip to a provider'() {
    const { browser, url } = await back();
    const headers = { cookie: cookiesOf(browser, url.pathname) };
    const tokenRequests = () => upstream.github.requests.filter((one) => one.includes('access_token')).length;
    const before = tokenRequests();
    return {
      redeem: (origin) => ask(origin, `${url.pathname}${url.search}`, { headers }),
      succeeded: ({ location }) => location !== null && new URL(location, APP).searchParams.has('code'),
      async afterwards(t) {
        t.is(tokenRequests() - before, 1, 'nor was the provider asked more often');
      },
    };
  },
  async 'a code of /auth/exchange (and what it gave is over)'() {
    const token = await exchangeCode();
    return {
      redeem: (origin) => json(origin, '/auth/exchange', { code: token }),
      succeeded: isOk,
      async afterwards(t, { body }) {
        for (const origin of both.origins) {
          t.is((await ask(origin, '/users/me', { headers: bearer(body.access_token) })).status, 401);
          t.is((await json(origin, '/auth/refresh', { refresh_token: body.refresh_token })).status, 401);
        }
      },
    };
  },
  async 'a DPoP proof at the token endpoint'() {
    const client = await service();
    const proof = await dpopProof(await newKey(), 'POST', `${both.server.issuer}/oauth/token`);
    const form = { ...credentials(client), grant_type: 'client_credentials' };
    return { redeem: (origin) => post(origin, '/oauth/token', form, { dpop: proof }), succeeded: isOk };
  },
  async 'a DPoP proof at userinfo'() {
    return proven('/oauth/userinfo');
  },
  async 'a DPoP proof at the REST API'() {
    return proven('/users/me');
  },
  async 'a client assertion'() {
    const key = await newKey();
    const { client_id } = await service({ jwks: key.jwks, token_endpoint_auth_method: 'private_key_jwt' });
    const jwt = await signed(assertion(client_id, both.server.issuer), key);
    const form = { grant_type: 'client_credentials', ...presented(jwt) };
    return { redeem: (origin) => post(origin, '/oauth/token', form), succeeded: isOk };
  },
  async 'the last use of an initial access token'() {
    const { value } = await both.server.initialAccessTokens.create(
      { name: 'once', uses: 1, expiresInSeconds: 60 },
      null,
    );
    const metadata = { redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none' };
    return {
      redeem: (origin) => json(origin, '/oauth/register', metadata, bearer(value)),
      succeeded: ({ status }) => status === 201,
    };
  },
  async 'a registration access token that is replaced'() {
    const metadata = { redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none' };
    const { body } = await json(both.origins[0], '/oauth/register', metadata);
    const { client_id, registration_access_token: token } = body;
    const path = `/oauth/register/${client_id}`;
    return {
      redeem: (origin) => json(origin, path, { ...metadata, client_id }, bearer(token), 'PUT'),
      succeeded: isOk,
    };
  },
};

const proven = async (path: string): Promise<Redemption> => {
  const app = await newApp(both.server, { token_endpoint_auth_method: 'none' });
  const key = await newKey();
  const started = await authorizationRequest(app.rp, { scope: 'openid read:profile' });
  const browser = createBrowser(both.server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const { body } = await post(
    both.origins[0],
    '/oauth/token',
    {
      grant_type: 'authorization_code',
      redirect_uri: CALLBACK,
      code: String(told(arrived).code),
      code_verifier: started.verifier,
      ...credentials(app.client),
    },
    { dpop: await dpopProof(key, 'POST', `${both.server.issuer}/oauth/token`) },
  );
  const ath = createHash('sha256').update(String(body.access_token)).digest('base64url');
  const headers = {
    authorization: `DPoP ${body.access_token}`,
    dpop: await dpopProof(key, 'GET', `${both.server.issuer}${path}`, { ath }),
  };
  return { redeem: (origin) => ask(origin, path, { headers }), succeeded: isOk };
};

for (const [what, prepare] of Object.entries(SINGLE_USE))
  promise(`of ${AT_ONCE} redemptions at once in two processes, one at most succeeds: ${what}`, async (t) => {
    const { redeem, succeeded, perhapsNone = false, afterwards } = await prepare();
    const answers = await both.at(AT_ONCE, redeem);
    const successes = answers.filter(succeeded);
    t.true(
      successes.length === 1 || (perhapsNone && successes.length === 0),
      JSON.stringify(answers.map(({ status }) => status)),
    );
    // Refused in words, or asked to come later; never a failure of ours.
    for (const { status } of answers) t.true(status < 500 || status === 503, String(status));
    const [got] = successes;
    if (got) await afterwards?.(t, got);
    for (const origin of both.origins) t.false(succeeded(await redeem(origin)), 'nor later');
  });

for (const what of ['a DPoP proof at the token endpoint', 'a client assertion'])
  promise(
    `Redis emptied makes nothing good that was presented, and what is new is good at once: ${what}`,
    async (t) => {
      const prepare = SINGLE_USE[what];
      if (!prepare) return t.fail();
      const { redeem, succeeded } = await prepare();
      t.true(succeeded(await redeem(both.origins[0])));
      await both.redis.client.flushall();
      for (const origin of both.origins) t.false(succeeded(await redeem(origin)));
      const another = await prepare();
      t.true(another.succeeded(await another.redeem(both.origins[1])));
    },
  );

promise('RFC 6749 §4.1.2: a code brought to one process and then to the other ends what it gave', async (t) => {
  const app = await newApp(both.server);
  const [television_, till_] = [await television(), await till()];
  for (const [client, form] of [
    [app.client, await code(app)],
    [television_, await deviceCode(television_)],
    [till_, await approval(till_)],
  ] as const) {
    const first = await post(both.origins[0], '/oauth/token', form);
    t.is(first.status, 200, JSON.stringify(first.body));
    t.is((await post(both.origins[1], '/oauth/token', form)).body.error, 'invalid_grant');
    await over(t, client, first.body);
  }
  const exchanged = await exchangeCode();
  const { body } = await json(both.origins[0], '/auth/exchange', { code: exchanged });
  t.is((await ask(both.origins[1], '/users/me', { headers: bearer(body.access_token) })).status, 200);
  t.is((await json(both.origins[1], '/auth/exchange', { code: exchanged })).status, 422);
  for (const origin of both.origins)
    t.is((await ask(origin, '/users/me', { headers: bearer(body.access_token) })).status, 401);
});

// ---------------------------------------------------------------------------------------------------------------------
// Refresh tokens
// ---------------------------------------------------------------------------------------------------------------------

type Family = {
  /** Whose it is. */
  holder: Person;
  /** Of its own client: what it holds now. */
  token: string;
  refresh(origin: string, token: string): Promise<Answer>;
  /** What of a refusal says that it was one. */
  refused(answer: Answer): boolean;
  /** How many of these events, and mails, there are. */
  alarms(): Promise<{ audited: number; mailed: number }>;
};

const alarmsOf = async (id: string, email: string, client: string) => {
  const events = await both.server.audit.listOf(id, 100);
  return {
    audited: events.filter((event) => event.type === 'token.reused' && event.client === client).length,
    mailed: (await mailsTo(both.server, email)).filter(({ template }) => template === 'token_reused').length,
  };
};

/** Each begins a family of its own, of somebody new unless a holder is named. */
const FAMILIES: Record<string, (of?: Person) => Promise<Family>> = {
  async 'an OAuth client'(of) {
    const holder = of ?? (await newPerson(both.server));
    const { rp, client } = await newApp(both.server);
    const { tokens } = await signIn(createBrowser(both.server.issuer), rp, holder, OFFLINE);
    return {
      holder,
      token: tokens.refresh_token ?? '',
      refresh: (origin, refresh_token) =>
        post(origin, '/oauth/token', { ...credentials(client), grant_type: 'refresh_token', refresh_token }),
      refused: ({ status, body }) => status === 400 && body.error === 'invalid_grant',
      alarms: () => alarmsOf(holder.id, holder.email, client.client_id),
    };
  },
  async 'a public client with a key'(of) {
    const holder = of ?? (await newPerson(both.server));
    const key = await newKey();
    const { rp, client } = await newApp(both.server, { token_endpoint_auth_method: 'none' });
    const started = await authorizationRequest(rp, OFFLINE);
    const browser = createBrowser(both.server.issuer);
    const arrived = await passThrough(browser, await browser.go(started.url), holder);
    const ask = async (origin: string, form: Record<string, string>) =>
      post(
        origin,
        '/oauth/token',
        { ...credentials(client), ...form },
        {
          dpop: await dpopProof(key, 'POST', `${both.server.issuer}/oauth/token`),
        },
      );
    const { body } = await ask(both.origins[0], {
      grant_type: 'authorization_code',
      redirect_uri: CALLBACK,
      code: String(told(arrived).code),
      code_verifier: started.verifier,
    });
    return {
      holder,
      token: String(body.refresh_token),
      refresh: (origin, refresh_token) => ask(origin, { grant_type: 'refresh_token', refresh_token }),
      refused: ({ status, body }) => status === 400 && body.error === 'invalid_grant',
      alarms: () => alarmsOf(holder.id, holder.email, client.client_id),
    };
  },
  async 'a platform app at /auth/refresh'(of) {
    const holder = of ?? (await newPerson(both.server));
    const { refresh_token } = await login(holder.email, holder.password);
    return {
      holder,
      token: String(refresh_token),
      refresh: (origin, token) => json(origin, '/auth/refresh', { refresh_token: token }),
      refused: ({ status }) => status === 401,
      alarms: () => alarmsOf(holder.id, holder.email, 'user-auth'),
    };
  },
};

const successorIn = (t: ExecutionContext, answer: Answer): string => {
  t.is(answer.status, 200, JSON.stringify(answer.body));
  return String(answer.body.refresh_token);
};

for (const [whose, begin] of Object.entries(FAMILIES)) {
  promise(`${whose}: 50 refreshes of one token at once in two processes all succeed, with one successor`, async (t) => {
    const { token, refresh } = await begin();
    const answers = await both.at(50, (origin) => refresh(origin, token));
    const successors = new Set(answers.map((answer) => successorIn(t, answer)));
    t.is(successors.size, 1);
    const [successor = ''] = successors;
    t.not(successor, token);
    successorIn(t, await refresh(both.origins[1], successor));
  });

  promise(
    `${whose}: the successor used at one process, then its predecessor presented at the other: the family ends, and that family alone`,
    async (t) => {
      const family = await begin();
      // The same person, by every kind of app, on other devices.
      const others = await Promise.all(Object.values(FAMILIES).map((beginAnother) => beginAnother(family.holder)));
      const second = successorIn(t, await family.refresh(both.origins[0], family.token));
      const third = successorIn(t, await family.refresh(both.origins[1], second));
      t.deepEqual(await family.alarms(), { audited: 0, mailed: 0 });
      t.true(family.refused(await family.refresh(both.origins[0], family.token)));
      for (const origin of both.origins)
        for (const token of [third, second, family.token]) t.true(family.refused(await family.refresh(origin, token)));
      t.deepEqual(await family.alarms(), { audited: 1, mailed: 1 }, 'on record and told, once');
      for (const other of others) successorIn(t, await other.refresh(both.origins[0], other.token));
    },
  );

  promise(`${whose}: Redis emptied between refreshes loses no token and no mark that one was spent`, async (t) => {
    const family = await begin();
    const second = successorIn(t, await family.refresh(both.origins[0], family.token));
    await both.redis.client.flushall();
    t.is(successorIn(t, await family.refresh(both.origins[1], family.token)), second, 'the retry gives the same');
    await both.redis.client.flushall();
    const third = successorIn(t, await family.refresh(both.origins[0], second));
    await both.redis.client.flushall();
    t.true(family.refused(await family.refresh(both.origins[1], family.token)), 'spent, and used since');
    t.true(family.refused(await family.refresh(both.origins[0], third)));
  });
}

promise('a token that was revoked stays revoked when Redis is emptied', async (t) => {
  const { access_token } = await login(await registered());
  const [one, two] = both.origins;
  const headers = bearer(access_token);
  t.is((await ask(two, '/users/me', { headers })).status, 200);
  t.is((await post(one, '/oauth/revoke', { client_id: 'user-auth', token: String(access_token) })).status, 200);
  for (const origin of both.origins) t.is((await ask(origin, '/users/me', { headers })).status, 401);
  await both.redis.client.flushall();
  for (const origin of both.origins) t.is((await ask(origin, '/users/me', { headers })).status, 401);
});

promise(
  'a thief without the key gets nothing in the retry window, at whichever process, and harms nobody',
  async (t) => {
    const begin = FAMILIES['a public client with a key'];
    if (!begin) return t.fail();
    const family = await begin();
    const client = await both.server.database.pool.query(
      'SELECT client_id FROM oauth_clients ORDER BY created_at DESC LIMIT 1',
    );
    const thief = await newKey();
    const steal = async (origin: string, refresh_token: string, proof = true) =>
      post(
        origin,
        '/oauth/token',
        { grant_type: 'refresh_token', refresh_token, client_id: client.rows[0].client_id },
        proof ? { dpop: await dpopProof(thief, 'POST', `${both.server.issuer}/oauth/token`) } : {},
      );
    const answers = await both.at(40, async (origin, index) => {
      const owner = Math.floor(index / 2) % 2 === 0;
      const answer = owner ? await family.refresh(origin, family.token) : await steal(origin, family.token, index > 20);
      return { owner, answer };
    });
    const successors = new Set(answers.filter(({ owner }) => owner).map(({ answer }) => successorIn(t, answer)));
    t.is(successors.size, 1);
    for (const { answer } of answers.filter(({ owner }) => !owner)) t.true(family.refused(answer));
    const [second = ''] = successors;
    const third = successorIn(t, await family.refresh(both.origins[1], second));
    t.true(family.refused(await steal(both.origins[0], second)));
    t.true(family.refused(await steal(both.origins[1], third)));
    t.true(family.refused(await steal(both.origins[0], family.token)), 'nor past it');
    successorIn(t, await family.refresh(both.origins[0], third));
    t.deepEqual(await family.alarms(), { audited: 0, mailed: 0 });
  },
);

promise(
  'a process killed after it has spent the token, or after it has written the successor, before it answers: the retry at the other one succeeds',
  async (t) => {
    const [oauth, platform] = [FAMILIES['an OAuth client'], FAMILIES['a platform app at /auth/refresh']];
    if (!oauth || !platform) return t.fail();
    const [spent, written] = [await oauth(), await platform()];
    const { pool } = both.server.database;
    // A successor of the OAuth client's token waits for a lock before it is written; what the platform app's refresh writes last, for another.
    await pool.query(
      `CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END'`,
    );
    const subject = (await pool.query(
      "SELECT account_id FROM oauth_tokens WHERE model = 'RefreshToken' AND id_hash = $1",
      [createHash('sha256').update(spent.token).digest('base64url')],
    )) as { rows: { account_id: string }[] };
    await pool.query(
      `CREATE TRIGGER held_up BEFORE INSERT ON oauth_tokens FOR EACH ROW
         WHEN (NEW.model = 'RefreshToken' AND NEW.account_id = '${subject.rows[0]?.account_id}') EXECUTE FUNCTION wait_for_the_test()`,
    );
    const holder = await pool.connect();
    const refreshes: Promise<unknown>[] = [];
    try {
      await holder.query('BEGIN');
      await holder.query('SELECT pg_advisory_xact_lock(4711)');
      await holder.query('LOCK TABLE sign_ins IN ACCESS EXCLUSIVE MODE');
      refreshes.push(
        t.throwsAsync(spent.refresh(both.origins[0], spent.token)),
        t.throwsAsync(written.refresh(both.origins[0], written.token)),
      );
      const waiting = async () =>
        (
          await pool.query(
            'SELECT count(*)::int AS n FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND NOT granted',
          )
        ).rows[0].n;
      for (const deadline = Date.now() + 3_500; (await waiting()) < 2; await sleep(20))
        if (Date.now() > deadline) throw new Error('the process did not come to where it is held up');
      await both.kill(0);
    } finally {
      await holder.query('ROLLBACK');
      holder.release();
      await pool.query('DROP TRIGGER held_up ON oauth_tokens');
    }
    await Promise.all(refreshes);
    for (const family of [spent, written]) {
      const successor = successorIn(t, await family.refresh(both.origins[1], family.token));
      t.is(successorIn(t, await family.refresh(both.origins[1], family.token)), successor);
      const third = successorIn(t, await family.refresh(both.origins[1], successor));
      t.not(third, successor);
      t.deepEqual(await family.alarms(), { audited: 0, mailed: 0 });
    }
  },
);
