// Whoever gets a copy of both stores, or of the log, can sign in nowhere with it: nothing that was issued stands in them, in whatever
// spelling, and nothing that stands in them is accepted anywhere.
import { createHash, randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { SignJWT } from 'jose';
import * as oidc from 'openid-client';
import type { AppSettings } from '../../src/app.ts';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { assertion, dpopProof, newKey, presented } from '../helpers/client-keys.ts';
import { copiesOf, spellings, stringsOf } from '../helpers/copies.ts';
import { APP, type Federated, startFederated } from '../helpers/federated.ts';
import { somebody } from '../helpers/identity-provider.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  refusal,
  register,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';

const PASSWORD = 'the password of somebody who registered';
const OFFLINE = { scope: 'openid email offline_access', prompt: 'consent' };
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const CIBA = 'urn:openid:params:grant-type:ciba';
/** Each string of the copies is tried at every entrance; where the database is embedded so many of them, other ones each time. */
const TRIED = process.env.TEST_DATABASE_URL ? Number.POSITIVE_INFINITY : 60;
const AT_ONCE = 32;

let all: Federated;
let rest: ReturnType<typeof createRest>;
let person: Person;
let issuer: string;
let app: Awaited<ReturnType<typeof newApp>>;
let clients: { tv: Client; till: Client; service: Client; signer: Client };
const issued = new Map<string, string>();

test.before(async () => {
  const names = Object.keys(DEFAULT_LIMITS) as (keyof typeof DEFAULT_LIMITS)[];
  const many = Object.fromEntries(names.map((name) => [name, { points: 1_000_000, seconds: 900 }]));
  all = await startFederated({ rateLimits: many as AppSettings['rateLimits'] });
  issuer = all.server.issuer;
  rest = createRest(issuer);
  person = await newPerson(all.server);
  await busyRun();
});
test.after.always(() => all?.close());

type Client = { client_id: string; client_secret?: string | undefined };

/** Something that was handed out, or must never be. */
const keep = <T extends string>(what: string, value: T): T => {
  if (value.length < 8) throw new Error(`${what} was not issued: ${value}`);
  issued.set(`${what} (${issued.size})`, value);
  return value;
};
const keepAll = (what: string, answer: object, ...names: string[]) => {
  for (const name of names) keep(`${what}: ${name}`, String(Object(answer)[name] ?? ''));
};
const keepCookies = (browser: Browser) => {
  for (const { name, value } of browser.cookies()) keep(`cookie ${name}`, value);
};

const send = async (path: string, init: RequestInit = {}) => {
  const response = await fetch(`${issuer}${path}`, { redirect: 'manual', ...init });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  const body: Record<string, unknown> = isJson && text !== '' ? JSON.parse(text) : {};
  return { status: response.status, body, text, location: response.headers.get('location') ?? '' };
};
const form = (path: string, fields: Record<string, string>, headers: Record<string, string> = {}) =>
  send(path, { method: 'POST', body: new URLSearchParams(fields), headers });
const json = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  send(path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
const credentials = ({ client_id, client_secret }: Client): Record<string, string> => ({
  client_id,
  ...(client_secret !== undefined && { client_secret }),
});

// ---------------------------------------------------------------------------------------------------------------------
// What is issued
// ---------------------------------------------------------------------------------------------------------------------

const registered = async () => {
  const email = `registered-${randomUUID()}@example.com`;
  await rest.post('/auth/register', { email, password: PASSWORD });
  return email;
};
const login = async (email: string) => (await rest.post('/auth/login', { email, password: PASSWORD })).body;

const verifyToken = async () => keep('link', await tokenTo(all.server, await registered(), 'verify_email'));
const resetToken = async () => {
  const email = await registered();
  await rest.post('/auth/forgot-password', { email });
  return keep('link', await tokenTo(all.server, email, 'reset_password'));
};
const changeToken = async () => {
  const email = await registered();
  const change = { email: `moved-${email}`, current_password: PASSWORD };
  await rest.put('/users/me', change, bearer((await login(email)).access_token));
  return keep('link', await tokenTo(all.server, change.email, 'confirm_email_change'));
};

let verifier = '';
const unspentCode = async () => {
  const started = await authorizationRequest(app.rp, OFFLINE);
  verifier = started.verifier;
  const browser = createBrowser(issuer);
  const code = told(await passThrough(browser, await browser.go(started.url), person)).code ?? '';
  keepCookies(browser);
  return keep('code', code);
};

const deviceCode = async () => {
  const { body } = await form('/oauth/device_authorization', { ...credentials(clients.tv), scope: 'openid email' });
  keepAll('device', body, 'device_code', 'user_code');
  return String(body.device_code);
};
const authReqId = async () => {
  const asked = { scope: 'openid email', login_hint: person.email };
  const { body } = await form('/oauth/backchannel', { ...credentials(clients.till), ...asked });
  keepAll('approval', body, 'auth_req_id');
  return String(body.auth_req_id);
};
const requestUri = async () => {
  const started = await authorizationRequest(app.rp);
  const url = await oidc.buildAuthorizationUrlWithPAR(app.rp, started.url.searchParams);
  const name = (url.searchParams.get('request_uri') ?? '').replace('urn:ietf:params:oauth:request_uri:', '');
  return keep('request_uri', name);
};
const refreshToken = async () => {
  const { tokens } = await signIn(createBrowser(issuer), app.rp, person, OFFLINE);
  keepAll('tokens', tokens, 'access_token', 'refresh_token', 'id_token');
  return tokens;
};
const platformTokens = async () => {
  const tokens = await login(await registered());
  keepAll('platform tokens', tokens, 'access_token', 'refresh_token');
  return tokens;
};
const apiKey = async () => {
  const { body } = await rest.post('/users/api-keys', { name: 'a key' }, bearer((await platformTokens()).access_token));
  return keep('API key', String(body.key));
};
const initialAccessToken = async () => {
  const made = await all.server.initialAccessTokens.create({ name: 'some', uses: 2, expiresInSeconds: 600 }, null);
  return keep('initial access token', made.value);
};

/** A browser under way to a provider. */
const trip = async () => {
  all.upstream.github.switches.person = somebody();
  const browser = createBrowser(issuer);
  const url = await all.direct(browser, 'github');
  keep('state', url.searchParams.get('state') ?? '');
  keepCookies(browser);
  return { browser, url };
};
const exchangeCode = async () => {
  const { browser, url } = await trip();
  return keep('exchange code', (await browser.go(url)).url.searchParams.get('code') ?? '');
};

const cookiesOf = (browser: Browser, name: string) =>
  browser
    .cookies()
    .filter((cookie) => cookie.name === name || cookie.name === `${name}.sig`)
    .sort((a, b) => a.name.length - b.name.length)
    .map((cookie, index) => (index === 0 ? cookie.value : `${cookie.name}=${cookie.value}`))
    .join('; ');

const sessionCookie = async () => {
  const browser = createBrowser(issuer);
  await browser.submit(await browser.go('/login'), 'sign-in', { login: person.email, password: person.password });
  keepCookies(browser);
  return cookiesOf(browser, 'session');
};
const begun = async () => {
  const browser = createBrowser(issuer);
  const page = await browser.go((await authorizationRequest(app.rp)).url);
  keepCookies(browser);
  keep('form token', /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? '');
  return { browser, page };
};
const SERVICE = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };

/** Everything of every kind, spent and unspent, of a service in use. */
const busyRun = async () => {
  const { server } = all;
  app = await newApp(server, { redirect_uris: [CALLBACK] });
  clients = {
    tv: await register(server, {
      grant_types: [DEVICE, 'refresh_token'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'none',
    }),
    till: await register(server, { ...SERVICE, grant_types: [CIBA], backchannel_token_delivery_mode: 'poll' }),
    service: await register(server, SERVICE),
    signer: await register(server, { ...SERVICE, token_endpoint_auth_method: 'client_secret_jwt' }),
  };
  for (const client of [app.client, clients.till, clients.service, clients.signer])
    keepAll('client', client, 'client_secret');
  const { client_id } = await register(server, SERVICE);
  keep('rotated secret', (await server.clients.rotateSecret(client_id, 60)).secret);

  // Tokens, used up to a reuse that ends them, and used on.
  const first = await refreshToken();
  const second = await oidc.refreshTokenGrant(app.rp, first.refresh_token ?? '');
  const third = await oidc.refreshTokenGrant(app.rp, second.refresh_token ?? '');
  for (const tokens of [second, third]) keepAll('tokens', tokens, 'access_token', 'refresh_token', 'id_token');
  await refusal(oidc.refreshTokenGrant(app.rp, first.refresh_token ?? ''));
  const live = await refreshToken();
  await oidc.fetchUserInfo(app.rp, live.access_token, person.id);
  keepAll(
    'next tokens',
    await oidc.refreshTokenGrant(app.rp, live.refresh_token ?? ''),
    'access_token',
    'refresh_token',
  );
  const grant = { ...credentials(clients.service), grant_type: 'client_credentials' };
  keepAll('service', (await form('/oauth/token', grant)).body, 'access_token');
  const key = await newKey();
  const proof = await dpopProof(key, 'POST', `${issuer}/oauth/token`);
  const bound = { ...credentials(app.client), grant_type: 'authorization_code', redirect_uri: CALLBACK };
  const code = await unspentCode();
  const { body } = await form('/oauth/token', { ...bound, code, code_verifier: verifier }, { dpop: proof });
  keepAll('bound tokens', body, 'access_token', 'refresh_token');
  keep('proof', proof);

  const platform = await platformTokens();
  keepAll(
    'refreshed',
    (await rest.post('/auth/refresh', { refresh_token: platform.refresh_token })).body,
    'access_token',
    'refresh_token',
  );
  const exchanged = (await rest.post('/auth/exchange', { code: await exchangeCode() })).body;
  keepAll('exchanged', exchanged, 'access_token', 'refresh_token');
  const spent = await resetToken();
  await rest.post('/auth/reset-password', {
    token: spent,
    new_password: keep('new password', 'a password after a reset'),
  });
  const form_ = await json('/oauth/register', { redirect_uris: [CALLBACK] }, bearer(await initialAccessToken()));
  keepAll('registered client', form_.body, 'client_secret', 'registration_access_token');

  // Under way, each of them.
  await Promise.all([
    unspentCode(),
    deviceCode(),
    authReqId(),
    requestUri(),
    verifyToken(),
    resetToken(),
    changeToken(),
  ]);
  await Promise.all([apiKey(), initialAccessToken(), trip(), exchangeCode(), sessionCookie(), begun()]);

  for (const jwk of server.keyring.current().jwks) keep(`private key ${jwk.alg}`, String(jwk.d));
  keep('password', person.password);
  keep('password', PASSWORD);
  keep('master key', 'a master key for tests, 32 bytes or more');
  keep('JWT secret', 'a JWT secret for tests, 32 bytes or more');
  for (const name of ['google', 'github'] as const)
    keep(`secret at ${name}`, all.upstream.settings[name]?.clientSecret ?? '');
};

// ---------------------------------------------------------------------------------------------------------------------
// What is stolen
// ---------------------------------------------------------------------------------------------------------------------

const leaksIn = (copy: string): string[] => {
  const lower = copy.toLowerCase();
  return [...issued].flatMap(([what, secret]) =>
    spellings(secret).some((one) => copy.includes(one) || lower.includes(one.toLowerCase())) ? [what] : [],
  );
};

type Entrance = {
  /** Whether this is let in. */
  lets(value: string): Promise<boolean>;
  /** A genuine one: an entrance that lets nobody in would prove nothing. */
  genuine(): Promise<string>;
};
const isOk = async (answer: ReturnType<typeof send>) => (await answer).status === 200;
/** What is known of a code that waits. */
const isKnown = async (answer: ReturnType<typeof send>) => {
  const { status, body } = await answer;
  return status === 200 || body.error !== 'invalid_grant';
};
const cookie = (pairs: string): RequestInit => ({ headers: { cookie: pairs } });
const hs256 = (claims: Record<string, unknown>, key: string, header: Record<string, string> = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'HS256', ...header }).sign(new TextEncoder().encode(key));

const entrances = (): Record<string, Entrance> => ({
  'the REST API, as a token': {
    lets: (value) => isOk(send('/users/me', { headers: bearer(value) })),
    genuine: async () => String((await platformTokens()).access_token),
  },
  'the REST API, as an API key': {
    lets: (value) => isOk(send('/users/me', { headers: { 'X-API-Key': value } })),
    genuine: apiKey,
  },
  'the REST API, as what signs tokens': {
    async lets(value) {
      const { access_token } = platform;
      const claims = JSON.parse(Buffer.from(String(access_token).split('.')[1] ?? '', 'base64url').toString());
      return isOk(send('/users/me', { headers: bearer(await hs256(claims, value, { typ: 'at+jwt' })) }));
    },
    genuine: async () => 'a JWT secret for tests, 32 bytes or more',
  },
  userinfo: {
    lets: (value) => isOk(send('/oauth/userinfo', { headers: bearer(value) })),
    genuine: async () => (await refreshToken()).access_token,
  },
  introspection: {
    lets: async (token) =>
      (await form('/oauth/introspect', { ...credentials(app.client), token })).body.active === true,
    genuine: async () => (await refreshToken()).access_token,
  },
  '/auth/refresh': {
    lets: (refresh_token) => isOk(json('/auth/refresh', { refresh_token })),
    genuine: async () => String((await platformTokens()).refresh_token),
  },
  'the token endpoint, as a refresh token': {
    lets: (refresh_token) =>
      isKnown(form('/oauth/token', { ...credentials(app.client), grant_type: 'refresh_token', refresh_token })),
    genuine: async () => (await refreshToken()).refresh_token ?? '',
  },
  'the token endpoint, as a code': {
    lets: (code) =>
      isKnown(
        form('/oauth/token', {
          ...credentials(app.client),
          grant_type: 'authorization_code',
          redirect_uri: CALLBACK,
          code,
          code_verifier: verifier,
        }),
      ),
    genuine: unspentCode,
  },
  'the token endpoint, as a device code': {
    lets: (device_code) =>
      isKnown(form('/oauth/token', { ...credentials(clients.tv), grant_type: DEVICE, device_code })),
    genuine: deviceCode,
  },
  'the token endpoint, as an auth_req_id': {
    lets: (auth_req_id) =>
      isKnown(form('/oauth/token', { ...credentials(clients.till), grant_type: CIBA, auth_req_id })),
    genuine: authReqId,
  },
  'the token endpoint, as a client’s secret': {
    lets: (client_secret) =>
      isOk(
        form('/oauth/token', {
          client_id: clients.service.client_id,
          client_secret,
          grant_type: 'client_credentials',
        }),
      ),
    genuine: async () => clients.service.client_secret ?? '',
  },
  'the token endpoint, as what a client signs with': {
    lets: async (value) =>
      isOk(
        form('/oauth/token', {
          grant_type: 'client_credentials',
          ...presented(await hs256(assertion(clients.signer.client_id, issuer), value)),
        }),
      ),
    genuine: async () => clients.signer.client_secret ?? '',
  },
  'the authorization endpoint, as a request_uri': {
    async lets(value) {
      const query = new URLSearchParams({
        client_id: app.client.client_id,
        request_uri: `urn:ietf:params:oauth:request_uri:${value}`,
      });
      return /^\/interaction\/|[?&]code=/.test((await send(`/oauth/authorize?${query}`)).location);
    },
    genuine: requestUri,
  },
  'the account page, as a session': {
    lets: async (value) => isOk(send('/account', cookie(`session=${value}`))),
    genuine: sessionCookie,
  },
  'the sign-in page, as an interaction': {
    lets: (value) =>
      isOk(send(`/interaction/${encodeURIComponent(value.split(';')[0] ?? '')}`, cookie(`interaction=${value}`))),
    async genuine() {
      return cookiesOf((await begun()).browser, 'interaction');
    },
  },
  'the end of a sign-in, as an interaction': {
    async lets(value) {
      const uid = encodeURIComponent(value.split(';')[0] ?? '');
      return (await send(`/oauth/authorize/${uid}`, cookie(`resume=${value}`))).status < 400;
    },
    async genuine() {
      return cookiesOf((await begun()).browser, 'resume');
    },
  },
  'a link for a new password': {
    lets: async (token) =>
      (await json('/auth/reset-password', { token, new_password: 'a thief’s password' })).status === 204,
    genuine: resetToken,
  },
  'a link that proves or changes an address': {
    lets: async (token) => (await json('/auth/verify-email', { token })).status === 204,
    genuine: changeToken,
  },
  '/auth/exchange': {
    lets: (code) => isOk(json('/auth/exchange', { code })),
    genuine: exchangeCode,
  },
  'the way back from a provider': {
    async lets(value) {
      const [state = '', ...sealed] = value.split('; ');
      const name = `federation-${createHash('sha256').update(state).digest('base64url').slice(0, 12)}`;
      const pairs = `${name}=${sealed[0] ?? state}`;
      const query = new URLSearchParams({ state, code: sealed[1] ?? state });
      const { location } = await send(`/oauth/github/callback?${query}`, cookie(pairs));
      return location.startsWith(APP);
    },
    async genuine() {
      const { browser, url } = await trip();
      const { state, code } = Object.fromEntries(url.searchParams);
      const sealed = browser.cookies().find(({ name }) => name.startsWith('federation-'));
      return `${state}; ${sealed?.value}; ${code}`;
    },
  },
  '/auth/login, as a password': {
    lets: (password) => isOk(json('/auth/login', { email: person.email, password })),
    genuine: async () => person.password,
  },
  '/oauth/register, as an initial access token': {
    lets: async (value) => (await json('/oauth/register', { redirect_uris: [CALLBACK] }, bearer(value))).status === 201,
    genuine: initialAccessToken,
  },
  'a client’s registration': {
    lets: (value) => isOk(send(`/oauth/register/${registration.client_id}`, { headers: bearer(value) })),
    genuine: async () => String(registration.registration_access_token),
  },
});

let platform: Record<string, unknown>;
let registration: Record<string, unknown>;

const copies = async (t: ExecutionContext) => {
  const rows = await copiesOf(all.server);
  t.true(rows.length > 100, `${rows.length} rows`);
  return rows;
};

test.serial('nothing that was issued stands in PostgreSQL or Redis, in whatever spelling', async (t) => {
  t.true(issued.size > 60, `${issued.size} issued`);
  const rows = await copies(t);
  const copy = rows.join('\n');
  t.true(copy.includes(person.email), 'it is the copy of the run');
  t.deepEqual(leaksIn(copy), []);
});

test.serial('nor in the log, which names nobody’s email or network address above debug', (t) => {
  const log = all.server.log();
  t.deepEqual(leaksIn(log), []);
  const lines = log
    .trim()
    .split('\n')
    .filter((line) => JSON.parse(line).level >= 30);
  t.true(lines.length > 50, `${lines.length} lines`);
  for (const line of lines) t.notRegex(line, /@example\.com|%40example|127\.0\.0\.1|::1|::ffff/);
});

test.serial(
  `no string of the copies is let in anywhere: ${TRIED < Number.POSITIVE_INFINITY ? TRIED : 'each'} of them at every entrance`,
  async (t) => {
    t.timeout(900_000, 'every string at every entrance');
    platform = await platformTokens();
    const made = await json('/oauth/register', { redirect_uris: [CALLBACK] }, bearer(await initialAccessToken()));
    registration = made.body;
    const every = stringsOf(await copies(t));
    const step = Math.max(1, every.length / TRIED);
    // Others each run, so that over many all are tried; the first is told, which repeats a run.
    const from = Math.random() * step;
    t.log(`from ${from} in steps of ${step}`);
    const tried = Array.from(
      { length: Math.min(TRIED, every.length) },
      (_, index) => every[Math.floor(from + index * step) % every.length] ?? '',
    );
    const doors = Object.entries(entrances());
    const attempts = tried.flatMap((value) => doors.map(([where, { lets }]) => ({ where, value, lets })));
    const letIn: string[] = [];
    const go = async () => {
      for (let next = attempts.pop(); next; next = attempts.pop()) {
        const { where, value, lets } = next;
        if (await lets(value)) letIn.push(`${where}: ${value}`);
      }
    };
    const count = attempts.length;
    await Promise.all(Array.from({ length: AT_ONCE }, go));
    t.deepEqual(letIn, []);
    t.log(
      `${every.length} strings in the copies, ${tried.length} tried at ${doors.length} entrances: ${count} attempts`,
    );
    for (const [where, { lets, genuine }] of doors) t.true(await lets(await genuine()), `${where} lets nobody in`);
  },
);
