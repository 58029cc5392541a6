// What is fetched for strangers: https of the public internet, once, in time, in bounds.
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { createOutbound } from '../../src/oidc/outbound.ts';
import { isLoopbackAddress, isPublicAddress, reachOfAddress } from '../../src/oidc/special-addresses.ts';
import { AUTHORITY, LOCALHOST } from '../helpers/certificates.ts';
import { rebinding } from '../helpers/rebinding.ts';

const asked: string[] = [];
const answer = (request: IncomingMessage, response: ServerResponse) => {
  asked.push(String(request.url));
  if (request.url === '/away') return response.writeHead(302, { location: '/elsewhere' }).end();
  if (request.url === '/large') return response.end('x'.repeat(300 * 1024));
  if (request.url === '/endless') return response.write('{');
  if (request.url === '/nothing') return response.writeHead(204).end();
  if (request.url === '/echo') return request.pipe(response);
  return response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=7' }).end('["here"]');
};
const http = createHttp(answer);
const https = createHttps(LOCALHOST, answer);
const portOf = (server: { address(): AddressInfo | string | null }) => (server.address() as AddressInfo).port;

test.before(async () => {
  for (const server of [http, https]) await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
});
test.after.always(() => {
  for (const server of [http, https]) {
    server.closeAllConnections();
    server.close();
  }
});

const strict = createOutbound({ extraCa: AUTHORITY });
const developing = createOutbound({ extraCa: AUTHORITY, reachLoopback: true });

test('an address of the public internet is one, and none of this machine, a private network or a special purpose', (t) => {
  for (const address of ['1.1.1.1', '93.184.215.14', '172.32.0.1', '2606:4700::1111', '2a00:1450:4001::1'])
    t.true(isPublicAddress(address), address);
  for (const address of [
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '127.255.255.254',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.0.0.8',
    '192.0.2.1',
    '192.168.1.1',
    '198.18.0.1',
    '198.51.100.1',
    '203.0.113.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    '2001::1',
    '2001:db8::1',
    '2002:7f00:1::',
    '3fff::1',
    'fc00::1',
    'fd12::1',
    'fe80::1',
    'ff02::1',
    '',
    'localhost',
    '127.1',
  ])
    t.false(isPublicAddress(address), address);
  const reaches = { '1.1.1.1': 'public', '10.0.0.1': 'private', '::ffff:10.0.0.1': 'private', 'fd00::1': 'private' };
  const own = [
    '127.0.0.1',
    '::1',
    '0.0.0.0',
    '::',
    '::ffff:7f00:1',
    '169.254.169.254',
    'fe80::1%eth0',
    '',
    'localhost',
  ];
  for (const [address, reach] of Object.entries(reaches)) t.is(String(reachOfAddress(address)), reach, address);
  for (const address of own) t.is(reachOfAddress(address), 'own', address);
  t.true(isLoopbackAddress('127.8.9.1') && isLoopbackAddress('::1'));
  t.false(isLoopbackAddress('10.0.0.1') || isLoopbackAddress('::ffff:127.0.0.1'));
});

for (const address of [
  'https://localhost:PORT/',
  'https://127.0.0.1:PORT/',
  'https://127.1:PORT/',
  'https://2130706433:PORT/',
  'https://0x7f.1:PORT/',
  'https://[::1]:PORT/',
  'https://[::ffff:127.0.0.1]:PORT/',
  'https://0.0.0.0:PORT/',
  'https://169.254.169.254/latest/meta-data/',
  'https://192.168.0.1/',
  'http://example.com/',
  'ftp://example.com/',
  'file:///etc/passwd',
  'https://user:password@example.com/',
])
  test(`${address} is not fetched`, async (t) => {
    const before = asked.length;
    const url = address.replace('PORT', String(portOf(https)));
    await t.throwsAsync(strict.fetch(url), { message: /may not go to|may be asked|only https|credentials/ });
    t.is(asked.length, before);
  });

test('while developing this machine is reached, by https and http, and nothing else that is private', async (t) => {
  for (const url of [`https://localhost:${portOf(https)}/`, `http://localhost:${portOf(http)}/`]) {
    const response = await developing.fetch(url);
    t.deepEqual(await response.json(), ['here']);
    t.is(response.headers.get('cache-control'), 'max-age=7');
  }
  for (const url of ['https://10.0.0.1/', 'http://192.168.0.1/', 'https://[fd00::1]/'])
    await t.throwsAsync(developing.fetch(url), { message: /may be asked/ });
});

test('a name is looked up once for each connection, and what it leads to then is what counts (DNS rebinding)', async (t) => {
  const url = `https://rebinding.example:${portOf(https)}/`;
  const before = asked.length;
  for (const addresses of [['127.0.0.1'], ['::1'], ['10.0.0.1'], ['169.254.169.254'], ['1.1.1.1', '127.0.0.1'], []]) {
    const resolver = rebinding([addresses]);
    const outbound = createOutbound({ extraCa: AUTHORITY }, resolver.lookup);
    await t.throwsAsync(outbound.fetch(url), { message: /may not go to/ }, addresses.join());
    t.is(resolver.asked(), 1);
  }
  // What was good once is not good for ever: no connection outlives its request.
  const resolver = rebinding([['127.0.0.1'], ['192.168.0.1']]);
  const here = createOutbound({ extraCa: AUTHORITY, reachLoopback: true }, resolver.lookup);
  const again = `http://localhost:${portOf(http)}/`;
  t.is((await here.fetch(again)).status, 200);
  await t.throwsAsync(here.fetch(again), { message: /may not go to/ });
  t.is(resolver.asked(), 2);
  t.is(asked.length, before + 1);
});

test('a certificate of an authority that nobody believes is refused', async (t) => {
  const without = createOutbound({ reachLoopback: true });
  await t.throwsAsync(without.fetch(`https://localhost:${portOf(https)}/`), { message: /certificate/ });
});

test('a redirect is an answer, and not followed', async (t) => {
  const response = await developing.fetch(`http://localhost:${portOf(http)}/away`, { redirect: 'follow' });
  t.is(response.status, 302);
  t.false(asked.includes('/elsewhere'));
});

test('an answer that is too large, or never ends, is given up', async (t) => {
  await t.throwsAsync(developing.fetch(`http://localhost:${portOf(http)}/large`), { message: /too large/ });
  const begun = Date.now();
  await t.throwsAsync(developing.fetch(`http://localhost:${portOf(http)}/endless`));
  t.true(Date.now() - begun < 9_000);
  await t.throwsAsync(
    developing.fetch(`http://localhost:${portOf(http)}/endless`, { signal: AbortSignal.timeout(100) }),
  );
});

test('a form is sent whole, and an answer without content is one', async (t) => {
  const body = new URLSearchParams({ logout_token: 'a.b.c' });
  const echoed = await developing.fetch(`http://localhost:${portOf(http)}/echo`, { method: 'POST', body });
  t.is(await echoed.text(), 'logout_token=a.b.c');
  t.is((await developing.fetch(`http://localhost:${portOf(http)}/nothing`)).status, 204);
});
