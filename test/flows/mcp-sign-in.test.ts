// MCP hosts sign in by the official clients to the demo's MCP server, each of the ways that a host can be known.
import test from 'ava';
import { decodeJwt } from 'jose';
import { startMcpServer } from '../../scripts/demo-mcp/server.ts';
import { NewResource } from '../../src/http/operations/admin-resources.ts';
import { recordOf } from '../../src/http/routes/admin-resources.ts';
import { CLIENTS, createHost, type HostOptions, signInTo } from '../helpers/mcp-host.ts';
import { newPerson, type Person, register } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;
let mcp: Awaited<ReturnType<typeof startMcpServer>>;
let other: Awaited<ReturnType<typeof startMcpServer>>;
const failures: unknown[] = [];

const startMcp = async () => {
  const started = await startMcpServer({ issuer: server.issuer, port: 0, onError: (error) => failures.push(error) });
  const { identifier, ...columns } = NewResource.parse(started.registration);
  await server.resources.create(recordOf(identifier, columns));
  return started;
};

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  [mcp, other] = await Promise.all([startMcp(), startMcp()]);
});
test.after.always(async () => {
  await mcp?.close();
  await other?.close();
  await server?.close();
});

const confidential = async (who = person): Promise<HostOptions> => {
  const { client_id, client_secret } = await register(server);
  return { origin: server.issuer, person: who, client: { client_id, client_secret: String(client_secret) } };
};
const publicClient = async (): Promise<HostOptions> => {
  const { client_id } = await register(server, { token_endpoint_auth_method: 'none' });
  return { origin: server.issuer, person, client: { client_id } };
};

const KNOWN = { 'confidential, registered beforehand': confidential, 'public, registered beforehand': publicClient };

for (const [name, kind] of Object.entries(CLIENTS)) {
  for (const [how, hostOptions] of Object.entries(KNOWN))
    test(`${name}: a host (${how}) signs a person in, and the token is for this MCP server alone`, async (t) => {
      const host = createHost(await hostOptions());
      const connection = await signInTo(kind, host, mcp.resource);
      const asked = host.visited.at(-1)?.searchParams;
      t.is(asked?.get('resource'), mcp.resource);
      t.is(asked?.get('code_challenge_method'), 'S256');
      t.like(JSON.parse(await connection.call('whoami')), {
        sub: person.id,
        client_id: host.information()?.client_id,
        scope: 'notes:read',
      });
      t.is(decodeJwt(host.tokens()?.access_token ?? '').aud, mcp.resource);
      await connection.close();

      const elsewhere = await fetch(other.resource, {
        method: 'POST',
        headers: { authorization: `Bearer ${host.tokens()?.access_token}`, 'content-type': 'application/json' },
        body: '{}',
      });
      t.is(elsewhere.status, 401);
      t.regex(elsewhere.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
    });

  test(`${name}: a token that is refused is refreshed without asking anybody, and the refresh token rotates`, async (t) => {
    const host = createHost(await publicClient());
    const connection = await signInTo(kind, host, mcp.resource);
    const first = host.tokens();
    t.truthy(first?.refresh_token);
    await connection.close();
    host.setTokens(first && { ...first, access_token: 'spoiled' });
    await connection.connect();
    t.like(JSON.parse(await connection.call('whoami')), { sub: person.id });
    t.is(host.visited.length, 1);
    t.not(host.tokens()?.refresh_token, first?.refresh_token);
    t.is(decodeJwt(host.tokens()?.access_token ?? '').aud, mcp.resource);
    await connection.close();
  });
}

test('2.x: a 403 that names a scope leads back to the person, who is asked for what is new alone', async (t) => {
  const kind = CLIENTS['@modelcontextprotocol/client 2.x'];
  const host = createHost(await confidential(await newPerson(server)));
  const connection = await signInTo(kind, host, mcp.resource);
  const refused = await t.throwsAsync(connection.call('add_note', { text: 'one' }));
  t.true(kind.isUnauthorized(refused));
  const asked = host.visited.at(-1);
  t.deepEqual(
    asked?.searchParams
      .get('scope')
      ?.split(' ')
      .filter((scope) => scope !== 'offline_access')
      .toSorted(),
    ['notes:read', 'notes:write'],
  );
  const page = await host.browser.go(asked ?? '');
  const [wanted = '', before = ''] = page.html.split('<details>');
  t.regex(wanted, /Add notes to the demo/);
  t.notRegex(wanted, /Read your notes in the demo/);
  t.regex(before, /Read your notes in the demo/);
  await connection.finish(await host.authorize());
  t.is(await connection.call('add_note', { text: 'one' }), 'Added.');
  t.is(await connection.call('list_notes'), 'one');
  await connection.close();
});

test('1.x: a 403 that names a scope leads back to the person, once the host has let go of its tokens', async (t) => {
  const kind = CLIENTS['@modelcontextprotocol/sdk 1.x'];
  const host = createHost(await confidential());
  const connection = await signInTo(kind, host, mcp.resource);
  // As long as it has a refresh token, this client takes a new token of the same scopes for the answer.
  const { refresh_token: _, ...tokens } = host.tokens() ?? { access_token: '', token_type: '' };
  host.setTokens(tokens);
  const refused = await t.throwsAsync(connection.call('add_note', { text: 'two' }));
  t.true(kind.isUnauthorized(refused));
  t.is(host.visited.at(-1)?.searchParams.get('scope'), 'notes:read notes:write');
  await connection.finish(await host.authorize());
  t.is(await connection.call('add_note', { text: 'two' }), 'Added.');
  await connection.close();
});

test('2.x: an answer of another issuer is not taken, neither a code nor an error (RFC 9207 §2.4)', async (t) => {
  const kind = CLIENTS['@modelcontextprotocol/client 2.x'];
  for (const spoil of [
    (answer: URLSearchParams) => answer.set('iss', 'https://evil.example'),
    (answer: URLSearchParams) => answer.delete('iss'),
  ]) {
    const host = createHost(await confidential());
    const connection = kind.open(host, mcp.resource);
    await t.throwsAsync(connection.connect());
    const answer = await host.authorize();
    t.is(answer.get('iss'), server.issuer);
    spoil(answer);
    await t.throwsAsync(connection.finish(answer), { message: /iss/i });
    t.is(host.tokens(), undefined);
  }
});

test('2.x: who says no is told of to the host, by our issuer', async (t) => {
  const kind = CLIENTS['@modelcontextprotocol/client 2.x'];
  const host = createHost(await confidential());
  const connection = kind.open(host, mcp.resource);
  await t.throwsAsync(connection.connect());
  const login = await host.browser.go(host.visited.at(-1) ?? '');
  const consent = await host.browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  const arrived = await host.browser.submit(consent, 'deny');
  t.is(arrived.status, 0);
  t.is(arrived.url.searchParams.get('iss'), server.issuer);
  await t.throwsAsync(connection.finish(arrived.url.searchParams), { code: 'access_denied' });
});

test.after('nothing failed on the MCP servers, and nothing of it is an error here', (t) => {
  t.deepEqual(failures, []);
  t.notRegex(server.log(), /"level":(50|60)/);
});
