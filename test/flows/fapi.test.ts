// FAPI 2.0 Security Profile and Message Signing, for the clients whose metadata say so: each rule with its refusal, and nobody else held to it.
import test from 'ava';
import type { JWTPayload } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { CLIENT_ONE, escaped } from '../helpers/certificates.ts';
import { assertion, type ClientKey, dpopProof, newKey, presented, signed } from '../helpers/client-keys.ts';
import {
  authorizationRequest,
  CALLBACK,
  discover,
  jsonOf,
  newPerson,
  type Person,
  passThrough,
  register,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;
let key: ClientKey;

test.before(async () => {
  server = await startServer({
    trustProxy: 1,
    mtls: { certificateHeader: 'x-client-cert', verifiedHeader: 'x-client-verify' },
  });
  person = await newPerson(server);
  key = await newKey('PS256');
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

const BASE = { redirect_uris: [CALLBACK], grant_types: ['authorization_code', 'refresh_token'] };
const FAPI = () => ({ ...BASE, profile: 'fapi2', token_endpoint_auth_method: 'private_key_jwt', jwks: key.jwks });
const SIGNING = () => ({ ...FAPI(), profile: 'fapi2-message-signing' });
const OFFLINE = { scope: 'openid email offline_access', prompt: 'consent' };

const app = async (metadata: Record<string, unknown> = FAPI()) => {
  const client = await register(server, metadata);
  const { client_id, id_token_signed_response_alg, authorization_signed_response_alg } = client;
  const told = { id_token_signed_response_alg, authorization_signed_response_alg } as Partial<oidc.ClientMetadata>;
  const rp = await discover(server, client_id, told, oidc.PrivateKeyJwt({ key: key.privateKey, kid: key.kid }));
  return { client, rp };
};
type App = Awaited<ReturnType<typeof app>>;

const post = async (path: string, body: Record<string, string>, headers: Record<string, string> = {}) => {
  const response = await fetch(`${server.issuer}${path}`, { method: 'POST', headers, body: new URLSearchParams(body) });
  const answer = await jsonOf(response);
  return { status: response.status, error: answer.error, body: answer };
};

/** What the client proves itself by, at whatever endpoint. */
const proven = async ({ client }: App, changes: Record<string, unknown> = {}, by = key) =>
  presented(await signed(assertion(client.client_id, server.issuer, changes), by));

const push = async (of: App, params: Record<string, string | undefined> = {}) => {
  const started = await authorizationRequest(of.rp, { ...OFFLINE, ...params });
  const answer = await post('/oauth/par', { ...Object.fromEntries(started.url.searchParams), ...(await proven(of)) });
  return { ...answer, started };
};

const visit = async (of: App, requestUri: unknown) => {
  const url = new URL(`${server.issuer}/oauth/authorize`);
  url.search = String(new URLSearchParams({ client_id: of.client.client_id, request_uri: String(requestUri) }));
  const browser = createBrowser(server.issuer);
  return passThrough(browser, await browser.go(url), person);
};

const code = async (of: App) => {
  const { body, started } = await push(of);
  const arrived = await visit(of, body.request_uri);
  return {
    grant_type: 'authorization_code',
    code: String(told(arrived).code),
    redirect_uri: CALLBACK,
    code_verifier: started.verifier,
  };
};

const TOKEN = () => `${server.issuer}/oauth/token`;

test('FAPI 2.0 SP §5: a client of the profile signs in by openid-client with PAR, DPoP and private_key_jwt', async (t) => {
  const { rp, client } = await app();
  t.like(client, {
    require_pushed_authorization_requests: true,
    dpop_bound_access_tokens: true,
    id_token_signed_response_alg: 'PS256',
  });
  const DPoP = oidc.getDPoPHandle(rp, await oidc.randomDPoPKeyPair());
  const started = await authorizationRequest(rp, OFFLINE);
  const url = await oidc.buildAuthorizationUrlWithPAR(rp, started.url.searchParams, { DPoP });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(url), person);
  t.is(told(arrived).iss, server.issuer, '§5.3.2.2: RFC 9207');
  const checks = { pkceCodeVerifier: started.verifier, expectedState: started.state, expectedNonce: started.nonce };
  const tokens = await oidc.authorizationCodeGrant(rp, arrived.url, checks, undefined, { DPoP });
  t.is(tokens.token_type.toLowerCase(), 'dpop');
  t.is((await oidc.fetchUserInfo(rp, tokens.access_token, person.id, { DPoP })).email, person.email);
});

const small = { kty: 'RSA', e: 'AQAB', n: Buffer.alloc(128, 0xff).toString('base64url') };
for (const [what, change, message] of [
  [
    'a client secret (§5.3.2.1)',
    { token_endpoint_auth_method: 'client_secret_basic', jwks: undefined },
    /token_endpoint_auth_method/,
  ],
  ['client_secret_jwt (§5.3.2.1)', { token_endpoint_auth_method: 'client_secret_jwt' }, /token_endpoint_auth_method/],
  ['no authentication (§5.3.2.1)', { token_endpoint_auth_method: 'none' }, /token_endpoint_auth_method/],
  ['an ID token from the front (§5.3.2.2)', { response_types: ['code id_token'] }, /response_types/],
  ['requests that are not pushed (§5.3.2.2)', { require_pushed_authorization_requests: false }, /require_pushed/],
  ['a redirect_uri by http (§5.3.2.2)', { redirect_uris: ['http://app.example/callback'] }, /redirect_uris/],
  ['tokens bound to nothing (§5.3.2.1)', { dpop_bound_access_tokens: false }, /must be true/],
  ['ID tokens by RS256 (§5.4.1)', { id_token_signed_response_alg: 'RS256' }, /id_token_signed_response_alg/],
  ['ID tokens by HS256 (§5.4.1)', { id_token_signed_response_alg: 'HS256' }, /id_token_signed_response_alg/],
  ['userinfo by RS256 (§5.4.1)', { userinfo_signed_response_alg: 'RS256' }, /userinfo_signed_response_alg/],
  [
    'introspection by RS256 (§5.4.1)',
    { introspection_signed_response_alg: 'RS256' },
    /introspection_signed_response_alg/,
  ],
  ['answers by RS256 (§5.4.1)', { authorization_signed_response_alg: 'RS256' }, /authorization_signed_response_alg/],
  ['assertions by RS256 (§5.4.1)', { token_endpoint_auth_signing_alg: 'RS256' }, /token_endpoint_auth_signing_alg/],
  ['requests by RS256 (§5.4.1)', { request_object_signing_alg: 'RS256' }, /request_object_signing_alg/],
  ['a short RSA key (§5.4.1)', { jwks: { keys: [small] } }, /2048/],
  ['a profile that nobody knows', { profile: 'fapi3' }, /profile must be/],
] as const)
  test(`FAPI 2.0 SP: ${what} cannot be registered`, async (t) => {
    await t.throwsAsync(register(server, { ...FAPI(), ...change }), { message });
  });

test('FAPI 2.0 SP §5.3.2.2: a request that was not pushed is refused, by GET and by POST', async (t) => {
  const { rp } = await app();
  const { url } = await authorizationRequest(rp);
  const browser = createBrowser(server.issuer);
  for (const arrived of [
    await browser.go(url),
    await browser.go('/oauth/authorize', { method: 'POST', body: url.searchParams }),
  ]) {
    t.is(told(arrived).error, 'invalid_request');
    t.is(told(arrived).code, undefined);
  }
});

test('FAPI 2.0 SP §5.3.2.2: a pushed request needs authentication, PKCE by S256 and a redirect_uri', async (t) => {
  const of = await app();
  const { url } = await authorizationRequest(of.rp);
  const params = { ...Object.fromEntries(url.searchParams), client_id: of.client.client_id };
  t.is((await post('/oauth/par', params)).error, 'invalid_client');
  for (const missing of [
    { code_challenge: undefined, code_challenge_method: undefined },
    { code_challenge_method: 'plain' },
    { code_challenge_method: undefined },
    { redirect_uri: undefined },
    { redirect_uri: 'https://app.example/other' },
  ])
    t.is((await push(of, missing)).error, 'invalid_request', JSON.stringify(missing));
  const good = await push(of);
  t.is(good.status, 201);
  t.true(Number(good.body.expires_in) < 600, '§5.3.2.2');
});

test('FAPI 2.0 SP §5.3.2.1: an assertion is for the issuer, as a string; every other client may name the endpoint', async (t) => {
  const of = await app();
  const other = await app({ ...BASE, token_endpoint_auth_method: 'private_key_jwt', jwks: key.jwks });
  const { url } = await authorizationRequest(of.rp, OFFLINE);
  for (const aud of [
    TOKEN(),
    `${server.issuer}/oauth/par`,
    [server.issuer],
    [server.issuer, TOKEN()],
    `${server.issuer}/`,
  ]) {
    const params = Object.fromEntries(url.searchParams);
    t.is(
      (await post('/oauth/par', { ...params, ...(await proven(of, { aud })) })).error,
      'invalid_client',
      String(aud),
    );
    if (aud === `${server.issuer}/`) continue;
    const theirs = { ...params, client_id: other.client.client_id, ...(await proven(other, { aud })) };
    t.is((await post('/oauth/par', theirs)).status, 201, String(aud));
  }
});

test('FAPI 2.0 SP §5.3.2.1: clocks may differ by ten seconds; what is signed more than a minute from now is refused', async (t) => {
  const of = await app();
  const started = await authorizationRequest(of.rp, OFFLINE);
  const request = Object.fromEntries(started.url.searchParams);
  const soon = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;
  const at = async (changes: Record<string, unknown>) =>
    post('/oauth/par', { ...request, ...(await proven(of, { exp: soon(200), ...changes })) });
  t.is((await at({ iat: soon(8), nbf: soon(8) })).status, 201);
  for (const changes of [{ iat: soon(90) }, { nbf: soon(90) }, { iat: soon(90), nbf: soon(90) }])
    t.is((await at(changes)).error, 'invalid_client', JSON.stringify(changes));
  const signing = await app(SIGNING());
  const ask = async (claims: Record<string, unknown>) =>
    post('/oauth/par', { request: await requestObject(signing, claims), ...(await proven(signing)) });
  t.is((await ask({ iat: soon(8), nbf: soon(8), exp: soon(60) })).status, 201);
  for (const claims of [{ iat: soon(90) }, { nbf: soon(90), exp: soon(200) }])
    t.is((await ask(claims)).error, 'invalid_request_object', JSON.stringify(claims));
});

test('FAPI 2.0 SP §5.4.1: an assertion by RS256 is refused, though the key is the client’s', async (t) => {
  const { importJWK, exportJWK } = await import('jose');
  const { kty, n, e } = key.jwk;
  const of = await app({ ...FAPI(), jwks: { keys: [{ kty, n, e, kid: 'any' }] } });
  const rsa = (await importJWK(
    { ...(await exportJWK(key.privateKey)), alg: 'RS256' },
    'RS256',
  )) as unknown as ClientKey['privateKey'];
  const { url } = await authorizationRequest(of.rp, OFFLINE);
  const jwt = await signed(assertion(of.client.client_id, server.issuer), {
    alg: 'RS256',
    kid: 'any',
    privateKey: rsa,
  });
  t.is(
    (await post('/oauth/par', { ...Object.fromEntries(url.searchParams), ...presented(jwt) })).error,
    'invalid_client',
  );
});

test('FAPI 2.0 SP §5.3.2.1: no token without proof of a key; with it the token is bound', async (t) => {
  const of = await app();
  t.is((await post('/oauth/token', { ...(await code(of)), ...(await proven(of)) })).error, 'invalid_grant');
  const dpop = await dpopProof(await newKey(), 'POST', TOKEN());
  const { body } = await post('/oauth/token', { ...(await code(of)), ...(await proven(of)) }, { dpop });
  t.is(body.token_type, 'DPoP');
  const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${body.access_token}` },
  });
  t.is(userinfo.status, 401);
  t.is(
    (await fetch(`${server.issuer}/oauth/userinfo?access_token=${body.access_token}`)).status,
    400,
    '§5.3.4: nor in the address',
  );
});

test('FAPI 2.0 SP §5.3.2.1: a refresh token does not rotate, and needs authentication', async (t) => {
  const of = await app();
  const dpop = await newKey();
  const proof = async () => ({ dpop: await dpopProof(dpop, 'POST', TOKEN()) });
  const first = await post('/oauth/token', { ...(await code(of)), ...(await proven(of)) }, await proof());
  const refresh = { grant_type: 'refresh_token', refresh_token: String(first.body.refresh_token) };
  for (let time = 0; time < 3; time += 1) {
    const next = await post('/oauth/token', { ...refresh, ...(await proven(of)) }, await proof());
    t.is(next.status, 200);
    t.is(next.body.refresh_token ?? refresh.refresh_token, refresh.refresh_token);
  }
  t.is(
    (await post('/oauth/token', { ...refresh, client_id: of.client.client_id }, await proof())).error,
    'invalid_client',
  );
});

test('FAPI 2.0 SP §5.3.2.1: a refresh token that does not rotate is retried at will, and is worth nothing to anybody else', async (t) => {
  const of = await app();
  const dpop = await newKey();
  const send = async (by: Awaited<ReturnType<typeof app>>, body: Record<string, string>, key = dpop) =>
    post('/oauth/token', { ...body, ...(await proven(by)) }, { dpop: await dpopProof(key, 'POST', TOKEN()) });
  const first = await send(of, await code(of));
  const refresh = { grant_type: 'refresh_token', refresh_token: String(first.body.refresh_token) };
  // Lost answers, two tabs: none of it is a reuse.
  const retries = await Promise.all(Array.from({ length: 5 }, () => send(of, refresh)));
  t.deepEqual(
    retries.map(({ status }) => status),
    [200, 200, 200, 200, 200],
  );
  const stranger = await app();
  t.is((await send(stranger, refresh)).error, 'invalid_grant');
  t.is((await send(stranger, refresh, await newKey())).error, 'invalid_grant');
  t.is((await post('/oauth/token', { ...refresh, ...(await proven(of)) })).status, 400, 'without a proof of a key');
  const gone = await send(of, refresh);
  t.is(gone.status, 200, 'its owner loses nothing by the attempts');
  const body = new URLSearchParams({ token: refresh.refresh_token, ...(await proven(of)) });
  t.is((await fetch(`${server.issuer}/oauth/revoke`, { method: 'POST', body })).status, 200);
  t.is((await send(of, refresh)).error, 'invalid_grant');
});

test('FAPI 2.0 SP §5.3.2.2: a code is good once', async (t) => {
  const of = await app();
  const body = await code(of);
  const dpop = await newKey();
  const redeem = async () =>
    post('/oauth/token', { ...body, ...(await proven(of)) }, { dpop: await dpopProof(dpop, 'POST', TOKEN()) });
  t.is((await redeem()).status, 200);
  t.is((await redeem()).error, 'invalid_grant');
});

test.serial('FAPI 2.0 SP §5.3.2.2: a code lives for a minute at most', async (t) => {
  const of = await app();
  const body = await code(of);
  const realNow = Date.now;
  t.teardown(() => {
    Date.now = realNow;
  });
  Date.now = () => realNow() + 61_000;
  const dpop = await dpopProof(await newKey(), 'POST', TOKEN());
  t.is((await post('/oauth/token', { ...body, ...(await proven(of)) }, { dpop })).error, 'invalid_grant');
});

test('FAPI 2.0 SP §5.3.2.2: the browser is sent back by 303', async (t) => {
  const of = await app();
  const { body } = await push(of, { prompt: 'none' });
  const url = new URL(`${server.issuer}/oauth/authorize`);
  url.search = String(new URLSearchParams({ client_id: of.client.client_id, request_uri: String(body.request_uri) }));
  const answer = await fetch(url, { redirect: 'manual' });
  t.is(answer.status, 303);
  t.true(answer.headers.get('location')?.startsWith(CALLBACK));
});

test('FAPI 2.0 SP §5.3.2.1: by mutual TLS, tokens are bound to the certificate without being asked', async (t) => {
  const { jwks: _, ...metadata } = FAPI();
  const client = await register(server, {
    ...metadata,
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'client.example',
  });
  t.like(client, { tls_client_certificate_bound_access_tokens: true, dpop_bound_access_tokens: false });
  const of = { client, rp: await discover(server, client.client_id, {}, oidc.None()) };
  const headers = { 'x-client-cert': escaped(CLIENT_ONE), 'x-client-verify': 'SUCCESS' };
  const started = await authorizationRequest(of.rp, OFFLINE);
  const { body } = await post(
    '/oauth/par',
    { ...Object.fromEntries(started.url.searchParams), client_id: client.client_id },
    headers,
  );
  const arrived = await visit(of, body.request_uri);
  const redeeming = {
    grant_type: 'authorization_code',
    client_id: client.client_id,
    code: String(told(arrived).code),
    redirect_uri: CALLBACK,
    code_verifier: started.verifier,
  };
  const { body: tokens } = await post('/oauth/token', redeeming, headers);
  const userinfo = (more: Record<string, string>) =>
    fetch(`${server.issuer}/oauth/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}`, ...more } });
  t.is((await userinfo(headers)).status, 200);
  t.is((await userinfo({})).status, 401);
});

test('a profile that relies on mutual TLS ends where mutual TLS does: no token is bound to nothing', async (t) => {
  const { jwks: _, ...metadata } = FAPI();
  const { client_id } = await register(server, {
    ...metadata,
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'client.example',
  });
  const without = await startServer({}, server);
  t.teardown(() => without.close());
  const response = await fetch(`${without.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', client_id }),
  });
  t.false(response.ok);
  t.true(response.status < 500, String(response.status));
});

