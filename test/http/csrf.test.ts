import type { AddressInfo } from 'node:net';
import test from 'ava';
import Koa from 'koa';
import { createSecrets } from '../../src/domain/secrets.ts';
import { CsrfError, createCsrf } from '../../src/http/csrf.ts';

const ISSUER = 'https://auth.example';
const csrf = createCsrf(createSecrets('a master key for tests, 32 bytes or more'), ISSUER);
const ours = csrf.token('interaction-1');

/** Whether a form with these headers and this token is let in, asked of a server as browsers do. */
const outcome = async (headers: Record<string, string>, token: unknown = ours): Promise<string> => {
  const app = new Koa();
  app.use((ctx) => {
    try {
      csrf.check(ctx, 'interaction-1', token);
      ctx.body = 'accepted';
    } catch (error) {
      ctx.body = error instanceof CsrfError ? error.message : 'another error';
    }
  });
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    method: 'POST',
    headers,
  });
  const text = await response.text();
  server.closeAllConnections();
  server.close();
  return text;
};

const accepted: [title: string, headers: Record<string, string>][] = [
  ['our own origin', { origin: ISSUER, 'sec-fetch-site': 'same-origin' }],
  ['an old browser, which says neither', {}],
  ['a browser that only names the origin', { origin: ISSUER }],
  ['a form sent again by the person, from the address bar', { 'sec-fetch-site': 'none' }],
];
for (const [title, headers] of accepted)
  test(`our token is let in from ${title}`, async (t) => t.is(await outcome(headers), 'accepted'));

const refused: [title: string, headers: Record<string, string>][] = [
  ['another site', { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }],
  ['an origin that hides itself', { origin: 'null' }],
  ['our host by plain http', { origin: 'http://auth.example' }],
  ['our host on another port', { origin: 'https://auth.example:8443' }],
  ['a host that begins as ours does', { origin: 'https://auth.example.evil.example' }],
  ['a sister domain', { 'sec-fetch-site': 'same-site' }],
  ['another site that names our origin', { origin: ISSUER, 'sec-fetch-site': 'cross-site' }],
];
for (const [title, headers] of refused)
  test(`even our token is refused from ${title}`, async (t) =>
    t.regex(await outcome(headers), /^(foreign origin|cross-site request)$/));

const tokens: [title: string, token: unknown][] = [
  ['no token', null],
  ['an empty one', ''],
  ['another interaction’s', csrf.token('interaction-2')],
  ['one cut short', ours.slice(0, -1)],
  ['one with something after it', `${ours}A`],
  [
    'another installation’s',
    createCsrf(createSecrets('another master key, 32 bytes or more'), ISSUER).token('interaction-1'),
  ],
  ['a list of the right one', [ours]],
];
for (const [title, token] of tokens)
  test(`from our own page, ${title} is refused`, async (t) =>
    t.is(await outcome({ origin: ISSUER }, token), 'token missing or wrong'));

test('the token gives nothing away of what it is about, and is the same each time', (t) => {
  t.is(csrf.token('interaction-1'), ours);
  t.false(ours.includes('interaction'));
  t.regex(ours, /^[\w-]{43}$/);
});
