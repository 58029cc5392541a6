// How clients prove who they are by what they signed: private_key_jwt and client_secret_jwt (RFC 7523), and the secrets that are keys.
import { generateKeyPairSync } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { AUTHORITY, LOCALHOST } from '../helpers/certificates.ts';
import { assertion, newKey, presented, signed } from '../helpers/client-keys.ts';
import {
  discover,
  jsonOf,
  newApp,
  newPerson,
  type Person,
  refusal,
  register,
  signIn,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let beside: TestServer;
let person: Person;

test.before(async () => {
  server = await startServer();
  beside = await startServer({}, server);
  person = await newPerson(server);
});
test.after.always(async (t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  await beside?.close();
  await server?.close();
});

const SERVICE = { grant_types: ['client_credentials'], redirect_uris: [], response_types: [] };

const token = (body: Record<string, string>, at: Pick<TestServer, 'origin'> = server) =>
  fetch(`${at.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'client_credentials', ...body }),
  });
const errorOf = async (response: Response) => (response.ok ? undefined : (await jsonOf(response)).error);

const hmac = (claims: Record<string, unknown>, secret: unknown, header: Record<string, unknown> = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: 'HS256', ...header }).sign(Buffer.from(String(secret)));

const storedOf = async (clientId: string) => {
  const { rows } = await server.database.pool.query('SELECT * FROM oauth_clients WHERE client_id = $1', [clientId]);
  return rows[0] as Record<string, string | null>;
};

for (const alg of ['RS256', 'PS256', 'ES256', 'Ed25519'])
  test(`RFC 7523 §2.2: private_key_jwt by ${alg}`, async (t) => {
    const key = await newKey(alg);
    const { rp } = await newApp(
      server,
      {
        ...SERVICE,
        jwks: key.jwks,
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: alg,
      },
      { auth: oidc.PrivateKeyJwt({ key: key.privateKey, kid: key.kid }) },
    );
    t.truthy((await oidc.clientCredentialsGrant(rp)).access_token);
  });

test('OIDC Core §9: client_secret_jwt, whose secret is sealed and nowhere to be read', async (t) => {
  const client = await register(server, { ...SERVICE, token_endpoint_auth_method: 'client_secret_jwt' });
  const rp = await discover(server, client.client_id, {}, oidc.ClientSecretJwt(String(client.client_secret)));
  t.truthy((await oidc.clientCredentialsGrant(rp)).access_token);
  const stored = await storedOf(client.client_id);
  t.regex(stored.client_secret_sealed ?? '', /^v1\./);
  t.false(JSON.stringify(stored).includes(String(client.client_secret)));
});

test('a secret that is only compared is not kept, and nothing can be signed with what is', async (t) => {
  const { client } = await newApp(server, SERVICE);
  const stored = await storedOf(client.client_id);
  t.is(stored.client_secret_sealed, null);
  for (const secret of [client.client_secret, stored.client_secret_hash])
    t.is(
      await errorOf(await token(presented(await hmac(assertion(client.client_id, server.issuer), secret)))),
      'invalid_client',
    );
});

for (const [what, changes, header] of [
  ['for nobody', { aud: undefined }, {}],
  ['for another audience (RFC 7523 §3)', { aud: 'https://other.example' }, {}],
  ['of another issuer', { iss: 'somebody' }, {}],
  ['without a subject', { sub: undefined }, {}],
  ['of another subject', { sub: 'somebody' }, {}],
  ['without a name', { jti: undefined }, {}],
  ['named by a number', { jti: 7 }, {}],
  ['that never expires', { exp: undefined }, {}],
  ['that has expired', { exp: 1 }, {}],
  ['that expires in years', { exp: 9_999_999_999 }, {}],
  ['that begins tomorrow', { nbf: 9_999_999_999 }, {}],
  ['of another algorithm', {}, { alg: 'HS512' }],
] as const)
  test(`RFC 7523 §3: an assertion ${what} is refused`, async (t) => {
    const key = await newKey();
    const asymmetric = await register(server, {
      ...SERVICE,
      jwks: key.jwks,
      token_endpoint_auth_method: 'private_key_jwt',
    });
    const symmetric = await register(server, { ...SERVICE, token_endpoint_auth_method: 'client_secret_jwt' });
    const isAlgorithm = 'alg' in header;
    for (const jwt of [
      ...(isAlgorithm ? [] : [await signed(assertion(asymmetric.client_id, server.issuer, changes), key, header)]),
      await hmac(
        assertion(symmetric.client_id, server.issuer, changes),
        `${symmetric.client_secret}${isAlgorithm ? 'x'.repeat(64) : ''}`,
        header,
      ),
    ])
      t.regex(String(await errorOf(await token(presented(jwt)))), /^invalid_(client|request)$/);
  });

test('an assertion by another key, by the public key as a secret, and unsigned is refused', async (t) => {
  const key = await newKey('RS256');
  const { client_id } = await register(server, {
    ...SERVICE,
    jwks: key.jwks,
    token_endpoint_auth_method: 'private_key_jwt',
  });
  const claims = assertion(client_id, server.issuer);
  const stranger = await newKey('RS256');
  const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
  for (const jwt of [
    await signed(claims, { ...stranger, kid: key.kid }),
    await hmac(claims, JSON.stringify(key.jwk), { kid: key.kid }),
    await hmac(claims, key.jwk.n, { kid: key.kid }),
    `${Buffer.from('{"alg":"none"}').toString('base64url')}.${body}.`,
  ])
    t.is(await errorOf(await token(presented(jwt))), 'invalid_client');
});

test('RFC 7523 §3 (7): an assertion is good once, in whatever process, also of many at once', async (t) => {
  const key = await newKey();
  const { client_id } = await register(server, {
    ...SERVICE,
    jwks: key.jwks,
    token_endpoint_auth_method: 'private_key_jwt',
  });
  const jwt = await signed(assertion(client_id, server.issuer), key);
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, i) => token(presented(jwt), i % 2 ? beside : server)),
  );
  t.is(answers.filter(({ status }) => status === 200).length, 1);
  t.is(await errorOf(await token(presented(jwt), beside)), 'invalid_client');
});

test('a client that registered one way to authenticate gets in by no other', async (t) => {
  const key = await newKey();
  const strong = await register(server, {
    ...SERVICE,
    jwks: key.jwks,
    token_endpoint_auth_method: 'private_key_jwt',
    id_token_signed_response_alg: 'HS256',
  });
  t.truthy(strong.client_secret, 'it has a secret, for HS256');
  const { client_id, client_secret } = strong;
  t.is(await errorOf(await token({ client_id, client_secret: String(client_secret) })), 'invalid_client');
  t.is(
    await errorOf(await token(presented(await hmac(assertion(client_id, server.issuer), client_secret)))),
    'invalid_client',
  );
  t.is(await errorOf(await token({ client_id })), 'invalid_client');
  const both = {
    client_id,
    client_secret: String(client_secret),
    ...presented(await signed(assertion(client_id, server.issuer), key)),
  };
  t.is(await errorOf(await token(both)), 'invalid_request');
});

test('OIDC Core §10.1: an ID token by HS256 is signed with the secret, and is taken back as a hint', async (t) => {
  const app = await newApp(server, { id_token_signed_response_alg: 'HS256' });
  const browser = createBrowser(server.issuer);
  const { tokens } = await signIn(browser, app.rp, person);
  const secret = Buffer.from(String(app.client.client_secret));
  const { payload } = await jwtVerify(String(tokens.id_token), secret, {
    issuer: server.issuer,
    audience: app.client.client_id,
  });
  t.is(payload.sub, person.id);
  const silent = await signIn(browser, app.rp, person, { prompt: 'none', id_token_hint: String(tokens.id_token) });
  t.is(silent.tokens.claims()?.sub, person.id);
});

test('while a secret rotates, both sign: the current one for us, either for the client; past it the former is none', async (t) => {
  const client = await register(server, {
    ...SERVICE,
    token_endpoint_auth_method: 'client_secret_jwt',
    id_token_signed_response_alg: 'HS256',
  });
  const by = async (secret: unknown) =>
    errorOf(await token(presented(await hmac(assertion(client.client_id, server.issuer), secret))));
  const rotated = await server.clients.rotateSecret(client.client_id, 600);
  t.is(await by(rotated.secret), undefined);
  t.is(await by(client.client_secret), undefined);
  t.is(await by('neither of them, though long enough'), 'invalid_client');
  const again = await server.clients.rotateSecret(client.client_id, 0);
  t.is(await by(client.client_secret), 'invalid_client');
  t.is(await by(rotated.secret), 'invalid_client');
  t.is(await by(again.secret), undefined);
  t.is((await storedOf(client.client_id)).previous_secret_sealed, null);
});

test('ID tokens are signed with the current secret as soon as it is there', async (t) => {
  const app = await newApp(server, { id_token_signed_response_alg: 'HS256' });
  const { secret } = await server.clients.rotateSecret(app.client.client_id, 600);
  const rp = await discover(server, app.client.client_id, {
    client_secret: secret,
    id_token_signed_response_alg: 'HS256',
  });
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  await t.notThrowsAsync(jwtVerify(String(tokens.id_token), Buffer.from(secret)));
  await t.throwsAsync(jwtVerify(String(tokens.id_token), Buffer.from(String(app.client.client_secret))));
});

test('a client that comes to need its secret as a key sends it along or gets another; one that ceases to leaves none behind', async (t) => {
  const client = await register(server, SERVICE);
  const { client_id, client_secret } = client;
  const jwt = { ...SERVICE, token_endpoint_auth_method: 'client_secret_jwt' };
  const kept = await server.clients.replace(client_id, { ...jwt, client_secret }, false);
  t.is(kept.secret, undefined);
  const by = async (secret: unknown) =>
    errorOf(await token(presented(await hmac(assertion(client_id, server.issuer), secret))));
  t.is(await by(client_secret), undefined);
  await server.clients.replace(client_id, SERVICE, false);
  t.is((await storedOf(client_id)).client_secret_sealed, null);
  t.is(await errorOf(await token({ client_id, client_secret: String(client_secret) })), undefined);
  const { secret } = await server.clients.replace(client_id, jwt, false);
  t.truthy(secret);
  t.is(await by(secret), undefined);
  t.is(await by(client_secret), 'invalid_client');
});

test('RFC 7518 §3.2: a secret that is to be a key needs 32 characters', async (t) => {
  for (const metadata of [
    { token_endpoint_auth_method: 'client_secret_jwt' },
    { id_token_signed_response_alg: 'HS256' },
    { id_token_encrypted_response_alg: 'dir', id_token_encrypted_response_enc: 'A128GCM' },
  ]) {
    await t.throwsAsync(register(server, { ...metadata, client_secret: 'thirty-one characters, no more!' }), {
      message: /32 characters/,
    });
    await t.notThrowsAsync(register(server, { ...metadata, client_secret: 'thirty-two characters, no more!!' }));
  }
});

test('a client that does not authenticate has no secret to sign with', async (t) => {
  for (const metadata of [{ id_token_signed_response_alg: 'HS256' }, { userinfo_signed_response_alg: 'HS256' }])
    await t.throwsAsync(register(server, { ...metadata, token_endpoint_auth_method: 'none' }), {
      message: /asymmetric/,
    });
});

test('RFC 7591 §2.3: a software statement is refused by name', async (t) => {
  await t.throwsAsync(register(server, { software_statement: 'a.b.c' }), {
    message: /software statements are not accepted/,
  });
});

/** The public half of an RSA key with a modulus of so many bits. */
const shortKey = (bits: number) =>
  generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' });

test('private keys, symmetric keys and unknown algorithms are refused at registration', async (t) => {
  const { jwk } = await newKey();
  for (const metadata of [
    { jwks: { keys: [{ ...jwk, d: 'AAAA' }] } },
    { jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } },
    { jwks: { keys: [shortKey(2047)] } },
    { jwks: { keys: [jwk] }, jwks_uri: 'https://app.example/jwks' },
    {},
    { jwks: { keys: [jwk] }, token_endpoint_auth_signing_alg: 'none' },
    { jwks: { keys: [jwk] }, token_endpoint_auth_signing_alg: 'HS256' },
  ])
    await t.throwsAsync(register(server, { ...SERVICE, ...metadata, token_endpoint_auth_method: 'private_key_jwt' }), {
      name: 'DomainError',
    });
});

test('RFC 7518 §3.3: an RSA key of fewer than 2048 bits is refused by name, wherever a client registers one', async (t) => {
  const by = { ...SERVICE, token_endpoint_auth_method: 'private_key_jwt' };
  for (const bits of [1024, 2040])
    await t.throwsAsync(register(server, { ...by, jwks: { keys: [shortKey(bits)] } }), { message: /2048 bits/ });
  const { client_id } = await register(server, { ...by, jwks: { keys: [shortKey(2048)] } });
  const change = { ...by, jwks: { keys: [shortKey(2048), shortKey(1024)] } };
  await t.throwsAsync(server.clients.replace(client_id, change, false), { message: /2048 bits/ });
});

test('what clients sign with is not what we sign with: an ID token is no assertion', async (t) => {
  const app = await newApp(
    server,
    { token_endpoint_auth_method: 'client_secret_jwt', id_token_signed_response_alg: 'HS256' },
    { auth: oidc.ClientSecretJwt() },
  );
  const { client_id, client_secret } = app.client;
  const rp = await discover(
    server,
    client_id,
    { id_token_signed_response_alg: 'HS256' },
    oidc.ClientSecretJwt(String(client_secret)),
  );
  const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
  t.is(decodeProtectedHeader(String(tokens.id_token)).alg, 'HS256');
  t.is(decodeJwt(String(tokens.id_token)).iss, server.issuer);
  t.regex(String(await errorOf(await token(presented(String(tokens.id_token))))), /^invalid_/);
  t.is(await refusal(oidc.clientCredentialsGrant(rp)), 'unauthorized_client', 'it is not registered for the grant');
});

test('RFC 7517 §5: keys are read from jwks_uri; where nothing good is there, the client is told so and nothing is ours to mend', async (t) => {
  const { createServer } = await import('node:https');
  const key = await newKey();
  const answers: Record<string, string> = { '/jwks': JSON.stringify(key.jwks), '/text': 'hello', '/list': '[]' };
  const host = createServer(LOCALHOST, (request, response) => {
    const answer = answers[String(request.url)];
    response.writeHead(answer === undefined ? 404 : 200).end(answer);
  });
  await new Promise<void>((resolve) => host.listen(0, 'localhost', resolve));
  t.teardown(() => host.close());
  const origin = `https://localhost:${(host.address() as AddressInfo).port}`;
  const reaching = await startServer({ outbound: { extraCa: AUTHORITY, reachLoopback: true } }, server);
  t.teardown(() => reaching.close());
  const attempt = async (jwks_uri: string, at: TestServer) => {
    const metadata = { ...SERVICE, jwks_uri, token_endpoint_auth_method: 'private_key_jwt' };
    const { client_id } = await register(server, metadata);
    return errorOf(await token(presented(await signed(assertion(client_id, server.issuer), key)), at));
  };
  t.is(await attempt(`${origin}/jwks`, reaching), undefined);
  for (const path of ['/missing', '/text', '/list'])
    t.is(await attempt(`${origin}${path}`, reaching), 'invalid_client', path);
  t.is(await attempt(`${origin}/jwks`, server), 'invalid_client', 'this machine is not reached unless allowed');
  t.is(await attempt('https://169.254.169.254/jwks', reaching), 'invalid_client');
  t.notRegex(reaching.log(), /"level":50/);
});
