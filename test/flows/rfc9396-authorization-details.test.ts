// RFC 9396: an app asks for one payment, not for all payments; people see which, and agree each time.
import test from 'ava';
import { decodeJwt } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { newKey } from '../helpers/client-keys.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  refusal,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const BANK = 'https://bank.example/';
const NOTES = 'https://notes.example/';
const field = (name: string, label: string, required = true) => ({
  name,
  label: { en: label, 'zh-CN': `${label}（中）` },
  required,
  max_length: 40,
});
const PAYMENT = {
  type: 'payment',
  description: { en: 'Make a payment', 'zh-CN': '付款' },
  fields: [field('amount', 'Amount'), field('creditor', 'To'), field('actions', 'Actions', false)],
};
const detail = { type: 'payment', amount: '12.50 EUR', creditor: 'Merchant <b>A</b>' };

/** A client names the types that it will ask for (RFC 9396 §10). */
const TYPES = { authorization_details_types: ['payment', 'note'] };

let server: TestServer;
let person: Person;

const register = (identifier: string, detailTypes: object[], tokenFormat: 'jwt' | 'opaque' = 'jwt') =>
  server.resources.create({
    identifier,
    name: 'Bank',
    scopes: [{ name: 'accounts', description: { en: 'See accounts' } }],
    defaultScopes: ['accounts'],
    tokenFormat,
    ttlSeconds: 600,
    signingAlg: null,
    introspectionClients: [],
    detailTypes: detailTypes as never,
  });

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  await register(BANK, [PAYMENT]);
  await register(NOTES, [{ ...PAYMENT, type: 'note' }], 'opaque');
});
test.after.always(() => server?.close());

const asking = (rp: oidc.Configuration, details: unknown, more: Record<string, string | undefined> = {}) =>
  authorizationRequest(rp, {
    resource: BANK,
    scope: 'accounts',
    nonce: undefined,
    authorization_details: typeof details === 'string' ? details : JSON.stringify(details),
    ...more,
  });

test('§2, §3: the consent page shows each detail in words, in the person’s language, escaped; the token bears what was agreed to', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const { url } = await asking(rp, [detail], { ui_locales: 'zh-CN' });
  const chinese = createBrowser(server.issuer);
  const login = { login: person.email, password: person.password };
  const there = await chinese.submit(await chinese.go(url), 'sign-in', login);
  t.regex(there.html, /付款/);
  t.regex(there.html, /Amount（中）/);

  const browser = createBrowser(server.issuer);
  const started = await asking(rp, [detail]);
  const page = await browser.submit(await browser.go(started.url), 'sign-in', login);
  t.regex(page.html, /Make a payment/);
  t.regex(page.html, /bank\.example/);
  t.regex(page.html, /<dt>Amount<\/dt><dd><bdi>12\.50 EUR<\/bdi><\/dd>/);
  t.regex(page.html, /Merchant &lt;b&gt;A&lt;\/b&gt;/);
  const arrived = await browser.submit(page, 'allow');
  const tokens = await redeem(rp, arrived.url, started);
  t.deepEqual(tokens.authorization_details, [detail]);
  t.deepEqual(decodeJwt(tokens.access_token).authorization_details, [detail]);
  const { rows } = await server.database.pool.query(
    "SELECT event FROM audit_events WHERE type = 'consent.given' AND target = $1 ORDER BY seq DESC LIMIT 1",
    [person.id],
  );
  t.deepEqual(JSON.parse(rows[0].event).details.authorization_details, [detail]);
});

test('who has agreed to one payment is asked again for the next one', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const browser = createBrowser(server.issuer);
  const first = await asking(rp, [detail]);
  await passThrough(browser, await browser.go(first.url), person);
  const second = await asking(rp, [{ ...detail, amount: '900 EUR' }]);
  t.regex((await browser.go(second.url)).html, /900 EUR/);
  const silent = await asking(rp, [detail], { prompt: 'none' });
  t.is(told(await browser.go(silent.url)).error, 'consent_required');
});

