// Every kind of secret or token that we hand out, at every entrance that takes one: each opens its own door and no other (RFC 8725 §3.11,
// §3.12; RFC 9700 §4.10.2; OWASP ASVS 5.0 §9.2.2, §9.2.3). A matrix: whatever is not named as let in is refused, and loses nothing by it.
import test from 'ava';
import * as oidc from 'openid-client';
import { type AppServer, startAppServer } from '../helpers/app-server.ts';
import { createBrowser } from '../helpers/browser.ts';
import { presented } from '../helpers/client-keys.ts';
import { ROOMY } from '../helpers/limits.ts';
import { tokenTo } from '../helpers/mailbox.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import {
  authorizationRequest,
  CALLBACK,
  jsonOf,
  newApp,
  passThrough,
  register,
  signIn,
} from '../helpers/relying-party.ts';
import { bearer } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const API = 'https://notes.example/api';
const OTHER_API = 'https://mails.example/api';

let server: TestServer;
/** The same stores, where an initial access token registers clients. */
let strict: TestServer;
let app: AppServer;

const form = (path: string, fields: Record<string, unknown>, headers: Record<string, string> = {}) =>
  fetch(`${server.origin}${path}`, {
    method: 'POST',
    headers,
    body: new URLSearchParams(Object.entries(fields).map(([name, value]): [string, string] => [name, String(value)])),
  });
const json = (path: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${server.origin}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
type Registered = Awaited<ReturnType<typeof register>>;
const by = ({ client_id, client_secret }: Registered) => ({ client_id, client_secret });

test.before(async () => {
  server = await startServer({ outbound: { reachLoopback: true }, rateLimits: ROOMY });
  strict = await startServer({ registration: 'token', rateLimits: ROOMY }, server);
  server.clientCalls.start();
  app = await startAppServer();
  const resource = {
    name: 'An API',
    scopes: [{ name: 'notes:read', description: { en: 'Read notes' } }],
    defaultScopes: ['notes:read'],
    ttlSeconds: 600,
    introspectionClients: [],
    detailTypes: [],
  };
  await server.resources.create({ ...resource, identifier: API, tokenFormat: 'jwt', signingAlg: 'RS256' });
  await server.resources.create({ ...resource, identifier: OTHER_API, tokenFormat: 'opaque', signingAlg: null });
});
test.after.always(async () => {
  await server?.clientCalls.stop(0);
  await strict?.close();
  await server?.close();
  await app?.close();
});

/** Clients, and everything that they, a person and an administrator are ever handed. */
const handOut = async () => {
  const people = createPeople(server);
  const admin = await people.person('admin');
  const person = { ...admin, password: PASSWORD };
  const { client, rp } = await newApp(server, {
    backchannel_logout_uri: `${app.origin}/logged-out`,
    backchannel_logout_session_required: true,
    userinfo_signed_response_alg: 'RS256',
    introspection_signed_response_alg: 'RS256',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
  });
  const pushes = await register(server);
  const device = await register(server, {
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
    response_types: [],
    redirect_uris: [],
  });
  const browser = createBrowser(server.issuer);
  const scope = 'openid email offline_access read:profile';
  const { tokens } = await signIn(browser, rp, person, { scope, prompt: 'consent' });
  const atResource = async (identifier: string): Promise<string> => {
    const params = { scope: 'notes:read', resource: identifier, nonce: undefined };
    return (await signIn(browser, rp, person, params)).tokens.access_token;
  };
  const started = await authorizationRequest(rp);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const signed = await authorizationRequest(rp, { response_mode: 'jwt' });
  const answered = await passThrough(browser, await browser.go(signed.url), person);
  const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, { headers: bearer(tokens.access_token) });
  const introspection = await form(
    '/oauth/introspect',
    { token: tokens.access_token, ...by(client) },
    { accept: 'application/token-introspection+jwt' },
  );
  const dynamic = { redirect_uris: ['https://dyn.example/callback'], client_name: 'Dynamic' };
  const registered = await jsonOf(await json('/oauth/register', dynamic));
  const initial = await people.rest.post('/admin/initial-access-tokens', { name: 'one' }, admin.auth);
  const request = { redirect_uri: CALLBACK, response_type: 'code', scope: 'openid', ...(await challenge()) };
  const pushed = await jsonOf(await form('/oauth/par', { ...by(pushes), ...request }));
  const codes = await jsonOf(await form('/oauth/device_authorization', { ...by(device), scope: 'openid' }));
  await json('/auth/forgot-password', { email: admin.email });
  const login = await jsonOf(await json('/auth/login', { email: admin.email, password: PASSWORD }));
  const { access_token: machine } = await oidc.clientCredentialsGrant(rp, { scope: 'read:profile' });

  // A session of its own ends, so that what is of the other one lives.
  const leaving = createBrowser(server.issuer);
  const left = await signIn(leaving, rp, person);
  const url = oidc.buildEndSessionUrl(rp, { id_token_hint: left.tokens.id_token ?? '' });
  await leaving.submit(await leaving.go(url), 'sign-out');
  const [told] = await app.called(1);

  const credentials: Record<string, string> = {
    'first-party token': String(login.access_token),
    'first-party refresh token': String(login.refresh_token),
    'access token': tokens.access_token,
    'refresh token': String(tokens.refresh_token),
    'ID token': String(tokens.id_token),
    'token for an API': await atResource(API),
    'opaque token for another API': await atResource(OTHER_API),
    'token of an app for itself': machine,
    code: String(arrived.url.searchParams.get('code')),
    'signed answer': String(answered.url.searchParams.get('response')),
    'signed userinfo': await userinfo.text(),
    'signed introspection': await introspection.text(),
    'logout token': String(new URLSearchParams(told?.body).get('logout_token')),
    'API key': String((await people.key(admin.auth, ['read:users', 'read:profile']))['X-API-Key']),
    'client secret': String(client.client_secret),
    'registration access token': String(registered.registration_access_token),
    'initial access token': String(initial.body.initial_access_token),
    request_uri: String(pushed.request_uri),
    'device code': String(codes.device_code),
    'user code': String(codes.user_code),
    'reset token': await tokenTo(server, admin.email, 'reset_password'),
    'session cookie': String(browser.cookies().find(({ name }) => name === 'session')?.value),
    'session’s id': String(tokens.claims()?.sid),
    'person’s id': admin.id,
  };
  return { credentials, client, pushes, device, verifier: started.verifier, registered: String(registered.client_id) };
};

