// What people see of an app that nobody has looked at, in a real browser.
import test from 'ava';
import type { Browser } from 'playwright-core';
import { inBrowser, isWanted, launchChromium, why } from '../helpers/chromium.ts';
import { newPerson, type Person } from '../helpers/relying-party.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let chromium: Browser | undefined;
let person: Person;

test.before(async () => {
  if (!isWanted) return;
  server = await startServer();
  chromium = await launchChromium();
  person = await newPerson(server);
});
test.after.always(async () => {
  await chromium?.close();
  await server?.close();
});

for (const [locale, words] of [
  ['en', 'Unverified app'],
  ['zh-CN', '未经验证的应用'],
] as const)
  inBrowser(
    `an unverified app is marked on a phone too, before anything can be allowed (${locale})${why}`,
    async (t) => {
      const { body } = await createRest(server.origin).post('/oauth/register', {
        client_name: 'Desk Notes',
        redirect_uris: ['http://127.0.0.1/callback'],
        token_endpoint_auth_method: 'none',
        contacts: ['help@desk.example'],
        client_uri: 'https://desk.example/',
        tos_uri: 'https://desk.example/terms',
      });
      const page = await chromium?.newPage({ locale, viewport: { width: 320, height: 640 } });
      if (!page) return t.fail();
      t.teardown(() => page.close());
      const wrong: string[] = [];
      page.on('console', (message) => wrong.push(message.text()));
      const query = new URLSearchParams({
        client_id: String(body.client_id),
        response_type: 'code',
        scope: 'openid profile email',
        redirect_uri: 'http://127.0.0.1:51004/callback',
        code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
        code_challenge_method: 'S256',
      });
      await page.goto(`${server.issuer}/oauth/authorize?${query}`);
      await page.fill('#login', person.email);
      await page.fill('#password', person.password);
      await page.click('#sign-in');
      const marked = page.locator('#unverified');
      t.regex(await marked.innerText(), new RegExp(`${words}[\\s\\S]*127\\.0\\.0\\.1:51004`));
      t.true(await page.locator('#local-only').isVisible());
      const above = await marked.boundingBox();
      const below = await page.locator('#allow').boundingBox();
      t.true((above?.y ?? 0) < (below?.y ?? 0));
      t.true(await page.evaluate('document.documentElement.scrollWidth <= document.documentElement.clientWidth'));
      t.deepEqual(wrong, []);
      if (process.env.SCREENSHOTS)
        await page.screenshot({ path: `${process.env.SCREENSHOTS}/unverified-${locale}.png`, fullPage: true });
    },
  );