test('the profile cannot be left by halves: a change is held to it as well', async (t) => {
  const { client } = await app();
  const { client_id } = client;
  await t.throwsAsync(server.clients.replace(client_id, { ...FAPI(), dpop_bound_access_tokens: false }, false), {
    message: /must be true/,
  });
  const plain = await server.clients.replace(
    client_id,
    { ...BASE, token_endpoint_auth_method: 'private_key_jwt', jwks: key.jwks },
    false,
  );
  t.is(plain.metadata.profile, undefined);
});

test('nobody else is held to it: a stock client asks in the address, without a key', async (t) => {
  const client = await register(server, BASE);
  const rp = await discover(server, client.client_id, { client_secret: String(client.client_secret) });
  const browser = createBrowser(server.issuer);
  const { url } = await authorizationRequest(rp);
  t.truthy(told(await passThrough(browser, await browser.go(url), person)).code);
});

const requestObject = async (of: App, claims: JWTPayload = {}, header: Record<string, unknown> = {}) => {
  const now = Math.floor(Date.now() / 1000);
  const { url } = await authorizationRequest(of.rp, { ...OFFLINE, response_mode: 'jwt' });
  const payload = {
    ...Object.fromEntries(url.searchParams),
    iss: of.client.client_id,
    aud: server.issuer,
    nbf: now,
    exp: now + 60,
    ...claims,
  };
  return signed(payload, key, { typ: 'oauth-authz-req+jwt', ...header });
};

