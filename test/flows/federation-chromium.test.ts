// Signing in through other providers in a real browser, which alone enforces the content security policy on every redirect, and the
// cookies' SameSite on the way back.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import * as oidc from 'openid-client';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { inBrowser, isWanted, launchChromium, why } from '../helpers/chromium.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody } from '../helpers/identity-provider.ts';

const PASSWORD = 'correct horse battery';

let all: Federated;
let browser: Browser;
let app: { origin: string; brought: URL | undefined; close(): Promise<void> };
const complaints: string[] = [];

const startApp = async () => {
  const http = createServer((req, res) => {
    if (!req.url?.startsWith('/favicon')) app.brought = new URL(req.url ?? '/', app.origin);
    res.setHeader('Content-Type', 'text/html');
    res.end('<!doctype html><link rel="icon" href="data:,"><title>App</title><p id="app">signed in</p>');
  }).listen(0, 'localhost');
  await once(http, 'listening');
  const origin = `http://localhost:${(http.address() as AddressInfo).port}`;
  return {
    origin,
    brought: undefined,
    async close() {
      http.closeAllConnections();
      http.close();
      await once(http, 'close');
    },
  };
};

if (isWanted) {
  test.before(async () => {
    app = await startApp();
    all = await startFederated({ firstPartyOrigins: [app.origin] });
    browser = await launchChromium();
  });
  test.beforeEach(() => {
    for (const name of ['google', 'github', 'acme'] as const) {
      all.upstream[name].reset();
      all.upstream[name].switches.asks = true;
    }
  });
  test.afterEach((t) => t.deepEqual(complaints.splice(0), []));
  test.after.always(async () => {
    await browser?.close();
    await app?.close();
    await all?.close();
  });
}

