// Where clients may lead this server (RFC 9700 §4.11; OWASP SSRF): every address that a client can register or name, spelled in every way
// that leads to this machine or its neighbours. What counts is that nobody connects: the baits count connections, not requests.
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { LOCALHOST } from '../helpers/certificates.ts';
import { assertion, newKey, presented, signed } from '../helpers/client-keys.ts';
import { ROOMY } from '../helpers/limits.ts';
import { authorizationRequest, CALLBACK, discover, newPerson, signIn } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let connections = 0;
const baits = [createHttps(LOCALHOST, (_req, res) => res.end('{}')), createHttp((_req, res) => res.end('{}'))] as const;
const portOf = (bait: (typeof baits)[number]) => (bait.address() as AddressInfo).port;

test.before(async () => {
  server = await startServer({ rateLimits: ROOMY });
  for (const bait of baits) {
    bait.on('connection', () => {
      connections += 1;
    });
    await new Promise<void>((resolve) => bait.listen(0, '::', resolve));
  }
});
test.after.always(async (t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, 'where a client leads is no error of ours');
  for (const bait of baits) bait.close();
  await server?.close();
});

/** This machine, and what is beside it, in the spellings by which filters are passed. */
const INSIDE = (path: string): string[] => {
  const [https, http] = baits.map(portOf);
  return [
    ...['localhost', '127.0.0.1', '127.1', '2130706433', '0x7f000001', '0177.0.0.1', '0.0.0.0', '[::1]', '[::]'],
    ...['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[0:0:0:0:0:0:0:1]', 'LOCALHOST', 'localhost.', '①②⑦.⓪.⓪.①'],
  ]
    .map((host) => `https://${host}:${https}${path}`)
    .concat([
      `http://localhost:${http}${path}`,
      `https://example.com@localhost:${https}${path}`,
      'https://169.254.169.254/latest/meta-data/',
      'https://[fd00:ec2::254]/latest/meta-data/',
      'https://10.0.0.1/',
      'https://192.168.0.1/',
    ]);
};

const register = async (metadata: object): Promise<Record<string, unknown> | undefined> => {
  const response = await fetch(`${server.origin}/oauth/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ redirect_uris: [CALLBACK], ...metadata }),
  });
  const told = (await response.json()) as Record<string, unknown>;
  if (response.status >= 500) throw new Error(`${response.status} for ${JSON.stringify(metadata)}`);
  return response.ok ? told : undefined;
};

test.serial(
  'no address that a client registers is fetched inside, neither when it registers nor when it is used',
  async (t) => {
    const key = await newKey();
    let registered = 0;
    for (const address of INSIDE('/keys')) {
      // Its keys, which its assertion is verified by.
      const keyed = await register({
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        jwks_uri: address,
      });
      if (keyed) {
        registered += 1;
        const claims = assertion(String(keyed.client_id), server.issuer);
        const body = new URLSearchParams({
          grant_type: 'authorization_code',
          code: 'x',
          redirect_uri: CALLBACK,
          ...presented(await signed(claims, key)),
        });
        const { status } = await fetch(`${server.origin}/oauth/token`, { method: 'POST', body });
        t.true(status === 400 || status === 401, `${address}: ${status}`);
      }
      await register({
        subject_type: 'pairwise',
        redirect_uris: [CALLBACK, 'https://other.example/callback'],
        sector_identifier_uri: address,
      });
      for (const name of ['logo_uri', 'client_uri', 'policy_uri', 'tos_uri', 'initiate_login_uri'])
        if (await register({ [name]: address })) registered += 1;
    }
    t.true(registered > 20, `${registered}: what is only shown, or looked at later, can be registered`);
    t.is(connections, 0);
  },
);

test.serial('a page that shows an app’s logo has the browser fetch it, and this server never', async (t) => {
  const logo_uri = `https://localhost:${portOf(baits[0])}/logo.png`;
  const client = await register({ logo_uri, client_name: 'With a logo' });
  if (!client) return t.fail();
  const rp = await discover(server, String(client.client_id), { client_secret: String(client.client_secret) });
  const person = await newPerson(server);
  const browser = createBrowser(server.issuer);
  const page = await browser.go((await authorizationRequest(rp)).url);
  const consent = await browser.submit(page, 'sign-in', { login: person.email, password: person.password });
  t.true(page.html.includes(logo_uri) || consent.html.includes(logo_uri));
  t.is(connections, 0);
});

test.serial(
  'no app’s server is told inside that a session has ended, whatever its address is spelled like',
  async (t) => {
    const person = await newPerson(server);
    const browser = createBrowser(server.issuer);
    let apps = 0;
    for (const backchannel_logout_uri of INSIDE('/out')) {
      const client = await server.clients
        .register({ client_name: 'App', redirect_uris: [CALLBACK], backchannel_logout_uri }, true)
        .catch(() => undefined);
      if (!client) continue;
      apps += 1;
      const rp = await discover(server, client.client_id, { client_secret: String(client.client_secret) });
      await signIn(browser, rp, person);
    }
    t.true(apps >= 10, String(apps));
    await browser.submit(await browser.go('/oauth/logout'), 'sign-out');
    await server.clientCalls.deliverDue();
    const { rows } = await server.database.pool.query('SELECT attempts FROM outgoing_calls');
    t.is(rows.length, apps);
    t.true(rows.every(({ attempts }) => attempts === 1));
    t.is(connections, 0);
  },
);

test.serial('no request_uri and no client_id that is an address is fetched inside', async (t) => {
  const client = await register({ client_name: 'App' });
  for (const address of INSIDE('/request')) {
    const asked: Record<string, string>[] = [
      { client_id: String(client?.client_id), request_uri: address },
      { client_id: address, redirect_uri: CALLBACK, response_type: 'code', scope: 'openid' },
    ];
    for (const query of asked) {
      const page = await createBrowser(server.issuer).go(`/oauth/authorize?${new URLSearchParams(query)}`);
      t.true(page.status === 400 || page.url.searchParams.has('error'), address);
    }
    const body = new URLSearchParams({ client_id: address, grant_type: 'authorization_code', code: 'x' });
    const { status } = await fetch(`${server.origin}/oauth/token`, { method: 'POST', body });
    t.true(status === 400 || status === 401, address);
  }
  t.is(connections, 0);
});
