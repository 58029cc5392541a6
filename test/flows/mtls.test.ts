// Mutual TLS (RFC 8705) behind a proxy: here the test is the proxy, and hands on certificates as nginx does.
import { createHash, X509Certificate } from 'node:crypto';
import test from 'ava';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { CLIENT_ONE, CLIENT_TWO, escaped, SELF_SIGNED, x5c } from '../helpers/certificates.ts';
import {
  authorizationRequest,
  CALLBACK,
  discover,
  jsonOf,
  newPerson,
  type Person,
  passThrough,
  register,
  told,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
/** The same installation, whose operator has configured no header. */
let plain: TestServer;
let person: Person;

const HEADERS = { certificateHeader: 'x-client-cert', verifiedHeader: 'x-client-verify' };

test.before(async () => {
  server = await startServer({ trustProxy: 1, mtls: HEADERS });
  plain = await startServer({ trustProxy: 1 }, server);
  person = await newPerson(server);
});
test.after.always(async (t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  await plain?.close();
  await server?.close();
});

const SERVICE = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };
const thumbprint = (pem: string) => createHash('sha256').update(new X509Certificate(pem).raw).digest('base64url');

/** What a proxy says of a connection with this certificate. */
const shown = (pem: string, verify = 'SUCCESS') => ({ 'x-client-cert': escaped(pem), 'x-client-verify': verify });

const ask = async (
  client_id: string,
  headers: Record<string, string> = {},
  more: Record<string, string> = {},
  at = server,
) => {
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id, ...more });
  const response = await fetch(`${at.origin}/oauth/token`, { method: 'POST', headers, body });
  const answer = await jsonOf(response);
  return { status: response.status, error: answer.error, body: answer };
};

const byName = (names: Record<string, string>) =>
  register(server, { ...SERVICE, token_endpoint_auth_method: 'tls_client_auth', ...names });

for (const [name, value, wrong] of [
  ['tls_client_auth_subject_dn', 'CN=client one,O=Acme\\, Inc.,C=DE', 'CN=client one,O=Acme,C=DE'],
  ['tls_client_auth_san_dns', 'client.example', 'example'],
  ['tls_client_auth_san_uri', 'urn:client:one', 'urn:client:on'],
  ['tls_client_auth_san_ip', '192.0.2.7', '192.0.2.70'],
  ['tls_client_auth_san_email', 'client@example.com', 'client@example.co'],
] as const)
  test(`RFC 8705 §2.1.2: ${name} lets in whose certificate bears it, and nobody else`, async (t) => {
    const { client_id } = await byName({ [name]: value });
    t.is((await ask(client_id, shown(CLIENT_ONE))).status, 200);
    t.is((await ask(client_id, shown(CLIENT_TWO))).error, 'invalid_client');
    t.is((await ask(client_id, shown(SELF_SIGNED))).error, 'invalid_client');
    const other = await byName({ [name]: wrong });
    t.is((await ask(other.client_id, shown(CLIENT_ONE))).error, 'invalid_client');
  });

test('RFC 8705 §2.1: without a certificate, with one that the proxy did not verify, and with one that cannot be read there is no way in', async (t) => {
  const { client_id } = await byName({ tls_client_auth_san_dns: 'client.example' });
  const attempts: Record<string, string>[] = [
    {},
    { 'x-client-verify': 'SUCCESS' },
    shown(CLIENT_ONE, 'NONE'),
    shown(CLIENT_ONE, 'FAILED:self signed certificate'),
    shown(CLIENT_ONE, 'success'),
    { 'x-client-cert': escaped(CLIENT_ONE) },
    { ...shown(CLIENT_ONE), 'x-client-cert': 'nonsense' },
    { ...shown(CLIENT_ONE), 'x-client-cert': '%' },
    { ...shown(CLIENT_ONE), 'x-client-cert': `${escaped(CLIENT_ONE)}, ${escaped(CLIENT_ONE)}` },
    { ...shown(CLIENT_ONE), 'x-ssl-cert': escaped(CLIENT_ONE), 'x-client-cert': '' },
  ];
  for (const headers of attempts)
    t.is((await ask(client_id, headers)).error, 'invalid_client', JSON.stringify(headers).slice(0, 60));
  t.is((await ask(client_id, {}, { client_secret: 'a secret that it does not have' })).error, 'invalid_client');
});

