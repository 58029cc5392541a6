// Whole journeys in a real browser: what only it enforces (the content security policy, cookies, focus), and what only it
// lays out.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import * as oidc from 'openid-client';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { inBrowser, isWanted, launchChromium, why } from '../helpers/chromium.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const PHONE = { width: 360, height: 740 };
const PASSWORD = 'correct horse battery';

type Listener = { origin: string; close(): Promise<void> };

/** A web server of the app's; each has an origin of its own. */
const listen = async (answer: (req: IncomingMessage, res: ServerResponse) => void): Promise<Listener> => {
  const server = createServer(answer).listen(0, 'localhost');
  await once(server, 'listening');
  return {
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

let server: TestServer;
let browser: Browser;
let app: Listener;
let callback: Listener;
/** What the browser has complained of in the test that runs. */
const complaints: string[] = [];
/** What the last visit to the callback brought along, form fields as a query. */
let brought: URL;

if (isWanted) {
  test.before(async () => {
    server = await startServer();
    await server.accounts.create({
      email: 'ada@example.com',
      username: 'ada',
      password: PASSWORD,
      emailVerified: true,
    });
    app = await listen((req, res) => {
      res.setHeader('Content-Type', 'text/html');
      res.end(`<!doctype html><link rel="icon" href="data:,"><title>App</title><p id="app">${req.url}</p>`);
    });
    // As apps do: the callback is on one host, where it ends is on another.
    callback = await listen(async (req, res) => {
      brought = new URL(req.url ?? '/', callback.origin);
      if (req.method === 'POST') brought.search = await text(req);
      res.writeHead(303, { Location: `${app.origin}/signed-in` }).end();
    });
    browser = await launchChromium();
  });
  test.afterEach((t) => t.deepEqual(complaints.splice(0), []));
  test.after.always(async () => {
    await browser?.close();
    await callback?.close();
    await app?.close();
    await server?.close();
  });
}

/** A client of the app's, as a client library sees it. */
const register = async (metadata: Record<string, unknown> = {}): Promise<oidc.Configuration> => {
  const client = await server.clients.register({
    client_name: 'Acme Notes',
    redirect_uris: [`${callback.origin}/callback`],
    post_logout_redirect_uris: [`${app.origin}/goodbye`],
    grant_types: ['authorization_code', 'refresh_token'],
    ...metadata,
  });
  return oidc.discovery(new URL(server.issuer), client.client_id, client.client_secret, undefined, {
    execute: [oidc.allowInsecureRequests],
  });
};

const request = async (client: oidc.Configuration, more: Record<string, string> = {}) => {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const expectedState = oidc.randomState();
  const url = oidc.buildAuthorizationUrl(client, {
    redirect_uri: `${callback.origin}/callback`,
    scope: 'openid profile email',
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    ...more,
  });
  return { url: url.href, checks: { pkceCodeVerifier, expectedState } };
};

/** A tab of a browser of its own. Whatever it complains of, and every foreign address it asks for, fails the test. */
const open = async (t: ExecutionContext, options: BrowserContextOptions = {}): Promise<Page> => {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: PHONE, locale: 'en-US', ...options });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const known = [server.issuer, app.origin, callback.origin];
  page.on('request', (sent) => {
    const { origin, protocol } = new URL(sent.url());
    if (protocol !== 'data:' && !known.includes(origin)) complaints.push(`request to ${sent.url()}`);
  });
  page.on('console', (message) => {
    // That a page is an error page, the browser reports as an error of its own.
    // So it does for the icon of a page that names none, which is the engine's for form_post.
    const { url } = message.location();
    const isStatus =
      message.text().startsWith('Failed to load resource') && (url === page.url() || url.endsWith('.ico'));
    if (['error', 'warning'].includes(message.type()) && !isStatus) complaints.push(`${page.url()}: ${message.text()}`);
  });
  page.on('pageerror', ({ message }) => complaints.push(`${page.url()}: ${message}`));
  return page;
};

/** It fits into the width of the screen, and has one heading. */
const fits = async (t: ExecutionContext, page: Page, name: string): Promise<void> => {
  // A click waits for the next page to begin, when it may have no element yet.
  await page.waitForLoadState();
  const [scrollWidth, clientWidth] = await page.evaluate<[number, number]>(
    '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
  );
  t.true(scrollWidth <= clientWidth, `${name} is ${scrollWidth} wide on a screen of ${clientWidth}`);
  t.is(await page.locator('h1').count(), 1, name);
};

const signIn = async (page: Page, login = 'ada@example.com'): Promise<void> => {
  await page.fill('[name=login]', login);
  await page.fill('[name=password]', PASSWORD);
  await page.click('#sign-in');
};

