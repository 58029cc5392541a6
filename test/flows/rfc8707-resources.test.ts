// RFC 8707: tokens are for one resource, which the app names.
import test from 'ava';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { newKey } from '../helpers/client-keys.ts';
import {
  authorizationRequest,
  discover,
  newApp,
  newPerson,
  type Person,
  passThrough,
  redeem,
  refusal,
  signIn,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;

const NOTES = 'https://notes.example/api';
const MAILS = 'https://mails.example/';

const register = (identifier: string, more: object = {}) =>
  server.resources.create({
    identifier,
    name: 'Acme Notes',
    scopes: [
      { name: 'notes:read', description: { en: 'Read your notes', 'zh-CN': '读取您的笔记' } },
      { name: 'notes:write', description: { en: 'Change your <b>notes</b>' } },
    ],
    defaultScopes: ['notes:read'],
    tokenFormat: 'jwt',
    ttlSeconds: 600,
    signingAlg: 'ES256',
    introspectionClients: [],
    detailTypes: [],
    ...more,
  });

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  await register(NOTES);
  await register(MAILS, { name: 'Acme Mails', tokenFormat: 'opaque', signingAlg: null });
});
test.after.always(() => server?.close());

const inPlainOAuth = async (rp: oidc.Configuration, params: Record<string, string | undefined>, who = person) => {
  const started = await authorizationRequest(rp, { scope: undefined, nonce: undefined, ...params });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), who);
  return { started, arrived };
};

test('§2.1: a code asked for with a resource gives a token for it alone: a JWT with its audience, its time, its algorithm', async (t) => {
  const { rp } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, { resource: NOTES, scope: 'notes:read notes:write' });
  const tokens = await redeem(rp, arrived.url, started);
  t.is(tokens.scope, 'notes:read notes:write');
  const { payload, protectedHeader } = await jwtVerify(
    tokens.access_token,
    createRemoteJWKSet(new URL(`${server.origin}/oauth/jwks`)),
    { audience: NOTES, issuer: server.issuer, typ: 'at+jwt' },
  );
  t.is(protectedHeader.alg, 'ES256');
  t.is(payload.sub, person.id);
  t.is(Number(payload.exp) - Number(payload.iat), 600);
  // It is no token for our own routes.
  const me = await fetch(`${server.origin}/users/me`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  t.is(me.status, 401);
});

test('§2: our own API, as its metadata call it, is what a token is for that names no resource', async (t) => {
  const { rp } = await newApp(server);
  // RFC 9728 §2 has no slash at the end; URL parsers, which MCP clients use, add one.
  for (const resource of [server.issuer, `${server.issuer}/`]) {
    const started = await authorizationRequest(rp, { resource, scope: 'openid email read:profile' });
    const browser = createBrowser(server.issuer);
    const page = await browser.submit(await browser.go(started.url), 'sign-in', {
      login: person.email,
      password: person.password,
    });
    const arrived = page.status === 0 ? page : await browser.submit(page, 'allow');
    const tokens = await oidc.authorizationCodeGrant(
      rp,
      arrived.url,
      { pkceCodeVerifier: started.verifier, expectedState: started.state, expectedNonce: started.nonce ?? '' },
      { resource },
    );
    const me = await fetch(`${server.origin}/users/me`, {
      headers: { authorization: `Bearer ${tokens.access_token}` },
    });
    t.is(me.status, 200, resource);
    t.is((await oidc.fetchUserInfo(rp, tokens.access_token, person.id)).email, person.email);
  }
});

test('§2: … in plain OAuth, pushed, in a signed request, and when it is refreshed', async (t) => {
  const { rp } = await newApp(server);
  const resource = server.issuer;
  const started = await authorizationRequest(rp, { resource, scope: 'read:profile', nonce: undefined });
  const pushed = await oidc.buildAuthorizationUrlWithPAR(rp, started.url.searchParams);
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(pushed), person);
  const tokens = await redeem(rp, arrived.url, started);
  const again = await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '', { resource });
  for (const { access_token } of [tokens, again]) {
    const me = await fetch(`${server.origin}/users/me`, { headers: { authorization: `Bearer ${access_token}` } });
    t.is(me.status, 200);
  }
  const { jwks, privateKey: key, kid } = await newKey();
  const signing = await newApp(server, { jwks });
  const plain = await authorizationRequest(signing.rp, { resource });
  const signed = await oidc.buildAuthorizationUrlWithJAR(signing.rp, plain.url.searchParams, { key, kid });
  t.is(told(await passThrough(browser, await browser.go(signed), person)).error, undefined);
});

