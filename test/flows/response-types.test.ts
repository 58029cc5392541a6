// Which answers the authorization endpoint gives (OIDC Core §3.2, §3.3, Form Post Response Mode), and who it says they are from (RFC 9207).
import test from 'ava';
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  discover,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  register,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;
let jwks: ReturnType<typeof createRemoteJWKSet>;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  jwks = createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`));
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

const IMPLICIT = { response_types: ['id_token'], grant_types: ['implicit'] };
const HYBRID = { response_types: ['code', 'code id_token'], grant_types: ['authorization_code', 'implicit'] };

const fragment = ({ url }: Visited) => Object.fromEntries(new URLSearchParams(url.hash.slice(1)));
const ask = async (rp: oidc.Configuration, params: Record<string, string | undefined>) => {
  const started = await authorizationRequest(rp, params);
  const browser = createBrowser(server.issuer);
  return { started, arrived: await passThrough(browser, await browser.go(started.url), person), browser };
};
const posted = (page: Visited) =>
  Object.fromEntries(
    [...page.html.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g)].map(([, name, value]) => [
      name,
      value,
    ]),
  );

test('OIDC Core §3.2: a client registered for id_token gets one in the fragment, with no access token beside it', async (t) => {
  const { client, rp } = await newApp(server, IMPLICIT);
  const { arrived, started } = await ask(rp, { response_type: 'id_token', scope: 'openid email' });
  const answer = fragment(arrived);
  t.deepEqual(Object.keys(answer).sort(), ['id_token', 'iss', 'state']);
  t.is(arrived.url.search, '');
  const { payload } = await jwtVerify(String(answer.id_token), jwks, {
    issuer: server.issuer,
    audience: client.client_id,
  });
  t.like(payload, { sub: person.id, nonce: started.nonce, email: person.email });
  oidc.useIdTokenResponseType(rp);
  const claims = await oidc.implicitAuthentication(rp, arrived.url, String(started.nonce), {
    expectedState: started.state,
  });
  t.is(claims.sub, person.id);
});

test('OIDC Core §3.3: a client registered for code id_token gets both, bound to each other', async (t) => {
  const app = await newApp(server, HYBRID);
  const { client_id, client_secret } = app.client;
  const rp = await discover(server, client_id, { client_secret: String(client_secret) });
  oidc.useCodeIdTokenResponseType(rp);
  const started = await authorizationRequest(rp);
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const answer = fragment(arrived);
  t.deepEqual(Object.keys(answer).sort(), ['code', 'id_token', 'iss', 'state']);
  t.truthy(decodeJwt(String(answer.id_token)).c_hash);
  const tokens = await redeem(rp, arrived.url, started);
  t.is(tokens.claims()?.sub, person.id);
});

test('OIDC Core §3.2.2.1, §3.3.2.11: an ID token from the authorization endpoint needs a nonce', async (t) => {
  for (const [metadata, response_type] of [
    [IMPLICIT, 'id_token'],
    [HYBRID, 'code id_token'],
  ] as const) {
    const { rp } = await newApp(server, metadata);
    const { arrived } = await ask(rp, { response_type, nonce: undefined });
    t.is(fragment(arrived).error, 'invalid_request');
  }
});

test('OAuth 2.0 Multiple Response Types §3: what has an ID token in it never travels in the query', async (t) => {
  const { rp } = await newApp(server, HYBRID);
  const { arrived } = await ask(rp, { response_type: 'code id_token', response_mode: 'query' });
  t.false(/id_token=|code=/.test(arrived.url.search));
  t.is(told(arrived).error ?? fragment(arrived).error, 'invalid_request');
});

test('RFC 9700 §2.1.2: no access token leaves the authorization endpoint, and nobody can register for it', async (t) => {
  for (const response_type of ['token', 'id_token token', 'code token', 'code id_token token']) {
    await t.throwsAsync(register(server, { redirect_uris: [CALLBACK], response_types: [response_type] }), {
      message: /response_types/,
    });
    const { rp } = await newApp(server, HYBRID);
    const { arrived } = await ask(rp, { response_type });
    t.is(fragment(arrived).error ?? told(arrived).error, 'unsupported_response_type');
    t.notRegex(arrived.url.href, /access_token/);
  }
});

test('who did not register for a response type does not get it', async (t) => {
  const { rp } = await newApp(server);
  for (const response_type of ['id_token', 'code id_token']) {
    const { arrived } = await ask(rp, { response_type });
    t.is(fragment(arrived).error, 'unauthorized_client');
    t.notRegex(arrived.url.href, /id_token=/);
  }
  const implicit = await newApp(server, IMPLICIT);
  const { arrived } = await ask(implicit.rp, { response_type: 'code' });
  t.is(told(arrived).error, 'unauthorized_client');
});

test('OIDC Registration §2: an implicit web client is sent back by https alone, and not to localhost', async (t) => {
  for (const uri of ['http://app.example/callback', 'https://localhost/callback'])
    await t.throwsAsync(register(server, { ...IMPLICIT, redirect_uris: [uri] }), { name: 'DomainError' });
});

for (const [response_type, metadata, names] of [
  ['code', {}, ['code', 'iss', 'state']],
  ['id_token', IMPLICIT, ['id_token', 'iss', 'state']],
  ['code id_token', HYBRID, ['code', 'id_token', 'iss', 'state']],
] as const)
  test(`Form Post Response Mode: ${response_type} is posted, and the page's own policy lets it`, async (t) => {
    const { rp } = await newApp(server, metadata);
    const { arrived } = await ask(rp, { response_type, response_mode: 'form_post' });
    t.is(arrived.status, 200);
    t.deepEqual(Object.keys(posted(arrived)).sort(), names);
    t.true(arrived.html.includes(`action="${CALLBACK}"`));
    const csp = arrived.headers.get('content-security-policy') ?? '';
    t.regex(csp, /form-action [^;]*https:/);
    t.regex(csp, /script-src 'sha256-/);
    t.regex(arrived.headers.get('cache-control') ?? '', /no-store/);
    t.regex(arrived.html, /<noscript>[\s\S]*<button/, 'it works without JavaScript');
  });

test('RFC 9207 §2: who answers is said with every success and every error, however it travels', async (t) => {
  for (const [metadata, response_type] of [
    [{}, 'code'],
    [IMPLICIT, 'id_token'],
    [HYBRID, 'code id_token'],
  ] as const)
    for (const response_mode of [undefined, 'form_post', 'fragment'])
      for (const prompt of [undefined, 'none']) {
        const { rp } = await newApp(server, metadata);
        const { arrived } = await ask(rp, { response_type, response_mode, prompt });
        const answer = { ...told(arrived), ...fragment(arrived), ...posted(arrived) };
        t.is(answer.iss, server.issuer, `${response_type} ${response_mode} ${prompt}`);
        t.is('error' in answer, prompt === 'none');
      }
});
