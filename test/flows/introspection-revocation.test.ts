// What becomes of a token: introspection (RFC 7662), revocation (RFC 7009), and userinfo with tokens that are none.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { jsonOf, newApp, newPerson, type Person, refusal, signIn } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const withTokens = async (metadata: Record<string, unknown> = {}) => {
  const app = await newApp(server, metadata);
  const params = { scope: 'openid email offline_access', prompt: 'consent' };
  const { tokens } = await signIn(createBrowser(server.issuer), app.rp, person, params);
  return { ...app, accessToken: tokens.access_token, refreshToken: tokens.refresh_token ?? '' };
};

const userinfo = (authorization?: string) =>
  fetch(`${server.issuer}/oauth/userinfo`, authorization === undefined ? {} : { headers: { authorization } });

test('RFC 7662 §2.2: introspection tells a confidential client all about its own token', async (t) => {
  const { client, rp, accessToken, refreshToken } = await withTokens();
  const access = await oidc.tokenIntrospection(rp, accessToken);
  t.like(access, {
    active: true,
    client_id: client.client_id,
    sub: person.id,
    iss: server.issuer,
    scope: 'openid email offline_access',
    token_type: 'Bearer',
  });
  t.is(Number(access.exp) - Number(access.iat), 1800);
  const refresh = await oidc.tokenIntrospection(rp, refreshToken);
  t.like(refresh, { active: true, client_id: client.client_id, sub: person.id });
  t.is(Number(refresh.exp) - Number(refresh.iat), 604_800);
  for (const hint of ['access_token', 'refresh_token', 'odd'])
    t.true((await oidc.tokenIntrospection(rp, accessToken, { token_type_hint: hint })).active, hint);
});

test('RFC 7662 §2.1: a resource server, being a confidential client, may ask about any access token, and about no refresh token but its own', async (t) => {
  const { client, accessToken, refreshToken } = await withTokens();
  const resourceServer = await newApp(server, {
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  });
  t.like(await oidc.tokenIntrospection(resourceServer.rp, accessToken), { active: true, client_id: client.client_id });
  t.deepEqual(await oidc.tokenIntrospection(resourceServer.rp, refreshToken), { active: false });
});

test('RFC 7662 §2.2: of an unknown token introspection says that it is not active, and nothing else', async (t) => {
  const { rp } = await newApp(server);
  for (const token of ['unknown', 'A'.repeat(43), 'a.b.c', '\0', '{"kind":"AccessToken"}'])
    t.deepEqual(await oidc.tokenIntrospection(rp, token), { active: false }, token);
});

test('RFC 7662 §4: a public client learns of its own tokens only', async (t) => {
  const theirs = await withTokens();
  const open = await withTokens({ token_endpoint_auth_method: 'none' });
  t.true((await oidc.tokenIntrospection(open.rp, open.accessToken)).active);
  t.deepEqual(await oidc.tokenIntrospection(open.rp, theirs.accessToken), { active: false });
  t.deepEqual(await oidc.tokenIntrospection(open.rp, theirs.refreshToken), { active: false });
});

test('RFC 7662 §2.1: introspection without the client’s secret tells nothing', async (t) => {
  const { client, accessToken } = await withTokens();
  for (const [body, status] of [
    [{ token: accessToken }, 400],
    [{ token: accessToken, client_id: client.client_id }, 401],
    [{ token: accessToken, client_id: client.client_id, client_secret: 'wrong' }, 401],
  ] as const) {
    const response = await fetch(`${server.issuer}/oauth/introspect`, {
      method: 'POST',
      body: new URLSearchParams(body),
    });
    t.is(response.status, status);
    t.false('active' in (await jsonOf(response)));
  }
});

test('RFC 7009 §2.1: a revoked access token is dead, its refresh token with it (MAY); the consent stays', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, rp, person, { scope: 'openid offline_access', prompt: 'consent' });
  await oidc.tokenRevocation(rp, tokens.access_token);
  t.deepEqual(await oidc.tokenIntrospection(rp, tokens.access_token), { active: false });
  t.is((await userinfo(`Bearer ${tokens.access_token}`)).status, 401);
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant');
  t.is((await signIn(browser, rp, person, { prompt: 'none' })).tokens.claims()?.sub, person.id);
});