inBrowser(`a mail that was kept shows as it is read, and its button leads on${why}`, async (t) => {
  await server.mail.send(
    { email: 'ada@example.com', locale: 'en' },
    { template: 'reset_password', link: `${app.origin}/reset?token=1`, minutes: 30 },
  );
  const page = await open(t);
  await page.goto(`${server.issuer}/dev/mail`);
  await fits(t, page, 'kept mails');
  await page.click('text=Choose a new password');
  await fits(t, page, 'a kept mail');
  const mail = page.frameLocator('iframe');
  const button = mail.getByRole('link', { name: 'Choose a new password' });
  t.is(await button.evaluate((link) => Object(globalThis).getComputedStyle(link).backgroundColor), 'rgb(11, 90, 107)');
  const [opened] = await Promise.all([page.waitForEvent('popup'), button.click()]);
  await opened.waitForLoadState();
  t.is(opened.url(), `${app.origin}/reset?token=1`);

  await page.click('.mail-text a');
  t.is(page.url(), `${app.origin}/reset?token=1`);

  // To find the button, Playwright runs scripts in the frame, which the browser says it does not let run.
  const others = complaints.splice(0).filter((complaint) => !complaint.includes('Blocked script execution'));
  t.deepEqual(others, []);
});

inBrowser(`without JavaScript: a wrong password, the right one, consent, the app, signing out${why}`, async (t) => {
  const client = await register();
  const page = await open(t);
  const { url, checks } = await request(client);
  await page.goto(url);
  await fits(t, page, 'login');
  t.regex(await page.innerText('main'), /Acme Notes/);

  await page.fill('[name=login]', 'Ada@example.com');
  await page.fill('[name=password]', 'wrong password');
  await page.click('#sign-in');
  t.not(await page.innerText('[role=alert]'), '');
  t.is(await page.inputValue('[name=login]'), 'Ada@example.com');
  t.is(await page.inputValue('[name=password]'), '');
  t.is(await page.evaluate('document.activeElement.name'), 'password');
  await fits(t, page, 'login with an error');

  await page.fill('[name=password]', PASSWORD);
  await page.click('#sign-in');
  await fits(t, page, 'consent');
  t.regex(await page.innerText('main'), /Acme Notes[\s\S]*ada[\s\S]*localhost/);
  await page.click('#allow');
  // Through the callback and on to another origin: the policy of the form let both pass.
  t.is(page.url(), `${app.origin}/signed-in`);

  const tokens = await oidc.authorizationCodeGrant(client, brought, checks);
  const { sub } = tokens.claims() ?? { sub: '' };
  t.like(await oidc.fetchUserInfo(client, tokens.access_token, sub), {
    sub,
    email: 'ada@example.com',
    email_verified: true,
    preferred_username: 'ada',
  });

  // Signed in already, and asked once: the second time nothing is in the way.
  await page.goto((await request(client)).url);
  t.is(page.url(), `${app.origin}/signed-in`);

  const goodbye = oidc.buildEndSessionUrl(client, {
    id_token_hint: tokens.id_token ?? '',
    post_logout_redirect_uri: `${app.origin}/goodbye`,
    state: 'bye',
  });
  await page.goto(goodbye.href);
  await fits(t, page, 'logout');
  await page.click('#sign-out');
  t.is(page.url(), `${app.origin}/goodbye?state=bye`);
  await page.goto((await request(client)).url);
  t.is(await page.locator('#sign-in').count(), 1, 'the password is asked for again');
});

inBrowser(`without JavaScript: whoever declines is sent back to the app, which is told so${why}`, async (t) => {
  const client = await register();
  const page = await open(t);
  await page.goto((await request(client)).url);
  await signIn(page);
  await page.click('#deny');
  t.is(page.url(), `${app.origin}/signed-in`);
  t.is(brought.searchParams.get('error'), 'access_denied');
  await page.context().clearCookies();
  await page.goto((await request(client)).url);
  await page.click('#cancel');
  t.is(page.url(), `${app.origin}/signed-in`);
  t.is(brought.searchParams.get('error'), 'access_denied');
});

