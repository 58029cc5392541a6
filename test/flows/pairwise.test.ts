// Pairwise subjects (OIDC Core §8): clients of different sectors cannot tell that they mean the same person, and nothing else changes.
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { AUTHORITY, LOCALHOST } from '../helpers/certificates.ts';
import { newKey } from '../helpers/client-keys.ts';
import {
  authorizationRequest,
  jsonOf,
  newApp,
  newPerson,
  type Person,
  passThrough,
  refusal,
  register,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let beside: TestServer;
let person: Person;

/** What the sector's host answers, by path. */
const documents: Record<string, string> = {};
const sector = createServer(LOCALHOST, (request, response) => {
  const document = documents[String(request.url)];
  if (document === 'REDIRECT') response.writeHead(302, { location: '/good' }).end();
  else response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(document);
});
let host: string;

test.before(async () => {
  await new Promise<void>((resolve) => sector.listen(0, 'localhost', resolve));
  host = `https://localhost:${(sector.address() as AddressInfo).port}`;
  server = await startServer({ outbound: { extraCa: AUTHORITY, reachLoopback: true } });
  beside = await startServer({ outbound: { extraCa: AUTHORITY, reachLoopback: true } }, server);
  person = await newPerson(server);
});
test.after.always(async (t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  sector.close();
  await beside?.close();
  await server?.close();
});

const ONE = 'https://one.example/callback';
const TWO = 'https://two.example/callback';
const pairwise = (redirect_uri: string, more: Record<string, unknown> = {}) =>
  newApp(server, { subject_type: 'pairwise', redirect_uris: [redirect_uri], ...more });

const subjectAt = async (
  app: Awaited<ReturnType<typeof newApp>>,
  redirect_uri: string,
  who = person,
  params: Record<string, string> = {},
) => {
  const signed = await signIn(createBrowser(server.issuer), app.rp, who, { redirect_uri, ...params });
  return { sub: String(signed.tokens.claims()?.sub), tokens: signed.tokens };
};

test('OIDC Core §8.1: one person is another one at each sector, and the same at all clients of a sector', async (t) => {
  const [a, b, c] = [await pairwise(ONE), await pairwise(ONE), await pairwise(TWO)];
  const subs = [(await subjectAt(a, ONE)).sub, (await subjectAt(b, ONE)).sub, (await subjectAt(c, TWO)).sub];
  t.is(subs[0], subs[1]);
  t.not(subs[0], subs[2]);
  t.false(subs.includes(person.id));
  const other = await newPerson(server);
  t.false(subs.includes((await subjectAt(a, ONE, other)).sub));
  t.true(subs.includes((await subjectAt(a, ONE)).sub), 'and stays so');
});

test('it is the same in every process', async (t) => {
  const app = await pairwise(ONE);
  const { tokens, sub } = await subjectAt(app, ONE, person, { scope: 'openid email' });
  const response = await fetch(`${beside.origin}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  t.is((await jsonOf(response)).sub, sub);
});

test('ID token, userinfo, refresh and introspection tell one and the same subject, never the account', async (t) => {
  const app = await pairwise(ONE);
  const { sub, tokens } = await subjectAt(app, ONE, person, {
    scope: 'openid email offline_access',
    prompt: 'consent',
  });
  t.is((await oidc.fetchUserInfo(app.rp, tokens.access_token, sub)).email, person.email);
  const next = await oidc.refreshTokenGrant(app.rp, String(tokens.refresh_token));
  t.is(next.claims()?.sub, sub);
  for (const token of [next.access_token, String(next.refresh_token)])
    t.is((await oidc.tokenIntrospection(app.rp, token)).sub, sub);
  const service = await newApp(server, { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] });
  t.is((await oidc.tokenIntrospection(service.rp, next.access_token)).sub, sub, 'nor to another who asks');
});

test('the account is found all the same: at our own routes, for the apps that are connected, and to end what an app has', async (t) => {
  const somebody = await newPerson(server);
  const app = await pairwise(ONE);
  const { tokens } = await subjectAt(app, ONE, somebody, {
    scope: 'openid read:profile offline_access',
    prompt: 'consent',
  });
  const asApp = { headers: { authorization: `Bearer ${tokens.access_token}`, accept: 'application/json' } };
  t.is((await jsonOf(await fetch(`${server.issuer}/users/me`, asApp))).id, somebody.id);

  const login = await fetch(`${server.issuer}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: somebody.email, password: somebody.password }),
  });
  const headers = { authorization: `Bearer ${(await jsonOf(login)).access_token}`, accept: 'application/json' };
  const exported = await (await fetch(`${server.issuer}/users/me/export`, { headers })).text();
  t.true(exported.includes(app.client.client_id) && exported.includes(somebody.id));
  const gone = await fetch(`${server.issuer}/users/me/apps/${app.client.client_id}`, { method: 'DELETE', headers });
  t.true(gone.ok, String(gone.status));
  t.is((await fetch(`${server.issuer}/users/me`, asApp)).status, 401);
  t.is(await refusal(oidc.refreshTokenGrant(app.rp, String(tokens.refresh_token))), 'invalid_grant');
});

