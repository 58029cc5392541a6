// The authorization code flow, by every way a client may prove itself.
import test from 'ava';
import { exportJWK, generateKeyPair } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  refusal,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const ALL_SCOPES = 'openid profile email address phone offline_access read:profile write:profile';

test('a public client signs a user in with PKCE and no secret', async (t) => {
  const { client, rp } = await newApp(server, { token_endpoint_auth_method: 'none' });
  t.is(client.client_secret, undefined);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  t.is(tokens.claims()?.sub, person.id);
  t.is(tokens.token_type, 'bearer');
  t.is(tokens.expires_in, 1800);
});

test('a confidential client gets every scope there is, and an ID token that JWKS verifies', async (t) => {
  const { client, rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { scope: ALL_SCOPES, prompt: 'consent' });
  t.deepEqual(tokens.scope?.split(' ').sort(), ALL_SCOPES.split(' ').sort());
  t.truthy(tokens.refresh_token);
  const claims = tokens.claims();
  t.is(claims?.iss, server.issuer);
  t.is(claims?.aud, client.client_id);
  t.is(claims?.sub, person.id);
  t.is(JSON.parse(atob(tokens.id_token?.split('.')[0] ?? '')).alg, 'RS256');
});

for (const registered of ['client_secret_basic', 'client_secret_post'])
  for (const [used, auth] of [
    ['client_secret_basic', oidc.ClientSecretBasic],
    ['client_secret_post', oidc.ClientSecretPost],
  ] as const)
    test(`a client registered for ${registered} may send its secret by ${used}`, async (t) => {
      // What basic has to encode (RFC 6749 §2.3.1) is in it.
      const secret = 'a secret: 100% + & = / ? ~';
      const { rp } = await newApp(
        server,
        { token_endpoint_auth_method: registered, client_secret: secret },
        { auth: auth(secret) },
      );
      const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
      t.is(tokens.claims()?.sub, person.id);
    });

for (const alg of ['RS256', 'ES256'])
  test(`a client proves itself by a JWT it signs with ${alg}`, async (t) => {
    const { publicKey, privateKey } = await generateKeyPair(alg);
    const kid = `key-${alg}`;
    const { client, rp } = await newApp(
      server,
      {
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: alg,
        jwks: { keys: [{ ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }] },
      },
      { auth: oidc.PrivateKeyJwt({ key: privateKey, kid }) },
    );
    t.is(client.client_secret, undefined);
    const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
    t.is(tokens.claims()?.sub, person.id);

    const { privateKey: another } = await generateKeyPair(alg);
    const impostor = new oidc.Configuration(
      rp.serverMetadata(),
      client.client_id,
      {},
      oidc.PrivateKeyJwt({ key: another, kid }),
    );
    oidc.allowInsecureRequests(impostor);
    const started = await authorizationRequest(rp);
    const browser = createBrowser(server.issuer);
    const arrived = await passThrough(browser, await browser.go(started.url), person);
    t.is(await refusal(redeem(impostor, arrived.url, started)), 'invalid_client');
  });

test('a client registered for ES256 gets its ID token signed so', async (t) => {
  const { rp } = await newApp(server, { id_token_signed_response_alg: 'ES256' });
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  t.is(JSON.parse(atob(tokens.id_token?.split('.')[0] ?? '')).alg, 'ES256');
  t.is(tokens.claims()?.sub, person.id);
});

test('a first-party app asks no consent; any other app asks once', async (t) => {
  const browser = createBrowser(server.issuer);
  const ours = await newApp(server, {}, { firstParty: true });
  const started = await authorizationRequest(ours.rp, { scope: 'openid profile email read:profile' });
  const login = await browser.go(started.url);
  const arrived = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  t.is(arrived.url.origin + arrived.url.pathname, CALLBACK);
  const tokens = await redeem(ours.rp, arrived.url, started);
  t.is(tokens.scope, 'openid profile email read:profile');

  const theirs = await newApp(server);
  const asked = await browser.go((await authorizationRequest(theirs.rp)).url);
  t.regex(asked.html, /id="allow"/);
  t.regex(asked.html, /id="deny"/);
  t.is((await browser.submit(asked, 'allow')).status, 0);
  t.is(
    (await browser.go((await authorizationRequest(theirs.rp)).url)).status,
    0,
    'what was granted is not asked again',
  );
});

