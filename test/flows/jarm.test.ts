// Signed answers (JWT Secured Authorization Response Mode, JARM), by openid-client and by hand.
import test from 'ava';
import { compactDecrypt, createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

const responseOf = ({ url, html }: Visited): string | undefined =>
  url.searchParams.get('response') ??
  new URLSearchParams(url.hash.slice(1)).get('response') ??
  /name="response" value="([^"]+)"/.exec(html)?.[1];

const opened = async (arrived: Visited, clientId: string) =>
  (
    await jwtVerify(String(responseOf(arrived)), createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`)), {
      issuer: server.issuer,
      audience: clientId,
    })
  ).payload;

for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA'])
  test(`JARM §2.3.4: response_mode=jwt, signed with ${alg}`, async (t) => {
    const app = await newApp(server, { authorization_signed_response_alg: alg });
    oidc.useJwtResponseMode(app.rp);
    const started = await authorizationRequest(app.rp);
    const browser = createBrowser(server.issuer);
    const arrived = await passThrough(browser, await browser.go(started.url), person);
    t.deepEqual([...arrived.url.searchParams.keys()], ['response']);
    t.is((await redeem(app.rp, arrived.url, started)).claims()?.sub, person.id);
  });

for (const [mode, where] of [
  ['query.jwt', 'search'],
  ['fragment.jwt', 'hash'],
] as const)
  test(`JARM §2.3: ${mode} answers in the ${where} of the address and nowhere else, and tells the issuer once`, async (t) => {
    const { client, rp } = await newApp(server);
    const started = await authorizationRequest(rp, { response_mode: mode });
    const browser = createBrowser(server.issuer);
    const arrived = await passThrough(browser, await browser.go(started.url), person);
    t.regex(arrived.url[where], /^[?#]response=[^&]+$/);
    t.is(arrived.url[where === 'search' ? 'hash' : 'search'], '');
    const payload = await opened(arrived, client.client_id);
    t.deepEqual(Object.keys(payload).sort(), ['aud', 'code', 'exp', 'iss', 'state']);
    t.is(payload.state, started.state);
    t.true(Number(payload.exp) - Date.now() / 1000 <= 600, 'JARM §2.1: ten minutes at most');
  });

test('JARM §2.3.3: form_post.jwt is a form of one field, and its policy lets it go to the app', async (t) => {
  const { client, rp } = await newApp(server);
  const started = await authorizationRequest(rp, { response_mode: 'form_post.jwt' });
  const browser = createBrowser(server.issuer);
  const page = await passThrough(browser, await browser.go(started.url), person);
  t.is(page.status, 200);
  t.true(page.html.includes(`action="${CALLBACK}"`));
  t.deepEqual(
    [...page.html.matchAll(/<input type="hidden" name="(\w+)"/g)].map(([, name]) => name),
    ['response'],
  );
  const csp = page.headers.get('content-security-policy') ?? '';
  t.regex(csp, /form-action 'self' https:/);
  t.regex(csp, /script-src 'sha256-/);
  t.is((await opened(page, client.client_id)).state, started.state);
});

test('JARM §2.1: an error is signed as well', async (t) => {
  const { client, rp } = await newApp(server);
  for (const mode of ['jwt', 'query.jwt', 'fragment.jwt']) {
    const started = await authorizationRequest(rp, { response_mode: mode, prompt: 'none' });
    const arrived = await createBrowser(server.issuer).go(started.url);
    const payload = await opened(arrived, client.client_id);
    t.like(payload, { error: 'login_required', state: started.state, iss: server.issuer });
    t.is(told(arrived).error, undefined);
  }
});

test('a client that registers signed modes alone gets no other answer', async (t) => {
  const { rp } = await newApp(server, { response_modes: ['jwt', 'query.jwt'] });
  for (const response_mode of [undefined, 'query', 'form_post', 'fragment.jwt']) {
    const arrived = await createBrowser(server.issuer).go((await authorizationRequest(rp, { response_mode })).url);
    const answer = arrived.html + arrived.url;
    t.notRegex(answer, /[?&]code=/, String(response_mode));
    t.true(/invalid_request/.test(answer) || responseOf(arrived) !== undefined, String(response_mode));
  }
});

test('JARM §2.2: an answer is encrypted to the key of a client that registers it, signed inside', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('RSA-OAEP-256');
  const { client, rp } = await newApp(server, {
    jwks: { keys: [{ ...(await exportJWK(publicKey)), use: 'enc' }] },
    authorization_signed_response_alg: 'ES256',
    authorization_encrypted_response_alg: 'RSA-OAEP-256',
    authorization_encrypted_response_enc: 'A256GCM',
  });
  const started = await authorizationRequest(rp, { response_mode: 'query.jwt' });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const { plaintext } = await compactDecrypt(String(responseOf(arrived)), privateKey);
  const keys = createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`));
  const { payload } = await jwtVerify(plaintext, keys, { issuer: server.issuer, audience: client.client_id });
  t.truthy(payload.code);
});

test('an unknown algorithm is refused at registration', async (t) => {
  for (const alg of ['none', 'RS1', 'HS1', 'ES256K'])
    await t.throwsAsync(newApp(server, { authorization_signed_response_alg: alg }), {
      message: /authorization_signed_response_alg/,
    });
});