test('OIDC Core §3.1.2.1: an id_token_hint with a pairwise subject is known again, silently, and at the sign-in page', async (t) => {
  const app = await pairwise(ONE);
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, app.rp, person, { redirect_uri: ONE });
  const hint = { redirect_uri: ONE, id_token_hint: String(tokens.id_token) };
  t.is((await signIn(browser, app.rp, person, { ...hint, prompt: 'none' })).tokens.claims()?.sub, tokens.claims()?.sub);
  t.is((await signIn(createBrowser(server.issuer), app.rp, person, hint)).tokens.claims()?.sub, tokens.claims()?.sub);
  const stranger = await newPerson(server);
  const elsewhere = createBrowser(server.issuer);
  const { url } = await authorizationRequest(app.rp, hint);
  const refused = await passThrough(elsewhere, await elsewhere.go(url), stranger);
  t.true(refused.html.includes('id="sign-in"'), 'somebody else is not let in for the one who is meant');
});

test('claims.id_token.sub.value is compared with the pairwise subject', async (t) => {
  const app = await pairwise(ONE);
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, app.rp, person, { redirect_uri: ONE });
  const insisting = (value: unknown): Record<string, string> => ({
    redirect_uri: ONE,
    prompt: 'none',
    claims: JSON.stringify({ id_token: { sub: { value } } }),
  });
  const same = await signIn(browser, app.rp, person, insisting(tokens.claims()?.sub));
  t.is(same.tokens.claims()?.sub, tokens.claims()?.sub);
  const { url } = await authorizationRequest(app.rp, insisting(person.id));
  t.is(told(await browser.go(url)).error, 'login_required', 'the account itself is no subject of this client');
});

test('OIDC Core §8.1: redirect_uris of two hosts need a sector_identifier_uri, and are one sector by it', async (t) => {
  const both = { subject_type: 'pairwise', redirect_uris: [ONE, TWO] };
  await t.throwsAsync(register(server, both), { message: /sector_identifier_uri/ });
  documents['/good'] = JSON.stringify([ONE, TWO, 'https://three.example/callback']);
  const app = await newApp(server, { ...both, sector_identifier_uri: `${host}/good` });
  const { sub } = await subjectAt(app, ONE);
  t.is((await subjectAt(app, TWO)).sub, sub);
  const sameSector = await newApp(server, {
    ...both,
    redirect_uris: ['https://three.example/callback'],
    sector_identifier_uri: `${host}/good`,
  });
  t.is((await subjectAt(sameSector, 'https://three.example/callback')).sub, sub);
});

for (const [what, path, document] of [
  ['does not name a redirect_uri', '/partial', JSON.stringify([ONE])],
  ['is no JSON', '/text', 'hello'],
  ['is no list', '/object', '{}'],
  ['is not there', '/missing', undefined],
  ['leads elsewhere', '/redirect', 'REDIRECT'],
  ['is too large', '/large', JSON.stringify([ONE, TWO, 'x'.repeat(300 * 1024)])],
] as const)
  test(`OIDC Registration §5: a sector_identifier_uri that ${what} is refused`, async (t) => {
    documents['/good'] = JSON.stringify([ONE, TWO, 'https://three.example/callback']);
    if (document !== undefined) documents[path] = document;
    const metadata = { subject_type: 'pairwise', redirect_uris: [ONE, TWO], sector_identifier_uri: `${host}${path}` };
    await t.throwsAsync(register(server, metadata), { name: 'DomainError', message: /sector_identifier_uri/ });
  });

