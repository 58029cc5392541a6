import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, newApp, newPerson, redeem, refusal, signIn, told } from '../helpers/relying-party.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

type App = {
  client_id: string;
  name: string;
  logo_uri: string | null;
  scopes: string[];
  resources: { identifier: string; scopes: string[] }[];
  last_used_at: string;
};

const somebody = async () => {
  const person = await newPerson(server);
  const { body } = await rest.post('/auth/login', { email: person.email, password: person.password });
  return { ...person, auth: bearer(body.access_token), browser: createBrowser(server.issuer) };
};
const list = async (auth: Record<string, string>) => (await rest.get('/users/me/apps', auth)).body as unknown as App[];
const sql = (text: string, values: unknown[] = []) => server.database.pool.query(text, values);

test('what a person allowed is listed, with everything allowed over time', async (t) => {
  const { id, auth, browser, ...person } = await somebody();
  const { client, rp } = await newApp(server, { client_name: 'Notes', logo_uri: 'https://notes.example/logo.png' });
  await signIn(browser, rp, { id, ...person }, { scope: 'openid email' });
  await signIn(browser, rp, { id, ...person }, { scope: 'openid profile' });
  const apps = await list(auth);
  t.is(apps.length, 1);
  t.like(apps[0], { client_id: client.client_id, name: 'Notes', logo_uri: 'https://notes.example/logo.png' });
  t.deepEqual(apps[0]?.scopes.sort(), ['email', 'openid', 'profile']);
  const [event] = (await server.audit.list({ type: 'consent.given', target: id }, undefined, 1)) ?? [];
  t.like(event, { actor: id, client: client.client_id });
});

test('what an app was allowed at another API is listed with it', async (t) => {
  const { auth, ...person } = await somebody();
  const identifier = 'https://notes.example/api';
  await server.resources.create({
    identifier,
    name: 'Notes',
    scopes: [{ name: 'notes:read', description: { en: 'Read your notes' } }],
    defaultScopes: ['notes:read'],
    tokenFormat: 'opaque',
    ttlSeconds: 600,
    signingAlg: null,
    introspectionClients: [],
    detailTypes: [],
  });
  const { rp } = await newApp(server);
  await signIn(person.browser, rp, person, { resource: identifier, scope: undefined, nonce: undefined });
  const [app] = await list(auth);
  t.deepEqual(app?.scopes, []);
  t.deepEqual(app?.resources, [{ identifier, scopes: ['notes:read'] }]);
});

test('what was allowed once is not asked again in another browser, unless it is more, or the app insists', async (t) => {
  const { auth, ...person } = await somebody();
  const { rp } = await newApp(server);
  await signIn(person.browser, rp, person, { scope: 'openid email profile' });
  const elsewhere = createBrowser(server.issuer);
  const page = await elsewhere.go((await authorizationRequest(rp, { scope: 'openid email' })).url);
  const credentials = { login: person.email, password: person.password };
  t.is((await elsewhere.submit(page, 'sign-in', credentials)).status, 0, 'straight to the app');
  t.truthy(told(await elsewhere.go((await authorizationRequest(rp, { prompt: 'none' })).url)).code);

  const third = createBrowser(server.issuer);
  const more = await third.go((await authorizationRequest(rp, { scope: 'openid phone' })).url);
  t.regex((await third.submit(more, 'sign-in', credentials)).html, /id="allow"/);
  const claims = JSON.stringify({ userinfo: { address: null } });
  t.regex((await third.go((await authorizationRequest(rp, { scope: 'openid', claims })).url)).html, /id="allow"/);
  t.regex((await elsewhere.go((await authorizationRequest(rp, { prompt: 'consent' })).url)).html, /id="allow"/);
  t.is((await list(auth)).length, 1);
});

test('an app whose name any program on the machine could take is asked about again in each browser', async (t) => {
  const person = await somebody();
  const credentials = { login: person.email, password: person.password };
  for (const metadata of [
    { token_endpoint_auth_method: 'none', redirect_uris: ['http://127.0.0.1/callback'], application_type: 'native' },
    { token_endpoint_auth_method: 'none', redirect_uris: ['com.example.app:/callback'], application_type: 'native' },
    { token_endpoint_auth_method: 'none', redirect_uris: ['http://localhost:3000/callback'] },
  ]) {
    const { rp } = await newApp(server, metadata);
    const params = { redirect_uri: String(metadata.redirect_uris[0]) };
    for (const browser of [person.browser, createBrowser(server.issuer)]) {
      let page = await browser.go((await authorizationRequest(rp, params)).url);
      if (page.html.includes('id="sign-in"')) page = await browser.submit(page, 'sign-in', credentials);
      t.regex(page.html, /id="allow"/, params.redirect_uri);
      t.not((await browser.submit(page, 'allow')).status, 400);
    }
  }
});

