// The requests that the predecessor's documentation shows, sent as they are written there.
import test from 'ava';
import { createBrowser } from '../helpers/browser.ts';
import { jsonOf, newPerson, type Person, passThrough, told } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const SECRET = 'optima_client_secret_of_the_predecessor';
const REDIRECT = 'https://example.com/callback';

let server: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  await server.clients.ensureBootstrap({
    clientId: 'optima_client',
    clientSecret: SECRET,
    redirectUris: [REDIRECT],
  });
});
test.after.always(() => server?.close());

const token = (form: Record<string, string>) =>
  fetch(`${server.issuer}/oauth/token`, { method: 'POST', body: new URLSearchParams(form) });

const codeFor = async (query: string): Promise<string> => {
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(`/oauth/authorize?${query}`), person);
  return told(arrived).code ?? '';
};

const introspect = async (accessToken: string) => {
  const response = await fetch(`${server.issuer}/oauth/introspect`, {
    method: 'POST',
    body: new URLSearchParams({ client_id: 'optima_client', client_secret: SECRET, token: accessToken }),
  });
  return jsonOf(response);
};

for (const [what, query] of [
  ['without PKCE and openid', `client_id=optima_client&response_type=code&redirect_uri=${REDIRECT}&scope=read:profile`],
  ['without a scope', `client_id=optima_client&response_type=code&redirect_uri=${REDIRECT}`],
  ['with an empty scope', `client_id=optima_client&response_type=code&redirect_uri=${REDIRECT}&scope=`],
] as const)
  test(`the documented authorize and token requests work, ${what}`, async (t) => {
    const code = await codeFor(query);
    t.truthy(code);
    const response = await token({
      grant_type: 'authorization_code',
      code,
      redirect_uri: REDIRECT,
      client_id: 'optima_client',
      client_secret: SECRET,
    });
    t.is(response.status, 200);
    const answer = await jsonOf(response);
    t.like(answer, { token_type: 'Bearer', expires_in: 1800, scope: 'read:profile' });
    t.truthy(answer.refresh_token, 'plain OAuth gets a refresh token without offline_access');
    t.is(answer.id_token, undefined);
    t.like(await introspect(String(answer.access_token)), { active: true, sub: person.id, scope: 'read:profile' });
  });

test('the state comes back as it was sent, and consent says what read:profile means', async (t) => {
  const browser = createBrowser(server.issuer);
  const state = 'a state & = + é "quoted"';
  const query = new URLSearchParams({
    client_id: 'optima_client',
    response_type: 'code',
    redirect_uri: REDIRECT,
    scope: 'read:profile',
    state,
  });
  // Somebody who has not allowed it before, whatever the other tests are doing.
  const { email, password } = await newPerson(server);
  const login = await browser.go(`/oauth/authorize?${query}`);
  const consent = await browser.submit(login, 'sign-in', { login: email, password });
  t.regex(consent.html, /Read your account/);
  t.notRegex(consent.html, /<code>read:profile<\/code>/, 'in plain words, not by its name');
  const arrived = await browser.submit(consent, 'allow');
  t.is(told(arrived).state, state);
});

test('a request without a scope gets what the client is registered for, where it is', async (t) => {
  await server.clients.register({
    client_id: 'narrow',
    client_secret: SECRET,
    redirect_uris: [REDIRECT],
    scope: 'write:profile',
  });
  const code = await codeFor(`client_id=narrow&response_type=code&redirect_uri=${REDIRECT}`);
  const response = await token({
    grant_type: 'authorization_code',
    code,
    redirect_uri: REDIRECT,
    client_id: 'narrow',
    client_secret: SECRET,
  });
  t.like(await response.json(), { scope: 'write:profile' });
});

test('the documented refresh request works', async (t) => {
  const code = await codeFor(`client_id=optima_client&response_type=code&redirect_uri=${REDIRECT}&scope=read:profile`);
  const client = { client_id: 'optima_client', client_secret: SECRET };
  const first = await token({ grant_type: 'authorization_code', code, redirect_uri: REDIRECT, ...client });
  const { refresh_token } = await jsonOf(first);
  const second = await token({ grant_type: 'refresh_token', refresh_token: String(refresh_token), ...client });
  t.is(second.status, 200);
  t.like(await second.json(), { token_type: 'Bearer', scope: 'read:profile' });
});
