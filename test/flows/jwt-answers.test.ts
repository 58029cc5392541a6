// What is told as a JWT: ID tokens and userinfo signed and encrypted as a client registered (OIDC Core §10, §5.3.2), introspection (RFC 9701).
import { createHash } from 'node:crypto';
import test from 'ava';
import { compactDecrypt, createRemoteJWKSet, decodeProtectedHeader, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import {
  authorizationRequest,
  CALLBACK,
  discover,
  jsonOf,
  newPerson,
  type Person,
  passThrough,
  redeem,
  register,
  signIn,
} from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let person: Person;
let jwks: ReturnType<typeof createRemoteJWKSet>;

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  jwks = createRemoteJWKSet(new URL(`${server.issuer}/oauth/jwks`));
});
test.after.always((t) => {
  t.notRegex(server?.log() ?? '', /"level":50/, "no client's mistake is an error of ours");
  return server?.close();
});

const digest = (length: number, secret: unknown) =>
  createHash(length > 48 ? 'sha512' : length > 32 ? 'sha384' : 'sha256')
    .update(String(secret))
    .digest()
    .subarray(0, length);

const tokenOf = async (
  client: { client_id: string } & Record<string, unknown>,
  params: Record<string, string> = {},
) => {
  const body = (more: Record<string, string>) =>
    new URLSearchParams({
      client_id: client.client_id,
      ...(typeof client.client_secret === 'string' && { client_secret: client.client_secret }),
      ...more,
    });
  const rp = await discover(
    server,
    client.client_id,
    { client_secret: String(client.client_secret ?? '') },
    client.client_secret ? undefined : oidc.None(),
  );
  const started = await authorizationRequest(rp, { scope: 'openid email', ...params });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  const code = String(arrived.url.searchParams.get('code'));
  const response = await fetch(`${server.issuer}/oauth/token`, {
    method: 'POST',
    body: body({
      grant_type: 'authorization_code',
      code,
      redirect_uri: String(started.url.searchParams.get('redirect_uri')),
      code_verifier: started.verifier,
    }),
  });
  return jsonOf(response);
};

for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA'])
  test(`OIDC Core §3.1.3.7: an ID token signed with ${alg} verifies by the published keys`, async (t) => {
    const client = await register(server, { redirect_uris: [CALLBACK], id_token_signed_response_alg: alg });
    const rp = await discover(server, client.client_id, {
      client_secret: String(client.client_secret),
      id_token_signed_response_alg: alg,
    });
    const { tokens } = await signIn(createBrowser(server.issuer), rp, person);
    t.is(decodeProtectedHeader(String(tokens.id_token)).alg, alg);
    const { payload } = await jwtVerify(String(tokens.id_token), jwks, { issuer: server.issuer, algorithms: [alg] });
    t.is(payload.sub, person.id);
  });

const KEYS: [alg: string, kty: string, enc: string][] = [
  ['RSA-OAEP', 'RSA', 'A128CBC-HS256'],
  ['RSA-OAEP-256', 'RSA', 'A256GCM'],
  ['ECDH-ES', 'EC', 'A128GCM'],
  ['ECDH-ES+A128KW', 'EC', 'A128CBC-HS256'],
  ['ECDH-ES+A256KW', 'OKP', 'A256CBC-HS512'],
];
for (const [alg, kty, enc] of KEYS)
  test(`OIDC Core §10.2: ID token and userinfo encrypted by ${alg} with ${enc} to a key of the client (${kty})`, async (t) => {
    const { publicKey, privateKey } = await generateKeyPair(alg, kty === 'OKP' ? { crv: 'X25519' } : {});
    const client = await register(server, {
      redirect_uris: [CALLBACK],
      jwks: { keys: [{ ...(await exportJWK(publicKey)), use: 'enc', alg }] },
      id_token_encrypted_response_alg: alg,
      id_token_encrypted_response_enc: enc,
      userinfo_signed_response_alg: 'ES256',
      userinfo_encrypted_response_alg: alg,
      userinfo_encrypted_response_enc: enc,
    });
    const { id_token, access_token } = await tokenOf(client);
    const userinfo = await fetch(`${server.issuer}/oauth/userinfo`, {
      headers: { authorization: `Bearer ${access_token}` },
    });
    t.regex(userinfo.headers.get('content-type') ?? '', /^application\/jwt/);
    for (const jwe of [String(id_token), await userinfo.text()]) {
      const { plaintext, protectedHeader } = await compactDecrypt(jwe, privateKey);
      t.like(protectedHeader, { alg, enc, cty: 'JWT' });
      const { payload } = await jwtVerify(plaintext, jwks, { issuer: server.issuer, audience: client.client_id });
      t.is(payload.sub, person.id);
    }
  });

