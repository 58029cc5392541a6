// The demo's MCP server by hand-made requests: what it publishes (RFC 9728), and each kind of token that it refuses (RFC 9068 §4).
import test from 'ava';
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose';
import * as oidc from 'openid-client';
import { startMcpServer } from '../../scripts/demo-mcp/server.ts';
import { NewResource } from '../../src/http/operations/admin-resources.ts';
import { recordOf } from '../../src/http/routes/admin-resources.ts';
import { jsonOf, newApp } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let mcp: Awaited<ReturnType<typeof startMcpServer>>;
let rp: oidc.Configuration;
const failures: unknown[] = [];

test.before(async () => {
  server = await startServer();
  mcp = await startMcpServer({ issuer: server.issuer, port: 0, onError: (error) => failures.push(error) });
  const { identifier, ...columns } = NewResource.parse(mcp.registration);
  for (const [uri, more] of [
    [identifier, {}],
    ['http://localhost:1/other', {}],
    ['http://localhost:1/opaque', { token_format: 'opaque' as const }],
  ] as const)
    await server.resources.create(recordOf(uri, { ...columns, ...more }));
  ({ rp } = await newApp(server, { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] }));
});
test.after.always(async () => {
  await mcp?.close();
  await server?.close();
});

const tokenFor = async (resource: string, scope = 'notes:read') =>
  (await oidc.clientCredentialsGrant(rp, { resource, scope })).access_token;

const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
const post = (headers: Record<string, string>, body = PING) =>
  fetch(mcp.resource, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body,
  });
const challengeOf = (response: Response) => response.headers.get('www-authenticate') ?? '';

test('RFC 9728 §3.1: the metadata are at both addresses, name the resource to the letter, and lead to an issuer that knows itself', async (t) => {
  const { origin, pathname } = new URL(mcp.resource);
  for (const path of [`/.well-known/oauth-protected-resource${pathname}`, '/.well-known/oauth-protected-resource']) {
    const metadata = await jsonOf(await fetch(origin + path));
    t.like(metadata, {
      resource: mcp.resource,
      bearer_methods_supported: ['header'],
      scopes_supported: ['notes:read', 'notes:write'],
    });
    t.deepEqual(metadata.authorization_servers, [server.issuer]);
  }
  t.is((await fetch(`${origin}/.well-known/oauth-protected-resource/elsewhere`)).status, 404);
});

test('RFC 9728 §5.1: who brings nothing is told where to read on and what to ask for, and of no error', async (t) => {
  for (const response of [await post({}), await fetch(mcp.resource)]) {
    t.is(response.status, 401);
    t.is(challengeOf(response), `Bearer scope="notes:read", resource_metadata="${mcp.metadataUrl}"`);
  }
});

test('a token for it gets in, by POST alone', async (t) => {
  const authorization = `Bearer ${await tokenFor(mcp.resource)}`;
  const response = await post({ authorization });
  t.is(response.status, 200);
  t.regex(await response.text(), /whoami/);
  t.is((await fetch(mcp.resource, { headers: { authorization } })).status, 405);
});

test('RFC 9068 §4: tokens of another audience, type, issuer, key, time, or form are a 401 invalid_token', async (t) => {
  const good = await tokenFor(mcp.resource);
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const forged = (claims: object, typ = 'at+jwt') =>
    new SignJWT({ ...decodeJwt(good), ...claims }).setProtectedHeader({ alg: 'ES256', typ }).sign(privateKey);
  const [header = '', payload = '', signature = ''] = good.split('.');
  const edited = Buffer.from(JSON.stringify({ ...decodeJwt(good), scope: 'notes:read notes:write' }));
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url');
  const jwkInside = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', jwk: await exportJWK(publicKey) }));
  for (const [name, token] of Object.entries({
    'another audience': await tokenFor('http://localhost:1/other'),
    opaque: await tokenFor('http://localhost:1/opaque'),
    'another key': await forged({}),
    'another issuer': await forged({ iss: 'https://evil.example' }),
    'another scope than was signed': `${header}.${edited.toString('base64url')}.${signature}`,
    'no signature': `${none}.${payload}.`,
    'a key of its own': `${jwkInside.toString('base64url')}.${payload}.${signature}`,
    nonsense: 'a.b.c',
  })) {
    const response = await post({ authorization: `Bearer ${token}` });
    t.is(response.status, 401, name);
    t.regex(challengeOf(response), /^Bearer error="invalid_token", .*resource_metadata=/, name);
  }
  t.is((await post({ authorization: `Basic ${good}` })).status, 401);
  const inTheAddress = new URL(mcp.resource);
  inTheAddress.searchParams.set('access_token', good);
  t.is((await fetch(inTheAddress, { method: 'POST', body: PING })).status, 401);
});

test('RFC 9068 §4: what our own keys have signed is refused where it is bound to a key that nobody shows, and when it is old', async (t) => {
  const { client } = await newApp(server, {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
    dpop_bound_access_tokens: true,
  });
  const bound = await oidc.discovery(
    new URL(server.issuer),
    client.client_id,
    { client_secret: client.client_secret },
    undefined,
    { execute: [oidc.allowInsecureRequests] },
  );
  const DPoP = oidc.getDPoPHandle(bound, await oidc.randomDPoPKeyPair());
  const { access_token } = await oidc.clientCredentialsGrant(
    bound,
    { resource: mcp.resource, scope: 'notes:read' },
    { DPoP },
  );
  t.truthy(decodeJwt(access_token).cnf);
  t.is((await post({ authorization: `Bearer ${access_token}` })).status, 401);

  const { identifier, ...columns } = NewResource.parse(mcp.registration);
  t.is(identifier, mcp.resource);
  await server.resources.replace(recordOf(identifier, { ...columns, access_token_ttl_seconds: 1 }));
  t.teardown(() => server.resources.replace(recordOf(identifier, columns)));
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  const short = await tokenFor(mcp.resource);
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  t.is((await post({ authorization: `Bearer ${short}` })).status, 401);
});

test('RFC 6750 §3.1: a tool that needs more is a 403 that names all scopes to ask for', async (t) => {
  const authorization = `Bearer ${await tokenFor(mcp.resource)}`;
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'add_note', arguments: { text: 'x' } } };
  for (const body of [call, [JSON.parse(PING), call]]) {
    const response = await post({ authorization }, JSON.stringify(body));
    t.is(response.status, 403);
    t.regex(challengeOf(response), /^Bearer error="insufficient_scope", scope="notes:read notes:write", resource_/);
  }
  const reaching = `Bearer ${await tokenFor(mcp.resource, 'notes:read notes:write')}`;
  t.is((await post({ authorization: reaching }, JSON.stringify(call))).status, 200);
  const writesAlone = `Bearer ${await tokenFor(mcp.resource, 'notes:write')}`;
  t.is((await post({ authorization: writesAlone })).status, 403, 'without the least scope');
});

test('pages of other origins, other names for this machine, and what is no JSON are refused', async (t) => {
  const authorization = `Bearer ${await tokenFor(mcp.resource)}`;
  t.is((await post({ authorization, origin: 'https://evil.example' })).status, 403);
  t.is((await post({ authorization, origin: 'http://localhost:6274' })).status, 200);
  t.is((await post({ authorization }, '{')).status, 400);
  t.is((await fetch(mcp.resource.replace('localhost', '127.0.0.1')).catch(() => ({ status: 421 }))).status, 421);
});

test.after('nothing that a client sent was a failure of the server', (t) => {
  t.deepEqual(failures, []);
});
