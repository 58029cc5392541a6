// The log of a whole sign-in tells an operator what happened, and a thief nothing.
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { newApp, newPerson, refusal, signIn } from '../helpers/relying-party.ts';
import { startServer } from '../helpers/server.ts';

test('the log holds no code, token, cookie, secret, password, interaction, or address of a person', async (t) => {
  const server = await startServer();
  t.teardown(() => server.close());
  const person = await newPerson(server, { username: 'ada-in-the-log' });
  const { client, rp } = await newApp(server, { post_logout_redirect_uris: ['https://app.example/'] });
  const browser = createBrowser(server.issuer);
  const kept = new Map<string, string>();
  const keep = (name: string, value: string | undefined) => {
    t.truthy(value, `${name} was not seen`);
    if (value) kept.set(name, value);
  };
  const keepCookies = () => {
    for (const { name, value } of browser.cookies()) keep(`cookie ${name} ${kept.size}`, value);
  };

  const wrong = await browser.go('/login');
  keep('csrf token', /name="csrf" value="([^"]+)"/.exec(wrong.html)?.[1]);
  keep('interaction', wrong.url.pathname.split('/')[2]);
  keepCookies();
  await browser.submit(wrong, 'sign-in', { login: person.email, password: 'a wrong password typed' });
  const { started, arrived, tokens } = await signIn(browser, rp, person, {
    scope: 'openid email offline_access',
    prompt: 'consent',
    login_hint: person.email,
  });
  keepCookies();
  for (const step of arrived.trail) {
    const [, uid] = /\/(?:interaction|authorize)\/([^/?]+)/.exec(step) ?? [];
    if (uid) keep('resume', uid);
  }
  const refreshed = await oidc.refreshTokenGrant(rp, tokens.refresh_token ?? '');
  await oidc.fetchUserInfo(rp, refreshed.access_token, person.id);
  await oidc.tokenIntrospection(rp, refreshed.access_token);
  const third = await oidc.refreshTokenGrant(rp, refreshed.refresh_token ?? '');
  keep('third access token', third.access_token);
  keep('third refresh token', third.refresh_token);
  await refusal(oidc.refreshTokenGrant(rp, tokens.refresh_token ?? ''));
  const headers = { authorization: `Basic ${btoa(`${client.client_id}:a-wrong-secret-sent`)}` };
  await fetch(`${server.issuer}/oauth/token?access_token=a-token-in-a-query`, { method: 'POST', headers });
  const logout = await browser.go(oidc.buildEndSessionUrl(rp, { id_token_hint: tokens.id_token ?? '' }));
  keep('xsrf', /name="xsrf" value="([^"]+)"/.exec(logout.html)?.[1]);
  await browser.submit(logout, 'sign-out');

  keep('code', arrived.url.searchParams.get('code') ?? undefined);
  keep('state', started.state);
  keep('nonce', started.nonce);
  keep('verifier', started.verifier);
  keep('access token', tokens.access_token);
  keep('refresh token', tokens.refresh_token);
  keep('ID token', tokens.id_token);
  keep('next access token', refreshed.access_token);
  keep('next refresh token', refreshed.refresh_token);
  keep('client secret', client.client_secret);
  for (const value of [
    person.email,
    person.password,
    'ada-in-the-log',
    'a wrong password typed',
    'a-wrong-secret-sent',
  ])
    keep(value, value);
  keep('query', 'a-token-in-a-query');

  const log = server.log();
  for (const [name, value] of kept) {
    t.false(log.includes(value), `the log has the ${name}`);
    t.false(log.includes(encodeURIComponent(value)), `the log has the ${name}, encoded`);
  }
  const lines = log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.true(lines.length > 15);
  for (const line of lines) t.is(typeof line.request_id, 'string');
  t.true(lines.some(({ path, status }) => path === '/oauth/token' && status === 200));
  t.true(lines.some(({ path }) => path === '/interaction/:uid/login'));
  t.true(lines.some(({ path }) => path === '/oauth/authorize/:uid'));
});
