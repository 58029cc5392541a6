// Refresh tokens (RFC 6749 §6, RFC 9700 §4.14) and tokens for the client itself (RFC 6749 §4.4).
import test from 'ava';
import * as oidc from 'openid-client';
import { sha256 } from '../../src/domain/secrets.ts';
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

const OFFLINE = { scope: 'openid profile email offline_access', prompt: 'consent' };

// RFC 6749 §5.2 has unauthorized_client for it; the engine says invalid_request.
const NOT_ALLOWED = /^(unauthorized_client|invalid_request)$/;

const refreshable = async () => {
  const app = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), app.rp, person, OFFLINE);
  return { ...app, tokens, refreshToken: tokens.refresh_token ?? '' };
};

/** By hand: a library would find fault with the times in its ID token. */
const retried = async (rp: oidc.Configuration, refresh_token: string) => {
  const { client_id, client_secret } = rp.clientMetadata();
  const body = { grant_type: 'refresh_token', client_id, client_secret: String(client_secret), refresh_token };
  const response = await fetch(`${server.issuer}/oauth/token`, { method: 'POST', body: new URLSearchParams(body) });
  return jsonOf(response);
};

const active = async (rp: oidc.Configuration, token: string) => (await oidc.tokenIntrospection(rp, token)).active;

test('a refresh token is exchanged for a new pair each time', async (t) => {
  const { rp, tokens, refreshToken } = await refreshable();
  const second = await oidc.refreshTokenGrant(rp, refreshToken);
  const third = await oidc.refreshTokenGrant(rp, second.refresh_token ?? '');
  t.is(new Set([refreshToken, second.refresh_token, third.refresh_token]).size, 3);
  t.is(new Set([tokens.access_token, second.access_token, third.access_token]).size, 3);
  t.is(third.claims()?.sub, person.id);
  t.is((await oidc.fetchUserInfo(rp, third.access_token, person.id)).email, person.email);
});

test('a refresh may narrow the scope of its access token, and the next one gets it all back', async (t) => {
  const { rp, refreshToken } = await refreshable();
  const narrow = await oidc.refreshTokenGrant(rp, refreshToken, { scope: 'openid email' });
  t.is(narrow.scope, 'openid email');
  t.deepEqual(Object.keys(await oidc.fetchUserInfo(rp, narrow.access_token, person.id)).sort(), [
    'email',
    'email_verified',
    'sub',
  ]);
  const whole = await oidc.refreshTokenGrant(rp, narrow.refresh_token ?? '');
  t.deepEqual(whole.scope?.split(' ').sort(), OFFLINE.scope.split(' ').sort());
});

test('a refresh never widens the scope', async (t) => {
  const { rp, refreshToken } = await refreshable();
  t.is(await refusal(oidc.refreshTokenGrant(rp, refreshToken, { scope: 'openid phone' })), 'invalid_scope');
  t.truthy((await oidc.refreshTokenGrant(rp, refreshToken)).access_token, 'a refusal spends nothing');
});

test("another client's refresh token is refused, and stays good for its own", async (t) => {
  const { rp, refreshToken } = await refreshable();
  const thief = await newApp(server);
  t.is(await refusal(oidc.refreshTokenGrant(thief.rp, refreshToken)), 'invalid_grant');
  t.truthy((await oidc.refreshTokenGrant(rp, refreshToken)).refresh_token);
});

test('a spent refresh token, used again, ends its whole family', async (t) => {
  const { rp, refreshToken } = await refreshable();
  const second = await oidc.refreshTokenGrant(rp, refreshToken);
  const third = await oidc.refreshTokenGrant(rp, second.refresh_token ?? '');
  t.true(await active(rp, third.access_token));
  t.is(await refusal(oidc.refreshTokenGrant(rp, refreshToken)), 'invalid_grant');
  t.is(await refusal(oidc.refreshTokenGrant(rp, third.refresh_token ?? '')), 'invalid_grant');
  t.false(await active(rp, third.access_token));
  t.is(await refusal(oidc.fetchUserInfo(rp, third.access_token, person.id)), 'invalid_token');
});

