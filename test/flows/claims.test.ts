// What an app learns of a user: the claims of the scopes it was granted, those it asked for by name, and no others.
import test from 'ava';
import * as oidc from 'openid-client';
import { SCOPES } from '../../src/domain/claims.ts';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  refusal,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;
const address = {
  formatted: '12 St James’s Square\nLondon',
  street_address: '12 St James’s Square',
  locality: 'London',
  postal_code: 'SW1Y 4JH',
  country: 'GB',
};

test.before(async () => {
  server = await startServer();
  person = await newPerson(server, { username: 'ada' });
  await server.database.pool.query(
    `UPDATE users SET name = 'Ada Lovelace', given_name = 'Ada', family_name = 'Lovelace', middle_name = 'King',
       nickname = 'Countess', profile = 'https://ada.example/', picture = 'https://ada.example/p.png',
       website = 'https://ada.example/site', gender = 'female', birthdate = '1815-12-10', zoneinfo = 'Europe/London',
       locale = 'en-GB', phone_number = '+442079460000', phone_number_verified = true, email_verified = true,
       address = $2, updated_at = '2026-01-02T03:04:05.678Z'
     WHERE id = $1`,
    [person.id, address],
  );
});
test.after.always(() => server?.close());

const everything: Record<string, unknown> = {
  name: 'Ada Lovelace',
  given_name: 'Ada',
  family_name: 'Lovelace',
  middle_name: 'King',
  nickname: 'Countess',
  preferred_username: 'ada',
  profile: 'https://ada.example/',
  picture: 'https://ada.example/p.png',
  website: 'https://ada.example/site',
  gender: 'female',
  birthdate: '1815-12-10',
  zoneinfo: 'Europe/London',
  locale: 'en-GB',
  updated_at: 1767323045,
  email_verified: true,
  phone_number: '+442079460000',
  phone_number_verified: true,
  address,
};

const userinfo = (rp: oidc.Configuration, accessToken: string) => oidc.fetchUserInfo(rp, accessToken, person.id);

for (const scope of ['profile', 'email', 'address', 'phone'] as const)
  test(`scope ${scope} gives all of its standard claims at userinfo, and only those`, async (t) => {
    const { rp } = await newApp(server);
    const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { scope: `openid ${scope}` });
    const known = { ...everything, email: person.email };
    const expected = Object.fromEntries(
      Object.entries(known).filter(([name]) => SCOPES[scope].some((c) => c === name)),
    );
    t.is(Object.keys(expected).length, SCOPES[scope].length);
    t.deepEqual(await userinfo(rp, tokens.access_token), { sub: person.id, ...expected });
    // OIDC Core §5.4: with an access token to ask with, the claims of scopes stay out of the ID token.
    t.false(Object.keys(expected).some((name) => name in (tokens.claims() ?? {})));
  });

test('openid alone gives the subject and nothing else, and what is not known is absent rather than null', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  t.deepEqual(await userinfo(rp, tokens.access_token), { sub: person.id });

  const stranger = await newPerson(server);
  const all = await signIn(createBrowser(server.issuer), rp, stranger, { scope: 'openid profile email address phone' });
  const { updated_at, ...rest } = await oidc.fetchUserInfo(rp, all.tokens.access_token, stranger.id);
  t.is(typeof updated_at, 'number');
  t.deepEqual(rest, { sub: stranger.id, email: stranger.email, email_verified: false });
});

test('userinfo answers a POST, and a token in its body, as it does a GET', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  const url = `${server.issuer}/oauth/userinfo`;
  const byHeader = await fetch(url, { method: 'POST', headers: { authorization: `Bearer ${tokens.access_token}` } });
  const byBody = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({ access_token: tokens.access_token }),
  });
  t.deepEqual(await byHeader.json(), { sub: person.id });
  t.deepEqual(await byBody.json(), { sub: person.id });
});

