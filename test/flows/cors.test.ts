// Pages call the token, userinfo and revocation endpoints for public clients, from where those are sent back to; nobody else does.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import * as oauth from 'oauth4webapi';
import { createBrowser } from '../helpers/browser.ts';
import { newApp, newPerson, signIn } from '../helpers/relying-party.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const ORIGIN = 'https://spa.example';
const OTHER = 'https://other-spa.example';
const CONFIDENTIAL = 'https://server-side.example';
const STRANGER = 'https://evil.example';

let server: TestServer;
let clientId: string;
let confidential: { client_id: string; client_secret?: string };
let accessToken: string;
let refreshToken: string;

test.before(async () => {
  server = await startServer();
  const spa = { token_endpoint_auth_method: 'none', redirect_uris: [`${ORIGIN}/callback`] };
  const { client, rp } = await newApp(server, spa);
  clientId = client.client_id;
  await newApp(server, { ...spa, redirect_uris: [`${OTHER}/callback`] });
  confidential = (await newApp(server, { redirect_uris: [`${CONFIDENTIAL}/callback`] })).client;
  const { tokens } = await signIn(createBrowser(server.issuer), rp, await newPerson(server), {
    redirect_uri: `${ORIGIN}/callback`,
    scope: 'openid offline_access',
    prompt: 'consent',
  });
  accessToken = tokens.access_token;
  refreshToken = tokens.refresh_token ?? '';
});
test.after.always(() => server?.close());

const ENDPOINTS = ['/oauth/token', '/oauth/userinfo', '/oauth/revoke', '/oauth/par'];

const preflight = (path: string, origin: string, at = server) =>
  fetch(`${at.origin}${path}`, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type, dpop',
    },
  });
const post = (path: string, origin: string, form: Record<string, string>, headers: Record<string, string> = {}) =>
  fetch(`${server.origin}${path}`, {
    method: 'POST',
    headers: { origin, ...headers },
    body: new URLSearchParams(form),
  });
const allowed = (answer: Response) => answer.headers.get('access-control-allow-origin');
const corsHeaders = (answer: Response) =>
  [...answer.headers.keys()].filter((name) => name.startsWith('access-control-'));

for (const path of ENDPOINTS)
  test(`a preflight at ${path} is answered to the pages of public clients, and to no other`, async (t) => {
    const answer = await preflight(path, ORIGIN);
    t.is(answer.status, 204);
    t.is(allowed(answer), ORIGIN);
    t.regex(answer.headers.get('access-control-allow-methods') ?? '', /POST/);
    t.is(answer.headers.get('access-control-allow-credentials'), null, 'no cookies');
    for (const origin of [
      STRANGER,
      CONFIDENTIAL,
      'null',
      `${ORIGIN}.evil.example`,
      'http://spa.example',
      `${ORIGIN}:444`,
    ]) {
      const refused = await preflight(path, origin);
      t.deepEqual(corsHeaders(refused), [], origin);
      t.regex(refused.headers.get('vary') ?? '', /Origin/);
    }
  });

test('a page refreshes and revokes its client’s tokens, reads userinfo and pushes requests, by oauth4webapi', async (t) => {
  const as = await oauth.processDiscoveryResponse(
    new URL(server.issuer),
    await oauth.discoveryRequest(new URL(server.issuer), { [oauth.allowInsecureRequests]: true }),
  );
  const client: oauth.Client = { client_id: clientId };
  const from = (origin: string) => ({ headers: { origin }, [oauth.allowInsecureRequests]: true as const });
  const refreshed = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), refreshToken, from(ORIGIN));
  t.is(allowed(refreshed), ORIGIN);
  const tokens = await oauth.processRefreshTokenResponse(as, client, refreshed);
  const info = await oauth.userInfoRequest(as, client, tokens.access_token, from(ORIGIN));
  t.is(info.status, 200);
  t.is(allowed(info), ORIGIN);
  const pushed = await oauth.pushedAuthorizationRequest(
    as,
    client,
    oauth.None(),
    new URLSearchParams({
      response_type: 'code',
      redirect_uri: `${ORIGIN}/callback`,
      scope: 'openid',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
    }),
    from(ORIGIN),
  );
  t.is(pushed.status, 201);
  t.is(allowed(pushed), ORIGIN);
  const revoked = await oauth.revocationRequest(as, client, oauth.None(), tokens.access_token, from(ORIGIN));
  t.is(revoked.status, 200);
  t.is(allowed(revoked), ORIGIN);
});

test('a page of another origin is neither answered nor told why, whichever app is there', async (t) => {
  for (const origin of [STRANGER, OTHER, CONFIDENTIAL, 'null']) {
    const answers = [
      await post('/oauth/token', origin, { grant_type: 'refresh_token', refresh_token: 'x', client_id: clientId }),
      await post('/oauth/userinfo', origin, {}, { authorization: `Bearer ${accessToken}` }),
      await post('/oauth/revoke', origin, { token: 'x', client_id: clientId }),
      await post('/oauth/introspect', origin, { token: 'x', client_id: clientId }),
    ];
    for (const answer of answers) {
      t.true(answer.status >= 400, `${answer.url} ${answer.status}`);
      t.is(allowed(answer), null, `${origin} ${answer.url}`);
    }
  }
});