test('an app that is taken off loses every token in every browser, and has to ask again', async (t) => {
  const { auth, ...person } = await somebody();
  const { client, rp } = await newApp(server);
  const other = await newApp(server);
  const scope = 'openid offline_access read:profile';
  const first = await signIn(person.browser, rp, person, { scope, prompt: 'consent' });
  const elsewhere = createBrowser(server.issuer);
  const second = await signIn(elsewhere, rp, person, { scope, prompt: 'consent' });
  const kept = await signIn(person.browser, other.rp, person, { scope: 'openid read:profile' });
  const bystander = await somebody();
  const theirs = await signIn(bystander.browser, rp, bystander, { scope: 'openid read:profile' });
  // A code that is on its way while the app is taken off.
  const started = await authorizationRequest(rp, { scope: 'openid read:profile' });
  const underway = await person.browser.go(started.url);
  t.truthy(told(underway).code);

  t.is((await rest.delete(`/users/me/apps/${client.client_id}`, undefined, auth)).status, 204);
  for (const { tokens } of [first, second]) {
    t.is((await rest.get('/users/me', bearer(tokens.access_token))).status, 401);
    t.is(await refusal(oidc.refreshTokenGrant(rp, String(tokens.refresh_token))), 'invalid_grant');
  }
  t.is(await refusal(redeem(rp, underway.url, started)), 'invalid_grant');
  t.is((await rest.get('/users/me', bearer(kept.tokens.access_token))).status, 200, 'another app');
  t.is((await rest.get('/users/me', bearer(theirs.tokens.access_token))).status, 200, 'another person');
  t.deepEqual(
    (await list(auth)).map(({ client_id }) => client_id),
    [other.client.client_id],
  );
  for (const browser of [person.browser, elsewhere]) {
    t.is(told(await browser.go((await authorizationRequest(rp, { prompt: 'none' })).url)).error, 'consent_required');
    t.regex((await browser.go((await authorizationRequest(rp)).url)).html, /id="allow"/);
  }
  const [event] = await server.audit.list({ type: 'consent.withdrawn', target: person.id }, undefined, 1);
  t.like(event, { actor: person.id, client: client.client_id });
});

test('an app that was never allowed, or by somebody else only, is a 404', async (t) => {
  const [one, two] = [await somebody(), await somebody()];
  const { client, rp } = await newApp(server);
  await signIn(two.browser, rp, two);
  for (const id of [client.client_id, 'nonsense', 'user-auth', '%00', 'a%2Fb']) {
    const { status, body } = await rest.delete(`/users/me/apps/${id}`, undefined, one.auth);
    t.is(status, 404, id);
    t.is(body.code, 'unknown_app', id);
  }
  t.is((await list(two.auth)).length, 1);
});

test('the last use is noted when the app gets tokens, once a minute at most', async (t) => {
  const { auth, ...person } = await somebody();
  const { client, rp } = await newApp(server);
  const { tokens } = await signIn(person.browser, rp, person, { scope: 'openid offline_access', prompt: 'consent' });
  const age = async () => Date.now() - Date.parse((await list(auth))[0]?.last_used_at ?? '');
  const used = (seconds: number) =>
    sql(`UPDATE consents SET last_used_at = now() - make_interval(secs => $2) WHERE client_id = $1`, [
      client.client_id,
      seconds,
    ]);
  await used(50);
  const second = await oidc.refreshTokenGrant(rp, String(tokens.refresh_token));
  t.true((await age()) >= 50_000);
  await used(70);
  await oidc.refreshTokenGrant(rp, String(second.refresh_token));
  t.true((await age()) < 50_000);
});

test("the platform's own apps are not among them, nor is one that is gone; one that declined is not remembered", async (t) => {
  const { auth, ...person } = await somebody();
  const ours = await newApp(server, {}, { firstParty: true });
  await signIn(person.browser, ours.rp, person, { prompt: 'consent' });
  const gone = await newApp(server);
  await signIn(person.browser, gone.rp, person);
  await sql('DELETE FROM oauth_clients WHERE client_id = $1', [gone.client.client_id]);
  const declined = await newApp(server);
  const page = await person.browser.go((await authorizationRequest(declined.rp)).url);
  t.is(told(await person.browser.submit(page, 'deny')).error, 'access_denied');
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  t.deepEqual(await list(auth), []);
});

test('neither an API key nor a third-party app sees or takes off apps', async (t) => {
  const { auth, ...person } = await somebody();
  const { client, rp } = await newApp(server);
  const { tokens } = await signIn(person.browser, rp, person, { scope: 'openid read:profile write:profile' });
  const made = await rest.post('/users/api-keys', { name: 'k', scopes: ['read:profile', 'write:profile'] }, auth);
  for (const other of [{ 'X-API-Key': String(made.body.key) }, bearer(tokens.access_token)]) {
    t.is((await rest.get('/users/me/apps', other)).status, 403);
    t.is((await rest.delete(`/users/me/apps/${client.client_id}`, undefined, other)).status, 403);
  }
  t.is((await list(auth)).length, 1);
});