test('§2: a resource is the same however its URI is spelled, also at the token endpoint', async (t) => {
  const { rp, client } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, {
    resource: 'HTTPS://notes.EXAMPLE:443/api',
    scope: 'notes:read',
  });
  const tokens = await oidc.authorizationCodeGrant(
    rp,
    arrived.url,
    { pkceCodeVerifier: started.verifier, expectedState: started.state },
    { resource: NOTES },
  );
  t.is(decodeJwt(tokens.access_token).aud, NOTES);
  const consent = await server.stores.consents.find(person.id, client.client_id);
  t.deepEqual(Object.keys(consent?.resources ?? {}), [NOTES]);
});

test('RFC 7591 §2: a service that is registered for scopes of an API has those alone; any other has all', async (t) => {
  const service = async (scope?: string) => {
    const grant = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
    const { client } = await newApp(server, { ...grant, ...(scope && { scope }) });
    t.is(client.scope, scope);
    return discover(server, client.client_id, { client_secret: client.client_secret });
  };
  const ask = (rp: oidc.Configuration, scope?: string) =>
    oidc.clientCredentialsGrant(rp, { resource: NOTES, ...(scope && { scope }) });
  const reader = await service('notes:read');
  t.is((await ask(reader)).scope, 'notes:read');
  t.is((await ask(reader, 'notes:read')).scope, 'notes:read');
  t.is(await refusal(ask(reader, 'notes:read notes:write')), 'invalid_scope');
  const writer = await service('notes:write');
  t.is((await ask(writer)).scope, undefined, 'nothing by default that it may not have');
  t.is((await ask(await service(), 'notes:read notes:write')).scope, 'notes:read notes:write');
  await t.throwsAsync(service('nobody:knows'), { code: 'invalid_client_metadata', message: /nobody:knows/ });
});

test('§2.2: who was granted another API gets no token for ours, and no service acts at ours for itself', async (t) => {
  const { rp } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, { resource: NOTES, scope: 'notes:read' });
  const attempt = oidc.authorizationCodeGrant(
    rp,
    arrived.url,
    { pkceCodeVerifier: started.verifier, expectedState: started.state },
    { resource: server.issuer },
  );
  t.is(await refusal(attempt), 'invalid_target');
  const grant = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
  const { client } = await newApp(server, grant);
  const service = await discover(server, client.client_id, { client_secret: client.client_secret });
  t.is(await refusal(oidc.clientCredentialsGrant(service, { resource: server.issuer })), 'invalid_target');
});

test('§2: an unknown resource, one with a fragment, and what is no URI are invalid_target', async (t) => {
  const { rp } = await newApp(server);
  for (const resource of ['https://unknown.example/', `${NOTES}#part`, 'notes', `${NOTES}/below`]) {
    const { url } = await authorizationRequest(rp, { resource, scope: 'openid' });
    t.is(told(await createBrowser(server.issuer).go(url)).error, 'invalid_target', resource);
  }
});

test('RFC 6749 §3.3: who asks for nothing that there is without its resource is told so at once', async (t) => {
  const { rp } = await newApp(server);
  const { url } = await authorizationRequest(rp, { scope: 'notes:read nobody:knows', nonce: undefined });
  const answer = told(await createBrowser(server.issuer).go(url));
  t.is(answer.error, 'invalid_scope');
  t.regex(answer.error_description ?? '', /resource/);
  const grant = { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] };
  const { client } = await newApp(server, grant);
  const service = await discover(server, client.client_id, { client_secret: client.client_secret });
  t.is(await refusal(oidc.clientCredentialsGrant(service, { scope: 'notes:read' })), 'invalid_scope');
  t.truthy((await oidc.clientCredentialsGrant(service)).access_token);
  const beside = await authorizationRequest(rp, { scope: 'openid nobody:knows' });
  t.is((await createBrowser(server.issuer).go(beside.url)).status, 200, 'OIDC Core §3.1.2.1: passed over');
});