const challenge = async () => ({
  code_challenge: await oidc.calculatePKCECodeChallenge(oidc.randomPKCECodeVerifier()),
  code_challenge_method: 'S256',
});

/** Whether somebody was let in; what is a failure of ours is neither yes nor no. */
const letIn = async (asked: Promise<Response>): Promise<boolean> => {
  const { status, url } = await asked;
  if (status >= 500) throw new Error(`${url} answered ${status}`);
  return status < 300;
};
const get = (path: string, headers: Record<string, string>) =>
  letIn(fetch(`${server.origin}${path}`, { headers: { accept: 'application/json', ...headers } }));
const asks = async (query: Record<string, string>) =>
  (await createBrowser(server.issuer).go(`/oauth/authorize?${new URLSearchParams(query)}`)).status === 200;

type Entrance = [takes: string[], open: (value: string) => Promise<boolean>];

/** What a credential opens; those last that it is spent at. */
const entrancesFor = ({
  client,
  pushes,
  device,
  verifier,
  registered,
}: Awaited<ReturnType<typeof handOut>>): Record<string, Entrance> => {
  const { client_id } = client;
  const token = (one: Registered, fields: Record<string, string>) =>
    letIn(form('/oauth/token', { ...by(one), ...fields }));
  const request = { client_id, response_type: 'code', redirect_uri: CALLBACK, scope: 'openid' };
  return {
    'our API, by bearer': [['first-party token', 'access token'], (value) => get('/users/me', bearer(value))],
    'administration, by bearer': [['first-party token'], (value) => get('/admin/users', bearer(value))],
    'our API, by key': [['API key'], (value) => get('/users/me', { 'X-API-Key': value })],
    userinfo: [['access token'], (value) => get('/oauth/userinfo', bearer(value))],
    'userinfo, in the body': [['access token'], (value) => letIn(form('/oauth/userinfo', { access_token: value }))],
    'introspection, as alive': [
      [
        ...['first-party token', 'access token', 'refresh token', 'token of an app for itself'],
        ...['token for an API', 'opaque token for another API', 'first-party refresh token'],
      ],
      async (value) => {
        const answer = await form('/oauth/introspect', { token: value, ...by(client) }, { accept: 'application/json' });
        return (await jsonOf(answer)).active === true;
      },
    ],
    'a client’s secret': [
      ['client secret'],
      (value) => token({ ...client, client_secret: value }, { grant_type: 'client_credentials' }),
    ],
    'a client’s assertion': [
      [],
      (value) => letIn(form('/oauth/token', { client_id, ...presented(value), grant_type: 'client_credentials' })),
    ],
    // Userinfo that a client has asked to be signed differs from its ID token by nothing; it names the same person to the same client.
    'a hint at sign-out': [
      ['ID token', 'signed userinfo'],
      (value) => get(`/oauth/logout?${new URLSearchParams({ id_token_hint: value })}`, { accept: 'text/html' }),
    ],
    'a hint at sign-in': [
      ['ID token', 'signed userinfo'],
      async (value) => asks({ ...request, ...(await challenge()), id_token_hint: value }),
    ],
    'a signed request': [[], (value) => asks({ client_id, request: value })],
    'a pushed request': [['request_uri'], (value) => asks({ client_id: pushes.client_id, request_uri: value })],
    'a registration': [['registration access token'], (value) => get(`/oauth/register/${registered}`, bearer(value))],
    'registering a client': [
      ['initial access token'],
      (value) =>
        letIn(
          fetch(`${strict.origin}/oauth/register`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...bearer(value) },
            body: JSON.stringify({ redirect_uris: ['https://another.example/callback'] }),
          }),
        ),
    ],
    'a code of a provider’s person': [[], (value) => letIn(json('/auth/exchange', { code: value }))],
    'a proof of an address': [[], (value) => letIn(json('/auth/verify-email', { token: value }))],
    'a device’s code': [
      [],
      (value) => token(device, { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: value }),
    ],
    'a code': [
      ['code'],
      (value) =>
        token(client, {
          grant_type: 'authorization_code',
          code: value,
          redirect_uri: CALLBACK,
          code_verifier: verifier,
        }),
    ],
    'a refresh at /oauth/token': [
      ['refresh token'],
      (value) => token(client, { grant_type: 'refresh_token', refresh_token: value }),
    ],
    'a refresh at /auth/refresh': [
      ['first-party refresh token'],
      (value) => letIn(json('/auth/refresh', { refresh_token: value })),
    ],
    'a new password': [
      ['reset token'],
      (value) => letIn(json('/auth/reset-password', { token: value, new_password: 'another long password' })),
    ],
  };
};

test('every credential opens its own doors and no other, and is good there after it was tried everywhere', async (t) => {
  const handed = await handOut();
  const { credentials } = handed;
  for (const [name, value] of Object.entries(credentials)) t.false(['', 'null', 'undefined'].includes(value), name);
  t.regex(credentials['signed introspection'] ?? '', /^ey.+\..+\..+$/);
  t.regex(credentials['logout token'] ?? '', /^ey.+\..+\..+$/);
  const entrances = Object.entries(entrancesFor(handed));
  for (const [entrance, [takes, open]] of entrances)
    for (const [name, value] of Object.entries(credentials))
      if (!takes.includes(name)) t.false(await open(value), `${name} at ${entrance}`);
  for (const [entrance, [takes, open]] of entrances)
    for (const name of takes) t.true(await open(credentials[name] ?? ''), `${name} at ${entrance}`);
});