test('what was agreed to is in its own tokens, and does not pile up in the grant', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const payer = await newPerson(server);
  const browser = createBrowser(server.issuer);
  const sizes: number[] = [];
  for (const amount of ['10 EUR', '20 EUR', '30 EUR']) {
    const started = await asking(rp, [{ ...detail, amount }]);
    const arrived = await passThrough(browser, await browser.go(started.url), payer);
    const { access_token } = await redeem(rp, arrived.url, started);
    t.deepEqual(decodeJwt(access_token).authorization_details, [{ ...detail, amount }]);
    const { rows } = await server.database.pool.query(
      "SELECT sum(length(payload)) AS size FROM oauth_tokens WHERE model = 'Grant' AND account_id = $1",
      [payer.id],
    );
    sizes.push(Number(rows[0].size));
  }
  t.deepEqual(sizes, Array(3).fill(sizes[0]));
});

test('§5: what no type knows, what does not fit it, and what is no JSON are invalid_authorization_details', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const bad: unknown[] = [
    [{ ...detail, type: 'unknown' }],
    [{ ...detail, type: 'toString' }],
    [{ ...detail, surprise: 1 }],
    [{ type: 'payment', amount: '1' }],
    [{ ...detail, amount: { value: 1 } }],
    [{ ...detail, amount: 'x'.repeat(41) }],
    [{ ...detail, locations: ['https://elsewhere.example/'] }],
    [{ ...detail, locations: 'https://bank.example/' }],
    [{ ...detail, type: 'note' }],
    [{ amount: '1' }],
    [detail, 'detail'],
    { ...detail },
    '{',
    'null',
    Array(21).fill(detail),
  ];
  for (const details of bad) {
    const { url } = await asking(rp, details);
    const { error } = told(await createBrowser(server.issuer).go(url));
    t.is(error, 'invalid_authorization_details', JSON.stringify(details).slice(0, 80));
  }
  const { url } = await asking(rp, [detail], { resource: undefined });
  t.regex(
    String(told(await createBrowser(server.issuer).go(url)).error),
    /invalid_target|invalid_authorization_details/,
  );
});

test('§6: a token may be for some of what was granted, and for no more; a refresh keeps it', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const other = { ...detail, creditor: 'B' };
  const started = await asking(rp, [detail, other]);
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const tokens = await oidc.authorizationCodeGrant(
    rp,
    arrived.url,
    { pkceCodeVerifier: started.verifier, expectedState: started.state },
    { resource: BANK, authorization_details: JSON.stringify([other]) },
  );
  t.deepEqual(decodeJwt(tokens.access_token).authorization_details, [other]);
  const refreshed = await oidc.refreshTokenGrant(rp, String(tokens.refresh_token));
  t.deepEqual(decodeJwt(refreshed.access_token).authorization_details, [detail, other]);
  const more = { resource: BANK, authorization_details: JSON.stringify([{ ...detail, amount: '9999 EUR' }]) };
  t.is(
    await refusal(oidc.refreshTokenGrant(rp, String(refreshed.refresh_token), more)),
    'invalid_authorization_details',
  );
});

test('§4: they are asked for in a pushed and in a signed request as well, and what stands beside those is not', async (t) => {
  const key = await newKey();
  const { rp } = await newApp(server, { ...TYPES, jwks: key.jwks });
  const started = await asking(rp, [detail]);
  for (const url of [
    await oidc.buildAuthorizationUrlWithPAR(rp, started.url.searchParams),
    await oidc.buildAuthorizationUrlWithJAR(rp, started.url.searchParams, { key: key.privateKey, kid: key.kid }),
  ]) {
    url.searchParams.set('authorization_details', JSON.stringify([{ ...detail, amount: '9999 EUR' }]));
    const browser = createBrowser(server.issuer);
    const login = { login: person.email, password: person.password };
    const page = await browser.submit(await browser.go(url), 'sign-in', login);
    t.regex(page.html, /12\.50 EUR/);
    t.notRegex(page.html, /9999/);
    const arrived = await browser.submit(page, 'allow');
    t.deepEqual(decodeJwt((await redeem(rp, arrived.url, started)).access_token).authorization_details, [detail]);
  }
  const bad = await asking(rp, [{ ...detail, surprise: 1 }]);
  t.is(await refusal(oidc.buildAuthorizationUrlWithPAR(rp, bad.url.searchParams)), 'invalid_authorization_details');
});

