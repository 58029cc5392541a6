// The forms of a sign-in accept what our own pages sent, from the browser they were made for, and nothing else.
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import {
  authorizationRequest,
  newApp,
  newPerson,
  type Person,
  passThrough,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
});
test.after.always(() => server?.close());

const atLogin = async (params: Record<string, string> = {}, metadata: Record<string, unknown> = {}) => {
  const browser = createBrowser(server.issuer);
  const { rp } = await newApp(server, metadata);
  const started = await authorizationRequest(rp, params);
  return { browser, rp, started, page: await browser.go(started.url) };
};
const credentials = () => ({ login: person.email, password: person.password });
const token = (page: Visited): string => /name="csrf" value="([^"]+)"/.exec(page.html)?.[1] ?? '';
const action = (page: Visited): string => /<form method="post" action="([^"]+)"/.exec(page.html)?.[1] ?? '';

const refused = (t: ExecutionContext, page: Visited, status = 403) => {
  t.is(page.status, status);
  t.regex(page.html, /<h1>/);
  // The sign-in form comes back with what was typed; anything else is an error page with its reference.
  if (status === 403 && page.html.includes('id="sign-in"')) {
    t.regex(page.html, /role="alert"/);
    t.true(page.html.includes(`value="${person.email}"`));
    t.false(page.html.includes(person.password));
  } else t.true(page.html.includes(page.headers.get('x-request-id') ?? 'none'));
  t.notRegex(page.html, /\bat .*\.ts:\d+/, 'no stack trace');
};

test('a form without our token, or with a wrong one, is refused', async (t) => {
  const { browser, page } = await atLogin();
  for (const csrf of ['', 'wrong', 'A'.repeat(43), `${token(page)}x`])
    refused(t, await browser.submit(page, 'sign-in', { ...credentials(), csrf }));
  const body = new URLSearchParams(credentials());
  refused(t, await browser.go(action(page), { method: 'POST', body }));
  t.is((await passThrough(browser, page, person)).status, 0, 'the page itself still works');
});

test('every form of a sign-in needs its token', async (t) => {
  const { browser, rp, page } = await atLogin();
  refused(t, await browser.submit(page, 'cancel', { csrf: 'wrong' }));
  const consent = await browser.submit(page, 'sign-in', credentials());
  refused(t, await browser.submit(consent, 'allow', { csrf: 'wrong' }));
  refused(t, await browser.submit(consent, 'deny', { csrf: 'wrong' }));
  t.is((await browser.submit(consent, 'allow')).status, 0);
  const chooser = await browser.go((await authorizationRequest(rp, { prompt: 'select_account' })).url);
  refused(t, await browser.submit(chooser, 'continue', { csrf: 'wrong' }));
  refused(t, await browser.submit(chooser, 'cancel', { csrf: 'wrong' }));
});

test('the token of one sign-in is no good for another, in the same browser or elsewhere', async (t) => {
  const { browser, rp, page } = await atLogin();
  const second = await browser.go((await authorizationRequest(rp)).url);
  t.not(token(page), token(second));
  refused(t, await browser.submit(page, 'sign-in', { ...credentials(), csrf: token(second) }));
  const elsewhere = await atLogin();
  refused(t, await browser.submit(page, 'sign-in', { ...credentials(), csrf: token(elsewhere.page) }));
});

test('two sign-ins in two tabs of one browser do not disturb each other', async (t) => {
  const { browser, rp, page } = await atLogin();
  const second = await browser.go((await authorizationRequest(rp)).url);
  t.truthy(told(await passThrough(browser, second, person)).code);
  t.truthy(told(await passThrough(browser, page, person)).code);
});

const FOREIGN: Record<string, Record<string, string>> = {
  'another origin': { origin: 'https://evil.example' },
  'an origin that is hidden': { origin: 'null' },
  'our host by another scheme': { origin: 'https://localhost' },
  'another site': { 'sec-fetch-site': 'cross-site' },
  'a sister domain': { 'sec-fetch-site': 'same-site' },
};

for (const [what, headers] of Object.entries(FOREIGN))
  test(`a form that comes from ${what} is refused, with the right token too`, async (t) => {
    const { browser, page } = await atLogin();
    refused(t, await browser.submit(page, 'sign-in', credentials(), { headers }));
  });

