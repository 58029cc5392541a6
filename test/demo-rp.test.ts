// scripts/demo-rp.ts: the app that a newcomer clicks through, as a process of its own beside a running server.
import { connect } from 'node:net';
import test from 'ava';
import { DEMO_RP } from '../src/demo.ts';
import { createBrowser, type Visited } from './helpers/browser.ts';
import { cardOf, freePort, killAll, run, startDemo, startService, temporaryDir } from './helpers/service.ts';

// Its port is a fixed one, which something else on this machine may have.
const taken = await new Promise<boolean>((resolve) => {
  const socket = connect(Number(new URL(DEMO_RP).port), 'localhost');
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  socket.unref();
});
const withPort = taken ? test.serial.skip : test.serial;
const why = taken ? ` (${DEMO_RP} is taken)` : '';

test.after.always(killAll);

/** Goes on from one origin to the other until a page answers. */
const follow = async (
  visited: Visited,
  browsers: Record<string, ReturnType<typeof createBrowser>>,
): Promise<Visited> => {
  let at = visited;
  while (at.status === 0) {
    const browser = browsers[at.url.origin];
    if (!browser) throw new Error(`sent to ${at.url.origin}`);
    at = await browser.go(at.url);
  }
  return at;
};

/** What a <pre> of the demo holds. */
const shown = ({ html }: Visited, id: string) => {
  const text = new RegExp(`<pre id="${id}">([^<]*)</pre>`).exec(html)?.[1] ?? '';
  return JSON.parse(text.replace(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code))));
};

withPort(`the demo app signs in, shows the claims, refreshes and signs out${why}`, async (t) => {
  const service = await startService();
  const demo = await startDemo({ DATA_DIR: service.dataDir, PORT: String(service.port) });
  t.true(demo.output().includes(DEMO_RP) && demo.output().includes(service.origin));
  const password = cardOf(service.output())['Demo user']?.split(' ').at(-1) ?? '';
  const provider = createBrowser(service.origin);
  const app = createBrowser(DEMO_RP);
  const browsers = { [service.origin]: provider, [DEMO_RP]: app };

  const start = await app.go('/');
  t.regex(start.html, /knows nobody/);
  const login = await follow(await app.submit(start, 'login'), browsers);
  t.regex(login.html, /id="sign-in"/);
  t.regex(login.html, /Optima Demo/);
  const consent = await provider.submit(login, 'sign-in', { login: 'demo', password });
  t.regex(consent.html, /id="allow"/);
  const signedIn = await follow(await provider.submit(consent, 'allow'), browsers);
  t.is(signedIn.url.href, `${DEMO_RP}/`);
  t.like(shown(signedIn, 'claims'), { iss: service.origin, aud: 'optima_client' });
  t.like(shown(signedIn, 'userinfo'), {
    sub: shown(signedIn, 'claims').sub,
    email: 'demo@example.com',
    email_verified: true,
    preferred_username: 'demo',
  });

  const refreshed = await app.submit(signedIn, 'refresh');
  t.regex(refreshed.html, /New tokens, good for \d+ seconds/);
  t.is(shown(refreshed, 'claims').sub, shown(signedIn, 'claims').sub);
  t.regex((await app.submit(refreshed, 'refresh')).html, /New tokens/, 'the rotated token works as well');

  const question = await follow(await app.submit(refreshed, 'logout'), browsers);
  t.regex(question.html, /id="sign-out"/);
  const signedOut = await follow(await provider.submit(question, 'sign-out'), browsers);
  t.is(signedOut.url.origin, DEMO_RP);
  t.regex(signedOut.html, /knows nobody/);
  const again = await follow(await app.submit(signedOut, 'login'), browsers);
  t.regex(again.html, /id="sign-in"/, 'the provider asks for the password again');

  const declined = await follow(await provider.submit(again, 'cancel'), browsers);
  t.is(declined.url.origin, DEMO_RP);
  t.regex(declined.html, /role="status">The sign-in ended/);

  await demo.stop();
  await service.stop();
});

test.serial('the demo app says what to do when no server runs', async (t) => {
  const { code, stdout, stderr } = await run('scripts/demo-rp.ts', [], {
    DATA_DIR: temporaryDir(),
    PORT: String(await freePort()),
  });
  t.is(code, 1);
  t.is(stdout, '');
  t.regex(stderr, /^No answer from http:\/\/localhost:\d+ [^\n]*npm start[^\n]*\n$/);
});
