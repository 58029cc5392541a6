// Letting a device in, and approving what an app asks, in a real browser: without JavaScript, on a phone, by keyboard.
import test, { type ExecutionContext } from 'ava';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { inBrowser, isWanted, launchChromium, why } from '../helpers/chromium.ts';
import { jsonOf } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const PHONE = { width: 360, height: 740 };
const PASSWORD = 'correct horse battery';

let server: TestServer;
let browser: Browser;
const complaints: string[] = [];

if (isWanted) {
  test.before(async () => {
    server = await startServer();
    await server.accounts.create({
      email: 'ada@example.com',
      username: 'ada',
      password: PASSWORD,
      emailVerified: true,
    });
    browser = await launchChromium();
  });
  test.afterEach((t) => t.deepEqual(complaints.splice(0), []));
  test.after.always(async () => {
    await browser?.close();
    await server?.close();
  });
}

const open = async (t: ExecutionContext, options: BrowserContextOptions = {}): Promise<Page> => {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: PHONE, locale: 'en-US', ...options });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('request', (sent) => {
    const { origin, protocol } = new URL(sent.url());
    if (protocol !== 'data:' && origin !== server.issuer) complaints.push(`request to ${sent.url()}`);
  });
  page.on('console', (message) => {
    const isStatus = message.text().startsWith('Failed to load resource') && message.location().url === page.url();
    if (['error', 'warning'].includes(message.type()) && !isStatus) complaints.push(`${page.url()}: ${message.text()}`);
  });
  return page;
};

const fits = async (t: ExecutionContext, page: Page, name: string): Promise<void> => {
  const [scrollWidth, clientWidth] = await page.evaluate<[number, number]>(
    '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
  );
  t.true(scrollWidth <= clientWidth, `${name} is ${scrollWidth} wide on a screen of ${clientWidth}`);
  t.is(await page.locator('h1').count(), 1, name);
};

const ask = async (path: string, metadata: Record<string, unknown>, params: Record<string, string>) => {
  const client = await server.clients.register({ response_types: [], redirect_uris: [], ...metadata });
  const { client_id, client_secret = '' } = client;
  const body = new URLSearchParams({ client_id, ...(client_secret && { client_secret }), ...params });
  const headers = { 'user-agent': 'LivingRoomTV/4.2 (SmartOS 11; a very long model name that goes on and on)' };
  return jsonOf(await fetch(`${server.origin}${path}`, { method: 'POST', body, headers }));
};

const askAsDevice = () =>
  ask(
    '/oauth/device_authorization',
    {
      client_name: 'Living Room TV',
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
      token_endpoint_auth_method: 'none',
    },
    { scope: 'openid profile email offline_access' },
  );

for (const locale of ['en-US', 'zh-CN'])
  inBrowser(`a wrong code, the right one, where it comes from, sign-in, consent, done (${locale})${why}`, async (t) => {
    const { user_code } = await askAsDevice();
    const page = await open(t, { locale });
    await page.goto(`${server.issuer}/device`);
    await fits(t, page, 'code');
    t.is(await page.evaluate('document.activeElement.name'), 'user_code');
    await page.keyboard.type('bbbb bbbb');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[role=alert]');
    await fits(t, page, 'wrong code');
    t.not(await page.innerText('[role=alert]'), '');
    t.is(await page.getAttribute('#user-code', 'aria-describedby'), 'user-code-error');

    await page.fill('#user-code', String(user_code).toLowerCase());
    await page.click('#continue');
    await fits(t, page, 'confirm');
    const words = await page.innerText('main');
    t.true(words.includes(String(user_code)) && words.includes('Living Room TV') && words.includes('LivingRoomTV/4.2'));
    await page.focus('#confirm');
    await page.keyboard.press('Enter');
    await page.fill('[name=login]', 'ada');
    await page.fill('[name=password]', PASSWORD);
    await page.click('#sign-in');
    await fits(t, page, 'consent');
    await page.click('#allow');
    await fits(t, page, 'done');
    t.is(new URL(page.url()).origin, server.issuer);
    t.regex(await page.innerText('h1'), /connected|已连接/);
  });

inBrowser(`the whole address fills in the code and waits; declining ends it${why}`, async (t) => {
  const { user_code, verification_uri_complete } = await askAsDevice();
  const page = await open(t, { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' });
  await page.goto(String(verification_uri_complete));
  t.is(await page.inputValue('#user-code'), String(user_code));
  await page.click('#continue');
  await fits(t, page, 'confirm');
  await page.click('#decline');
  await fits(t, page, 'declined');
  t.regex(await page.innerText('main'), /Declined/);
});

for (const locale of ['en-US', 'zh-CN'])
  inBrowser(`what apps wait for is on the account page, each with its own answers (${locale})${why}`, async (t) => {
    const grant = {
      grant_types: ['urn:openid:params:grant-type:ciba'],
      backchannel_token_delivery_mode: 'poll',
    };
    const params = { scope: 'openid email', login_hint: 'ada' };
    const till = { client_name: `Corner Shop Till ${locale}`, ...grant };
    await ask('/oauth/backchannel', till, { ...params, binding_message: 'Till 4 · 12,50 €' });
    await ask('/oauth/backchannel', { client_name: 'Acme Bank', ...grant }, params);
    const page = await open(t, { locale });
    await page.goto(`${server.issuer}/login`);
    await page.fill('[name=login]', 'ada');
    await page.fill('[name=password]', PASSWORD);
    await page.click('#sign-in');
    await fits(t, page, 'account');
    t.is(await page.locator('.approval').count(), 2);
    const box = page.locator('.approval', { hasText: 'Till 4 · 12,50 €' });
    await box.locator('button[value=approve]').click();
    t.is(await page.locator('.approval').count(), 1);
    t.not(await page.innerText('[role=status]'), '');
    await page.locator('button[value=deny]').click();
    t.is(await page.locator('.approval').count(), 0);
    await fits(t, page, 'account with nothing to approve');
  });