test('the claims parameter adds single claims, each where it was asked for, after the person saw them', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const claims = JSON.stringify({
    id_token: { email: { essential: true }, auth_time: { essential: true }, amr: null, acr: { value: 'aal1' } },
    userinfo: { given_name: null, phone_number: { essential: true }, birthdate: { value: '1815-12-10' } },
  });
  const { url } = await authorizationRequest(rp, { claims });
  const login = await browser.go(url);
  const consent = await browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  for (const words of ['email address', 'given name', 'phone number', 'birth'])
    t.regex(consent.html, new RegExp(words, 'i'), `consent says nothing of: ${words}`);

  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { claims });
  const told = tokens.claims();
  t.like(told, { email: person.email, acr: 'aal1', amr: ['pwd'] });
  t.is(typeof told?.auth_time, 'number');
  t.false(['given_name', 'phone_number', 'birthdate', 'name'].some((name) => name in (told ?? {})));
  t.deepEqual(await userinfo(rp, tokens.access_token), {
    sub: person.id,
    given_name: 'Ada',
    phone_number: '+442079460000',
    birthdate: '1815-12-10',
  });
});

test('claims.id_token.sub signs in that user and nobody else', async (t) => {
  const { rp } = await newApp(server);
  const other = await newPerson(server);
  const claims = JSON.stringify({ id_token: { sub: { value: person.id } } });
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp, { claims });
  const login = await browser.go(started.url);
  const wrong = await browser.submit(login, 'sign-in', { login: other.email, password: other.password });
  t.is(wrong.status, 400);
  t.regex(wrong.html, /role="alert"/);
  const { tokens } = await signIn(browser, rp, person, { claims });
  t.is(tokens.claims()?.sub, person.id);
});

test('an essential claim that nobody has is left out, and does not stop the sign-in', async (t) => {
  const { rp } = await newApp(server);
  const stranger = await newPerson(server);
  const claims = JSON.stringify({
    id_token: { phone_number: { essential: true } },
    userinfo: { website: { essential: true }, 'https://nobody.example/claim': { essential: true } },
  });
  const { tokens } = await signIn(createBrowser(server.issuer), rp, stranger, { claims });
  t.false('phone_number' in (tokens.claims() ?? {}));
  t.deepEqual(await oidc.fetchUserInfo(rp, tokens.access_token, stranger.id), { sub: stranger.id });
});

for (const [what, claims] of [
  ['no JSON', '{'],
  ['no object', '[]'],
  ['null', 'null'],
  ['without a member we know', '{"other":{}}'],
  ['with a member that is no object', '{"userinfo":"all"}'],
] as const)
  test(`a claims parameter that is ${what} is an error to the app`, async (t) => {
    const { rp } = await newApp(server);
    const arrived = await createBrowser(server.issuer).go((await authorizationRequest(rp, { claims })).url);
    t.is(told(arrived).error, 'invalid_request');
  });

test('odd values inside claims break no page', async (t) => {
  const { rp } = await newApp(server);
  for (const claims of [
    { id_token: { sub: { value: 7 } } },
    { id_token: { sub: null, acr: null } },
    { id_token: { acr: { essential: true, values: 'aal1' } } },
    { id_token: { acr: { essential: true, value: 7 } } },
    { id_token: { acr: 'aal1' }, userinfo: { name: 'Ada', ['__proto__']: null, constructor: null } },
    { userinfo: { '<script>alert(1)</script>': null } },
  ]) {
    const { url } = await authorizationRequest(rp, { claims: JSON.stringify(claims) });
    const browser = createBrowser(server.issuer);
    const page = await browser.go(url);
    t.true(page.status === 0 || page.status === 200, `${JSON.stringify(claims)}: ${page.status}`);
    if (page.status !== 200) continue;
    const next = await browser.submit(page, 'sign-in', { login: person.email, password: person.password });
    t.true([0, 200, 400].includes(next.status), `${JSON.stringify(claims)}: ${next.status}`);
    t.notRegex(next.html, /<script/);
  }
});

test('a token without openid gets 403 from userinfo', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, {
    scope: 'read:profile',
    nonce: undefined,
  });
  const response = await fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${tokens.access_token}` },
  });
  t.is(response.status, 403);
  t.regex(response.headers.get('www-authenticate') ?? '', /Bearer.*error="insufficient_scope"/);
  t.is(await refusal(userinfo(rp, tokens.access_token)), 'insufficient_scope');
});