test('§2.2: a token request may not name a resource that was not granted', async (t) => {
  const { rp } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, { resource: NOTES, scope: 'notes:read' });
  const attempt = oidc.authorizationCodeGrant(
    rp,
    arrived.url,
    { pkceCodeVerifier: started.verifier, expectedState: started.state },
    { resource: MAILS },
  );
  t.is(await refusal(attempt), 'invalid_target');
});

test('RFC 6749 §3.3: a request without scope asks for the resource’s default scopes', async (t) => {
  const { rp } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, { resource: NOTES });
  t.is((await redeem(rp, arrived.url, started)).scope, 'notes:read');
  const { client } = await newApp(server, {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
  });
  const service = await discover(server, client.client_id, { client_secret: client.client_secret });
  t.is((await oidc.clientCredentialsGrant(service, { resource: NOTES })).scope, 'notes:read');
});

test('the consent page says in the words of the resource what is asked for there, in the person’s language, and escapes them', async (t) => {
  const { rp } = await newApp(server);
  const pageIn = async (language: string) => {
    const browser = createBrowser(server.issuer);
    const { url } = await authorizationRequest(rp, {
      resource: NOTES,
      scope: 'openid notes:read notes:write',
      ui_locales: language,
    });
    const login = await browser.go(url);
    return browser.submit(login, 'sign-in', { login: person.email, password: person.password });
  };
  const english = await pageIn('en');
  t.regex(english.html, /Acme Notes/);
  t.regex(english.html, /notes\.example/);
  t.regex(english.html, /Read your notes/);
  t.regex(english.html, /Change your &lt;b&gt;notes&lt;\/b&gt;/);
  const chinese = await pageIn('zh-CN');
  t.regex(chinese.html, /读取您的笔记/);
  t.regex(chinese.html, /Change your/);
});

test('step-up asks for what is new alone, also in another browser; what was allowed is not asked for again', async (t) => {
  const { rp } = await newApp(server);
  const first = await inPlainOAuth(rp, { resource: NOTES, scope: 'notes:read' });
  t.is(first.arrived.status, 0);

  const browser = createBrowser(server.issuer);
  const again = await authorizationRequest(rp, { resource: NOTES, scope: 'notes:read', nonce: undefined });
  const silently = await browser.submit(await browser.go(again.url), 'sign-in', {
    login: person.email,
    password: person.password,
  });
  t.is(silently.status, 0, 'allowed before, in another browser');

  const more = await authorizationRequest(rp, { resource: NOTES, scope: 'notes:read notes:write', nonce: undefined });
  const asked = await browser.go(more.url);
  const [wanted = '', before = ''] = asked.html.split('<details>');
  t.regex(wanted, /Change your/);
  t.notRegex(wanted, /Read your notes/);
  t.regex(before, /Allowed before <span class="count">1<[\s\S]*Acme Notes[\s\S]*notes\.example[\s\S]*Read your notes/);
  t.notRegex(before, /Change your/);
  const arrived = await browser.submit(asked, 'allow');
  t.is((await redeem(rp, arrived.url, more)).scope, 'notes:read notes:write');
});

test('what was allowed before is listed by whose it is: ours, and each API’s', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const scope = 'openid notes:read';
  const first = await authorizationRequest(rp, { resource: NOTES, scope });
  await passThrough(browser, await browser.go(first.url), person);
  const more = await authorizationRequest(rp, { resource: NOTES, scope: `${scope} email notes:write` });
  const [wanted = '', before = ''] = (await browser.go(more.url)).html.split('<details>');
  t.regex(wanted, /See your email address[\s\S]*Acme Notes[\s\S]*Change your/);
  t.notRegex(wanted, /Read your notes|Know you by/);
  t.regex(before, /<span class="count">2<[\s\S]*Know you by[\s\S]*Acme Notes[\s\S]*Read your notes/);
  // Of another API it says nothing, though its scopes have the same names.
  const other = await authorizationRequest(rp, { resource: MAILS, scope: 'openid notes:read' });
  const [there = '', ours = ''] = (await browser.go(other.url)).html.split('<details>');
  t.regex(there, /Acme Mails[\s\S]*Read your notes/);
  t.notRegex(ours, /Acme|Read your notes/);
});

