import test from 'ava';
import { decodeJwt, decodeProtectedHeader, SignJWT } from 'jose';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;

test.before(async () => {
  server = await startServer();
  rest = createRest(server.origin);
});
test.after.always(() => server?.close());

let count = 0;
const signedIn = async () => {
  const email = `user${++count}@example.com`;
  await rest.post('/auth/register', { email, password: 'secret1' });
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' });
  return { email, access: String(body.access_token), refresh: String(body.refresh_token) };
};

test('the predecessor’s manual works verbatim', async (t) => {
  const registered = await rest.post('/auth/register', {
    email: 'test@optima.ai',
    password: 'test123',
    username: 'testuser',
  });
  t.is(registered.status, 201);
  t.like(registered.body, { email: 'test@optima.ai', username: 'testuser', role: 'user', is_active: true });
  const { status, body } = await rest.post('/auth/login', { email: 'test@optima.ai', password: 'test123' });
  t.is(status, 200);
  t.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'refresh_token', 'token_type']);
  t.like(body, { token_type: 'bearer', expires_in: 1800 });
  const me = await rest.get('/users/me', bearer(body.access_token));
  t.is(me.status, 200);
  t.is(me.body.email, 'test@optima.ai');
  const key = await rest.post(
    '/users/api-keys',
    { name: 'My Service', scopes: ['read:users', 'write:users'] },
    bearer(body.access_token),
  );
  t.is(key.status, 201);
  const byKey = await rest.get('/users/me', { 'X-API-Key': String(key.body.key) });
  t.is(byKey.status, 200);
  t.deepEqual(byKey.body, me.body);
});

test('an access token is an RFC 9068 JWT for this service, signed by HS256', async (t) => {
  const { access, email } = await signedIn();
  t.like(decodeProtectedHeader(access), { alg: 'HS256', typ: 'at+jwt' });
  const claims = decodeJwt(access);
  t.like(claims, {
    iss: server.issuer,
    aud: server.issuer,
    client_id: 'user-auth',
    email,
    role: 'user',
    scope: 'read:profile write:profile',
  });
  t.is(Number(claims.exp) - Number(claims.iat), 1800);
  t.truthy(claims.jti && claims.sub);
});

for (const jwtAlgorithm of ['RS256', 'ES256', 'EdDSA'] as const)
  test(`with JWT_ALGORITHM=${jwtAlgorithm} tokens verify by the published keys`, async (t) => {
    const other = await startServer({ jwtAlgorithm });
    t.teardown(() => other.close());
    const there = createRest(other.origin);
    await there.post('/auth/register', { email: 'a@example.com', password: 'secret1' });
    const { body } = await there.post('/auth/login', { email: 'a@example.com', password: 'secret1' });
    const { createRemoteJWKSet, jwtVerify } = await import('jose');
    const { payload } = await jwtVerify(
      String(body.access_token),
      createRemoteJWKSet(new URL(`${other.origin}/oauth/jwks`)),
      {
        issuer: other.issuer,
        audience: other.issuer,
        typ: 'at+jwt',
        algorithms: [jwtAlgorithm],
      },
    );
    t.is(payload.email, 'a@example.com');
    t.is((await there.get('/users/me', bearer(body.access_token))).status, 200);
  });

test('of 50 parallel registrations of one email, one is made and 49 are conflicts', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      rest.post('/auth/register', { email: i % 2 ? 'race@example.com' : 'Race@Example.com', password: 'secret1' }),
    ),
  );
  t.is(answers.filter(({ status }) => status === 201).length, 1);
  t.is(answers.filter(({ status, body }) => status === 409 && body.code === 'email_taken').length, 49);
});

test('unknown, wrong and banned are refused in the same words', async (t) => {
  const { email } = await signedIn();
  const wrong = await rest.post('/auth/login', { email, password: 'wrong12' });
  const unknown = await rest.post('/auth/login', { email: 'nobody@example.com', password: 'wrong12' });
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE email = $1', [email]);
  const banned = await rest.post('/auth/login', { email, password: 'secret1' });
  for (const { status, body } of [wrong, unknown, banned]) {
    t.is(status, 401);
    t.like(body, { code: 'invalid_credentials', detail: 'Incorrect email or password' });
  }
});

