import type { AddressInfo } from 'node:net';
import test from 'ava';
import Koa, { type Context } from 'koa';
import { allowFormTarget, createSecurityHeaders } from '../../src/http/security-headers.ts';

const headersOf = async (issuer: string, use: (ctx: Context) => void = () => {}): Promise<Headers> => {
  const app = new Koa();
  app.use(createSecurityHeaders(issuer).middleware);
  app.use((ctx) => {
    use(ctx);
    ctx.body = 'ok';
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { headers } = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  server.closeAllConnections();
  server.close();
  return headers;
};

/** The sources of a directive of the policy. */
const sourcesOf = (headers: Headers, name: string): string[] | undefined =>
  headers
    .get('content-security-policy')
    ?.split(';')
    .map((directive) => directive.trim().split(/\s+/))
    .find(([first]) => first === name)
    ?.slice(1);

const formTargets = async (uri: string | undefined): Promise<string[] | undefined> =>
  sourcesOf(await headersOf('https://auth.example', (ctx) => allowFormTarget(ctx, uri)), 'form-action');

test('every answer forbids scripts, frames, base addresses and foreign content', async (t) => {
  const headers = await headersOf('https://auth.example');
  t.deepEqual(sourcesOf(headers, 'default-src'), ["'none'"]);
  t.true(['', "'none'"].includes(sourcesOf(headers, 'script-src')?.join(' ') ?? 'missing'));
  t.deepEqual(sourcesOf(headers, 'style-src'), ["'self'"]);
  t.deepEqual(sourcesOf(headers, 'base-uri'), ["'none'"]);
  t.deepEqual(sourcesOf(headers, 'frame-ancestors'), ["'none'"]);
  t.deepEqual(sourcesOf(headers, 'form-action'), ["'self'"]);
  t.notRegex(headers.get('content-security-policy') ?? '', /unsafe|data:|\*(?!;|$)(?!.*localhost)/);
  t.is(headers.get('x-frame-options'), 'DENY');
  t.is(headers.get('x-content-type-options'), 'nosniff');
  t.is(headers.get('referrer-policy'), 'same-origin');
  t.is(headers.get('x-powered-by'), null);
});

test('https is insisted on where the issuer is https, and only there', async (t) => {
  t.regex((await headersOf('https://auth.example')).get('strict-transport-security') ?? '', /^max-age=\d{8}/);
  t.is((await headersOf('http://localhost:8290')).get('strict-transport-security'), null);
});

const targets: [title: string, uri: string, sources: string[]][] = [
  ['an https app opens https, so that it may send the browser on', 'https://app.example/cb', ['https:']],
  ['a port and a query add nothing', 'https://app.example:8443/cb?a=b', ['https:']],
  ['an http app opens its own origin', 'http://app.example:81/cb', ['https:', 'http://app.example:81']],
  ['a native app opens its scheme', 'com.example.app:/cb', ['https:', 'com.example.app:']],
  [
    'localhost opens every port of this machine',
    'http://localhost:3000/cb',
    ['https:', 'http://localhost:3000', 'http://localhost:*', 'http://127.0.0.1:*'],
  ],
  [
    'so does its address',
    'http://127.0.0.1:3000/cb',
    ['https:', 'http://127.0.0.1:3000', 'http://localhost:*', 'http://127.0.0.1:*'],
  ],
  [
    'IPv6 cannot be written as a source, so http is opened',
    'http://[::1]:3000/cb',
    ['https:', 'http:', 'http://localhost:*', 'http://127.0.0.1:*'],
  ],
  ['any other IPv6 address neither', 'http://[2001:db8::1]:3000/cb', ['https:', 'http:']],
  [
    'https on localhost opens this machine too',
    'https://localhost:3000/cb',
    ['https:', 'http://localhost:*', 'http://127.0.0.1:*'],
  ],
];
for (const [title, uri, sources] of targets)
  test(`forms: ${title}`, async (t) => t.deepEqual(await formTargets(uri), ["'self'", ...sources]));

test('forms: no address, or what is none, opens nothing', async (t) => {
  for (const uri of [undefined, '', 'nowhere', '/relative', 'https://'])
    t.deepEqual(await formTargets(uri), ["'self'"]);
});

for (const uri of [
  "https://app.example/;script-src 'unsafe-inline'",
  "http://app.example/ 'unsafe-inline' *; script-src *",
  'http://app.example:80/\r\nX-Injected: 1',
  'http://app.example,evil.example/',
  'http://app.example;sandbox/',
  'http://*/',
])
  test(`forms: an address cannot add directives or wildcards of its own: ${JSON.stringify(uri)}`, async (t) => {
    const headers = await headersOf('https://auth.example', (ctx) => allowFormTarget(ctx, uri));
    const directives = (headers.get('content-security-policy') ?? '')
      .split(';')
      .map((text) => text.trim().split(' ')[0]);
    t.deepEqual(directives, [
      'default-src',
      'style-src',
      'img-src',
      'script-src',
      'form-action',
      'base-uri',
      'frame-ancestors',
    ]);
    t.notRegex(sourcesOf(headers, 'form-action')?.join(' ') ?? '', /unsafe|,|\/\*/);
    t.is(headers.get('x-injected'), null);
  });
