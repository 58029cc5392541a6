// A way in that was taken off an account is shut: who is in by it is out, and it does not come back by itself.
import test from 'ava';
import { createBrowser, type Visited } from '../helpers/browser.ts';
import { type Federated, startFederated } from '../helpers/federated.ts';
import { type ProviderName, somebody, type Upstream } from '../helpers/identity-provider.ts';
import { bearer, createRest } from '../helpers/rest.ts';

let all: Federated;
let rest: ReturnType<typeof createRest>;
test.before(async () => {
  all = await startFederated();
  rest = createRest(all.server.origin);
});
test.beforeEach(() => {
  for (const name of ['google', 'github', 'acme'] as const) all.upstream[name].reset();
});
test.after.always(() => all?.close());

const enter = async (name: ProviderName, who: Upstream) => {
  all.upstream[name].switches.person = who;
  const browser = createBrowser(all.server.issuer);
  return { browser, at: await browser.go(await all.press(browser, await browser.go('/login'), name)) };
};
const tokensOf = async (name: ProviderName, who: Upstream) => {
  all.upstream[name].switches.person = who;
  const browser = createBrowser(all.server.issuer);
  const code = (await browser.go(await all.direct(browser, name))).url.searchParams.get('code');
  return (await rest.post('/auth/exchange', { code })).body;
};
const identitiesOf = async (tokens: Record<string, unknown>) =>
  (await rest.get('/users/me/identities', bearer(tokens.access_token))).body as unknown as {
    id: string;
    provider: string;
  }[];
const isIn = ({ url }: Visited) => url.pathname === '/account';

/** An account of a Google person who has added GitHub, open in a browser; and somebody else who is in by Google. */
const shared = async () => {
  const who = somebody();
  const { browser, at } = await enter('google', who);
  const stranger = await enter('google', who);
  const strangersTokens = await tokensOf('google', who);
  const github = somebody();
  all.upstream.github.switches.person = github;
  const page = await browser.go(await all.through('github', await browser.submit(at, 'link-github')));
  const google = (await identitiesOf(strangersTokens)).find(({ provider }) => provider === 'google');
  return { who, github, browser, page, stranger, strangersTokens, google: String(google?.id) };
};

test.serial(
  'removing a provider on the account page ends everybody else’s sign-ins, and not the browser’s own',
  async (t) => {
    const { browser, page, stranger, strangersTokens, google } = await shared();
    t.regex((await browser.submit(page, `unlink-${google}`)).html, /Removed\./);
    t.true(isIn(await browser.go('/account')));
    t.false(isIn(await stranger.browser.go('/account')));
    t.is((await rest.get('/users/me', bearer(strangersTokens.access_token))).status, 401);
    t.is((await rest.post('/auth/refresh', { refresh_token: strangersTokens.refresh_token })).status, 401);
  },
);

test.serial('removing a provider by REST ends all sign-ins but the one that asks', async (t) => {
  const { github, browser, strangersTokens, google } = await shared();
  const own = await tokensOf('github', github);
  t.is((await rest.delete(`/users/me/identities/${google}`, undefined, bearer(own.access_token))).status, 204);
  t.is((await rest.get('/users/me', bearer(own.access_token))).status, 200);
  const refreshed = await rest.post('/auth/refresh', { refresh_token: own.refresh_token });
  t.is((await rest.get('/users/me', bearer(refreshed.body.access_token))).status, 200);
  t.is((await rest.get('/users/me', bearer(strangersTokens.access_token))).status, 401);
  t.false(isIn(await browser.go('/account')));
  const sessions = await rest.get('/users/me/sessions', bearer(own.access_token));
  t.is((sessions.body as unknown as unknown[]).length, 1);
});

test.serial('a provider that was removed does not come back by its address, and does when it is added', async (t) => {
  const { who, github, browser, page, google } = await shared();
  await browser.submit(page, `unlink-${google}`);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const again = await enter('google', who);
    t.false(isIn(again.at));
    t.regex(again.at.html, /role="alert"/);
  }
  const owner = await enter('github', github);
  all.upstream.google.switches.person = who;
  const added = await owner.browser.go(
    await all.through('google', await owner.browser.submit(owner.at, 'link-google')),
  );
  t.regex(added.url.search, /linked/);
  t.true(isIn((await enter('google', who)).at));
  const { rows } = await all.server.database.pool.query('SELECT 1 FROM removed_identities WHERE subject = $1', [
    who.sub,
  ]);
  t.deepEqual(rows, []);
});

test.serial('an account that waits to be erased is not restored by a provider that was removed from it', async (t) => {
  const { who, browser, page, google } = await shared();
  await browser.submit(page, `unlink-${google}`);
  const { pool } = all.server.database;
  await pool.query("UPDATE users SET erase_after = now() + interval '10 days' WHERE email = $1", [who.email]);
  t.false(isIn((await enter('google', who)).at));
  const { rows } = await pool.query('SELECT erase_after IS NULL AS restored FROM users WHERE email = $1', [who.email]);
  t.deepEqual(rows, [{ restored: false }]);
});
