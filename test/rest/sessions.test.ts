import test from 'ava';
import { type Browser, createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, newApp, passThrough, redeem } from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

type Session = { id: string; kind: string; ip: string; user_agent: string; last_used_at: string; current: boolean };

let count = 0;
const person = async () => {
  const email = `present${++count}@example.com`;
  const { id } = await server.accounts.create({ email, password: 'secret1' });
  return { id, email, password: 'secret1' };
};
const login = async (email: string, userAgent = 'test app') => {
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' }, { 'user-agent': userAgent });
  return { auth: bearer(body.access_token), refresh: body.refresh_token };
};
const browse = async (email: string): Promise<Browser> => {
  const browser = createBrowser(server.issuer, { 'user-agent': 'Mozilla/5.0 (a browser)' });
  await browser.submit(await browser.go('/login'), 'sign-in', { login: email, password: 'secret1' });
  return browser;
};
const list = async (auth: Record<string, string>) =>
  (await rest.get('/users/me/sessions', auth)).body as unknown as Session[];
const end = (id: string, auth: Record<string, string>) => rest.delete(`/users/me/sessions/${id}`, undefined, auth);
const signedInThere = async (browser: Browser) => (await browser.go('/account')).url.pathname === '/account';
const sql = (text: string, values: unknown[] = []) => server.database.pool.query(text, values);

test('every sign-in is listed: apps and browsers, with what they look like, and which one asks', async (t) => {
  const { email } = await person();
  const one = await login(email, 'first app');
  await login(email, 'second app');
  await browse(email);
  const sessions = await list(one.auth);
  t.deepEqual(
    sessions.map(({ kind, user_agent, current }) => [kind, user_agent, current]),
    [
      ['browser', 'Mozilla/5.0 (a browser)', false],
      ['app', 'second app', false],
      ['app', 'first app', true],
    ],
  );
  for (const { ip } of sessions) t.regex(ip, /^(::1|(::ffff:)?127\.0\.0\.1)$/);
  const stored = await sql('SELECT row_to_json(s)::text AS row FROM sign_ins s WHERE session_hash IS NOT NULL');
  t.true(stored.rows.length > 0);
});

test('a sign-in that is ended is gone with its tokens, and no other one', async (t) => {
  const { id, email } = await person();
  const [one, two] = [await login(email), await login(email)];
  const other = (await list(one.auth)).find(({ current }) => !current);
  t.is((await end(String(other?.id), one.auth)).status, 204);
  t.is((await rest.get('/users/me', two.auth)).status, 401);
  t.is((await rest.post('/auth/refresh', { refresh_token: two.refresh })).status, 401);
  t.is((await rest.get('/users/me', one.auth)).status, 200);
  t.deepEqual(
    (await list(one.auth)).map(({ current }) => current),
    [true],
  );
  t.is((await end(String(other?.id), one.auth)).status, 404);
  const [event] = await server.audit.listOf(id, 1);
  t.like(event, { type: 'session.ended', actor: id, target: id });
});

test('a browser that is signed out from elsewhere stays so, however many requests are under way with its cookie', async (t) => {
  const { rp } = await newApp(server);
  const { url } = await authorizationRequest(rp, { prompt: 'none' });
  for (let round = 0; round < 3; round += 1) {
    const { email } = await person();
    const { auth } = await login(email);
    const browser = await browse(email);
    const cookie = browser
      .cookies()
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
    const isIn = async (): Promise<boolean> => {
      const { headers } = await fetch(url, { headers: { cookie }, redirect: 'manual' });
      return !String(headers.get('location')).includes('login_required');
    };
    t.true(await isIn());
    let going = true;
    const thief = Array.from({ length: 12 }, async () => {
      while (going) await isIn();
    });
    const there = (await list(auth)).find(({ kind }) => kind === 'browser');
    t.is((await end(String(there?.id), auth)).status, 204);
    going = false;
    await Promise.all(thief);
    t.false(await isIn());
    t.false(await signedInThere(browser));
  }
});

test('ending the sign-in that asks is a sign-out', async (t) => {
  const { email } = await person();
  const { auth } = await login(email);
  const [own] = await list(auth);
  t.is((await end(String(own?.id), auth)).status, 204);
  t.is((await rest.get('/users/me', auth)).status, 401);
});

test('a browser whose session is ended is signed out, and so are its apps but for those with offline access', async (t) => {
  const one = await person();
  const { auth } = await login(one.email);
  const browser = await browse(one.email);
  const bystander = await browse(one.email);
  const bound = await newApp(server);
  const offline = await newApp(server);
  const tokensOf = async ({ rp }: typeof bound, scope: string, params = {}) => {
    const started = await authorizationRequest(rp, { scope, ...params });
    const arrived = await passThrough(browser, await browser.go(started.url), one);
    return redeem(rp, arrived.url, started);
  };
  const short = await tokensOf(bound, 'openid read:profile');
  const long = await tokensOf(offline, 'openid offline_access read:profile', { prompt: 'consent' });
  for (const { access_token } of [short, long]) t.is((await rest.get('/users/me', bearer(access_token))).status, 200);

  const sessions = await list(auth);
  t.is(sessions.filter(({ kind }) => kind === 'browser').length, 2);
  const first = sessions.findLast(({ kind }) => kind === 'browser');
  t.is((await end(String(first?.id), auth)).status, 204);
  t.false(await signedInThere(browser), 'the one that signed in first');
  t.true(await signedInThere(bystander));
  t.is((await rest.get('/users/me', bearer(short.access_token))).status, 401);
  t.is((await rest.get('/users/me', bearer(long.access_token))).status, 200);
});