for (const [alg, enc, length] of [
  ['dir', 'A128GCM', 16],
  ['dir', 'A256CBC-HS512', 64],
  ['A128KW', 'A128GCM', 16],
  ['A256KW', 'A128CBC-HS256', 32],
  ['A256GCMKW', 'A256GCM', 32],
] as const)
  test(`OIDC Core §10.2: an ID token encrypted by ${alg} with ${enc} under the client's secret`, async (t) => {
    const client = await register(server, {
      redirect_uris: [CALLBACK],
      id_token_encrypted_response_alg: alg,
      id_token_encrypted_response_enc: enc,
    });
    const { id_token } = await tokenOf(client);
    const { plaintext } = await compactDecrypt(String(id_token), digest(length, client.client_secret));
    t.is((await jwtVerify(plaintext, jwks, { audience: client.client_id })).payload.sub, person.id);
  });

test('unsound and unknown algorithms are refused at registration, by name', async (t) => {
  for (const member of ['id_token', 'userinfo', 'introspection', 'authorization']) {
    for (const alg of ['RSA1_5', 'PBES2-HS256+A128KW', 'none', 'A192KW'])
      await t.throwsAsync(
        register(server, {
          redirect_uris: [CALLBACK],
          [`${member}_signed_response_alg`]: 'RS256',
          [`${member}_encrypted_response_alg`]: alg,
          jwks: { keys: [] },
        }),
        { message: new RegExp(`${member}_encrypted_response_alg`) },
      );
    for (const alg of ['none', 'RS1', 'HS384', 'ES256K'])
      await t.throwsAsync(register(server, { redirect_uris: [CALLBACK], [`${member}_signed_response_alg`]: alg }), {
        message: new RegExp(`${member}_signed_response_alg`),
      });
  }
  await t.throwsAsync(register(server, { redirect_uris: [CALLBACK], id_token_encrypted_response_alg: 'RSA-OAEP' }), {
    message: /jwks/,
  });
  await t.throwsAsync(register(server, { redirect_uris: [CALLBACK], id_token_encrypted_response_enc: 'A128GCM' }), {
    message: /id_token_encrypted_response_alg/,
  });
});

test('a client whose keys cannot encrypt is told so, and gets no token in the clear', async (t) => {
  const client = await register(server, {
    redirect_uris: [CALLBACK],
    jwks: { keys: [] },
    id_token_encrypted_response_alg: 'RSA-OAEP-256',
  });
  const answer = await tokenOf(client);
  t.is(answer.error, 'invalid_client_metadata');
  t.is(answer.id_token, undefined);
});

test('OIDC Core §5.3.2: userinfo as a JWT is what a client registered, and nobody else gets', async (t) => {
  for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA']) {
    const client = await register(server, { redirect_uris: [CALLBACK], userinfo_signed_response_alg: alg });
    const rp = await discover(server, client.client_id, {
      client_secret: String(client.client_secret),
      userinfo_signed_response_alg: alg,
    });
    const { tokens } = await signIn(createBrowser(server.issuer), rp, person, { scope: 'openid email' });
    t.is((await oidc.fetchUserInfo(rp, tokens.access_token, person.id)).email, person.email);
  }
  const client = await register(server, { redirect_uris: [CALLBACK] });
  const { access_token } = await tokenOf(client);
  const plain = await fetch(`${server.issuer}/oauth/userinfo`, {
    headers: { authorization: `Bearer ${access_token}`, accept: 'application/jwt' },
  });
  t.regex(plain.headers.get('content-type') ?? '', /^application\/json/);
});

const JWT = 'application/token-introspection+jwt';
const introspect = async (client: Record<string, unknown>, token: unknown, accept: string) => {
  const body = new URLSearchParams({
    client_id: String(client.client_id),
    client_secret: String(client.client_secret),
    token: String(token),
  });
  const response = await fetch(`${server.issuer}/oauth/introspect`, { method: 'POST', headers: { accept }, body });
  return { status: response.status, type: response.headers.get('content-type') ?? '', text: await response.text() };
};

