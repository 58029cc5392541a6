// Token requests that are refused, by RFC 6749 §5.2 and RFC 7636 §4.6, and what a refusal leaves behind.
import test from 'ava';
import { Redis } from 'ioredis';
import * as oidc from 'openid-client';
import { sha256 } from '../../src/domain/secrets.ts';
import { createBrowser } from '../helpers/browser.ts';
import { keysOf } from '../helpers/redis.ts';
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

/** An app with a code in hand. */
const withCode = async (metadata: Record<string, unknown> = {}, params: Record<string, string | undefined> = {}) => {
  const { client, rp } = await newApp(server, metadata);
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(rp, params);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  return { client, rp, started, callback: arrived.url, code: told(arrived).code ?? '' };
};

type Form = Record<string, string>;
const post = async (form: Form | string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${server.issuer}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers,
  });
  const answer = (await response.json()) as Record<string, string>;
  return { status: response.status, headers: response.headers, answer };
};

/** The token request for a code, as a client that sends its secret in the form. */
const exchange = ({ client, started, code }: Awaited<ReturnType<typeof withCode>>): Form => ({
  grant_type: 'authorization_code',
  code,
  redirect_uri: CALLBACK,
  code_verifier: started.verifier,
  client_id: client.client_id,
  client_secret: client.client_secret ?? '',
});
const without = (form: Form, ...names: string[]): Form =>
  Object.fromEntries(Object.entries(form).filter(([name]) => !names.includes(name)));

test('a code works once; used again, it ends what it gave', async (t) => {
  const { rp, started, callback } = await withCode(
    {},
    { scope: 'openid email offline_access', prompt: 'login consent' },
  );
  const tokens = await redeem(rp, callback, started);
  t.true((await oidc.tokenIntrospection(rp, tokens.access_token)).active);
  t.is(await refusal(redeem(rp, callback, started)), 'invalid_grant');
  t.false((await oidc.tokenIntrospection(rp, tokens.access_token)).active);
  t.is(await refusal(oidc.fetchUserInfo(rp, tokens.access_token, person.id)), 'invalid_token');
  t.is(await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '')), 'invalid_grant');
});

test('of 100 redemptions of one code at once exactly one succeeds', async (t) => {
  const having = await withCode();
  const answers = await Promise.all(Array.from({ length: 100 }, () => post(exchange(having))));
  const statuses = answers.map(({ status }) => status);
  t.is(statuses.filter((status) => status === 200).length, 1);
  t.is(statuses.filter((status) => status === 400).length, 99);
  t.true(answers.every(({ status, answer }) => status === 200 || answer.error === 'invalid_grant'));
  const winner = answers.find(({ status }) => status === 200)?.answer.access_token ?? '';
  t.false((await oidc.tokenIntrospection(having.rp, winner)).active, 'two held the code: neither keeps its token');
});

for (const [what, change] of [
  ['another verifier', (form: Form) => ({ ...form, code_verifier: oidc.randomPKCECodeVerifier() })],
  ['the challenge for a verifier', (form: Form) => ({ ...form, code_verifier: form.challenge ?? '' })],
  ['no verifier', (form: Form) => without(form, 'code_verifier')],
  ['an empty verifier', (form: Form) => ({ ...form, code_verifier: '' })],
  ['another redirect_uri', (form: Form) => ({ ...form, redirect_uri: 'https://app.example/other' })],
  ['a made-up code', (form: Form) => ({ ...form, code: 'A'.repeat(43) })],
] as const)
  test(`${what} is an invalid_grant, and the right request still works`, async (t) => {
    const having = await withCode();
    const form = exchange(having);
    const challenge = having.started.url.searchParams.get('code_challenge') ?? '';
    const refused = await post(without(change({ ...form, challenge }), 'challenge'));
    t.is(refused.status, 400);
    t.is(refused.answer.error, 'invalid_grant');
    t.is(refused.headers.get('cache-control'), 'no-store');
    t.is((await post(form)).status, 200);
  });

test('a verifier where none was announced is refused (RFC 9700 §2.1.1: no PKCE downgrade)', async (t) => {
  const having = await withCode({}, { code_challenge: undefined, code_challenge_method: undefined });
  const refused = await post(exchange(having));
  t.is(refused.answer.error, 'invalid_grant');
});

test('a request without its code or grant_type is an invalid_request', async (t) => {
  const form = exchange(await withCode());
  for (const name of ['code', 'grant_type']) {
    const { status, answer } = await post(without(form, name));
    t.is(status, 400, name);
    t.is(answer.error, 'invalid_request', name);
  }
});

