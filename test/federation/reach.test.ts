// How far inside what a provider says may send us: decided where it is said, and once more where a connection is made.
import { createServer } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { createProviders } from '../../src/federation/providers.ts';
import { mayLeadTo, type Reach } from '../../src/federation/reach.ts';
import { asking } from '../../src/federation/upstream.ts';
import { createProviderNetwork } from '../../src/oidc/outbound.ts';
import { LOCALHOST } from '../helpers/certificates.ts';
import { rebinding } from '../helpers/rebinding.ts';

const network = createProviderNetwork();

test('a provider leads no further inside than it is itself', async (t) => {
  const cases: [from: Reach, url: string, expected: boolean][] = [
    ['public', 'https://1.1.1.1/token', true],
    ['public', 'http://1.1.1.1/token', false],
    ['public', 'http://127.0.0.1:8080/token', false],
    ['public', 'https://127.0.0.1/token', false],
    ['public', 'https://localhost/token', false],
    ['public', 'https://idp.localhost/token', false],
    ['public', 'https://0.0.0.0/token', false],
    ['public', 'https://[::1]/token', false],
    ['public', 'https://[::ffff:127.0.0.1]/token', false],
    ['public', 'https://[::ffff:10.0.0.1]/token', false],
    ['public', 'https://[64:ff9b::a00:1]/token', false],
    ['public', 'https://10.1.2.3/token', false],
    ['public', 'https://169.254.169.254/latest', false],
    ['public', 'https://192.0.2.2/token', false],
    ['public', 'https://[fd00::1]/token', false],
    ['public', 'ftp://1.1.1.1/token', false],
    ['private', 'https://10.1.2.3/token', true],
    ['private', 'https://1.1.1.1/token', true],
    ['private', 'https://127.0.0.1/token', false],
    ['private', 'https://0.0.0.0/token', false],
    ['private', 'https://[::ffff:127.0.0.1]/token', false],
    ['private', 'https://169.254.169.254/latest', false],
    ['private', 'https://[fe80::1]/latest', false],
    ['own', 'http://127.0.0.1:8080/token', true],
    ['own', 'http://1.1.1.1/token', false],
    ['own', 'http://169.254.169.254/latest', false],
    ['own', 'https://10.1.2.3/token', true],
  ];
  for (const [from, url, expected] of cases)
    t.is(await mayLeadTo(network, from, new URL(url)), expected, `${from} → ${url}`);
});

test('a name that has come to mean this machine by the time it is connected to is not connected to', async (t) => {
  let connections = 0;
  const https = createHttps(LOCALHOST, (_req, res) => res.end('{}')).on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
  t.teardown(() => https.close());
  const url = `https://rebinding.example:${(https.address() as AddressInfo).port}/token`;
  for (const addresses of [['127.0.0.1'], ['10.0.0.1'], ['1.1.1.1', '127.0.0.1'], ['::ffff:127.0.0.1']]) {
    const resolver = rebinding([addresses]);
    const ask = asking(createProviderNetwork(resolver.lookup), 'public');
    await t.throwsAsync(ask(url), { message: /may not go to/ }, addresses.join());
    t.is(resolver.asked(), 1, 'looked up once, for this very connection');
  }
  t.is(connections, 0);
});

test('where a provider is, the connection says on which it answered, and nothing it names later', async (t) => {
  const http = createServer((_req, res) => {
    const issuer = `http://localhost:${(http.address() as AddressInfo).port}`;
    const [authorization_endpoint, token_endpoint, jwks_uri] = ['a', 't', 'j'].map((path) => `${issuer}/${path}`);
    res.end(JSON.stringify({ issuer, authorization_endpoint, token_endpoint, jwks_uri }));
  });
  await new Promise<void>((resolve) => http.listen(0, 'localhost', resolve));
  t.teardown(() => http.close());
  const issuer = `http://localhost:${(http.address() as AddressInfo).port}`;
  const settings = { openid: [{ name: 'acme', label: 'Acme', issuer, clientId: 'c', clientSecret: 's' }] };
  const seen: string[] = [];
  // As if what answers here had answered from the internet.
  const elsewhere = {
    ...network,
    reachOf(address: string): Reach {
      seen.push(address);
      return 'public';
    },
  };
  const [provider] = createProviders(settings, 'https://id.example', elsewhere).all;
  const [control] = createProviders(settings, 'https://id.example', network).all;
  const trip = { state: 's', verifier: 'v', nonce: 'n' };
  t.is((await control?.authorizationUrl(trip))?.pathname, '/a');
  await t.throwsAsync(provider?.authorizationUrl(trip) ?? Promise.resolve(), {
    message: /leads to localhost.*must not/,
  });
  t.true(seen.includes('127.0.0.1') || seen.includes('::1'), seen.join());
});