test('every answer names its issuer, the good and the bad (RFC 9207)', async (t) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server);
  const { arrived } = await signIn(browser, rp, person);
  t.is(told(arrived).iss, server.issuer);

  const more = await authorizationRequest(rp, { scope: 'openid email' });
  const denied = await browser.submit(await browser.go(more.url), 'deny');
  t.like(told(denied), { error: 'access_denied', iss: server.issuer, state: more.state });
  t.false('code' in told(denied));

  const turnedBack = createBrowser(server.issuer);
  const other = await authorizationRequest(rp);
  const cancelled = await turnedBack.submit(await turnedBack.go(other.url), 'cancel');
  t.like(told(cancelled), { error: 'access_denied', iss: server.issuer, state: other.state });
});

test('response_mode=fragment brings the code in the fragment', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp, { response_mode: 'fragment' });
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  t.is(arrived.url.search, '');
  const answer = new URLSearchParams(arrived.url.hash.slice(1));
  t.is(answer.get('iss'), server.issuer);
  t.is(answer.get('state'), started.state);
  const tokens = await redeem(rp, new URL(`${CALLBACK}?${answer}`), started);
  t.is(tokens.claims()?.sub, person.id);
});

test('response_mode=form_post brings the code in a form that works without JavaScript', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp, { response_mode: 'form_post' });
  const page = await passThrough(browser, await browser.go(started.url), person);
  t.is(page.status, 200);
  t.regex(page.html, new RegExp(`<form method="post" action="${CALLBACK}">`));
  t.regex(page.html, /<button[^>]*type="submit"/, 'it can be sent without JavaScript');
  const inputs = [...page.html.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g)];
  const body = new URLSearchParams(inputs.map(([, name = '', value = '']): [string, string] => [name, value]));
  const sent = new Request(CALLBACK, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  const tokens = await oidc.authorizationCodeGrant(rp, sent, {
    pkceCodeVerifier: started.verifier,
    expectedState: started.state,
    expectedNonce: started.nonce,
  });
  t.is(tokens.claims()?.sub, person.id);
});

test("the form of response_mode=form_post passes the page's own policy, signed in just now or before", async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const first = await authorizationRequest(rp, { response_mode: 'form_post' });
  const justNow = await passThrough(browser, await browser.go(first.url), person);
  const before = await browser.go((await authorizationRequest(rp, { response_mode: 'form_post' })).url);
  const error = await browser.go((await authorizationRequest(rp, { response_mode: 'form_post', prompt: 'odd' })).url);
  for (const page of [justNow, before, error]) {
    t.regex(page.html, new RegExp(`<form method="post" action="${CALLBACK}">`));
    const policy = page.headers.get('content-security-policy') ?? '';
    t.regex(policy, /form-action [^;]*https:/, 'a browser would hold the form back');
    t.regex(policy, /script-src [^;]*'sha256-/);
  }
});

test('an authorization request by POST works as one by GET', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp);
  const login = await browser.go('/oauth/authorize', { method: 'POST', body: started.url.searchParams });
  t.regex(login.html, /id="sign-in"/);
  const arrived = await passThrough(browser, login, person);
  t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
});

test('a browser app may redeem its code from its own origin, and from no other', async (t) => {
  const { client } = await newApp(server, { token_endpoint_auth_method: 'none' });
  const allowed = async (origin: string) => {
    const body = new URLSearchParams({ grant_type: 'authorization_code', client_id: client.client_id });
    const response = await fetch(`${server.issuer}/oauth/token`, { method: 'POST', body, headers: { origin } });
    return response.headers.get('access-control-allow-origin');
  };
  t.is(await allowed('https://app.example'), 'https://app.example');
  t.is(await allowed('https://evil.example'), null);
});