test("somebody else's sign-in, one that is not there and nonsense are the same 404", async (t) => {
  const [one, two] = [await person(), await person()];
  const [mine, theirs] = [await login(one.email), await login(two.email)];
  const [session] = await list(theirs.auth);
  for (const id of [String(session?.id), 'nonsense', '00000000-0000-4000-8000-000000000000', '%00']) {
    const { status, body } = await end(id, mine.auth);
    t.is(status, 404, id);
    t.is(body.code, 'unknown_session');
  }
  t.is((await rest.get('/users/me', theirs.auth)).status, 200);
});

test('what ended otherwise vanishes from the list', async (t) => {
  const { id, email } = await person();
  const [one, two] = [await login(email), await login(email)];
  const browser = await browse(email);
  t.is((await list(one.auth)).length, 3);
  await rest.post('/auth/logout', {}, two.auth);
  await browser.submit(await browser.submit(await browser.go('/account'), 'sign-out'), 'sign-out');
  t.is((await list(one.auth)).length, 1);
  // A sign-in may be noted a moment before what it is by is written: it is not listed, and not forgotten yet.
  const noted = () => sql('SELECT 1 FROM sign_ins WHERE user_id = $1', [id]);
  t.is((await noted()).rowCount, 3);
  await sql(`UPDATE sign_ins SET created_at = now() - interval '2 minutes' WHERE user_id = $1`, [id]);
  t.is((await list(one.auth)).length, 1);
  t.is((await noted()).rowCount, 1);
  await rest.put('/users/me/password', { current_password: 'secret1', new_password: 'secret2' }, one.auth);
  const { body } = await rest.post('/auth/login', { email, password: 'secret2' });
  t.is((await list(bearer(body.access_token))).length, 1);
});

test.serial(
  'a sign-in that could not be put on record has not happened: no grant, no place in the list, no cookie',
  async (t) => {
    const { id, email } = await person();
    const { auth } = await login(email);
    const grants = async () =>
      (await sql("SELECT FROM oauth_tokens WHERE model = 'Grant' AND account_id = $1", [id])).rowCount;
    const before = await grants();
    await sql('ALTER TABLE audit_events RENAME TO audit_events_away');
    const refused = await fetch(`${server.origin}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password: 'secret1' }),
    }).finally(() => sql('ALTER TABLE audit_events_away RENAME TO audit_events'));
    t.true(refused.status >= 500);
    t.is(refused.headers.get('set-cookie'), null);
    t.is(await grants(), before);
    t.is((await list(auth)).length, 1);
  },
);

test.serial('a sign-in whose tokens could not be made is not listed', async (t) => {
  const { id, email } = await person();
  const { auth } = await login(email);
  // The statement that writes the grant is the one that notes the sign-in; what fails is what comes after it.
  const upsert = server.stores.artifacts.upsert;
  server.stores.artifacts.upsert = async (...entry) => {
    await upsert(...entry);
    if (entry[0] === 'Grant') throw new Error('the copy could not be made');
  };
  const { status } = await fetch(`${server.origin}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password: 'secret1' }),
  }).finally(() => {
    server.stores.artifacts.upsert = upsert;
  });
  t.is(status, 500);
  t.is((await sql('SELECT FROM sign_ins WHERE user_id = $1', [id])).rowCount, 1);
  t.is((await list(auth)).length, 1);
});

test('the last use is noted, once a minute at most', async (t) => {
  const { id, email } = await person();
  let { auth, refresh } = await login(email);
  const age = async () => {
    const { rows } = await sql(
      'SELECT extract(epoch FROM now() - last_used_at)::float8 AS age FROM sign_ins WHERE user_id = $1',
      [id],
    );
    return Number(rows[0].age);
  };
  const go = async () => {
    const { body } = await rest.post('/auth/refresh', { refresh_token: refresh });
    auth = bearer(body.access_token);
    refresh = body.refresh_token;
  };
  await sql(`UPDATE sign_ins SET last_used_at = now() - interval '50 seconds' WHERE user_id = $1`, [id]);
  await go();
  t.true((await age()) >= 50);
  await sql(`UPDATE sign_ins SET last_used_at = now() - interval '70 seconds' WHERE user_id = $1`, [id]);
  await go();
  t.true((await age()) < 50);
  t.is((await list(auth)).length, 1);

  await sql(`UPDATE sign_ins SET last_used_at = now() - interval '70 seconds' WHERE user_id = $1`, [id]);
  await fetch(`${server.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: String(refresh),
      client_id: 'user-auth',
    }),
  });
  t.true((await age()) < 50, 'at the token endpoint too');
});

test('what was not used for longer than anything lives is cleared away at the next sign-in', async (t) => {
  const { id, email } = await person();
  await login(email);
  await sql(`UPDATE sign_ins SET last_used_at = now() - interval '20 days' WHERE user_id = $1`, [id]);
  await login(email);
  t.is((await sql('SELECT 1 FROM sign_ins WHERE user_id = $1', [id])).rowCount, 1);
});

test('neither an API key nor nobody sees or ends sign-ins', async (t) => {
  const { email } = await person();
  const { auth } = await login(email);
  const [own] = await list(auth);
  const made = await rest.post('/users/api-keys', { name: 'k', scopes: ['read:profile', 'write:profile'] }, auth);
  const key = { 'X-API-Key': String(made.body.key) };
  t.is((await rest.get('/users/me/sessions', key)).status, 403);
  t.is((await end(String(own?.id), key)).status, 403);
  t.is((await rest.get('/users/me/sessions')).status, 401);
});
