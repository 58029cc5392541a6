// The page that describes the API, in a real browser: it draws itself from local files under a policy that runs nothing else.
import test from 'ava';
import { inBrowser, launchChromium, why } from '../helpers/chromium.ts';
import { startServer } from '../helpers/server.ts';

inBrowser(`/docs draws the API, and a request tried there with a token or a key is answered${why}`, async (t) => {
  const server = await startServer();
  const browser = await launchChromium();
  t.teardown(async () => {
    await browser.close();
    await server.close();
  });
  const page = await browser.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  const elsewhere: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(server.origin) && !request.url().startsWith('data:')) elsewhere.push(request.url());
  });

  const user = await server.accounts.create({ email: 'ada@example.com', password: 'correct horse' });
  const login = await fetch(`${server.origin}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'ada@example.com', password: 'correct horse' }),
  });
  const { access_token } = (await login.json()) as { access_token: string };
  const made = await fetch(`${server.origin}/users/api-keys`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${access_token}` },
    body: JSON.stringify({ name: 'docs', scopes: ['read:profile'] }),
  });
  const { key } = (await made.json()) as { key: string };

  const tryIt = async (scheme: 'bearer' | 'apiKey', credential: string) => {
    await page.goto(`${server.origin}/docs`);
    await page.locator('.opblock').first().waitFor();
    await page.getByRole('button', { name: 'Authorize' }).first().click();
    const dialog = page.locator('.auth-container').filter({ hasText: scheme });
    await dialog.locator('input[type=text]').fill(credential);
    await dialog.getByRole('button', { name: 'Apply credentials' }).click();
    await page.locator('.close-modal').click();
    await page.locator('#operations-Users-getUsersMe .opblock-summary-control').click();
    await page.getByRole('button', { name: 'Try it out' }).click();
    await page.getByRole('button', { name: 'Execute' }).click();
    const live = page.locator('#operations-Users-getUsersMe .live-responses-table');
    await live.waitFor();
    return live.innerText();
  };
  t.regex(await tryIt('bearer', access_token), new RegExp(user.id));
  t.regex(await tryIt('apiKey', key), new RegExp(user.id));
  t.deepEqual(complaints, []);
  t.deepEqual(elsewhere, []);
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/docs.png` });
});

test('/docs has a policy of its own, and what it loads is what the package brings and nothing more', async (t) => {
  const server = await startServer();
  const page = await fetch(`${server.origin}/docs`);
  t.is(page.status, 200);
  t.regex(page.headers.get('content-security-policy') ?? '', /default-src 'none'; script-src 'self';/);
  t.notRegex(page.headers.get('content-security-policy') ?? '', /unsafe/);
  t.is((await fetch(`${server.origin}/docs/swagger-ui.css`)).headers.get('content-type'), 'text/css; charset=utf-8');
  for (const name of ['package.json', '..%2fpackage.json', 'swagger-ui-bundle.js.map', '__proto__'])
    t.is((await fetch(`${server.origin}/docs/${name}`)).status, 404, name);
  const asked = await fetch(`${server.origin}/docs`, { headers: { 'accept-language': 'zh-CN' } });
  t.regex(await asked.text(), /此页面需要/);
  await server.close();
});
