// JWTs by whoever has no key, at our own API, at introspection, as hints and as assertions (RFC 8725 §2, §3; OWASP ASVS 5.0 §9.1).
import { createHmac, createPublicKey, type JsonWebKey } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { decodeJwt, exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import { createBrowser } from '../helpers/browser.ts';
import { newKey } from '../helpers/client-keys.ts';
import { createPeople, PASSWORD } from '../helpers/people.ts';
import { jsonOf, newApp, register, signIn } from '../helpers/relying-party.ts';
import { bearer } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

/** First-party tokens by HS256, as the predecessor's. */
let server: TestServer;
/** The same stores; first-party tokens by a published key. */
let published: TestServer;

test.before(async () => {
  server = await startServer();
  published = await startServer({ jwtAlgorithm: 'RS256' }, server);
});
test.after.always(async (t) => {
  t.notRegex((server?.log() ?? '') + (published?.log() ?? ''), /"level":50/, 'a forgery is no error of ours');
  await published?.close();
  await server?.close();
});

const SECRET = new TextEncoder().encode('a JWT secret for tests, 32 bytes or more');
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** By HMAC, with a key of the attacker's choosing. */
const hmac = (header: object, claims: object, key: string | Buffer, hash = 'sha256'): string => {
  const signed = `${encoded(header)}.${encoded(claims)}`;
  return `${signed}.${createHmac(hash, key).update(signed).digest('base64url')}`;
};

/** What takes any key for the right one, made of the public keys and of keys of the attacker's own. */
const forgeries = async (claims: object, typ: string, keysAt: string): Promise<Record<string, string>> => {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  const mine = { ...(await exportJWK(publicKey)), kid: 'mine', alg: 'RS256', use: 'sig' };
  const by = (header: Partial<JWTHeaderParameters> & Record<string, unknown>) =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: 'RS256', typ, ...header }).sign(privateKey);
  const { keys } = (await jsonOf(await fetch(`${server.issuer}/oauth/jwks`))) as unknown as {
    keys: (JsonWebKey & { kid: string; alg: string })[];
  };
  const forged: Record<string, string> = {
    'alg none': `${encoded({ alg: 'none', typ })}.${encoded(claims)}.`,
    'alg None': `${encoded({ alg: 'None', typ })}.${encoded(claims)}.`,
    'alg nOnE with a signature': `${encoded({ alg: 'nOnE', typ })}.${encoded(claims)}.AAAA`,
    'no alg': `${encoded({ typ })}.${encoded(claims)}.AAAA`,
    'an empty key': hmac({ alg: 'HS256', typ }, claims, ''),
    'an embedded jwk': await by({ jwk: mine }),
    'an embedded jwk, with a kid of ours': await by({ jwk: mine, kid: keys[0]?.kid ?? '' }),
    'a jku': await by({ jku: `${keysAt}/jwks`, kid: 'mine' }),
    'an x5u': await by({ x5u: `${keysAt}/x5u`, kid: 'mine' }),
    'an x5c': await by({ x5c: [Buffer.from('not a certificate').toString('base64')] }),
    'a kid that climbs': hmac({ alg: 'HS256', typ, kid: '../../../../dev/null' }, claims, ''),
    'a kid of SQL': hmac({ alg: 'HS256', typ, kid: "x' UNION SELECT 'key" }, claims, 'key'),
    'a kid of a shell': hmac({ alg: 'HS256', typ, kid: '|cat /etc/passwd' }, claims, 'key'),
    'a kid that every object has': hmac({ alg: 'HS256', typ, kid: '__proto__' }, claims, ''),
    'a kid that is an address': hmac({ alg: 'HS256', typ, kid: `${keysAt}/kid` }, claims, 'key'),
    'a critical extension': hmac({ alg: 'HS256', typ, crit: ['x'], x: true }, claims, 'key'),
    'an unencoded payload': hmac({ alg: 'HS256', typ, b64: false, crit: ['b64'] }, claims, 'key'),
    'ES256 with a signature of noughts': `${encoded({ alg: 'ES256', typ, kid: keys.find(({ alg }) => alg === 'ES256')?.kid })}.${encoded(claims)}.${Buffer.alloc(64).toString('base64url')}`,
  };
  for (const key of keys) {
    const { kid, alg } = key;
    const pem = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
    const der = createPublicKey({ key, format: 'jwk' }).export({ type: 'spki', format: 'der' });
    for (const [what, secret] of Object.entries({
      PEM: String(pem),
      'PEM without its last line break': String(pem).trim(),
      DER: der,
      JWK: JSON.stringify(key),
      modulus: Buffer.from(key.n ?? key.x ?? '', 'base64url'),
    })) {
      forged[`HS256 by the public ${alg} key as ${what}`] = hmac({ alg: 'HS256', typ, kid }, claims, secret);
      forged[`HS512 by the public ${alg} key as ${what}`] = hmac({ alg: 'HS512', typ, kid }, claims, secret, 'sha512');
    }
    forged[`a key of one's own under the name of our ${alg} key`] = await by({ kid });
  }
  return forged;
};

