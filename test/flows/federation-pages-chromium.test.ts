// How the pages of signing in through others look in a real browser: as many buttons as there may be, and what is said when it did not
// work. SCREENSHOTS=DIR keeps a picture of each, light and dark, on a phone and on a desk, in both languages.
import test, { type ExecutionContext } from 'ava';
import type { Browser, Page } from 'playwright-core';
import { inBrowser, isWanted, launchChromium, why } from '../helpers/chromium.ts';
import { APP, type Federated, startFederated } from '../helpers/federated.ts';
import { somebody } from '../helpers/identity-provider.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const SIZES = { phone: { width: 360, height: 740 }, desk: { width: 1280, height: 800 } };
const LOCALES = ['en-US', 'zh-CN'];
/** A finger finds it (WCAG 2.5.5). */
const TARGET = 44;
/** As long as a label may be (see `config-federation.ts`). */
const LONG = 'The Staff of the Acme Company Worldwide.';

const client = { clientId: 'client', clientSecret: 'a secret' };
const google = { ...client, issuer: 'https://accounts.google.com' };
const github = { ...client, url: 'https://github.com', apiUrl: 'https://api.github.com' };

let none: TestServer;
let two: TestServer;
let four: Federated;
let browser: Browser;

if (isWanted) {
  test.before(async () => {
    none = await startServer();
    two = await startServer({ federation: { google, github, openid: [] } });
    // The fourth is not there.
    four = await startFederated(
      {},
      { openid: [{ ...client, name: 'long', label: LONG, issuer: 'http://localhost:1' }] },
    );
    browser = await launchChromium();
  });
  test.beforeEach(() => {
    for (const name of ['google', 'github', 'acme'] as const) four.upstream[name].reset();
  });
  test.after.always(async () => {
    await browser?.close();
    await Promise.all([none?.close(), two?.close(), four?.close()]);
  });
}

const open = async (t: ExecutionContext, locale: string): Promise<Page> => {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: SIZES.phone, locale });
  t.teardown(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  return page;
};

/** In every size and colour it fits, says so at once where something is wrong, and each button is whole and large enough. */
const looks = async (t: ExecutionContext, page: Page, name: string): Promise<void> => {
  await page.waitForLoadState();
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    const [wide, screen] = await page.evaluate<[number, number]>(
      '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
    );
    t.true(wide <= screen, `${name} is ${wide} wide on a ${size} of ${screen}`);
    for (const button of await page.locator('.button').all()) {
      const { x = 0, width = 0, height = 0 } = (await button.boundingBox()) ?? {};
      t.true(x >= 0 && x + width <= screen && height >= TARGET, `${await button.innerText()} of ${name} on a ${size}`);
    }
    t.true(
      await page.evaluate(
        '[...document.querySelectorAll(".button")].every((one) => one.scrollWidth <= one.clientWidth)',
      ),
      `no words of a button of ${name} are cut off on a ${size}`,
    );
    for (const alert of await page.locator('[role=alert]').all()) {
      const { y = 0, height = 0 } = (await alert.boundingBox()) ?? {};
      t.true(y >= 0 && y + height <= viewport.height, `${name}: what is wrong is seen at once on a ${size}`);
    }
    if (!process.env.SCREENSHOTS) continue;
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}-${size}-${colorScheme}.png`, fullPage: true });
    }
  }
  await page.setViewportSize(SIZES.phone);
};

for (const locale of LOCALES) {
  for (const [count, server] of [
    [0, () => none],
    [2, () => two],
    [4, () => four.server],
  ] as const)
    inBrowser(`the sign-in page with ${count} providers (${locale})${why}`, async (t) => {
      const page = await open(t, locale);
      await page.goto(`${server().issuer}/login`);
      t.is(await page.locator('[id^=provider-]').count(), count);
      t.is(await page.locator('.providers').count(), count === 0 ? 0 : 1);
      await looks(t, page, `login-${count}-${locale}`);
    });

  inBrowser(`what is said on the sign-in page when it did not work (${locale})${why}`, async (t) => {
    const page = await open(t, locale);
    const { github, google } = four.upstream;
    for (const [name, press] of Object.entries<() => Promise<unknown>>({
      cancelled: async () => {
        github.switches.cancels = true;
        await page.click('#provider-github');
        github.reset();
      },
      refused: async () => {
        github.switches.error = 'unauthorized_client';
        await page.click('#provider-github');
        github.reset();
      },
      'wrong-state': async () => {
        github.switches.asks = true;
        await page.click('#provider-github');
        github.reset();
        await page.goto(`${four.server.issuer}/oauth/github/callback?state=made-up&code=x`);
      },
      down: () => page.click('#provider-long'),
      'account-exists': async () => {
        const email = `holder-${locale}@example.com`;
        await four.server.accounts.create({ email, password: 'a long password', emailVerified: false });
        google.switches.person = somebody({ email });
        await page.click('#provider-google');
      },
    })) {
      await page.goto(`${four.server.issuer}/login`);
      await press();
      await page.waitForLoadState();
      t.is(await page.locator('[role=alert]').count(), 1, name);
      t.is(await page.locator('#provider-google').count(), 1, `${name}: the other ways in are there`);
      await looks(t, page, `${name}-${locale}`);
    }
  });

  inBrowser(`what is said on the way from an app, and on the account page (${locale})${why}`, async (t) => {
    const page = await open(t, locale);
    const { github, google } = four.upstream;
    const { person } = google.switches;
    google.switches.fault = { path: '/token', as: '500' };
    await page.goto(`${four.server.issuer}/oauth/google/login?return_to=${encodeURIComponent(`${APP}/in`)}`);
    t.is(await page.locator('[id^=provider-]').count(), 3);
    await looks(t, page, `failed-${locale}`);

    await page.goto(`${four.server.issuer}/login`);
    github.switches.person = somebody({
      email: `${'a-very-long-address-'.repeat(2)}${locale.toLowerCase()}@example.com`,
    });
    await page.click('#provider-github');
    // Whoever was there just now: another one would have to sign out there first.
    Object.assign(google.switches, { person, fault: undefined });
    await page.click('#link-google');
    await page.waitForURL(/outcome=linked/);
    await looks(t, page, `account-${locale}`);
  });
}