test('what goes wrong before a client is known is told to no stranger', async (t) => {
  for (const path of ['/oauth/token', '/oauth/revoke', '/oauth/introspect', '/oauth/par'])
    for (const form of [{}, { client_id: 'nobody' }] as Record<string, string>[]) {
      t.deepEqual(corsHeaders(await post(path, STRANGER, form)), [], path);
      t.is(allowed(await post(path, ORIGIN, form)), ORIGIN, 'a page of ours learns what it did wrong');
    }
});

test('a client with a secret has no business in a page', async (t) => {
  const answer = await post('/oauth/token', CONFIDENTIAL, {
    grant_type: 'client_credentials',
    client_id: confidential.client_id,
    client_secret: String(confidential.client_secret),
  });
  t.is(allowed(answer), null);
  t.is(answer.status, 400);
});

test('a request that is no page’s needs no origin', async (t) => {
  const answer = await fetch(`${server.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: 'x', client_id: clientId }),
  });
  t.is(((await answer.json()) as { error: string }).error, 'invalid_grant');
});

test('a client that registers is answered in every process within a second, and one that changes no longer', async (t) => {
  const beside = await startServer({}, server);
  t.teardown(() => beside.close());
  const origin = 'https://new-spa.example';
  t.is(allowed(await preflight('/oauth/token', origin, beside)), null);
  const rest = createRest(server.origin);
  const metadata = { redirect_uris: [`${origin}/cb`], token_endpoint_auth_method: 'none' };
  const { body } = await rest.post('/oauth/register', metadata);
  await sleep(1_000);
  t.is(allowed(await preflight('/oauth/token', origin, beside)), origin);
  await rest.put(
    `/oauth/register/${body.client_id}`,
    { ...metadata, client_id: body.client_id, redirect_uris: ['https://moved.example/cb'] },
    { authorization: `Bearer ${body.registration_access_token}` },
  );
  await sleep(1_000);
  t.is(allowed(await preflight('/oauth/token', origin, beside)), null);
});

test('discovery and JWKS are for everybody', async (t) => {
  for (const path of ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server', '/oauth/jwks'])
    t.is(allowed(await fetch(`${server.origin}${path}`, { headers: { origin: STRANGER } })), STRANGER);
});

test('our own API is for no page of others, nor is what a client manages its registration with', async (t) => {
  for (const path of ['/users/me', '/auth/login', '/oauth/register/some-client', '/admin/clients'])
    t.deepEqual(corsHeaders(await preflight(path, ORIGIN)), [], path);
});

test('where anybody may register, any page may: a host that runs in a browser registers from there', async (t) => {
  const asked = await preflight('/oauth/register', STRANGER);
  t.is(asked.status, 204);
  t.is(allowed(asked), '*');
  t.is(asked.headers.get('access-control-allow-headers'), '*');
  t.is(asked.headers.get('access-control-allow-credentials'), null, 'no cookies');
  const register = (metadata: object, at = server) =>
    fetch(`${at.origin}/oauth/register`, {
      method: 'POST',
      headers: { origin: STRANGER, 'content-type': 'application/json' },
      body: JSON.stringify(metadata),
    });
  const metadata = { redirect_uris: ['http://localhost:6274/oauth/callback'], token_endpoint_auth_method: 'none' };
  const done = await register(metadata);
  t.is(done.status, 201);
  t.is(allowed(done), '*');
  const refused = await register({ redirect_uris: [] });
  t.is(refused.status, 400);
  t.is(allowed(refused), '*', 'it learns what it did wrong');

  const strict = await startServer({ registration: 'token' }, server);
  t.teardown(() => strict.close());
  t.deepEqual(corsHeaders(await preflight('/oauth/register', STRANGER, strict)), []);
  t.deepEqual(corsHeaders(await register(metadata, strict)), []);
});

test('that there is no metadata below the usual places is for every page to read', async (t) => {
  for (const name of ['oauth-authorization-server', 'openid-configuration', 'oauth-protected-resource']) {
    const path = `/.well-known/${name}/mcp`;
    const answer = await fetch(`${server.origin}${path}`, { headers: { origin: STRANGER } });
    t.is(answer.status, 404);
    t.is(allowed(answer), '*');
  }
});

test('what our API says of itself is for everybody, whatever headers a page adds', async (t) => {
  const path = '/.well-known/oauth-protected-resource';
  t.is(allowed(await fetch(`${server.origin}${path}`, { headers: { origin: STRANGER } })), '*');
  const asked = await fetch(`${server.origin}${path}`, {
    method: 'OPTIONS',
    headers: {
      origin: STRANGER,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'mcp-protocol-version',
    },
  });
  t.is(asked.status, 204);
  t.is(asked.headers.get('access-control-allow-headers'), '*');
  t.is(asked.headers.get('access-control-allow-methods'), 'GET');
});