test('a username signs in as well as an email address', async (t) => {
  await rest.post('/auth/register', { email: 'named@example.com', password: 'secret1', username: 'named' });
  t.is((await rest.post('/auth/login', { username: 'NAMED', password: 'secret1' })).status, 200);
  t.is((await rest.post('/auth/login', { email: 'named', password: 'secret1' })).status, 200);
});

test('a refresh gives a new pair; tried again, the same refresh token, until that is used', async (t) => {
  const { refresh } = await signedIn();
  const second = await rest.post('/auth/refresh', { refresh_token: refresh });
  t.is(second.status, 200);
  t.is((await rest.get('/users/me', bearer(second.body.access_token))).status, 200);
  const retried = await rest.post('/auth/refresh', { refresh_token: refresh });
  t.is(retried.body.refresh_token, second.body.refresh_token);
  t.is((await rest.post('/auth/refresh', { refresh_token: second.body.refresh_token })).status, 200);
  // Now the first one can only be a thief's, or the rightful holder's after a thief: both are signed out.
  t.is((await rest.post('/auth/refresh', { refresh_token: refresh })).status, 401);
  t.is((await rest.get('/users/me', bearer(second.body.access_token))).status, 401);
  t.is((await rest.post('/auth/refresh', { refresh_token: second.body.refresh_token })).status, 401);
});

test('fifty refreshes at once all succeed, with one successor', async (t) => {
  const { refresh } = await signedIn();
  const all = await Promise.all(
    Array.from({ length: 50 }, () => rest.post('/auth/refresh', { refresh_token: refresh })),
  );
  t.deepEqual(new Set(all.map(({ status }) => status)), new Set([200]));
  t.is(new Set(all.map(({ body }) => body.refresh_token)).size, 1);
});

test('a first-party refresh token works at /oauth/token too, and gives the same kind of token', async (t) => {
  const { refresh } = await signedIn();
  const response = await fetch(`${server.origin}/oauth/token`, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refresh, client_id: 'user-auth' }),
  });
  const body = (await response.json()) as Record<string, unknown>;
  t.is(response.status, 200);
  t.is(decodeProtectedHeader(String(body.access_token)).typ, 'at+jwt');
  t.is((await rest.get('/users/me', bearer(body.access_token))).status, 200);
  t.is((await rest.post('/auth/refresh', { refresh_token: body.refresh_token })).status, 200);
});

test('logging out ends the access token and the refresh token at once', async (t) => {
  const { access, refresh } = await signedIn();
  const other = await signedIn();
  t.is((await rest.post('/auth/logout', { refresh_token: refresh }, bearer(access))).status, 204);
  t.is((await rest.get('/users/me', bearer(access))).status, 401);
  t.is((await rest.post('/auth/refresh', { refresh_token: refresh })).status, 401);
  t.is((await rest.get('/users/me', bearer(other.access))).status, 200);
});

test('a banned user’s JWT is refused at once', async (t) => {
  const { access, email } = await signedIn();
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE email = $1', [email]);
  t.is((await rest.get('/users/me', bearer(access))).status, 401);
});