test('fifty refreshes of one token at once all succeed, with one successor', async (t) => {
  const { rp, refreshToken } = await refreshable();
  const all = await Promise.all(Array.from({ length: 50 }, () => oidc.refreshTokenGrant(rp, refreshToken)));
  t.is(new Set(all.map(({ refresh_token }) => refresh_token)).size, 1);
  for (const { access_token } of all.slice(0, 5)) t.true(await active(rp, access_token));
  t.truthy((await oidc.refreshTokenGrant(rp, all[0]?.refresh_token ?? '')).refresh_token);
});

test('a refresh whose answer was lost can be tried again, until the successor is used', async (t) => {
  const { rp, refreshToken } = await refreshable();
  const first = await oidc.refreshTokenGrant(rp, refreshToken);
  const retry = await oidc.refreshTokenGrant(rp, refreshToken);
  t.is(retry.refresh_token, first.refresh_token);
  t.not(retry.access_token, first.access_token);
  const third = await oidc.refreshTokenGrant(rp, retry.refresh_token ?? '');
  t.is(await refusal(oidc.refreshTokenGrant(rp, refreshToken)), 'invalid_grant');
  t.is(await refusal(oidc.refreshTokenGrant(rp, third.refresh_token ?? '')), 'invalid_grant');
});

test('a retry succeeds where the process ended after spending the token and before making its successor', async (t) => {
  const { rp, refreshToken } = await refreshable();
  await server.stores.artifacts.consume('RefreshToken', sha256(refreshToken));
  const retried = await oidc.refreshTokenGrant(rp, refreshToken);
  t.truthy((await oidc.refreshTokenGrant(rp, retried.refresh_token ?? '')).refresh_token);
});

const ofItsOwn = process.env.TEST_DATABASE_URL ? test.serial : test.serial.skip;
ofItsOwn(
  `the retry window goes by the store’s clock: a process whose own is minutes wrong keeps it all the same${process.env.TEST_DATABASE_URL ? '' : ' (the embedded database has no clock of its own: set TEST_DATABASE_URL)'}`,
  async (t) => {
    const { rp, refreshToken } = await refreshable();
    const first = await oidc.refreshTokenGrant(rp, refreshToken);
    const { now } = Date;
    t.teardown(() => {
      Date.now = now;
    });
    for (const minutes of [-3, 3]) {
      Date.now = () => now() + minutes * 60_000;
      t.is((await retried(rp, refreshToken)).refresh_token, first.refresh_token, `${minutes} minutes off`);
    }
  },
);

test('past the retry window a spent token is reuse, though its successor was never used', async (t) => {
  const strict = await startServer({ refreshRetrySeconds: 0 });
  t.teardown(() => strict.close());
  const { rp } = await newApp(strict);
  const { tokens } = await signIn(createBrowser(strict.issuer), rp, await newPerson(strict), OFFLINE);
  const next = await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '');
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant');
  t.is(await refusal(oidc.refreshTokenGrant(rp, next.refresh_token ?? '')), 'invalid_grant');
});

test('within the window another client gets nothing for a spent token, and the owner loses nothing', async (t) => {
  const { rp, refreshToken } = await refreshable();
  const thief = await newApp(server);
  const next = await oidc.refreshTokenGrant(rp, refreshToken);
  t.is(await refusal(oidc.refreshTokenGrant(thief.rp, refreshToken)), 'invalid_grant');
  t.truthy((await oidc.refreshTokenGrant(rp, next.refresh_token ?? '')).refresh_token);
});

test('the family that ends is one: the same user goes on in another browser', async (t) => {
  const { rp, refreshToken } = await refreshable();
  const { tokens: elsewhere } = await signIn(createBrowser(server.issuer), rp, person, OFFLINE);
  const next = await oidc.refreshTokenGrant(rp, refreshToken);
  await oidc.refreshTokenGrant(rp, next.refresh_token ?? '');
  t.is(await refusal(oidc.refreshTokenGrant(rp, refreshToken)), 'invalid_grant');
  t.truthy((await oidc.refreshTokenGrant(rp, elsewhere.refresh_token ?? '')).access_token);
});