test('FAPI 2.0 MS §5.3, §5.4: a signed request, pushed, and a signed answer, by openid-client', async (t) => {
  const { rp } = await app(SIGNING());
  oidc.useJwtResponseMode(rp);
  const DPoP = oidc.getDPoPHandle(rp, await oidc.randomDPoPKeyPair());
  const started = await authorizationRequest(rp, OFFLINE);
  const jar = await oidc.buildAuthorizationUrlWithJAR(rp, started.url.searchParams, {
    key: key.privateKey,
    kid: key.kid,
  });
  const url = await oidc.buildAuthorizationUrlWithPAR(rp, jar.searchParams, { DPoP });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(url), person);
  t.deepEqual([...arrived.url.searchParams.keys()], ['response']);
  const checks = { pkceCodeVerifier: started.verifier, expectedState: started.state, expectedNonce: started.nonce };
  const tokens = await oidc.authorizationCodeGrant(rp, arrived.url, checks, undefined, { DPoP });
  t.is(tokens.claims()?.sub, person.id);
});

test('FAPI 2.0 MS §5.3.1: a request that is not signed is refused', async (t) => {
  t.is((await push(await app(SIGNING()), { response_mode: 'jwt' })).error, 'invalid_request');
});

for (const [what, claims] of [
  ['without a beginning', { nbf: undefined }],
  ['that began two hours ago', { nbf: Math.floor(Date.now() / 1000) - 7200 }],
  ['without an end', { exp: undefined }],
  ['that lives for two hours', { exp: Math.floor(Date.now() / 1000) + 7200 }],
  ['for nobody', { aud: undefined }],
  ['for the endpoint', { aud: 'https://other.example' }],
] as const)
  test(`FAPI 2.0 MS §5.3.1: a signed request ${what} is refused`, async (t) => {
    const of = await app(SIGNING());
    const request = await requestObject(of, claims);
    t.is((await post('/oauth/par', { request, ...(await proven(of)) })).error, 'invalid_request_object');
  });

