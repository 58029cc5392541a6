// RFC 9728: what our own API says of the tokens it takes; and RFC 8414: that whoever follows it comes to one and the same issuer.
import test from 'ava';
import * as oauth from 'oauth4webapi';
import { createBrowser } from '../helpers/browser.ts';
import { createPeople } from '../helpers/people.ts';
import { jsonOf, newApp, newPerson, signIn } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
test.before(async () => {
  server = await startServer();
});
test.after.always(() => server?.close());

const PATH = '/.well-known/oauth-protected-resource';
const insecure = { [oauth.allowInsecureRequests]: true };

test('RFC 9728 §3: a client library finds the issuer of our API’s tokens by the metadata, and its endpoints', async (t) => {
  const issuer = new URL(server.issuer);
  const resource = await oauth.processResourceDiscoveryResponse(
    issuer,
    await oauth.resourceDiscoveryRequest(issuer, insecure),
  );
  t.deepEqual(resource.scopes_supported, ['read:profile', 'write:profile']);
  const [named = ''] = resource.authorization_servers ?? [];
  const found = await oauth.processDiscoveryResponse(
    new URL(named),
    await oauth.discoveryRequest(new URL(named), { ...insecure, algorithm: 'oauth2' }),
  );
  t.deepEqual(found.code_challenge_methods_supported, ['S256']);
  t.true(found.authorization_response_iss_parameter_supported);
  t.deepEqual((found as Record<string, unknown>).protected_resources, [resource.resource]);
});

test('RFC 9728 §2: the flags say how it is', async (t) => {
  const response = await fetch(server.origin + PATH, { headers: { origin: 'https://spa.example' } });
  t.is(response.headers.get('access-control-allow-origin'), '*');
  const discovery = await jsonOf(await fetch(`${server.origin}/.well-known/openid-configuration`));
  const metadata = await jsonOf(response);
  t.like(metadata, {
    resource: server.issuer,
    dpop_bound_access_tokens_required: false,
    tls_client_certificate_bound_access_tokens: false,
  });
  t.deepEqual(metadata.bearer_methods_supported, ['header']);
  t.deepEqual(metadata.dpop_signing_alg_values_supported, discovery.dpop_signing_alg_values_supported);

  const behindProxy = await startServer({ mtls: { certificateHeader: 'x-client-cert' }, trustProxy: 1 });
  t.teardown(() => behindProxy.close());
  t.like(await jsonOf(await fetch(behindProxy.origin + PATH)), { tls_client_certificate_bound_access_tokens: true });
});

test('RFC 9728 §2: a forged host is not in it', async (t) => {
  const response = await fetch(server.origin + PATH, {
    headers: { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example' },
  });
  t.notRegex(await response.text(), /evil/);
});

test('RFC 9728 §5.1: every challenge of our API leads to the metadata', async (t) => {
  const challenge = (response: Response) => response.headers.get('www-authenticate') ?? '';
  const metadata = `resource_metadata="${server.issuer}${PATH}"`;
  const me = (headers: Record<string, string>) => fetch(`${server.origin}/users/me`, { headers });
  t.is(challenge(await me({})), `Bearer ${metadata}`);
  t.is(challenge(await me({ authorization: 'Bearer nothing' })), `Bearer error="invalid_token", ${metadata}`);
  t.regex(
    challenge(await me({ authorization: 'DPoP nothing' })),
    new RegExp(`^DPoP error="invalid_token", algs="[^"]+", ${metadata}$`),
  );
  const { auth } = await createPeople(server).person();
  const administration = await fetch(`${server.origin}/admin/users`, { headers: auth });
  t.is(administration.status, 403);
  t.is(challenge(administration), `Bearer error="insufficient_scope", scope="read:users", ${metadata}`);
  // The library takes it for well-formed (RFC 9110 §11.6.1).
  const api = new URL(`${server.origin}/users/me`);
  const refused = await t.throwsAsync(
    oauth.protectedResourceRequest('nothing', 'GET', api, undefined, undefined, insecure),
    { instanceOf: oauth.WWWAuthenticateChallengeError },
  );
  t.like(refused.cause[0]?.parameters, { resource_metadata: `${server.issuer}${PATH}` });
});

test('RFC 9728 §5.1: … and those of userinfo, whichever schemes they offer', async (t) => {
  const api = `${server.origin}/oauth/userinfo`;
  const { rp } = await newApp(server, { token_endpoint_auth_method: 'none' });
  const plain = await signIn(createBrowser(server.issuer), rp, await newPerson(server), {
    scope: 'read:profile',
    nonce: undefined,
  });
  const headers: Record<string, string>[] = [
    {},
    { authorization: 'Bearer nothing' },
    { authorization: 'DPoP nothing', dpop: 'nothing' },
    { authorization: `Bearer ${plain.tokens.access_token}` },
  ];
  for (const sent of headers) {
    const challenge = (await fetch(api, { headers: sent })).headers.get('www-authenticate') ?? '';
    const schemes = challenge.match(/(Bearer|DPoP) realm=/g) ?? [];
    t.true(schemes.length > 0);
    t.is(challenge.split(`resource_metadata="${server.issuer}${PATH}"`).length, schemes.length + 1, challenge);
  }
  const refused = await t.throwsAsync(
    oauth.protectedResourceRequest('nothing', 'GET', new URL(api), undefined, undefined, insecure),
    { instanceOf: oauth.WWWAuthenticateChallengeError },
  );
  t.like(refused.cause[0], { scheme: 'bearer', parameters: { resource_metadata: `${server.issuer}${PATH}` } });
});

test('RFC 8414 §3.1: an issuer without a path has its metadata without one; with a path there is nothing, in JSON', async (t) => {
  for (const name of ['oauth-authorization-server', 'openid-configuration', 'oauth-protected-resource']) {
    t.is((await fetch(`${server.origin}/.well-known/${name}`)).status, 200);
    const inserted = await fetch(`${server.origin}/.well-known/${name}/mcp`);
    t.is(inserted.status, 404);
    t.regex(inserted.headers.get('content-type') ?? '', /json/);
  }
});

test('RFC 8414 §2, OIDC Discovery §3: both documents agree on everything', async (t) => {
  const [a, b] = await Promise.all(
    ['oauth-authorization-server', 'openid-configuration'].map(async (name) =>
      jsonOf(await fetch(`${server.origin}/.well-known/${name}`)),
    ),
  );
  t.deepEqual(a, b);
});
