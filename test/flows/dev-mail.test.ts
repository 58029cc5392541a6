// Where mails go while developing: a page for whoever sits at this machine, and for nobody else.
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { startServer, type TestServer } from '../helpers/server.ts';

const link = 'http://localhost/reset-password?token=s3cret&x=1';

let server: TestServer;
let empty: TestServer;
let behindProxy: TestServer;

test.before(async () => {
  server = await startServer();
  behindProxy = await startServer({ trustProxy: 1 });
  empty = await startServer();
  for (const { mail } of [server, behindProxy]) {
    await mail.send({ email: 'ada@example.com', locale: 'zh-CN' }, { template: 'reset_password', link, minutes: 30 });
    await mail.send({ email: 'bob@example.com' }, { template: 'token_reused', app: '<b>App</b>' });
  }
});
test.after.always(async () => {
  for (const one of [server, behindProxy, empty]) await one?.close();
});

const page = async (path: string, { origin }: TestServer = server, headers: Record<string, string> = {}) => {
  const response = await fetch(`${origin}${path}`, { headers: { accept: 'text/html', ...headers } });
  return { status: response.status, headers: response.headers, html: await response.text() };
};

/** As `page`, under any Host. */
const statusUnder = (host: string, path = '/dev/mail'): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.origin);
    get({ hostname, port, path, headers: { host } }, async (response) => {
      await text(response);
      resolve(response.statusCode);
    }).on('error', reject);
  });

const pathOf = async (subject: string, at = server): Promise<string> =>
  new RegExp(`<a href="(/dev/mail/[\\da-f-]{36})"[^>]*>${subject}<`).exec((await page('/dev/mail', at)).html)?.[1] ??
  '';

test('the list names what was kept, newest first, in the language of who looks', async (t) => {
  const { status, html, headers } = await page('/dev/mail');
  t.is(status, 200);
  t.is(headers.get('cache-control'), 'no-store');
  t.true(html.indexOf('bob@example.com') < html.indexOf('ada@example.com'));
  t.true(html.indexOf('bob@example.com') > 0);
  t.true(html.includes('lang="zh-CN">设置新密码</a>'));
  t.regex(html, /<time datetime="\d{4}-\d\d-\d\dT[^"]+Z">/);
  t.true(html.includes('SMTP_URL'));
  t.regex((await page('/dev/mail', server, { 'accept-language': 'zh' })).html, /<h1>邮件<\/h1>/);
  t.regex((await page('/dev/mail', empty)).html, /There are none yet/);
});

test('a mail opens as text with links to follow, and as HTML in a sandbox', async (t) => {
  const path = await pathOf('设置新密码');
  const { status, html, headers } = await page(path);
  t.is(status, 200);
  t.true(html.includes('<a href="http://localhost/reset-password?token=s3cret&amp;x=1">'));
  t.regex(html, new RegExp(`<iframe src="${path}/html"[^>]* sandbox="allow-popups allow-popups-to-escape-sandbox">`));
  t.regex(headers.get('content-security-policy') ?? '', /default-src 'none';.*; frame-src 'self'$/);

  const mail = await page(`${path}/html`);
  t.is(mail.status, 200);
  t.regex(mail.html, /^<!doctype html>\n<html lang="zh-CN">/);
  t.is(mail.headers.get('content-type'), 'text/html; charset=utf-8');
  t.is(mail.headers.get('cache-control'), 'no-store');
  t.is(mail.headers.get('x-frame-options'), 'SAMEORIGIN');
  const policy = mail.headers.get('content-security-policy') ?? '';
  t.regex(policy, /default-src 'none'/);
  t.regex(policy, /; sandbox allow-popups allow-popups-to-escape-sandbox$/);
  t.notRegex(policy, /allow-scripts|allow-same-origin|script-src/);

  const other = await page(await pathOf('You were signed out of an app'));
  t.true(other.html.includes('&lt;b&gt;App&lt;/b&gt;'));
  t.notRegex(other.html, /<b>App/);
});

test('what is not there is not found', async (t) => {
  for (const path of [
    '/dev/mail/00000000-0000-4000-8000-000000000000',
    '/dev/mail/x',
    '/dev/mail/x/html',
    '/dev/mail/x/y',
    `${await pathOf('设置新密码')}/text`,
  ])
    t.is((await page(path)).status, 404, path);
});

test('where mails are sent, and in production, there is no such page', async (t) => {
  for (const settings of [
    { smtpUrl: 'smtp://127.0.0.1:1' },
    { production: true },
    { production: true, smtpUrl: 'smtp://127.0.0.1:1' },
  ]) {
    const sending = await startServer(settings);
    t.teardown(sending.close);
    for (const path of ['/dev/mail', '/dev/mail/', '/dev/mail/00000000-0000-4000-8000-000000000000'])
      t.is((await page(path, sending)).status, 404, path);
  }
});

test('who comes from another machine through a proxy finds nothing', async (t) => {
  const path = await pathOf('设置新密码');
  for (const header of ['x-forwarded-for', 'x-real-ip', 'forwarded'])
    for (const at of ['/dev/mail', path, `${path}/html`])
      t.is((await page(at, server, { [header]: '203.0.113.7' })).status, 404, `${header} ${at}`);
  // Not even when the proxy is one that nobody configured and it says that the visitor is local: anybody can say so.
  t.is((await page('/dev/mail', server, { 'x-forwarded-for': '127.0.0.1' })).status, 404);

  t.is((await page('/dev/mail', behindProxy, { 'x-forwarded-for': '203.0.113.7' })).status, 404);
  t.is((await page('/dev/mail', behindProxy, { 'x-forwarded-for': '127.0.0.1, 203.0.113.7' })).status, 404);
  t.is((await page('/dev/mail', behindProxy, { 'x-forwarded-for': '127.0.0.1.evil.example' })).status, 404);
  t.is((await page('/dev/mail', behindProxy, { 'x-forwarded-for': '127.0.0.1' })).status, 200);
  t.is((await page('/dev/mail', behindProxy)).status, 200);
});

test('a name of somebody else that leads here opens nothing', async (t) => {
  const { port } = new URL(server.origin);
  for (const host of [`rebound.example:${port}`, 'localhost.evil.example', 'evil.example', '@'])
    t.is(await statusUnder(host), 404, host);
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, 'localhost'])
    t.is(await statusUnder(host), 200, host);
});