const login = async () => {
  const response = await fetch(`${server.issuer}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: person.email, password: person.password }),
  });
  return (await jsonOf(response)).access_token;
};

test("RFC 9701 §4, §5: introspection as a signed JWT, of the engine's tokens and of the platform's own", async (t) => {
  const app = await register(server, { redirect_uris: [CALLBACK] });
  const { access_token } = await tokenOf(app);
  for (const alg of ['RS256', 'PS256', 'EdDSA', 'HS256']) {
    const asker = await register(server, { redirect_uris: [CALLBACK], introspection_signed_response_alg: alg });
    for (const token of [access_token, await login(), 'unknown']) {
      const { type, text, status } = await introspect(asker, token, JWT);
      t.is(status, 200);
      t.regex(type, /^application\/token-introspection\+jwt/);
      const how = {
        issuer: server.issuer,
        audience: asker.client_id,
        typ: 'token-introspection+jwt',
        algorithms: [alg],
      };
      const { payload } =
        alg === 'HS256'
          ? await jwtVerify(text, Buffer.from(String(asker.client_secret)), how)
          : await jwtVerify(text, jwks, how);
      const told = payload.token_introspection as Record<string, unknown>;
      t.is(told.active, token !== 'unknown');
      if (token !== 'unknown') t.is(told.sub, person.id);
      t.is(payload.sub, undefined, '§5: nothing of the token stands outside');
      t.is(payload.exp, undefined);
      t.truthy(payload.iat);
    }
    const asJson = await introspect(asker, access_token, 'application/json');
    t.true(JSON.parse(asJson.text).active);
  }
});

test('RFC 9701 §5: who registered for encryption gets nothing in the clear', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('ECDH-ES');
  const asker = await register(server, {
    redirect_uris: [CALLBACK],
    jwks: { keys: [{ ...(await exportJWK(publicKey)), use: 'enc' }] },
    introspection_signed_response_alg: 'ES256',
    introspection_encrypted_response_alg: 'ECDH-ES',
    introspection_encrypted_response_enc: 'A256GCM',
  });
  for (const token of [
    await login(),
    (await tokenOf(await register(server, { redirect_uris: [CALLBACK] }))).access_token,
  ]) {
    const { text } = await introspect(asker, token, JWT);
    const { plaintext } = await compactDecrypt(text, privateKey);
    const { payload } = await jwtVerify(plaintext, jwks, { audience: asker.client_id });
    t.true((payload.token_introspection as { active: boolean }).active);
    const refused = await introspect(asker, token, 'application/json');
    t.is(refused.status, 400);
    t.is(JSON.parse(refused.text).error, 'invalid_request');
  }
});

test('RFC 9701 §8.1: an introspection answer is no access token, and no ID token', async (t) => {
  const asker = await register(server, { redirect_uris: [CALLBACK] });
  const { text } = await introspect(asker, await login(), JWT);
  t.is(decodeProtectedHeader(text).typ, 'token-introspection+jwt');
  for (const path of ['/users/me', '/oauth/userinfo'])
    t.is(
      (
        await fetch(`${server.issuer}${path}`, {
          headers: { authorization: `Bearer ${text}`, accept: 'application/json' },
        })
      ).status,
      401,
    );
});

test('discovery names the algorithms', async (t) => {
  const document = await jsonOf(await fetch(`${server.issuer}/.well-known/openid-configuration`));
  for (const what of ['id_token', 'userinfo', 'introspection', 'authorization']) {
    t.deepEqual(
      (document[`${what}_signing_alg_values_supported`] as string[]).toSorted(),
      ['ES256', 'EdDSA', 'HS256', 'PS256', 'RS256'],
      what,
    );
    const encryption = document[`${what}_encryption_alg_values_supported`] as string[];
    t.true(encryption.includes('RSA-OAEP-256') && encryption.includes('dir'));
    t.false(encryption.includes('RSA1_5'));
  }
});

test('openid-client decrypts what it is sent', async (t) => {
  const { publicKey, privateKey } = await generateKeyPair('RSA-OAEP-256');
  const client = await register(server, {
    redirect_uris: [CALLBACK],
    jwks: { keys: [{ ...(await exportJWK(publicKey)), use: 'enc', kid: 'one' }] },
    id_token_encrypted_response_alg: 'RSA-OAEP-256',
    id_token_encrypted_response_enc: 'A256GCM',
  });
  const rp = await discover(server, client.client_id, { client_secret: String(client.client_secret) });
  oidc.enableDecryptingResponses(rp, ['A256GCM'], { key: privateKey, alg: 'RSA-OAEP-256', kid: 'one' });
  const started = await authorizationRequest(rp);
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  t.is((await redeem(rp, arrived.url, started)).claims()?.sub, person.id);
});