test.serial('a sector_identifier_uri of a private network, of this machine or by http is not fetched', async (t) => {
  const strict = await startServer({ outbound: { extraCa: AUTHORITY } }, server);
  t.teardown(() => strict.close());
  let asked = 0;
  sector.on('request', () => {
    asked += 1;
  });
  for (const sector_identifier_uri of [
    `${host}/good`,
    host.replace('localhost', '127.0.0.1'),
    'https://169.254.169.254/latest',
    'https://[::1]/',
    'http://one.example/',
  ]) {
    const metadata = { subject_type: 'pairwise', redirect_uris: [ONE, TWO], sector_identifier_uri };
    await t.throwsAsync(register(strict, metadata), { name: 'DomainError' });
  }
  t.is(asked, 0);
});

test('a sector whose host is down, or says otherwise later, stops nobody from signing in', async (t) => {
  documents['/once'] = JSON.stringify([ONE, TWO]);
  const app = await newApp(server, {
    subject_type: 'pairwise',
    redirect_uris: [ONE, TWO],
    sector_identifier_uri: `${host}/once`,
  });
  delete documents['/once'];
  const { sub, tokens } = await subjectAt(app, TWO, person, { scope: 'openid email' });
  const headers = { authorization: `Bearer ${tokens.access_token}` };
  const elsewhere = await fetch(`${beside.origin}/oauth/userinfo`, { headers });
  t.is((await jsonOf(elsewhere)).sub, sub);
});

test('CIBA Core §4, §7.1: a client that may ask for approvals names a person by its own ID token of them, and by no other', async (t) => {
  const who = await newPerson(server);
  const key = await newKey('ES256');
  documents['/keys'] = JSON.stringify(key.jwks);
  const till = (more: Record<string, unknown> = {}) =>
    newApp(
      server,
      {
        subject_type: 'pairwise',
        token_endpoint_auth_method: 'private_key_jwt',
        jwks_uri: `${host}/keys`,
        grant_types: ['urn:openid:params:grant-type:ciba'],
        backchannel_token_delivery_mode: 'poll',
        response_types: [],
        redirect_uris: [],
        ...more,
      },
      { auth: oidc.PrivateKeyJwt({ key: key.privateKey, kid: key.kid }) },
    );
  const { rp } = await till();
  const browser = createBrowser(server.issuer);
  await browser.submit(await browser.go('/login'), 'sign-in', { login: who.email, password: who.password });
  const approved = async (hint: Record<string, string>) => {
    const request = await oidc.initiateBackchannelAuthentication(rp, { scope: 'openid', ...hint });
    const page = await browser.go('/account');
    const [, id = ''] = /id="(approve-[^"]+)"/.exec(page.html) ?? [];
    await browser.submit(page, id);
    return oidc.pollBackchannelAuthenticationGrant(rp, request);
  };
  const first = await approved({ login_hint: who.email });
  const subject = first.claims()?.sub;
  t.not(subject, who.id);
  const id_token_hint = String(first.id_token);
  t.is((await approved({ id_token_hint })).claims()?.sub, subject);

  const ask = (config: oidc.Configuration, hint: string) =>
    refusal(oidc.initiateBackchannelAuthentication(config, { scope: 'openid', id_token_hint: hint }));
  t.is(await ask((await till()).rp, id_token_hint), 'invalid_request', 'another client');
  const { rows } = await server.database.pool.query('SELECT * FROM pairwise_subjects WHERE user_id = $1', [who.id]);
  t.is(rows.length, 1);
  t.not(rows[0].subject_hash, subject, 'what an app knows somebody by is nobody else’s to read');
  await server.database.pool.query('DELETE FROM users WHERE id = $1', [who.id]);
  t.is(await ask(rp, id_token_hint), 'unknown_user_id');
});
