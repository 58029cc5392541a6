// A sign-in that is done is worth nothing in the hands of who holds it back until the account is somebody else's again.
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, newApp, newPerson, told } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
test.before(async () => {
  server = await startServer();
});
test.after.always(() => server?.close());

/** Signs in, and does not go on to where the browser is sent. */
const heldBack = async () => {
  const person = await newPerson(server);
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const page = await browser.go((await authorizationRequest(rp)).url);
  const credentials = { login: person.email, password: person.password };
  const sent = await browser.submit(page, 'sign-in', credentials, { redirect: 'manual' });
  return { browser, person, rp, onwards: sent.url };
};

const isSignedIn = async ({ browser, rp }: Awaited<ReturnType<typeof heldBack>>): Promise<boolean> =>
  told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url)).error !== 'login_required';

test('going on at once signs in', async (t) => {
  const held = await heldBack();
  t.regex((await held.browser.go(held.onwards)).html, /id="allow"/);
  t.true(await isSignedIn(held));
});

test('a new password ends a sign-in that was held back', async (t) => {
  const held = await heldBack();
  await server.accounts.setPassword(held.person.email, 'another good password');
  t.is((await held.browser.go(held.onwards)).status, 400);
  t.false(await isSignedIn(held));
});

test('a ban that came and went ends a sign-in that was held back', async (t) => {
  const held = await heldBack();
  await server.stores.artifacts.destroyByAccount(held.person.id);
  t.is((await held.browser.go(held.onwards)).status, 400);
  t.false(await isSignedIn(held));
});
