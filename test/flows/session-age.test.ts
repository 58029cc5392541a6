// OWASP ASVS 5.0 §7.3.2: a session that is used does not live for ever.
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, newApp, newPerson, signIn, told } from '../helpers/relying-party.ts';
import { startServer } from '../helpers/server.ts';

const MAX_SECONDS = 6;

test('a session ends so long after its sign-in, however much it is used; signing in again begins another', async (t) => {
  const server = await startServer({ sessionMaxSeconds: MAX_SECONDS });
  t.teardown(() => server.close());
  const person = await newPerson(server);
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const silently = async () => told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url));

  const { tokens } = await signIn(browser, rp, person);
  const signedInAt = Number(tokens.claims()?.auth_time);
  const { headers } = await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url, {
    redirect: 'manual',
  });
  const [, until = ''] = /session=[^,]*?expires=([^;\n]+)/.exec(headers.getSetCookie().join('\n')) ?? [];
  // The session may have begun a moment after the sign-in was done.
  t.true(Date.parse(until) / 1000 <= signedInAt + MAX_SECONDS + 2, `nor does it say that it lasts longer: ${until}`);

  let answer = await silently();
  for (const deadline = Date.now() + 30_000; answer.code && Date.now() < deadline; answer = await silently())
    await sleep(250);
  t.is(answer.error, 'login_required');
  t.true(Date.now() / 1000 >= signedInAt + MAX_SECONDS, 'not before');
  t.not((await browser.go('/account')).url.pathname, '/account', 'nor on our own pages');

  const again = await signIn(browser, rp, person);
  t.true(Number(again.tokens.claims()?.auth_time) >= signedInAt + MAX_SECONDS);
  t.truthy((await silently()).code);
});