test('a certificate whose names are made to be misread bears the names that it has', async (t) => {
  t.regex(new X509Certificate(CLIENT_TWO).subjectAltName ?? '', /client\.example/, 'it seems to bear it');
  const victim = await byName({ tls_client_auth_san_dns: 'client.example' });
  t.is((await ask(victim.client_id, shown(CLIENT_TWO))).error, 'invalid_client');
  const honest = await byName({ tls_client_auth_san_dns: 'other.example' });
  t.is((await ask(honest.client_id, shown(CLIENT_TWO))).status, 200);
});

test('RFC 8705 §2.2: a self-signed certificate is held against what the client registered, whoever vouches for another', async (t) => {
  const { x, y } = new X509Certificate(SELF_SIGNED).publicKey.export({ format: 'jwk' });
  const jwks = { keys: [{ kty: 'EC', crv: 'P-256', x, y, x5c: [x5c(SELF_SIGNED)] }] };
  const { client_id, client_secret } = await register(server, {
    ...SERVICE,
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks,
  });
  t.is(client_secret, undefined);
  t.is((await ask(client_id, shown(SELF_SIGNED, 'FAILED:self signed certificate'))).status, 200);
  t.is((await ask(client_id, shown(CLIENT_ONE))).error, 'invalid_client');
  t.is((await ask(client_id)).error, 'invalid_client');
});

test('a header that nobody configured is not looked at: nothing is offered, and nothing is taken', async (t) => {
  const { client_id } = await byName({ tls_client_auth_san_dns: 'client.example' });
  t.regex(String((await ask(client_id, shown(CLIENT_ONE), {}, plain)).error), /^invalid_client/);
  const document = await jsonOf(await fetch(`${plain.origin}/.well-known/openid-configuration`));
  t.false(JSON.stringify(document).includes('tls_client'));
  for (const metadata of [
    { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: 'client.example' },
    { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [] } },
    { tls_client_certificate_bound_access_tokens: true },
  ])
    await t.throwsAsync(register(plain, { ...SERVICE, ...metadata }), { name: 'DomainError' });
});

test('where the proxy verifies nothing, tls_client_auth is not offered', async (t) => {
  const half = await startServer({ trustProxy: 1, mtls: { certificateHeader: 'x-client-cert' } }, server);
  t.teardown(() => half.close());
  const { client_id } = await byName({ tls_client_auth_san_dns: 'client.example' });
  t.not((await ask(client_id, shown(CLIENT_ONE), {}, half)).status, 200);
  const methods = (await jsonOf(await fetch(`${half.origin}/.well-known/openid-configuration`)))
    .token_endpoint_auth_methods_supported;
  t.true((methods as string[]).includes('self_signed_tls_client_auth'));
  t.false((methods as string[]).includes('tls_client_auth'));
});

test('RFC 8705 §2.1.2: one name, and one only, is registered', async (t) => {
  await t.throwsAsync(byName({}), { message: /tls_client_auth/ });
  await t.throwsAsync(byName({ tls_client_auth_san_dns: 'a.example', tls_client_auth_san_uri: 'urn:a' }), {
    message: /only one/,
  });
  await t.throwsAsync(register(server, { ...SERVICE, tls_client_auth_san_dns: 'a.example' }), {
    message: /mutual TLS/,
  });
});

/** Tokens of a person, bound to the certificate of a public client. */
const bound = async () => {
  const client = await register(server, {
    redirect_uris: [CALLBACK],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    tls_client_certificate_bound_access_tokens: true,
  });
  const rp = await discover(server, client.client_id, {}, oidc.None());
  const started = await authorizationRequest(rp, { scope: 'openid read:profile offline_access', prompt: 'consent' });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const redeeming = {
    grant_type: 'authorization_code',
    code: String(told(arrived).code),
    redirect_uri: CALLBACK,
    code_verifier: started.verifier,
  };
  const { body } = await ask(client.client_id, shown(SELF_SIGNED, 'NONE'), redeeming);
  return {
    client_id: client.client_id,
    accessToken: String(body.access_token),
    refreshToken: String(body.refresh_token),
    redeeming,
  };
};

test('RFC 8705 §3: a bound token is good with its certificate, at userinfo and at our own routes, and no other way', async (t) => {
  const { accessToken } = await bound();
  for (const path of ['/oauth/userinfo', '/users/me']) {
    const status = async (headers: Record<string, string>, at = server) =>
      (
        await fetch(`${at.origin}${path}`, {
          headers: { authorization: `Bearer ${accessToken}`, accept: 'application/json', ...headers },
        })
      ).status;
    t.is(await status(shown(SELF_SIGNED, 'NONE')), 200, path);
    t.is(await status({}), 401, path);
    t.is(await status(shown(CLIENT_ONE)), 401, path);
    t.is(await status(shown(SELF_SIGNED), plain), 401, `${path}, where the header means nothing`);
  }
});