inBrowser(`with JavaScript: an answer by form_post sends itself, past the content security policy${why}`, async (t) => {
  const client = await register();
  const page = await open(t, { javaScriptEnabled: true });
  const { url, checks } = await request(client, { response_mode: 'form_post' });
  await page.goto(url);
  await signIn(page);
  await page.click('#allow');
  await page.waitForURL(`${app.origin}/signed-in`);
  const answer = new Request(`${callback.origin}/callback`, {
    method: 'POST',
    body: brought.searchParams.toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  const tokens = await oidc.authorizationCodeGrant(client, answer, checks);
  t.truthy(tokens.claims()?.sub);
});

inBrowser(`without JavaScript: an answer by form_post has a button${why}`, async (t) => {
  const client = await register();
  const page = await open(t);
  await page.goto((await request(client, { response_mode: 'form_post' })).url);
  await signIn(page);
  await page.click('#allow');
  await page.click('[type=submit]');
  t.is(page.url(), `${app.origin}/signed-in`);
  t.true(brought.searchParams.has('code'));
});

/** In the page: which element has the focus, and whether that shows. */
const FOCUSED = `(({ outlineStyle, outlineWidth, boxShadow }) => ({
  id: document.activeElement.id,
  seen: (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none',
}))(getComputedStyle(document.activeElement))`;

/** Presses Tab until the element with this id has the focus, which must be seen. */
const tabTo = async (t: ExecutionContext, page: Page, id: string): Promise<void> => {
  for (let presses = 0; presses < 20; presses += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate<{ id: string; seen: boolean }>(FOCUSED);
    if (focused.id) t.true(focused.seen, `the focus on #${focused.id}`);
    if (focused.id === id) return;
  }
  t.fail(`Tab does not reach #${id}`);
};

inBrowser(`with the keyboard alone: sign in, allow, sign out${why}`, async (t) => {
  const client = await register();
  const page = await open(t);
  const { url, checks } = await request(client);
  await page.goto(url);
  // The cursor waits in the first field, where the browser puts it once it has drawn the page.
  await page.locator('input[name=login]:focus').waitFor();
  await page.keyboard.type('ada');
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#allow');
  await tabTo(t, page, 'allow');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${app.origin}/signed-in`);
  const tokens = await oidc.authorizationCodeGrant(client, brought, checks);
  const goodbye = { id_token_hint: tokens.id_token ?? '', post_logout_redirect_uri: `${app.origin}/goodbye` };
  await page.goto(oidc.buildEndSessionUrl(client, goodbye).href);
  await tabTo(t, page, 'sign-out');
  await page.keyboard.press('Enter');
  await page.waitForURL(`${app.origin}/goodbye`);
  t.pass();
});

inBrowser(`every page fits a screen of 360 px, with the longest names, in both languages${why}`, async (t) => {
  const long = 'Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft';
  const email = `${'a-very-long-local-part-of-an-address-that-has-no-break'}@${'sub-domain'.repeat(8)}.example`;
  const account = await server.accounts.create({ email, password: PASSWORD });
  const client = await register({
    client_name: long,
    client_uri: 'https://acme.example/',
    tos_uri: 'https://acme.example/',
  });
  const everything = {
    scope: 'openid profile email address phone offline_access read:profile write:profile',
    prompt: 'consent',
    claims: JSON.stringify({ userinfo: { birthdate: null, zoneinfo: null, [long.toLowerCase()]: null } }),
  };
  for (const locale of ['en-US', 'zh-CN']) {
    const page = await open(t, { locale });
    const visit = async (name: string, url: string) => {
      await page.goto(url);
      await fits(t, page, `${name} (${locale})`);
    };
    await visit('home', server.issuer);
    await visit('not found', `${server.issuer}/nowhere/${long}`);
    await visit('unknown client', `${server.issuer}/oauth/authorize?client_id=${long}&response_type=code`);
    const elsewhere = `https://elsewhere.example/${long}`;
    await visit('unregistered redirect_uri', (await request(client, { redirect_uri: elsewhere })).url);
    await visit('an interaction that is gone', `${server.issuer}/interaction/gone`);

    await visit('login', (await request(client, { ...everything, login_hint: email })).url);
    await page.fill('[name=password]', 'wrong password');
    await page.click('#sign-in');
    await fits(t, page, `login with an error (${locale})`);
    await page.fill('[name=password]', PASSWORD);
    await page.click('#sign-in');
    await fits(t, page, `consent (${locale})`);
    await page.click('#allow');
    t.is(page.url(), `${app.origin}/signed-in`);

    await visit('account', `${server.issuer}/account`);
    await visit('another login', (await request(client, { prompt: 'login' })).url);
    await visit('account choice', (await request(client, { prompt: 'select_account' })).url);
    const hint = { post_logout_redirect_uri: `${app.origin}/goodbye` };
    await visit('logout for an app', oidc.buildEndSessionUrl(client, hint).href);
    await visit('logout', `${server.issuer}/oauth/logout`);
    await page.click('#stay');
    await fits(t, page, `still signed in (${locale})`);
    await page.goto(`${server.issuer}/oauth/logout`);
    await page.click('#sign-out');
    await fits(t, page, `signed out (${locale})`);
  }
  t.truthy(account.id);
});