test('a form from our own origin passes', async (t) => {
  const { browser, page } = await atLogin();
  const headers = { origin: server.issuer, 'sec-fetch-site': 'same-origin' };
  t.is((await browser.submit(page, 'sign-in', credentials(), { headers })).status, 200);
});

test("another browser's sign-in is no longer open here: not its page, not its forms", async (t) => {
  const { page } = await atLogin();
  const stranger = createBrowser(server.issuer);
  refused(t, await stranger.go(page.url), 400);
  refused(t, await stranger.submit(page, 'sign-in', credentials()), 400);
  const withOwn = await atLogin();
  refused(t, await withOwn.browser.go(page.url), 400);
  refused(t, await withOwn.browser.submit(page, 'sign-in', credentials()), 400);
  refused(t, await stranger.go('/interaction/made-up'), 400);
});

test('what comes back from a sign-in is taken by the browser that began it only', async (t) => {
  const { browser, page } = await atLogin();
  const answer = await browser.submit(page, 'sign-in', credentials());
  const resume = answer.trail.find((step) => step.includes('/oauth/authorize/')) ?? '';
  t.truthy(resume);
  refused(t, await createBrowser(server.issuer).go(resume), 400);
});

test('an answer to a question that was not asked answers nothing', async (t) => {
  const { browser, rp, page } = await atLogin();
  await passThrough(browser, page, person);
  for (const prompt of ['login', 'consent']) {
    for (const [where, fields] of [
      ['account', { account: 'continue' }],
      ['consent', { decision: prompt === 'login' ? 'allow' : 'odd' }],
    ] as const) {
      const open = await browser.go((await authorizationRequest(rp, { prompt })).url);
      const body = new URLSearchParams({ csrf: token(open), ...fields });
      const answer = await browser.go(action(open).replace(/\w+$/, where), { method: 'POST', body });
      t.not(answer.status, 0, `${prompt} was skipped by ${where}`);
      t.regex(answer.html, prompt === 'login' ? /id="sign-in"/ : /id="allow"/);
    }
  }
});

test('a cookie that was altered counts for nothing', async (t) => {
  const { browser, page } = await atLogin();
  const other = await atLogin();
  const own = other.browser.cookies().find(({ name }) => name === 'interaction')?.value ?? '';
  browser.setCookies(browser.cookies().map((c) => (c.name === 'interaction' ? { ...c, value: own } : c)));
  refused(t, await browser.submit(page, 'sign-in', credentials()), 400);
});

test('a sign-in form sent twice, one after the other, does no harm', async (t) => {
  const { browser, page } = await atLogin();
  const consent = await browser.submit(page, 'sign-in', credentials());
  refused(t, await browser.submit(page, 'sign-in', credentials()), 400);
  t.is((await browser.submit(consent, 'allow')).status, 0);
});

test('a sign-in form sent twice at once gets the person on', async (t) => {
  const { browser, page } = await atLogin();
  const both = await Promise.all([1, 2].map(() => browser.submit(page, 'sign-in', credentials())));
  for (const answer of both) t.true(answer.status === 200 || answer.status === 400, String(answer.status));
  const ends: number[] = [];
  for (const consent of both.filter(({ html }) => html.includes('id="allow"')))
    ends.push((await browser.submit(consent, 'allow')).status);
  // Where both made a session, the cookie kept is that of the one that goes on.
  t.true(ends.includes(0), `ended with ${ends}`);
});

test('a consent sent twice does no harm, at once or one after the other', async (t) => {
  const { browser, page } = await atLogin();
  const consent = await browser.submit(page, 'sign-in', credentials());
  const both = await Promise.all([1, 2].map(() => browser.submit(consent, 'allow')));
  for (const answer of both) t.true(answer.status === 0 || answer.status === 400, String(answer.status));
  t.true(both.some(({ status }) => status === 0));
  refused(t, await browser.submit(consent, 'allow'), 400);
});

