// Apps on the person's own machine listen where they can: RFC 8252 §7.3. Nothing but the port may differ.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  refusal,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const PUBLIC = { token_endpoint_auth_method: 'none' };

/** Where a request with this redirect URI ends: at the app, at our login page, or on an error page here. */
const asked = async (metadata: object, redirect_uri: string): Promise<'taken' | 'refused here'> => {
  const { client } = await newApp(server, metadata as Record<string, unknown>);
  const query = new URLSearchParams({
    client_id: client.client_id,
    response_type: 'code',
    scope: 'openid',
    redirect_uri,
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  const page = await createBrowser(server.issuer).go(`/oauth/authorize?${query}`);
  if (page.url.origin !== server.issuer) throw new Error(`left for ${page.url}`);
  return page.html.includes('id="sign-in"') ? 'taken' : 'refused here';
};

for (const [registered, uri] of [
  ['http://127.0.0.1/callback', 'http://127.0.0.1:51004/callback'],
  ['http://127.0.0.1:3000/callback', 'http://127.0.0.1:51004/callback'],
  ['http://127.0.0.1:3000/callback', 'http://127.0.0.1/callback'],
  ['http://[::1]/callback', 'http://[::1]:51004/callback'],
  ['http://localhost:3000/callback?from=us', 'http://localhost:51004/callback?from=us'],
  ['http://localhost/callback', 'http://localhost:51004/callback'],
] as const)
  test(`RFC 8252 §7.3: who registered ${registered} may listen at ${uri}`, async (t) => {
    t.is(await asked({ ...PUBLIC, redirect_uris: [registered] }, uri), 'taken');
    t.is(await asked({ ...PUBLIC, application_type: 'native', redirect_uris: [registered] }, uri), 'taken');
  });

for (const [what, uri] of [
  ['another path', 'http://127.0.0.1:51004/other'],
  ['a longer path', 'http://127.0.0.1:51004/callback/more'],
  ['a trailing slash', 'http://127.0.0.1:51004/callback/'],
  ['no path', 'http://127.0.0.1:51004'],
  ['a query', 'http://127.0.0.1:51004/callback?x=1'],
  ['a fragment', 'http://127.0.0.1:51004/callback#x'],
  ['https', 'https://127.0.0.1:51004/callback'],
  ['another scheme', 'ftp://127.0.0.1:51004/callback'],
  ['the scheme in capitals', 'HTTP://127.0.0.1:51004/callback'],
  ['the same machine by name', 'http://localhost:51004/callback'],
  ['the same machine by IPv6', 'http://[::1]:51004/callback'],
  ['another of its addresses', 'http://127.0.0.2:51004/callback'],
  ['a short form of the address', 'http://127.1:51004/callback'],
  ['the address as a number', 'http://2130706433:51004/callback'],
  ['a user before the host', 'http://x@127.0.0.1:51004/callback'],
  ['the host as a user', 'http://127.0.0.1:51004@evil.example/callback'],
  ['a longer host', 'http://127.0.0.1.evil.example:51004/callback'],
  ['a backslash', 'http://127.0.0.1:51004\\@evil.example/callback'],
  ['a port that is none', 'http://127.0.0.1:99999/callback'],
  ['port 0', 'http://127.0.0.1:0/callback'],
  ['a port in words', 'http://127.0.0.1:http/callback'],
  ['a dotted path', 'http://127.0.0.1:51004/x/../callback'],
  ['a path encoded otherwise', 'http://127.0.0.1:51004/%63allback'],
] as const)
  test(`RFC 9700 §2.1: ${what} is not the registered http://127.0.0.1/callback`, async (t) => {
    t.is(await asked({ ...PUBLIC, redirect_uris: ['http://127.0.0.1/callback'] }, uri), 'refused here');
  });

test('RFC 9700 §2.1: a port is part of any other host, and of localhost for who has a secret', async (t) => {
  const elsewhere = { ...PUBLIC, redirect_uris: ['https://app.example/callback'] };
  t.is(await asked(elsewhere, 'https://app.example:8443/callback'), 'refused here');
  const https = { ...PUBLIC, redirect_uris: ['https://localhost:3000/callback'] };
  t.is(await asked(https, 'https://localhost:3001/callback'), 'refused here');
  const confidential = { redirect_uris: ['http://localhost:3000/callback'] };
  t.is(await asked(confidential, 'http://localhost:3001/callback'), 'refused here');
  t.is(await asked(confidential, 'http://localhost:3000/callback'), 'taken');
  const byAddress = { redirect_uris: ['http://127.0.0.1:3000/callback'] };
  t.is(await asked(byAddress, 'http://127.0.0.1:3001/callback'), 'taken');
});

test('the built-in client of this service is sent back to its own page alone', async (t) => {
  const query = new URLSearchParams({
    client_id: 'user-auth',
    response_type: 'none',
    scope: 'openid',
    redirect_uri: 'http://localhost:1/account',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  const page = await createBrowser(server.issuer).go(`/oauth/authorize?${query}`);
  t.is(page.status, 400);
});

test('RFC 6749 §4.1.3: a code is for the port it was asked for', async (t) => {
  const { rp } = await newApp(
    server,
    { ...PUBLIC, redirect_uris: ['http://127.0.0.1/callback'] },
    { auth: oidc.None() },
  );
  const at = async (redirect_uri: string) => {
    const started = await authorizationRequest(rp, { redirect_uri });
    const browser = createBrowser(server.issuer);
    return { started, back: await passThrough(browser, await browser.go(started.url), person) };
  };
  const { started, back } = await at('http://127.0.0.1:51004/callback');
  t.is(back.url.host, '127.0.0.1:51004');
  t.is((await redeem(rp, back.url, started)).claims()?.sub, person.id);
  const other = await at('http://127.0.0.1:51004/callback');
  other.back.url.port = '51005';
  t.is(await refusal(redeem(rp, other.back.url, other.started)), 'invalid_grant');
});