test('a token that is forged, altered, of another type, algorithm or service is refused', async (t) => {
  const { access } = await signedIn();
  const [header = '', payload = '', signature = ''] = access.split('.');
  const secret = new TextEncoder().encode('a JWT secret for tests, 32 bytes or more');
  const claims = decodeJwt(access);
  const sign = (more: object, head: object = {}, key = secret) =>
    new SignJWT({ ...claims, ...more }).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...head }).sign(key);
  const none = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${payload}.`;
  t.is((await rest.get('/users/me', bearer(await sign({})))).status, 200, 'the control: the same claims, signed right');
  for (const [name, token] of Object.entries({
    'alg none': none,
    'no signature': `${header}.${payload}.`,
    'signature of another': `${header}.${payload}.A${signature.slice(0, -1)}`,
    'another secret': await sign({}, {}, new TextEncoder().encode('another secret, also 32 bytes or more')),
    HS512: await sign({}, { alg: 'HS512' }),
    'an ID token’s type': await sign({}, { typ: 'JWT' }),
    'another issuer': await sign({ iss: 'https://evil.example' }),
    'another audience': await sign({ aud: 'https://evil.example' }),
    expired: await sign({ exp: Math.floor(Date.now() / 1000) - 1 }),
    'another user’s grant': await sign({ sub: '00000000-0000-4000-8000-000000000000' }),
    'a grant that never was': await sign({ grant_id: 'nothing' }),
    'no grant': await sign({ grant_id: undefined }),
    'a refresh token': (await signedIn()).refresh,
    nonsense: 'a.b.c',
  })) {
    const { status, body, headers } = await rest.get('/users/me', bearer(token));
    t.is(status, 401, name);
    t.is(body.detail, 'Could not validate credentials', name);
    t.regex(headers.get('www-authenticate') ?? '', /^Bearer error="invalid_token", resource_metadata="[^"]+"$/, name);
  }
});

test('no credentials at all are a 401 without an error code (RFC 6750 §3.1)', async (t) => {
  const { status, headers, body } = await rest.get('/users/me');
  t.is(status, 401);
  // RFC 9728 §5.1
  const metadata = `${server.issuer}/.well-known/oauth-protected-resource`;
  t.is(headers.get('www-authenticate'), `Bearer resource_metadata="${metadata}"`);
  t.is(headers.get('content-type'), 'application/problem+json');
  t.is(body.detail, 'Could not validate credentials');
});

test('introspection and revocation answer for first-party JWTs', async (t) => {
  const { client_id, client_secret } = await server.clients.register({
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
  });
  const form = (path: string, fields: Record<string, string>) =>
    fetch(`${server.origin}${path}`, { method: 'POST', body: new URLSearchParams(fields) });
  const introspect = async (token: string) =>
    (await (
      await form('/oauth/introspect', { token, client_id, client_secret: String(client_secret) })
    ).json()) as Record<string, unknown>;
  const one = await signedIn();
  t.like(await introspect(one.access), {
    active: true,
    client_id: 'user-auth',
    iss: server.issuer,
    scope: 'read:profile write:profile',
  });
  t.like(await introspect(one.refresh), { active: true, client_id: 'user-auth' });

  // Another client's word does not revoke it; its own client's does, and the grant goes on.
  t.is(
    (await form('/oauth/revoke', { token: one.access, client_id, client_secret: String(client_secret) })).status,
    200,
  );
  t.true((await introspect(one.access)).active);
  t.is((await form('/oauth/revoke', { token: one.access, client_id: 'user-auth' })).status, 200);
  t.deepEqual(await introspect(one.access), { active: false });
  t.is((await rest.get('/users/me', bearer(one.access))).status, 401);
  t.is((await rest.post('/auth/refresh', { refresh_token: one.refresh })).status, 200);

  const gone = await signedIn();
  await rest.post('/auth/logout', {}, bearer(gone.access));
  t.deepEqual(await introspect(gone.access), { active: false });
  t.is((await form('/oauth/introspect', { token: one.access, client_id, client_secret: 'wrong' })).status, 401);
});

for (const [name, body, paths] of [
  ['nothing', {}, ['email', 'password']],
  ['wrong types', { email: 1, password: ['x'] }, ['email', 'password']],
  ['an unknown field', { email: 'x@example.com', password: 'secret1', role: 'admin' }, ['role']],
  ['nulls', { email: null, password: null }, ['email', 'password']],
] as const)
  test(`registering with ${name} names every path that is wrong`, async (t) => {
    const answer = await rest.post('/auth/register', body);
    t.is(answer.status, 422);
    t.is(answer.headers.get('content-type'), 'application/problem+json');
    const errors = answer.body.errors as { path: string }[];
    t.deepEqual(errors.map(({ path }) => path).sort(), [...paths]);
  });

test('bodies that are no JSON, of another type, or too large are refused as such', async (t) => {
  t.is((await rest.post('/auth/register', '{"email":')).status, 400);
  t.is((await rest.post('/auth/register', '"a string"')).status, 400);
  t.is(
    (await rest.post('/auth/register', 'email=x', { 'content-type': 'application/x-www-form-urlencoded' })).status,
    415,
  );
  t.is((await rest.post('/auth/register', { email: 'x'.repeat(110_000), password: 'secret1' })).status, 413);
  t.is(
    (await rest.post('/auth/register', { email: 'short@example.com', password: 'five5' })).body.code,
    'password_too_short',
  );
});