test('errors keep what was typed, never the password, and say what to do', async (t) => {
  const { browser, page } = await atLogin();
  const wrong = await browser.submit(page, 'sign-in', { login: 'Ada "the first" <a@b>', password: 'hunter2-secret' });
  t.is(wrong.status, 401);
  t.regex(wrong.html, /value="Ada &quot;the first&quot; &lt;a@b&gt;"/);
  t.notRegex(wrong.html, /hunter2-secret/);
  t.regex(wrong.html, /role="alert"/);
  const unknown = await browser.submit(page, 'sign-in', { login: 'nobody@example.com', password: 'x' });
  const known = await browser.submit(page, 'sign-in', { login: person.email, password: 'x' });
  const words = ({ html }: Visited) => /role="alert"[^>]*>([^<]*)/.exec(html)?.[1];
  t.is(words(unknown), words(known), 'who has an account here is not given away');
  for (const fields of [
    { login: '', password: 'x' },
    { login: ' ', password: '' },
  ])
    t.is((await browser.submit(page, 'sign-in', fields)).status, 400);
  const long = await browser.submit(page, 'sign-in', { login: 'a'.repeat(2000), password: 'x' });
  t.is(long.status, 400);
  t.regex(long.html, /too long for an email or username/);
});

test('a name with a NUL or other odd characters is a wrong name, not an error of ours', async (t) => {
  const { browser, page } = await atLogin();
  for (const login of ['a\0b@example.com', 'a\0b', '\ud800', "' OR 1=1 --", '\u202e\u0000@x', '%00'])
    t.is((await browser.submit(page, 'sign-in', { login, password: 'x' })).status, 401, JSON.stringify(login));
  t.is((await browser.submit(page, 'sign-in', { login: person.email, password: 'a\0b' })).status, 401);
});

test('a name that the database cannot hold spoils no sign-in of somebody else at the same moment', async (t) => {
  // Reads of one moment become one query.
  const [odd, known] = await Promise.allSettled([
    server.accounts.authenticate('a\0b@example.com', 'x'),
    server.accounts.authenticate(person.email, person.password),
  ]);
  t.is(known.status, 'fulfilled', 'the other one');
  t.deepEqual(odd, { status: 'fulfilled', value: undefined });
});

test('an app that is gone meanwhile ends on a page', async (t) => {
  const { browser, rp, page } = await atLogin();
  await server.database.pool.query('DELETE FROM oauth_clients WHERE client_id = $1', [rp.clientMetadata().client_id]);
  // A client that was read is known for a second.
  await sleep(1_100);
  const answer = await browser.submit(page, 'sign-in', credentials());
  refused(t, answer, 400);
  t.true(answer.trail.every((step) => new URL(step).origin === server.issuer));
});

test('a banned user cannot sign in, and learns no more than anybody', async (t) => {
  const banned = await newPerson(server);
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE id = $1', [banned.id]);
  const { browser, page } = await atLogin();
  const answer = await browser.submit(page, 'sign-in', { login: banned.email, password: banned.password });
  t.is(answer.status, 401);
});

for (const change of ['UPDATE users SET banned_at = now() WHERE id = $1', 'DELETE FROM users WHERE id = $1'])
  test(`a session outlives its user as a sign-in form, not as an error: ${change}`, async (t) => {
    const gone = await newPerson(server);
    const browser = createBrowser(server.issuer);
    const { rp } = await newApp(server);
    await signIn(browser, rp, gone);
    const half = await browser.go((await authorizationRequest(rp, { scope: 'openid email' })).url);
    t.regex(half.html, /id="allow"/);
    await server.database.pool.query(change, [gone.id]);

    t.is(told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url)).error, 'login_required');
    for (const params of [{}, { prompt: 'login' }, { prompt: 'select_account' }, { prompt: 'consent' }] as const) {
      const page = await browser.go((await authorizationRequest(rp, params)).url);
      t.is(page.status, 200);
      t.regex(page.html, /id="sign-in"/, JSON.stringify(params));
      t.notRegex(page.html, new RegExp(gone.email));
    }
    const answered = await browser.submit(half, 'allow');
    t.true(answered.status === 200 || answered.status === 400, 'a consent that was open meanwhile');
    t.false('code' in told(answered));
    t.is((await browser.go('/account')).url.pathname, '/');
    t.is((await browser.go('/oauth/logout')).status, 200);
    const { tokens } = await signIn(browser, rp, person);
    t.is(tokens.claims()?.sub, person.id, 'somebody else can sign in after them');
  });