test('§3: a device’s are shown to the person, and are in its token', async (t) => {
  const { rp } = await newApp(server, {
    ...TYPES,
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    response_types: [],
    redirect_uris: [],
  });
  const params = { resource: BANK, scope: 'accounts', authorization_details: JSON.stringify([detail]) };
  const device = await oidc.initiateDeviceAuthorization(rp, params);
  const browser = createBrowser(server.issuer);
  const code = await browser.submit(await browser.go('/device'), 'continue', { user_code: device.user_code });
  const login = { login: person.email, password: person.password };
  const page = await browser.submit(await browser.submit(code, 'confirm'), 'sign-in', login);
  t.regex(page.html, /Make a payment[\s\S]*12\.50 EUR/);
  const polling = oidc.pollDeviceAuthorizationGrant(rp, device);
  await browser.submit(page, 'allow');
  const tokens = await polling;
  t.deepEqual(tokens.authorization_details, [detail]);
  t.deepEqual(decodeJwt(tokens.access_token).authorization_details, [detail]);
  const bad = { ...params, authorization_details: JSON.stringify([{ ...detail, surprise: 1 }]) };
  t.is(await refusal(oidc.initiateDeviceAuthorization(rp, bad)), 'invalid_authorization_details');
});

test('§7: who has agreed to one payment has a token without any where none is asked for next', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const browser = createBrowser(server.issuer);
  const first = await asking(rp, [detail]);
  await passThrough(browser, await browser.go(first.url), person);
  const next = await asking(rp, '', { authorization_details: undefined });
  const arrived = await passThrough(browser, await browser.go(next.url), person);
  const tokens = await redeem(rp, arrived.url, next);
  t.is(tokens.authorization_details, undefined);
  t.is(decodeJwt(tokens.access_token).authorization_details, undefined);
  const more = { resource: BANK, authorization_details: JSON.stringify([detail]) };
  t.is(await refusal(oidc.refreshTokenGrant(rp, String(tokens.refresh_token), more)), 'invalid_authorization_details');
});

test('§9.2: introspection tells them of an opaque token; a client for itself has none', async (t) => {
  const { rp } = await newApp(server, TYPES);
  const note = { ...detail, type: 'note' };
  const started = await asking(rp, [note], { resource: NOTES });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const { access_token } = await redeem(rp, arrived.url, started);
  t.deepEqual((await oidc.tokenIntrospection(rp, access_token)).authorization_details as unknown, [note]);

  const service = await newApp(server, { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] });
  const alone = oidc.clientCredentialsGrant(service.rp, {
    resource: BANK,
    authorization_details: JSON.stringify([detail]),
  });
  t.is(await refusal(alone), 'invalid_authorization_details');
});

test('§10: discovery names the types; a client may be held to some; another process knows a new one', async (t) => {
  const other = await startServer({}, server);
  await register('https://late.example/', [{ ...PAYMENT, type: 'late' }]);
  await other.resources.follow();
  for (const { origin } of [server, other]) {
    const document = (await (await fetch(`${origin}/.well-known/openid-configuration`)).json()) as Record<
      string,
      string[]
    >;
    t.deepEqual(document.authorization_details_types_supported?.toSorted(), ['late', 'note', 'payment']);
  }
  await other.close();
  const { rp } = await newApp(server, { authorization_details_types: ['late'] });
  const { url } = await asking(rp, [detail]);
  t.is(told(await createBrowser(server.issuer).go(url)).error, 'invalid_authorization_details');
  await t.throwsAsync(register('https://copy.example/', [PAYMENT]), { code: 'invalid_resource' });
});