test('FAPI 2.0 MS §5.4.1: an answer that is not signed cannot be asked for, nor registered', async (t) => {
  const of = await app(SIGNING());
  for (const response_mode of ['query', 'form_post', undefined]) {
    const request = await requestObject(of, { response_mode });
    t.is(
      (await post('/oauth/par', { request, ...(await proven(of)) })).error,
      'invalid_request',
      String(response_mode),
    );
  }
  await t.throwsAsync(register(server, { ...SIGNING(), response_modes: ['query'] }), { message: /response_modes/ });
  await t.throwsAsync(register(server, { ...SIGNING(), require_signed_request_object: false }), {
    message: /require_signed_request_object/,
  });
  await t.throwsAsync(register(server, { ...SIGNING(), request_object_signing_alg: 'HS256' }), { name: 'DomainError' });
});

test('FAPI 2.0 SP §5.4.1: a signed request by RS256 is refused, though the key is the client’s', async (t) => {
  const { importJWK, exportJWK } = await import('jose');
  const { kty, n, e } = key.jwk;
  const of = await app({ ...SIGNING(), jwks: { keys: [{ kty, n, e, kid: 'any' }] } });
  const rsa = (await importJWK(
    { ...(await exportJWK(key.privateKey)), alg: 'RS256' },
    'RS256',
  )) as unknown as ClientKey['privateKey'];
  const now = Math.floor(Date.now() / 1000);
  const { url } = await authorizationRequest(of.rp, { response_mode: 'jwt' });
  const payload = {
    ...Object.fromEntries(url.searchParams),
    iss: of.client.client_id,
    aud: server.issuer,
    nbf: now,
    exp: now + 60,
  };
  const request = await signed(payload, { alg: 'RS256', kid: 'any', privateKey: rsa });
  const assertionJwt = await signed(assertion(of.client.client_id, server.issuer), { ...key, kid: 'any' });
  t.is((await post('/oauth/par', { request, ...presented(assertionJwt) })).error, 'invalid_request_object');
});