const open = async (t: ExecutionContext, options: BrowserContextOptions = {}): Promise<Page> => {
  const context = await browser.newContext({
    javaScriptEnabled: false,
    viewport: { width: 360, height: 740 },
    locale: 'en-US',
    ...options,
  });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on('console', (message) => {
    // That a page is an error page, the browser reports as an error of its own.
    const isStatus = message.text().startsWith('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !isStatus) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('pageerror', ({ message }) => complaints.push(`${page.url()}: ${message}`));
  return page;
};

const fits = async (t: ExecutionContext, page: Page, name: string): Promise<void> => {
  const [scrollWidth, clientWidth] = await page.evaluate<[number, number]>(
    '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
  );
  t.true(scrollWidth <= clientWidth, `${name} is ${scrollWidth} wide on a screen of ${clientWidth}`);
  t.is(await page.locator('h1').count(), 1, name);
};

const register = async (firstParty = false) => {
  const { client_id, client_secret } = await all.server.clients.register(
    { client_name: 'Acme Notes', redirect_uris: [`${app.origin}/callback`], grant_types: ['authorization_code'] },
    firstParty,
  );
  return oidc.discovery(new URL(all.server.issuer), client_id, client_secret, undefined, {
    execute: [oidc.allowInsecureRequests],
  });
};
const request = async (client: oidc.Configuration, more: Record<string, string> = {}) => {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const expectedState = oidc.randomState();
  const url = oidc.buildAuthorizationUrl(client, {
    redirect_uri: `${app.origin}/callback`,
    scope: 'openid profile email',
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    ...more,
  });
  return { url: url.href, checks: { pkceCodeVerifier, expectedState } };
};
const at = (page: Page): string => new URL(page.url()).origin;

for (const name of ['google', 'github', 'acme'] as const)
  inBrowser(`from the sign-in page through ${name}, by its pages, to consent and the app${why}`, async (t) => {
    const person = somebody();
    all.upstream[name].switches.person = person;
    const client = await register();
    const page = await open(t);
    const { url, checks } = await request(client);
    await page.goto(url);
    await fits(t, page, 'login');
    await page.click(`#provider-${name}`);
    t.is(at(page), all.upstream[name].origin);
    await page.click('#upstream-continue');
    await fits(t, page, 'consent');
    await page.click('#allow');
    t.is(at(page), app.origin);
    const tokens = await oidc.authorizationCodeGrant(client, app.brought ?? new URL(app.origin), checks);
    const { sub } = tokens.claims() ?? { sub: '' };
    t.like(await oidc.fetchUserInfo(client, tokens.access_token, sub), {
      email: person.email,
      email_verified: true,
      name: person.name,
    });
    // The browser is signed in: nothing is asked again.
    await page.goto((await request(client)).url);
    t.is(at(page), app.origin);
  });

for (const name of ['google', 'github'] as const)
  inBrowser(`who turns back at ${name} reads why, and signs in with a password instead${why}`, async (t) => {
    const email = `turned-back-at-${name}@example.com`;
    await all.server.accounts.create({ email, password: PASSWORD });
    const client = await register(true);
    const page = await open(t);
    await page.goto((await request(client)).url);
    await page.click(`#provider-${name}`);
    await page.click('#upstream-cancel');
    t.is(at(page), all.server.issuer);
    t.regex(await page.innerText('[role=alert]'), /You turned back at/);
    await fits(t, page, 'login with an error');
    await page.fill('[name=login]', email);
    await page.fill('[name=password]', PASSWORD);
    await page.click('#sign-in');
    t.is(at(page), app.origin);
    t.truthy(app.brought?.searchParams.get('code'));
  });

inBrowser(`the direct way of a platform app ends there, with a code${why}`, async (t) => {
  const page = await open(t);
  for (const name of ['google', 'github'] as const) {
    await page.goto(`${all.server.issuer}/oauth/${name}/login?return_to=${encodeURIComponent(`${app.origin}/in?s=1`)}`);
    await page.click('#upstream-continue');
    t.is(at(page), app.origin);
    t.deepEqual([...(app.brought?.searchParams.keys() ?? [])], ['s', 'code']);
  }
});

inBrowser(`on the account page one is added by a form that leads to the provider, and removed${why}`, async (t) => {
  const person = somebody({ email: `${'a-very-long-address-that-has-no-break'.repeat(2)}@example.com` });
  await all.server.accounts.create({ email: 'holder@example.com', password: PASSWORD, emailVerified: true });
  const page = await open(t);
  await page.goto(`${all.server.issuer}/login`);
  await page.fill('[name=login]', 'holder@example.com');
  await page.fill('[name=password]', PASSWORD);
  await page.click('#sign-in');
  for (const name of ['google', 'github', 'acme'] satisfies ProviderName[]) {
    all.upstream[name].switches.person = { ...person, sub: `${person.sub}${name === 'github' ? '77' : name}` };
    await page.click(`#link-${name}`);
    t.is(at(page), all.upstream[name].origin, 'the policy lets the form lead there');
    await page.click('#upstream-continue');
    t.true(page.url().startsWith(`${all.server.issuer}/account?outcome=linked&identity=`));
  }
  await fits(t, page, 'account');
  t.is(await page.locator('[id^=unlink-]').count(), 3);
  await page.locator('[id^=unlink-]').first().click();
  t.is(await page.innerText('#outcome'), 'Removed.');
  t.is(await page.locator('[id^=unlink-]').count(), 2);
});

inBrowser(`in both languages, what went wrong is said${why}`, async (t) => {
  for (const [locale, words] of [
    ['en-US', 'can’t sign you in right now'],
    ['zh-CN', '暂时无法登录'],
  ]) {
    const page = await open(t, { locale });
    all.upstream.github.switches.fault = { path: '/api', as: '500' };
    await page.goto(`${all.server.issuer}/login`);
    await page.click('#provider-github');
    await page.click('#upstream-continue');
    t.true((await page.innerText('[role=alert]')).includes(String(words)), locale);
    await page.goto(`${all.server.issuer}/oauth/github/login?return_to=${encodeURIComponent(app.origin)}`);
    await page.click('#upstream-continue');
    t.true((await page.innerText('main')).includes(String(words)), locale);
    await fits(t, page, `the page of a failure (${locale})`);
    await page.click('#back');
    t.is(app.brought?.searchParams.get('error'), 'temporarily_unavailable');
  }
});