/** Lets a code's time run out, where it is stored. @returns how many records it was found in. */
const age = async (code: string): Promise<number> => {
  const idHash = sha256(code);
  const url = process.env.TEST_REDIS_URL;
  if (!url) {
    const { rowCount } = await server.database.pool.query(
      "UPDATE oauth_tokens SET expires_at = now() - interval '1 second' WHERE id_hash = $1",
      [idHash],
    );
    return rowCount ?? 0;
  }
  const redis = new Redis(url);
  const keys = await keysOf(redis, `*${idHash}`);
  for (const key of keys) await redis.pexpire(key, 0);
  redis.disconnect();
  return keys.length;
};

test('an expired code is an invalid_grant', async (t) => {
  const having = await withCode();
  t.is(await age(having.code), 1);
  const { status, answer } = await post(exchange(having));
  t.is(status, 400);
  t.is(answer.error, 'invalid_grant');
});

test('the code of another client is an invalid_grant', async (t) => {
  const having = await withCode();
  const thief = await newApp(server);
  const { answer } = await post({
    ...exchange(having),
    client_id: thief.client.client_id,
    client_secret: thief.client.client_secret ?? '',
  });
  t.is(answer.error, 'invalid_grant');
});

const basic = (id: string, secret: string) => ({
  authorization: `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)}`,
});

test('a wrong secret is a 401 invalid_client, with WWW-Authenticate for who used basic', async (t) => {
  const having = await withCode();
  const form = exchange(having);
  const wrongPost = await post({ ...form, client_secret: 'wrong' });
  t.is(wrongPost.status, 401);
  t.is(wrongPost.answer.error, 'invalid_client');
  const wrongBasic = await post(without(form, 'client_id', 'client_secret'), basic(having.client.client_id, 'wrong'));
  t.is(wrongBasic.status, 401);
  t.is(wrongBasic.answer.error, 'invalid_client');
  t.regex(wrongBasic.headers.get('www-authenticate') ?? '', /^Basic realm="/);
  const unknown = await post({ ...form, client_id: 'nobody' });
  t.is(unknown.status, 401);
  t.deepEqual(unknown.answer, wrongPost.answer, 'who asks does not learn which client exists');
  t.is((await post(form)).status, 200, 'none of that spent the code');
});

test('a client with a secret is refused without it', async (t) => {
  const form = exchange(await withCode());
  t.is((await post(without(form, 'client_secret'))).answer.error, 'invalid_client');
  t.is((await post({ ...form, client_secret: '' })).answer.error, 'invalid_client');
});

test('a client that proves itself in two ways at once is refused', async (t) => {
  const having = await withCode();
  const { client } = having;
  const { status, answer } = await post(exchange(having), basic(client.client_id, client.client_secret ?? ''));
  t.is(status, 400);
  t.is(answer.error, 'invalid_request');
});

test('a broken Authorization header is refused, not an error of ours', async (t) => {
  for (const authorization of ['Basic', 'Basic ***', 'Basic bm9jb2xvbg==', 'Bearer x', `Basic ${btoa('a:%ZZ')}`]) {
    const { status } = await post({ grant_type: 'client_credentials' }, { authorization });
    t.true(status === 400 || status === 401, `${authorization}: ${status}`);
  }
});

test('a client_id with a NUL character at the token endpoint is an invalid_client, not an error of ours', async (t) => {
  const { status, answer } = await post({ grant_type: 'client_credentials', client_id: 'a\0b', client_secret: 'x' });
  t.is(status, 401);
  t.is(answer.error, 'invalid_client');
});

test('an unsupported grant_type is told so', async (t) => {
  const form = exchange(await withCode());
  for (const grant_type of ['password', 'implicit', 'urn:ietf:params:oauth:grant-type:saml2-bearer', 'constructor'])
    t.is((await post({ ...form, grant_type })).answer.error, 'unsupported_grant_type', grant_type);
});

test('an unknown resource is an invalid_target at the token endpoint too', async (t) => {
  const form = exchange(await withCode());
  const { status, answer } = await post({ ...form, resource: 'https://api.example/' });
  t.is(status, 400);
  t.is(answer.error, 'invalid_target');
});

test('a doubled parameter is an invalid_request', async (t) => {
  const form = exchange(await withCode());
  const { answer } = await post(`${new URLSearchParams(form)}&code=${form.code}`);
  t.is(answer.error, 'invalid_request');
});

test('a token request by GET or with JSON is refused', async (t) => {
  const form = exchange(await withCode());
  const byGet = await fetch(`${server.issuer}/oauth/token?${new URLSearchParams(form)}`);
  t.true(byGet.status === 404 || byGet.status === 405, String(byGet.status));
  const json = await fetch(`${server.issuer}/oauth/token`, {
    method: 'POST',
    body: JSON.stringify(form),
    headers: { 'content-type': 'application/json' },
  });
  t.is(json.status, 400);
});

test('what was refused to an impostor is still there for the app', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  t.is((await oidc.fetchUserInfo(rp, tokens.access_token, person.id)).sub, person.id);
});