test('RFC 8705 §3.2: introspection tells the certificate', async (t) => {
  const { accessToken } = await bound();
  const service = await register(server, SERVICE);
  const rp = await discover(server, service.client_id, { client_secret: String(service.client_secret) });
  t.like(await oidc.tokenIntrospection(rp, accessToken), {
    active: true,
    cnf: { 'x5t#S256': thumbprint(SELF_SIGNED) },
  });
});

test("RFC 8705 §4: a public client's refresh token is bound; nobody else's attempt harms it, in the retry window neither", async (t) => {
  const { client_id, refreshToken } = await bound();
  const refresh = (refresh_token: string, headers: Record<string, string>) =>
    ask(client_id, headers, { grant_type: 'refresh_token', refresh_token });
  t.is((await refresh(refreshToken, {})).error, 'invalid_grant');
  t.is((await refresh(refreshToken, shown(CLIENT_ONE))).error, 'invalid_grant');
  const first = await refresh(refreshToken, shown(SELF_SIGNED));
  t.is(first.status, 200);
  t.is((await refresh(refreshToken, shown(CLIENT_ONE))).error, 'invalid_grant');
  const retried = await refresh(refreshToken, shown(SELF_SIGNED));
  t.is(retried.body.refresh_token, first.body.refresh_token);
  t.is((await refresh(String(first.body.refresh_token), shown(SELF_SIGNED))).status, 200);
});

test('RFC 8705 §3: a client registered for bound tokens gets none without a certificate', async (t) => {
  const { client_id } = await register(server, {
    ...SERVICE,
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_san_dns: 'client.example',
    tls_client_certificate_bound_access_tokens: true,
  });
  const { body } = await ask(client_id, shown(CLIENT_ONE));
  const service = await register(server, SERVICE);
  const rp = await discover(server, service.client_id, { client_secret: String(service.client_secret) });
  t.like(await oidc.tokenIntrospection(rp, String(body.access_token)), { cnf: { 'x5t#S256': thumbprint(CLIENT_ONE) } });
  const secretive = await register(server, { ...SERVICE, tls_client_certificate_bound_access_tokens: true });
  const answer = await ask(secretive.client_id, {}, { client_secret: String(secretive.client_secret) });
  t.is(answer.error, 'invalid_grant');
});

test('RFC 8705 §3.3, §5: discovery says so', async (t) => {
  const document = await jsonOf(await fetch(`${server.issuer}/.well-known/openid-configuration`));
  t.true(document.tls_client_certificate_bound_access_tokens);
  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'])
    t.true((document.token_endpoint_auth_methods_supported as string[]).includes(method), method);
});

test('RFC 8705 §5: an origin of its own for clients with certificates is named in discovery, and the library goes there', async (t) => {
  const origin = 'https://mtls.id.example';
  const apart = await startServer({ trustProxy: 1, mtls: { ...HEADERS, origin } }, server);
  t.teardown(() => apart.close());
  const document = await jsonOf(await fetch(`${apart.origin}/.well-known/openid-configuration`));
  const aliases = document.mtls_endpoint_aliases as Record<string, string>;
  for (const [name, alias] of Object.entries(aliases))
    t.is(alias.replace(origin, String(document.issuer)), String(document[name]), name);
  t.true('token_endpoint' in aliases && 'userinfo_endpoint' in aliases);
  const { client_id } = await byName({ tls_client_auth_san_dns: 'client.example' });
  const rp = new oidc.Configuration(
    document as unknown as oidc.ServerMetadata,
    client_id,
    { use_mtls_endpoint_aliases: true },
    oidc.TlsClientAuth(),
  );
  // The connection with the certificate, and the proxy at its end.
  rp[oidc.customFetch] = (url, { headers, ...options }) => {
    t.true(url.startsWith(origin), url);
    const all = { ...headers, ...shown(CLIENT_ONE) };
    return fetch(url.replace(origin, apart.origin), { ...options, headers: all } as RequestInit);
  };
  const { access_token } = await oidc.clientCredentialsGrant(rp);
  t.true((await oidc.tokenIntrospection(rp, access_token)).active);
  t.false('mtls_endpoint_aliases' in (await jsonOf(await fetch(`${server.origin}/.well-known/openid-configuration`))));
});