test('an app of the platform is granted what it asks for at a resource', async (t) => {
  const { rp } = await newApp(server, {}, { firstParty: true });
  const { started, arrived } = await inPlainOAuth(rp, { resource: NOTES, scope: 'notes:write' });
  t.is((await redeem(rp, arrived.url, started)).scope, 'notes:write');
});

test('with openid the token is for userinfo, and the refresh token gives one for the resource', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person, {
    resource: NOTES,
    scope: 'openid offline_access notes:read',
    prompt: 'consent',
  });
  t.is((await oidc.fetchUserInfo(rp, tokens.access_token, person.id)).sub, person.id);
  const bound = await oidc.refreshTokenGrant(rp, String(tokens.refresh_token), { resource: NOTES });
  t.is(decodeProtectedHeader(bound.access_token).typ, 'at+jwt');
  t.is(bound.scope, 'notes:read');
});

test('a spelling of the same URI is the same resource, and the token bears the registered one', async (t) => {
  const { rp } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, { resource: 'https://MAILS.example', scope: 'notes:read' });
  const tokens = await redeem(rp, arrived.url, started);
  const told = await oidc.tokenIntrospection(rp, tokens.access_token);
  t.is(told.active, true);
  t.is(told.aud, MAILS);
});

test('RFC 7662 §2.1: about an API’s tokens the clients it is registered with ask, and whom they were issued to; nobody else', async (t) => {
  const api = await newApp(server, { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] });
  const stranger = await newApp(server, { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] });
  for (const tokenFormat of ['opaque', 'jwt'] as const) {
    const identifier = `https://${tokenFormat}.example/`;
    await register(identifier, { tokenFormat, signingAlg: null, introspectionClients: [api.client.client_id] });
    const { rp, client } = await newApp(server);
    const { started, arrived } = await inPlainOAuth(rp, { resource: identifier, scope: 'notes:read' });
    const { access_token } = await redeem(rp, arrived.url, started);
    for (const [who, active] of [
      [api.rp, true],
      [rp, true],
      [stranger.rp, false],
    ] as const)
      t.is((await oidc.tokenIntrospection(who, access_token)).active, active, tokenFormat);
    t.like(await oidc.tokenIntrospection(api.rp, access_token), {
      aud: identifier,
      client_id: client.client_id,
      scope: 'notes:read',
      sub: person.id,
    });

    await oidc.tokenRevocation(stranger.rp, access_token).catch(() => {});
    t.true((await oidc.tokenIntrospection(api.rp, access_token)).active, 'a stranger revokes nothing');
    await oidc.tokenRevocation(rp, access_token);
    t.false((await oidc.tokenIntrospection(api.rp, access_token)).active, `${tokenFormat} revoked`);
  }
});

test('a ban ends the tokens for an API by introspection, JWTs as well', async (t) => {
  const identifier = 'https://banned.example/';
  const api = await newApp(server, { redirect_uris: [], response_types: [], grant_types: ['client_credentials'] });
  await register(identifier, { introspectionClients: [api.client.client_id] });
  const who = await newPerson(server);
  const { rp } = await newApp(server);
  const { started, arrived } = await inPlainOAuth(rp, { resource: identifier, scope: 'notes:read' }, who);
  const { access_token } = await redeem(rp, arrived.url, started);
  t.true((await oidc.tokenIntrospection(api.rp, access_token)).active);
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE id = $1', [who.id]);
  t.false((await oidc.tokenIntrospection(api.rp, access_token)).active);
});

test('a change of a resource is seen within a second, by every process', async (t) => {
  const identifier = 'https://changing.example/';
  await register(identifier);
  const other = await startServer({}, server);
  const { client } = await newApp(server, {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
  });
  const ask = async (origin: string) => {
    const { client_id, client_secret = '' } = client;
    const body = { grant_type: 'client_credentials', resource: identifier, client_id, client_secret };
    const answer = await fetch(`${origin}/oauth/token`, { method: 'POST', body: new URLSearchParams(body) });
    return answer.status;
  };
  t.is(await ask(server.origin), 200);
  t.is(await ask(other.origin), 200);
  await server.resources.remove(identifier);
  t.is(await ask(server.origin), 400);
  const deadline = Date.now() + 1_500;
  while ((await ask(other.origin)) === 200 && Date.now() < deadline);
  t.is(await ask(other.origin), 400);
  await other.close();
});
