// MCP hosts that nobody has registered: they register themselves (DCR, RFC 7591), or are known by the address of their metadata (CIMD).
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { startMcpServer } from '../../scripts/demo-mcp/server.ts';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { NewResource } from '../../src/http/operations/admin-resources.ts';
import { recordOf } from '../../src/http/routes/admin-resources.ts';
import { AUTHORITY, LOCALHOST } from '../helpers/certificates.ts';
import { CLIENTS, createHost, signInTo } from '../helpers/mcp-host.ts';
import { newPerson, type Person } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const NATIVE = 'http://127.0.0.1:43117/callback';

let server: TestServer;
/** The same stores, where nobody registers without an initial access token. */
let strict: TestServer;
let person: Person;
let mcp: Awaited<ReturnType<typeof startMcpServer>>;
let strictMcp: Awaited<ReturnType<typeof startMcpServer>>;
const failures: unknown[] = [];

/** Where hosts publish what they are: https, of an authority that this service is told to believe. */
const documents = new Map<string, (address: string) => unknown>();
const publisher = createServer(LOCALHOST, (request, response) => {
  const document = documents.get(String(request.url));
  const address = `https://${request.headers.host}${request.url}`;
  if (document) response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document(address)));
  else response.writeHead(404).end();
});
let serial = 0;
const publish = (more: object = {}): string => {
  serial += 1;
  const path = `/host-${serial}.json`;
  documents.set(path, (address) => ({
    client_id: address,
    client_name: 'Host by address',
    redirect_uris: [NATIVE],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    ...more,
  }));
  return `https://localhost:${(publisher.address() as AddressInfo).port}${path}`;
};

const startMcp = async (issuer: string) => {
  const started = await startMcpServer({ issuer, port: 0, onError: (error) => failures.push(error) });
  const { identifier, ...columns } = NewResource.parse(started.registration);
  await server.resources.create(recordOf(identifier, columns));
  return started;
};

test.before(async () => {
  publisher.listen(0, 'localhost');
  await once(publisher, 'listening');
  const rateLimits = { ...DEFAULT_LIMITS, 'registration-network': { points: 1_000, seconds: 900 } };
  server = await startServer({
    registration: 'open',
    outbound: { reachLoopback: true, extraCa: AUTHORITY },
    rateLimits,
  });
  // An issuer of its own name, or its metadata would not be about it.
  strict = await startServer({ registration: 'token', rateLimits });
  person = await newPerson(server);
  mcp = await startMcp(server.issuer);
  strictMcp = await startMcp(strict.issuer);
});
test.after.always(async () => {
  publisher.closeAllConnections();
  publisher.close();
  await mcp?.close();
  await strictMcp?.close();
  await strict?.close();
  await server?.close();
});

for (const [name, kind] of Object.entries(CLIENTS)) {
  test(`RFC 7591: ${name} registers itself, signs a person in and refreshes`, async (t) => {
    const host = createHost({ origin: server.issuer, person, redirectUrl: NATIVE });
    const connection = await signInTo(kind, host, mcp.resource);
    const { client_id } = host.information() ?? {};
    t.truthy(client_id);
    t.like(JSON.parse(await connection.call('whoami')), { sub: person.id, client_id, scope: 'notes:read' });
    await connection.close();

    const first = host.tokens();
    t.truthy(first?.refresh_token);
    host.setTokens(first && { ...first, access_token: 'spoiled' });
    await connection.connect();
    t.is(host.visited.length, 1, 'nobody is asked');
    t.not(host.tokens()?.refresh_token, first?.refresh_token, 'public clients’ refresh tokens rotate');
    await connection.close();
  });

  test(`RFC 7591 §3.2.2: ${name} is told where registration needs an initial access token`, async (t) => {
    const host = createHost({ origin: strict.issuer, person, redirectUrl: NATIVE });
    const connection = kind.open(host, strictMcp.resource);
    const error = await t.throwsAsync(connection.connect());
    t.false(kind.isUnauthorized(error));
    t.is(host.information(), undefined);
    t.is(host.visited.length, 0);
  });

  test(`CIMD: ${name} is known by the address of its metadata, without registering`, async (t) => {
    const clientMetadataUrl = publish();
    const host = createHost({ origin: server.issuer, person, redirectUrl: NATIVE, clientMetadataUrl });
    const connection = await signInTo(kind, host, mcp.resource);
    t.is(host.visited.at(-1)?.searchParams.get('client_id'), clientMetadataUrl);
    t.like(JSON.parse(await connection.call('whoami')), { sub: person.id, client_id: clientMetadataUrl });
    await connection.close();
    const first = host.tokens();
    host.setTokens(first && { ...first, access_token: 'spoiled' });
    await connection.connect();
    t.is(host.visited.length, 1, 'nobody is asked');
    t.not(host.tokens()?.refresh_token, first?.refresh_token);
    await connection.close();
  });

  test(`CIMD: ${name} on another port of this machine than its metadata name is the same host (RFC 8252 §7.3)`, async (t) => {
    const redirectUrl = NATIVE.replace('43117', '51999');
    const host = createHost({ origin: server.issuer, person, redirectUrl, clientMetadataUrl: publish() });
    const connection = await signInTo(kind, host, mcp.resource);
    t.like(JSON.parse(await connection.call('whoami')), { sub: person.id });
    await connection.close();
  });

  test(`CIMD: ${name} gets nowhere by a redirect URI that its metadata do not name`, async (t) => {
    const redirectUrl = 'https://evil.example/callback';
    const host = createHost({ origin: server.issuer, person, redirectUrl, clientMetadataUrl: publish() });
    const connection = kind.open(host, mcp.resource);
    t.true(kind.isUnauthorized(await t.throwsAsync(connection.connect())));
    const page = await host.browser.go(host.visited.at(-1) ?? '');
    t.is(page.status, 400);
    t.is(page.url.origin, server.issuer);
  });
}

test('the consent page says where an unverified host leads, and warns of one that is this machine alone', async (t) => {
  const kind = CLIENTS['@modelcontextprotocol/client 2.x'];
  const host = createHost({ origin: server.issuer, person, redirectUrl: NATIVE, clientMetadataUrl: publish() });
  await t.throwsAsync(kind.open(host, mcp.resource).connect());
  const login = await host.browser.go(host.visited.at(-1) ?? '');
  const consent = await host.browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  t.regex(consent.html, /127\.0\.0\.1/);
  t.regex(consent.html, /id="unverified"/);
  t.regex(consent.html, /id="local-only"/);
  t.regex(consent.html, /Read your notes in the demo/);
});

test('discovery tells MCP hosts all that they look for', async (t) => {
  const answer = await fetch(`${server.issuer}/.well-known/oauth-authorization-server`);
  const metadata = (await answer.json()) as Record<string, unknown>;
  t.like(metadata, {
    issuer: server.issuer,
    code_challenge_methods_supported: ['S256'],
    client_id_metadata_document_supported: true,
    authorization_response_iss_parameter_supported: true,
    registration_endpoint: `${server.issuer}/oauth/register`,
  });
  for (const [name, member] of [
    ['grant_types_supported', 'refresh_token'],
    ['token_endpoint_auth_methods_supported', 'none'],
    ['response_types_supported', 'code'],
    ['scopes_supported', 'offline_access'],
  ] as const)
    t.true((metadata[name] as string[]).includes(member), `${name} ${member}`);
});

test.after('nothing failed on the MCP servers, and nothing of it is an error here', (t) => {
  t.deepEqual(failures, []);
  t.notRegex(server.log() + strict.log(), /"level":(50|60)/);
});
