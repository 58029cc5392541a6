// RFC 9068: access tokens that an API verifies by itself, with a library as published.
import test from 'ava';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import * as oauth from 'oauth4webapi';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  signIn,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const API = 'https://api.example/';
const OTHER = 'https://other.example/';
const ALGORITHMS = { RS256: 'rs', PS256: 'ps', ES256: 'es', EdDSA: 'ed' } as const;
const identifierOf = (alg: keyof typeof ALGORITHMS) => `https://${ALGORITHMS[alg]}.example/`;

let server: TestServer;
let person: Person;
let as: oauth.AuthorizationServer;

const register = (identifier: string, signingAlg: keyof typeof ALGORITHMS | null = null) =>
  server.resources.create({
    identifier,
    name: identifier,
    scopes: ['read', 'write'].map((name) => ({ name, description: { en: name } })),
    defaultScopes: ['read'],
    tokenFormat: 'jwt',
    ttlSeconds: 600,
    signingAlg,
    introspectionClients: [],
    detailTypes: [],
  });

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  await register(API);
  await register(OTHER);
  for (const alg of Object.keys(ALGORITHMS) as (keyof typeof ALGORITHMS)[]) await register(identifierOf(alg), alg);
  const issuer = new URL(server.issuer);
  const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', [oauth.allowInsecureRequests]: true });
  as = await oauth.processDiscoveryResponse(issuer, discovered);
});
test.after.always(() => server?.close());

/** As an API takes a call: the library looks at type, signature, issuer, audience, times, and that every claim is there. */
const validated = (token: string, audience = API) =>
  oauth.validateJwtAccessToken(as, new Request(audience, { headers: { authorization: `Bearer ${token}` } }), audience, {
    [oauth.allowInsecureRequests]: true,
  });

const tokensFor = async (resource: string, params: Record<string, string> = {}, metadata = {}) => {
  const { rp, client } = await newApp(server, metadata);
  const started = await authorizationRequest(rp, { resource, scope: 'read write', nonce: undefined, ...params });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  return { rp, client, tokens: await redeem(rp, arrived.url, started) };
};

const service = async () => {
  const { rp, client } = await newApp(server, {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
  });
  return { rp, client };
};

test('§2.1, §2.2, §4: a token has its type, a key of the JWKS, and every claim that it must have', async (t) => {
  const { tokens, client } = await tokensFor(API);
  const claims = await validated(tokens.access_token);
  t.like(claims, { iss: server.issuer, aud: API, sub: person.id, client_id: client.client_id, scope: 'read write' });
  t.is(claims.exp - claims.iat, 600);
  t.true(claims.jti.length >= 16);
  const header = decodeProtectedHeader(tokens.access_token);
  t.is(header.typ, 'at+jwt');
  t.truthy(header.kid);
});

for (const alg of Object.keys(ALGORITHMS) as (keyof typeof ALGORITHMS)[])
  test(`§2.1: a resource that asks for ${alg} has its tokens signed so`, async (t) => {
    const { tokens } = await tokensFor(identifierOf(alg));
    t.is(decodeProtectedHeader(tokens.access_token).alg, alg);
    t.is((await validated(tokens.access_token, identifierOf(alg))).sub, person.id);
  });

test('§2.2: no two tokens have one jti, refreshed ones included', async (t) => {
  const { rp, tokens } = await tokensFor(API);
  const again = await oidc.refreshTokenGrant(rp, String(tokens.refresh_token));
  t.not((await validated(again.access_token)).jti, (await validated(tokens.access_token)).jti);
});

test('§2.2, §5: where nobody is asked the subject is the client, and no person ever has its name', async (t) => {
  const { rp, client } = await service();
  const { access_token } = await oidc.clientCredentialsGrant(rp, { resource: API });
  t.like(await validated(access_token), { sub: client.client_id, client_id: client.client_id, scope: 'read' });
});

test('§2.2.3: the scope is that of the resource alone', async (t) => {
  const { tokens } = await tokensFor(API, { scope: 'read email profile' });
  t.is((await validated(tokens.access_token)).scope, 'read');
});

test('§3: a token is for one resource, whichever are asked for', async (t) => {
  const { rp } = await newApp(server);
  const started = await authorizationRequest(rp, { scope: 'read', nonce: undefined });
  for (const resource of [API, OTHER]) started.url.searchParams.append('resource', resource);
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const proof = { pkceCodeVerifier: started.verifier, expectedState: started.state };
  const tokens = await oidc.authorizationCodeGrant(rp, arrived.url, proof, { resource: OTHER });
  t.is(decodeJwt(tokens.access_token).aud, OTHER);
  const other = await oidc.refreshTokenGrant(rp, String(tokens.refresh_token), { resource: API });
  t.is(decodeJwt(other.access_token).aud, API);
});

test('§4: the library refuses a token for another resource, an ID token, and one that was changed', async (t) => {
  const { tokens } = await tokensFor(OTHER);
  await t.throwsAsync(validated(tokens.access_token));
  await t.notThrowsAsync(validated(tokens.access_token, OTHER));
  const { rp } = await newApp(server);
  const signedIn = await signIn(createBrowser(server.issuer), rp, person);
  await t.throwsAsync(validated(String(signedIn.tokens.id_token)));
  const [head, body, signature] = tokens.access_token.split('.');
  const claims = JSON.parse(Buffer.from(String(body), 'base64url').toString());
  const wider = Buffer.from(JSON.stringify({ ...claims, scope: 'read write admin' })).toString('base64url');
  await t.throwsAsync(validated(`${head}.${wider}.${signature}`, OTHER));
});

test('§4: our own endpoints take no token that is for another resource', async (t) => {
  const { tokens } = await tokensFor(API);
  for (const path of ['/users/me', '/oauth/userinfo']) {
    const headers = { authorization: `Bearer ${tokens.access_token}`, accept: 'application/json' };
    t.is((await fetch(`${server.origin}${path}`, { headers })).status, 401, path);
  }
});

test('§6: what an API is told of a person that clients know by pairwise names is the client’s name for them', async (t) => {
  const { tokens } = await tokensFor(API, {}, { subject_type: 'pairwise' });
  const { sub } = await validated(tokens.access_token);
  t.not(sub, person.id);
  t.false(JSON.stringify(decodeJwt(tokens.access_token)).includes(person.id));
});
