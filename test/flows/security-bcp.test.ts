// What RFC 9700 (OAuth 2.0 Security Best Current Practice) has an authorization server refuse or do, and no other file shows. The whole
// table, rule by rule, is in docs/security-checks.md.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  discover,
  jsonOf,
  newApp,
  newPerson,
  type Person,
  passThrough,
  register,
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
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

test('RFC 9700 §2.6: no client is sent back by plain http, other than on the own machine', async (t) => {
  for (const uri of [
    'http://app.example/callback',
    'http://10.0.0.1/callback',
    'http://localhost.example/callback',
    'http://app.example@localhost.example/',
  ])
    for (const application_type of ['web', 'native'])
      await t.throwsAsync(register(server, { redirect_uris: [uri], application_type }), {
        name: 'DomainError',
        message: /redirect_uris/,
      });
  for (const uri of ['http://localhost:3000/callback', 'http://127.0.0.1/callback', 'http://[::1]:8080/callback'])
    await t.notThrowsAsync(register(server, { redirect_uris: [uri] }));
  await t.notThrowsAsync(
    register(server, { redirect_uris: ['com.example.app:/callback'], application_type: 'native' }),
  );
});

test('RFC 9700 §4.1.3: wildcards are letters, not patterns', async (t) => {
  for (const registered of ['https://*.example/callback', 'https://app.example/*', 'https://app.example/callback*']) {
    const client = await register(server, { redirect_uris: [registered] }).catch(() => undefined);
    if (!client) continue;
    const rp = await discover(server, client.client_id, { client_secret: String(client.client_secret) });
    const arrived = await createBrowser(server.issuer).go(
      (await authorizationRequest(rp, { redirect_uri: CALLBACK })).url,
    );
    t.is(arrived.status, 400, registered);
  }
  t.pass();
});

test('RFC 9700 §4.12: what a person types is never sent on: every step from the sign-in form to the app is a 303', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  let page = await browser.go((await authorizationRequest(rp)).url);
  let step = await browser.submit(
    page,
    'sign-in',
    { login: person.email, password: person.password },
    { redirect: 'manual' },
  );
  for (let steps = 0; step.url.origin === server.issuer && steps < 10; steps += 1) {
    t.is(step.status, 303, step.trail.join(' '));
    page = await browser.go(step.url, { redirect: 'manual' });
    step = page.status === 200 ? await browser.submit(page, 'allow', {}, { redirect: 'manual' }) : page;
  }
  t.is(step.status, 303);
  t.truthy(told(step).code);
});

test('RFC 9700 §4.2.4, §4.16: the pages of an authorization tell other sites nothing, and are shown in no frame', async (t) => {
  const { rp } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const signInPage = await browser.go((await authorizationRequest(rp)).url);
  const consent = await browser.submit(signInPage, 'sign-in', { login: person.email, password: person.password });
  t.true(consent.html.includes('id="allow"'));
  for (const { headers } of [signInPage, consent]) {
    t.regex(headers.get('referrer-policy') ?? '', /^(no-referrer|same-origin)$/);
    t.is(headers.get('x-frame-options'), 'DENY');
    t.regex(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
    t.regex(headers.get('cache-control') ?? '', /no-store/);
  }
});

test('RFC 9700 §4.3.2: an access token in an address is refused', async (t) => {
  const { rp } = await newApp(server);
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  for (const path of ['/oauth/userinfo', '/users/me']) {
    const response = await fetch(`${server.issuer}${path}?access_token=${tokens.access_token}`, {
      headers: { accept: 'application/json' },
    });
    t.true(response.status === 400 || response.status === 401, path);
  }
});

test('RFC 9700 §4.15: a client that takes a person’s identifier for its own is not taken for that person', async (t) => {
  const client = await register(server, {
    client_id: person.id,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  });
  const rp = await discover(server, client.client_id, { client_secret: String(client.client_secret) });
  const { access_token } = await oidc.clientCredentialsGrant(rp, { scope: 'read:profile' });
  for (const path of ['/users/me', '/oauth/userinfo'])
    t.is(
      (
        await fetch(`${server.issuer}${path}`, {
          headers: { authorization: `Bearer ${access_token}`, accept: 'application/json' },
        })
      ).status,
      401,
    );
  t.is((await oidc.tokenIntrospection(rp, access_token)).sub, undefined);
});

test('RFC 9700 §2.1.1: a code is good only with the verifier of its own request', async (t) => {
  const { rp, client } = await newApp(server);
  const browser = createBrowser(server.issuer);
  const [mine, theirs] = [await authorizationRequest(rp), await authorizationRequest(rp)];
  const arrived = await passThrough(browser, await browser.go(mine.url), person);
  const { client_id, client_secret = '' } = client;
  const redeem = async (more: Record<string, string>) =>
    jsonOf(
      await fetch(`${server.issuer}/oauth/token`, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'authorization_code',
          code: String(told(arrived).code),
          redirect_uri: CALLBACK,
          client_id,
          client_secret,
          ...more,
        }),
      }),
    );
  t.is((await redeem({})).error, 'invalid_grant');
  t.is((await redeem({ code_verifier: theirs.verifier })).error, 'invalid_grant');
  t.truthy((await redeem({ code_verifier: mine.verifier })).access_token);
});

test('RFC 9700 §2.4: there is no password grant, and nobody can register for it', async (t) => {
  await t.throwsAsync(register(server, { redirect_uris: [CALLBACK], grant_types: ['password'] }), {
    message: /grant_types/,
  });
  const document = await jsonOf(await fetch(`${server.issuer}/.well-known/oauth-authorization-server`));
  t.false((document.grant_types_supported as string[]).includes('password'));
  t.deepEqual(document.code_challenge_methods_supported, ['S256'], '§2.1.1: and no plain challenge');
});

test('RFC 9700 §4.4: a code of one client is worth nothing to another, whatever key or secret it has', async (t) => {
  const [victim, attacker] = [await newApp(server), await newApp(server)];
  const browser = createBrowser(server.issuer);
  const started = await authorizationRequest(victim.rp);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const { client_id, client_secret = '' } = attacker.client;
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code: String(told(arrived).code),
    redirect_uri: CALLBACK,
    code_verifier: started.verifier,
    client_id,
    client_secret,
  });
  const answer = await jsonOf(await fetch(`${server.issuer}/oauth/token`, { method: 'POST', body }));
  t.is(answer.error, 'invalid_grant');
});