test('RFC 7009 §2.1: a revoked refresh token takes its whole grant with it', async (t) => {
  const { rp, accessToken, refreshToken } = await withTokens();
  const next = await oidc.refreshTokenGrant(rp, refreshToken);
  await oidc.tokenRevocation(rp, next.refresh_token ?? '');
  for (const token of [accessToken, next.access_token, next.refresh_token ?? ''])
    t.deepEqual(await oidc.tokenIntrospection(rp, token), { active: false });
  t.is(await refusal(oidc.refreshTokenGrant(rp, next.refresh_token ?? '')), 'invalid_grant');
});

test("RFC 7009 §2.1: nobody revokes another client's token, and nobody learns that there was one", async (t) => {
  const { rp, accessToken, refreshToken } = await withTokens();
  for (const metadata of [{}, { token_endpoint_auth_method: 'none' }]) {
    const stranger = await newApp(server, metadata);
    await oidc.tokenRevocation(stranger.rp, accessToken);
    await oidc.tokenRevocation(stranger.rp, refreshToken, { token_type_hint: 'refresh_token' });
  }
  t.true((await oidc.tokenIntrospection(rp, accessToken)).active);
  t.true((await oidc.tokenIntrospection(rp, refreshToken)).active);
});

test('RFC 7009 §2.2: revoking what is unknown, or already revoked, is fine', async (t) => {
  const { rp, accessToken } = await withTokens();
  await oidc.tokenRevocation(rp, accessToken);
  await t.notThrowsAsync(oidc.tokenRevocation(rp, accessToken));
  await t.notThrowsAsync(oidc.tokenRevocation(rp, 'unknown'));
});

test('RFC 7009 §2.1: revocation needs the client’s secret, and a token', async (t) => {
  const { client, rp, accessToken } = await withTokens();
  const post = (form: Record<string, string>) =>
    fetch(`${server.issuer}/oauth/revoke`, { method: 'POST', body: new URLSearchParams(form) });
  t.is((await post({ token: accessToken, client_id: client.client_id })).status, 401);
  const { client_id, client_secret = '' } = client;
  t.is((await post({ client_id, client_secret })).status, 400);
  t.true((await oidc.tokenIntrospection(rp, accessToken)).active);
});

test('RFC 6750 §3: userinfo without a good token is a 401 with WWW-Authenticate', async (t) => {
  const { rp, accessToken, refreshToken } = await withTokens();
  const none = await userinfo();
  t.true(none.status === 400 || none.status === 401, String(none.status));
  t.regex(none.headers.get('www-authenticate') ?? '', /^Bearer realm="/);
  await oidc.tokenRevocation(rp, accessToken);
  for (const token of ['garbage', 'a.b.c', `${accessToken.slice(0, -1)}~`, accessToken, refreshToken]) {
    const response = await userinfo(`Bearer ${token}`);
    t.is(response.status, 401, token);
    t.regex(response.headers.get('www-authenticate') ?? '', /^Bearer realm="[^"]*".*error="invalid_token"/);
    t.is((await jsonOf(response)).error, 'invalid_token');
  }
});

test('an access token ends when its time is up', async (t) => {
  const shortLived = await startServer({ accessTokenTtlSeconds: 1 });
  t.teardown(() => shortLived.close());
  const somebody = await newPerson(shortLived);
  const { rp } = await newApp(shortLived);
  const { tokens } = await signIn(createBrowser(shortLived.issuer), rp, somebody);
  t.is(tokens.expires_in, 1);
  const asked = () =>
    fetch(`${shortLived.issuer}/oauth/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const deadline = Date.now() + 5_000;
  let response = await asked();
  while (response.status === 200 && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    response = await asked();
  }
  t.is(response.status, 401);
  t.deepEqual(await oidc.tokenIntrospection(rp, tokens.access_token), { active: false });
});