test('OIDC Core §11: with openid, only offline_access and its consent give a refresh token', async (t) => {
  const { rp } = await newApp(server);
  const online = await signIn(createBrowser(server.issuer), rp, person, { scope: 'openid profile' });
  t.is(online.tokens.refresh_token, undefined);
  const unasked = await signIn(createBrowser(server.issuer), rp, person, { scope: 'openid offline_access' });
  t.is(unasked.tokens.refresh_token, undefined, 'without prompt=consent offline_access is ignored');
  t.is(unasked.tokens.scope, 'openid');
});

test('plain OAuth without openid gets a refresh token', async (t) => {
  const { rp } = await newApp(server);
  const plain = { scope: 'read:profile write:profile', nonce: undefined };
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, plain);
  t.is(tokens.id_token, undefined);
  const next = await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '');
  t.deepEqual(next.scope?.split(' ').sort(), ['read:profile', 'write:profile']);
});

test('a client that is not registered for refresh_token gets none and may use none', async (t) => {
  const { rp } = await newApp(server, { grant_types: ['authorization_code'] });
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, OFFLINE);
  t.is(tokens.refresh_token, undefined);
  const { refreshToken } = await refreshable();
  t.regex((await refusal(oidc.refreshTokenGrant(rp, refreshToken))) ?? '', NOT_ALLOWED);
});

test('a public client refreshes too, with rotation', async (t) => {
  const { rp } = await newApp(server, { token_endpoint_auth_method: 'none' });
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, OFFLINE);
  const second = await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '');
  t.not(second.refresh_token, tokens.refresh_token);
  await oidc.refreshTokenGrant(rp, second.refresh_token ?? '');
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant');
});

test('a new password ends what the old one opened', async (t) => {
  const careful = await newPerson(server);
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, rp, careful, OFFLINE);
  await server.accounts.setPassword(careful.email, 'a new password');
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant');
  t.false(await active(rp, tokens.access_token));
  t.is(await refusal(signIn(browser, rp, careful, { prompt: 'none' })), 'login_required');
});

test("a banned user's refresh token is refused", async (t) => {
  const banned = await newPerson(server);
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, banned, OFFLINE);
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant');
  t.is(await refusal(oidc.fetchUserInfo(rp, tokens.access_token, banned.id)), 'invalid_token');
});

test('client_credentials gives a token for the client itself, which is nobody at userinfo', async (t) => {
  const { client, rp } = await newApp(server, {
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  });
  const tokens = await oidc.clientCredentialsGrant(rp, { scope: 'read:profile' });
  t.is(tokens.refresh_token, undefined);
  t.is(tokens.scope, 'read:profile');
  t.like(await oidc.tokenIntrospection(rp, tokens.access_token), { active: true, client_id: client.client_id });
  t.is(await refusal(oidc.fetchUserInfo(rp, tokens.access_token, oidc.skipSubjectCheck)), 'invalid_token');
  t.truthy((await oidc.clientCredentialsGrant(rp)).access_token, 'a scope is not required');
});

test('client_credentials is refused to a client without the grant, and to a public one', async (t) => {
  const { rp } = await newApp(server);
  t.regex((await refusal(oidc.clientCredentialsGrant(rp))) ?? '', NOT_ALLOWED);
  const open = await newApp(server, { token_endpoint_auth_method: 'none' });
  t.regex((await refusal(oidc.clientCredentialsGrant(open.rp))) ?? '', NOT_ALLOWED);
});

test('RFC 6749 §4.4: client_credentials is for confidential clients: a public one cannot be registered for it', async (t) => {
  const metadata = {
    token_endpoint_auth_method: 'none',
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  };
  await t.throwsAsync(newApp(server, metadata), { name: 'DomainError' });
});