/** Where forged headers point to: nobody may ever ask there. */
const startBait = async () => {
  const asked: string[] = [];
  const http = createServer((req, res) => {
    asked.push(String(req.url));
    res.end('{"keys":[]}');
  }).listen(0, 'localhost');
  await new Promise((resolve) => http.once('listening', resolve));
  const origin = `http://localhost:${(http.address() as AddressInfo).port}`;
  return { origin, asked, close: () => new Promise((resolve) => http.close(resolve)) };
};

for (const by of ['HS256', 'RS256'] as const)
  test(`our API takes no forged access token, where ours are by ${by}: no key but ours counts, whatever the token says of keys`, async (t) => {
    const one = by === 'HS256' ? server : published;
    const bait = await startBait();
    t.teardown(bait.close);
    const { email } = await createPeople(one).person('admin');
    const login = await fetch(`${one.origin}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password: PASSWORD }),
    });
    const good = String((await jsonOf(login)).access_token);
    const app = await register(one);
    const ask = async (token: string) => {
      const { status } = await fetch(`${one.origin}/admin/users`, { headers: bearer(token) });
      const introspected = await fetch(`${one.origin}/oauth/introspect`, {
        method: 'POST',
        body: new URLSearchParams({ token, client_id: app.client_id, client_secret: String(app.client_secret) }),
      });
      return [status, (await jsonOf(introspected)).active];
    };
    t.deepEqual(await ask(good), [200, true], 'the control');
    const claims = decodeJwt(good);
    for (const [what, token] of Object.entries(await forgeries(claims, 'at+jwt', bait.origin)))
      t.deepEqual(await ask(token), [401, false], what);
    // The right key, and another algorithm than the one that is ours.
    if (by === 'RS256')
      t.deepEqual(await ask(hmac({ alg: 'HS256', typ: 'at+jwt' }, claims, Buffer.from(SECRET))), [401, false]);
    const [head, payload = '', signature] = good.split('.');
    for (const [what, token] of Object.entries({
      'a doubled member': `${head}.${Buffer.from(`${JSON.stringify(claims).slice(0, -1)},"sub":"x"}`).toString('base64url')}.${signature}`,
      padding: `${head}.${payload}==.${signature}`,
      'five parts': `${head}.${payload}.${signature}.x.y`,
      'four parts': `${good}.x`,
      'a JSON serialisation': JSON.stringify({ payload, protected: head, signature }),
      'no typ': hmac({ alg: 'HS256' }, claims, Buffer.from(SECRET)),
      'no expiry': hmac({ alg: 'HS256', typ: 'at+jwt' }, { ...claims, exp: undefined }, Buffer.from(SECRET)),
      'an expiry in words': hmac({ alg: 'HS256', typ: 'at+jwt' }, { ...claims, exp: 'tomorrow' }, Buffer.from(SECRET)),
      'not yet': hmac(
        { alg: 'HS256', typ: 'at+jwt' },
        { ...claims, nbf: Date.now() / 1000 + 600 },
        Buffer.from(SECRET),
      ),
      'another audience beside none of ours': hmac(
        { alg: 'HS256', typ: 'at+jwt' },
        { ...claims, aud: ['https://a.example'] },
        Buffer.from(SECRET),
      ),
    }))
      t.deepEqual(await ask(token), [401, false], what);
    t.deepEqual(bait.asked, []);
  });

test('no forged ID token is a hint, neither at sign-in nor at sign-out', async (t) => {
  const bait = await startBait();
  t.teardown(bait.close);
  const { client, rp } = await newApp(server, { post_logout_redirect_uris: ['https://app.example/after'] });
  const person = await createPeople(server).person();
  const { tokens } = await signIn(createBrowser(server.issuer), rp, { ...person, password: PASSWORD });
  const claims = decodeJwt(String(tokens.id_token));
  const forged = await forgeries(claims, 'JWT', bait.origin);
  for (const [what, id_token_hint] of Object.entries(forged)) {
    const out = new URLSearchParams({ id_token_hint, post_logout_redirect_uri: 'https://app.example/after' });
    const page = await createBrowser(server.issuer).go(`/oauth/logout?${out}`);
    t.is(page.status, 400, what);
    const asked = new URLSearchParams({
      client_id: client.client_id,
      response_type: 'code',
      redirect_uri: 'https://app.example/callback',
      scope: 'openid',
      id_token_hint,
    });
    const arrived = await createBrowser(server.issuer).go(`/oauth/authorize?${asked}`);
    t.is(arrived.url.searchParams.get('error'), 'invalid_request', what);
  }
  t.deepEqual(bait.asked, []);
});

test('no forged assertion or request is a client’s, whatever key it brings along or points to', async (t) => {
  const bait = await startBait();
  t.teardown(bait.close);
  const key = await newKey('RS256');
  const { client_id } = await register(server, {
    token_endpoint_auth_method: 'private_key_jwt',
    jwks: key.jwks,
    grant_types: ['authorization_code', 'client_credentials'],
  });
  const now = Math.floor(Date.now() / 1000);
  let serial = 0;
  const claims = () => ({
    iss: client_id,
    sub: client_id,
    aud: server.issuer,
    iat: now,
    exp: now + 60,
    jti: `j${++serial}`,
  });
  const ask = async (client_assertion: string) => {
    const response = await fetch(`${server.origin}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        scope: 'read:profile',
        client_assertion,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      }),
    });
    return response.status;
  };
  const good = await new SignJWT(claims()).setProtectedHeader({ alg: 'RS256', kid: key.kid }).sign(key.privateKey);
  t.is(await ask(good), 200, 'the control');
  for (const [what, assertion] of Object.entries(await forgeries(claims(), 'JWT', bait.origin)))
    t.true([400, 401].includes(await ask(assertion)), what);
  // The client's own public key, as the secret of an HMAC.
  const pem = createPublicKey({ key: key.jwk as JsonWebKey, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  t.is(await ask(hmac({ alg: 'HS256', kid: key.kid }, claims(), String(pem))), 401);
  for (const [what, request] of Object.entries(
    await forgeries(
      {
        iss: client_id,
        aud: server.issuer,
        client_id,
        response_type: 'code',
        redirect_uri: 'https://app.example/callback',
        scope: 'openid',
        exp: now + 60,
      },
      'oauth-authz-req+jwt',
      bait.origin,
    ),
  )) {
    const page = await createBrowser(server.issuer).go(
      `/oauth/authorize?${new URLSearchParams({ client_id, request })}`,
    );
    t.is(page.url.searchParams.get('code'), null, what);
    t.true(page.status === 400 || page.url.searchParams.has('error'), what);
  }
  t.deepEqual(bait.asked, []);
});
