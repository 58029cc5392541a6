import test from 'ava';
import { decodeJwt, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { type AdapterPayload, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import { createSecrets } from '../../src/domain/secrets.ts';
import { clientSecretHash } from '../../src/oidc/client-secrets.ts';
import {
  allowRedirectUris,
  compareHashedClientSecrets,
  detectReplays,
  introspectAccessTokensFirst,
  introspectionJwt,
  logoutToken,
  markEndedSessions,
  readResources,
  refuseResponseTypes,
  revokeGrantsFirst,
  takeFormerKeys,
  takeIdTokensAlone,
  tellClientsOurselves,
} from '../../src/oidc/engine-internals.ts';

const secrets = createSecrets('a master key of at least 32 bytes, for tests');

const listening = async (client: Record<string, unknown>) => {
  const provider = new Provider('http://localhost', {
    clients: [
      { client_id: 'app', redirect_uris: [], response_types: [], grant_types: ['client_credentials'], ...client },
    ],
    extraClientMetadata: { properties: ['previous_secret', 'secret_hash'] },
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
    ttl: { ClientCredentials: 60 },
  });
  compareHashedClientSecrets(provider, secrets);
  const server = provider.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  return {
    token: (init: RequestInit) =>
      fetch(`http://localhost:${port}/token`, { method: 'POST', ...init }).then((response) => response.status),
    close: () => server.close(),
  };
};

const body = (more: Record<string, string> = {}) => new URLSearchParams({ grant_type: 'client_credentials', ...more });
const basic = (secret: string) => ({ authorization: `Basic ${Buffer.from(`app:${secret}`).toString('base64')}` });

for (const method of ['client_secret_basic', 'client_secret_post'])
  test(`the engine awaits our comparison with the stored hash, by basic and by post (registered: ${method})`, async (t) => {
    const { token, close } = await listening({
      client_secret: 'a value that nobody knows',
      secret_hash: clientSecretHash(secrets, 'app', 'the secret'),
      token_endpoint_auth_method: method,
    });
    t.is(await token({ body: body(), headers: basic('the%20secret') }), 200);
    t.is(await token({ body: body({ client_id: 'app', client_secret: 'the secret' }) }), 200);
    t.is(await token({ body: body(), headers: basic('another') }), 401);
    t.is(await token({ body: body({ client_id: 'app', client_secret: 'another' }) }), 401);
    close();
  });

test('the stored hash itself is no secret: presented, it is refused', async (t) => {
  const hash = clientSecretHash(secrets, 'app', 'the secret');
  const { token, close } = await listening({ client_secret: hash, secret_hash: hash });
  t.is(await token({ body: body({ client_id: 'app', client_secret: hash }) }), 401);
  close();
});

test('a former secret is taken until it expires, and what a client was given for one is none', async (t) => {
  const hashes = (expiresAt: unknown) => ({
    client_secret: 'a value that nobody knows',
    secret_hash: clientSecretHash(secrets, 'app', 'the secret'),
    previous_secret: { hash: clientSecretHash(secrets, 'app', 'the former one'), expiresAt },
  });
  for (const [expiresAt, status] of [
    [Date.now() + 60_000, 200],
    [Date.now() - 1, 401],
    [undefined, 401],
  ] as const) {
    const { token, close } = await listening(hashes(expiresAt));
    t.is(await token({ body: body({ client_id: 'app', client_secret: 'the secret' }) }), 200);
    t.is(await token({ body: body({ client_id: 'app', client_secret: 'the former one' }) }), status);
    t.is(await token({ body: body({ client_id: 'app', client_secret: 'neither of them' }) }), 401);
    close();
  }
});

test('a hash belongs to one client: under another client_id the same secret hashes differently', (t) => {
  t.not(clientSecretHash(secrets, 'app', 'the secret'), clientSecretHash(secrets, 'other', 'the secret'));
});

test('a client’s keys are made of its secret; those of the former one are tried as well, after the current ones', async (t) => {
  const metadata = {
    client_id: 'app',
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'client_secret_jwt' as const,
    client_secret: 'the current secret, which is long enough',
    previous_secret: { hash: '', expiresAt: 0, key: 'the former secret, which is long enough' },
  };
  const provider = new Provider('http://localhost', {
    clients: [metadata],
    clientAuthMethods: ['client_secret_jwt'],
    extraClientMetadata: { properties: ['previous_secret'] },
    features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  });
  takeFormerKeys(provider);
  for (let again = 0; again < 2; again += 1) {
    const client = (await provider.Client.find('app')) as unknown as {
      symmetricKeyStore: { selectForVerify(by: object): { k: string }[]; selectForSign(by: object): { k: string }[] };
    };
    const secrets = client.symmetricKeyStore
      .selectForVerify({ alg: 'HS256' })
      .map(({ k }) => Buffer.from(k, 'base64url').toString());
    t.deepEqual(secrets, [metadata.client_secret, metadata.previous_secret.key]);
    t.is(
      Buffer.from(client.symmetricKeyStore.selectForSign({ alg: 'HS256' })[0]?.k ?? '', 'base64url').toString(),
      metadata.client_secret,
    );
  }
});

test('a session is marked before it ends, and not where it gets another identifier', async (t) => {
  const provider = new Provider('http://localhost', { features: { devInteractions: { enabled: false } } });
  const marked: string[] = [];
  let wasThere = false;
  markEndedSessions(provider, async (uid) => {
    marked.push(uid);
    wasThere = (await provider.Session.findByUid(uid)) !== undefined;
  });
  const session = new provider.Session();
  await session.save(60);
  session.resetIdentifier();
  await session.save(60);
  t.deepEqual(marked, []);
  await session.destroy();
  t.deepEqual(marked, [session.uid]);
  t.true(wasThere);
  t.is(await provider.Session.findByUid(session.uid), undefined);
});

test('the engine asks ours whether a proof was there before, by issuer, identifier and expiry', async (t) => {
  const asked: unknown[] = [];
  const provider = new Provider('http://localhost', { features: { devInteractions: { enabled: false } } });
  detectReplays(provider, async (...what) => {
    asked.push(what);
    return false;
  });
  t.false(await provider.ReplayDetection.unique('app', 'id', 1));
  t.deepEqual(asked, [['app', 'id', 1]]);
});

test('what introspection tells is signed as the engine signs its own', async (t) => {
  const provider = new Provider('http://localhost', {
    clients: [
      { client_id: 'asker', client_secret: 'of no importance', redirect_uris: [], response_types: [], grant_types: [] },
    ],
    features: {
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      jwtIntrospection: { enabled: true },
    },
  });
  const client = await provider.Client.find('asker');
  const ctx = { oidc: { provider, client } } as unknown as KoaContextWithOIDC;
  const jwt = await introspectionJwt(ctx, { active: true, sub: 'somebody' });
  t.like(decodeProtectedHeader(jwt), { alg: 'RS256', typ: 'token-introspection+jwt' });
  const claims = decodeJwt(jwt);
  t.like(claims, { iss: 'http://localhost', aud: 'asker' });
  t.deepEqual(claims.token_introspection, { active: true, sub: 'somebody' });
});

test('the engine asks us about a redirect URI that it would refuse itself, and about no other', async (t) => {
  const provider = new Provider('http://localhost', {
    clients: [{ client_id: 'app', client_secret: 'x'.repeat(32), redirect_uris: ['https://app.example/cb'] }],
    features: { devInteractions: { enabled: false } },
  });
  const asked: string[] = [];
  allowRedirectUris(provider, (client, uri) => {
    asked.push(`${client.clientId} ${uri}`);
    return uri === 'https://also.example/cb';
  });
  const server = provider.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const status = async (redirect_uri: string) => {
    const query = new URLSearchParams({ client_id: 'app', response_type: 'code', scope: 'openid', redirect_uri });
    const response = await fetch(`http://localhost:${port}/auth?${query}`, { redirect: 'manual' });
    return response.status;
  };
  t.is(await status('https://app.example/cb'), 303);
  t.deepEqual(asked, []);
  t.is(await status('https://also.example/cb'), 303);
  t.is(await status('https://evil.example/cb'), 400);
  t.true(asked.every((one) => /also|evil/.test(one)));
});

test('the engine reads the resources of a request as we do: of its address, and of a signed request', async (t) => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const asked: unknown[] = [];
  const provider = new Provider('http://localhost', {
    clients: [
      {
        client_id: 'app',
        token_endpoint_auth_method: 'none',
        redirect_uris: ['https://app.example/cb'],
        jwks: { keys: [await exportJWK(publicKey)] },
      },
    ],
    features: {
      devInteractions: { enabled: false },
      requestObjects: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (_ctx, identifier) => {
          asked.push(identifier);
          return { scope: '' };
        },
      },
    },
  });
  readResources(provider, (resource) => [resource].flat().find((one) => one !== 'https://ours.example/'));
  const server = provider.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const common: [string, string][] = [
    ['client_id', 'app'],
    ['response_type', 'code'],
    ['scope', 'openid'],
    ['redirect_uri', 'https://app.example/cb'],
    ['code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'],
    ['code_challenge_method', 'S256'],
  ];
  const ask = async (query: [string, string][]) => {
    const target = `http://localhost:${port}/auth?${new URLSearchParams(query)}`;
    const { headers } = await fetch(target, { redirect: 'manual' });
    t.regex(headers.get('location') ?? '', /\/interaction\//);
    return asked.splice(0);
  };
  t.deepEqual(await ask([...common, ['resource', 'https://ours.example/']]), []);
  t.deepEqual(await ask([...common, ['resource', 'https://ours.example/'], ['resource', 'https://other.example/']]), [
    'https://other.example/',
  ]);
  const signed = (resource: string | string[]) =>
    new SignJWT({ ...Object.fromEntries(common), resource })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer('app')
      .setAudience('http://localhost')
      .setExpirationTime('1m')
      .sign(privateKey);
  t.deepEqual(await ask([...common, ['request', await signed('https://ours.example/')]]), []);
  t.deepEqual(await ask([...common, ['request', await signed('https://other.example/')]]), ['https://other.example/']);
});

test('the engine asks the client about a response_type, and IdToken about a hint, and hands on what they refuse', async (t) => {
  const provider = new Provider('http://localhost', {
    clients: [{ client_id: 'app', token_endpoint_auth_method: 'none', redirect_uris: ['https://app.example/cb'] }],
    features: { devInteractions: { enabled: false } },
    responseTypes: ['code', 'none'],
  });
  refuseResponseTypes(provider);
  takeIdTokensAlone(provider);
  const server = provider.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const ask = async (more: Record<string, string>) => {
    const query = new URLSearchParams({
      client_id: 'app',
      response_type: 'code',
      scope: 'openid',
      redirect_uri: 'https://app.example/cb',
      code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
      code_challenge_method: 'S256',
      ...more,
    });
    const { headers } = await fetch(`http://localhost:${port}/auth?${query}`, { redirect: 'manual' });
    return Object.fromEntries(new URL(headers.get('location') ?? '', 'http://localhost').searchParams);
  };
  t.is((await ask({})).error, undefined);
  t.is((await ask({ response_type: 'none' })).error, 'unauthorized_client');
  t.like(await ask({ id_token_hint: 'a.b.c.d.e' }), { error: 'invalid_request' });
  t.regex((await ask({ id_token_hint: 'a.b.c.d.e' })).error_description ?? '', /encrypted/);
  t.notRegex((await ask({ id_token_hint: 'a.b.c' })).error_description ?? '', /encrypted/);
});

const apartProvider = () =>
  new Provider('http://localhost', {
    clients: [
      {
        client_id: 'app',
        client_secret: 'a secret of the app, long enough',
        redirect_uris: [],
        response_types: [],
        grant_types: ['urn:openid:params:grant-type:ciba'],
        backchannel_token_delivery_mode: 'ping',
        backchannel_client_notification_endpoint: 'https://app.example/pinged',
        backchannel_logout_uri: 'https://app.example/logged-out',
        backchannel_logout_session_required: true,
      },
    ],
    features: {
      backchannelLogout: { enabled: true },
      ciba: {
        enabled: true,
        deliveryModes: ['ping'],
        triggerAuthenticationDevice() {},
        validateRequestContext() {},
        processLoginHint: () => undefined,
        processLoginHintToken: () => undefined,
        verifyUserCode() {},
      },
      devInteractions: { enabled: false },
    },
  });

test('what the engine would ping itself is handed to us, and it calls nobody', async (t) => {
  const provider = apartProvider();
  const told: unknown[] = [];
  tellClientsOurselves(provider, {
    logout: async (...what) => void told.push(what),
    ping: async (...what) => void told.push(what),
  });
  const client = await provider.Client.find('app');
  if (!client) return t.fail();
  const request = new provider.BackchannelAuthenticationRequest({ clientId: 'app', accountId: 'ada' });
  request.params = { client_notification_token: 'token' };
  const id = await request.save();
  const grant = new provider.Grant({ clientId: 'app', accountId: 'ada' });
  await grant.save();
  await provider.backchannelResult(request, grant);
  await (client as unknown as { backchannelLogout(accountId: string, sid: string): Promise<void> }).backchannelLogout(
    'ada',
    'the sid',
  );
  t.deepEqual(told, [
    ['app', 'token', id],
    ['app', 'ada', 'the sid'],
  ]);
});

test('a logout token is what the specification says, with the sid where the client wants it', async (t) => {
  const provider = apartProvider();
  const client = await provider.Client.find('app');
  if (!client) return t.fail();
  const token = await logoutToken(provider, client, 'ada', 'the sid');
  t.is(decodeProtectedHeader(token).typ, 'logout+jwt');
  const { iss, aud, sub, sid, events, jti, exp, iat, nonce } = decodeJwt(token);
  t.deepEqual({ iss, aud, sub, sid }, { iss: 'http://localhost', aud: 'app', sub: 'ada', sid: 'the sid' });
  t.deepEqual(events, { 'http://schemas.openid.net/event/backchannel-logout': {} });
  t.truthy(jti);
  t.is(Number(exp) - Number(iat), 120);
  t.is(nonce, undefined);
});

test('a logout token is no ID token, though it is signed by the same key, for the same app, about the same person', async (t) => {
  const provider = apartProvider();
  const client = await provider.Client.find('app');
  if (!client) return t.fail();
  const { IdToken } = provider as unknown as {
    IdToken: {
      new (claims: object, context: object): { mask: object; issue(how: { use: string }): Promise<string> };
      validate(jwt: string, client: unknown): Promise<{ payload: { sub: string } }>;
    };
  };
  const idToken = new IdToken({ sub: 'ada' }, { client, ctx: undefined });
  idToken.mask = { sub: null };
  const jwt = await idToken.issue({ use: 'idtoken' });
  const other = await logoutToken(provider, client, 'ada', 'the sid');
  t.is((await IdToken.validate(other, client)).payload.sub, 'ada', 'what the engine does by itself');
  takeIdTokensAlone(provider);
  await t.throwsAsync(IdToken.validate(other, client), { message: 'not an ID token' });
  t.is((await IdToken.validate(jwt, client)).payload.sub, 'ada');
});

test('a revocation that failed half-way is done by the next one: the grant goes before the refresh token', async (t) => {
  const rows = new Map<string, AdapterPayload>();
  const gone: string[] = [];
  let isDown = true;
  const provider = new Provider('http://localhost', {
    clients: [{ client_id: 'app', redirect_uris: ['https://app.example/'], token_endpoint_auth_method: 'none' }],
    features: { revocation: { enabled: true }, devInteractions: { enabled: false } },
    ttl: { AccessToken: 60, RefreshToken: 60, Grant: 60 },
    adapter: (model) => ({
      upsert: async (id, payload) => void rows.set(`${model} ${id}`, payload),
      find: async (id) => rows.get(`${model} ${id}`),
      async destroy(id) {
        if (isDown && model === 'RefreshToken') throw new Error('the store is away');
        gone.push(model);
        rows.delete(`${model} ${id}`);
      },
      revokeByGrantId: async () => {},
      consume: async () => {},
      findByUid: async () => undefined,
      findByUserCode: async () => undefined,
    }),
  });
  revokeGrantsFirst(provider);
  const client = await provider.Client.find('app');
  if (!client) throw new Error('no client');
  const grantId = await new provider.Grant({ accountId: 'ada', clientId: 'app' }).save();
  const token = await new provider.RefreshToken({ accountId: 'ada', client, grantId, gty: 'test', scope: '' }).save();

  const server = provider.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const revoke = async () => {
    const form = new URLSearchParams({ client_id: 'app', token });
    return (await fetch(`http://localhost:${port}/token/revocation`, { method: 'POST', body: form })).status;
  };
  t.is(await revoke(), 500);
  t.deepEqual(gone, ['Grant']);
  isDown = false;
  t.is(await revoke(), 200);
  t.deepEqual(gone, ['Grant', 'Grant', 'RefreshToken', 'Grant']);
  server.close();
});

test('an access token is introspected although refresh tokens cannot be looked up, unless it is said to be one', async (t) => {
  const rows = new Map<string, AdapterPayload>();
  const provider = new Provider('http://localhost', {
    clients: [
      {
        client_id: 'web',
        client_secret: 'a secret',
        redirect_uris: ['https://app.example/'],
        grant_types: ['authorization_code', 'refresh_token'],
      },
    ],
    features: { introspection: { enabled: true }, devInteractions: { enabled: false } },
    ttl: { AccessToken: 60, Grant: 60 },
    adapter: (model) => ({
      upsert: async (id, payload) => void rows.set(`${model} ${id}`, payload),
      async find(id) {
        if (model === 'RefreshToken') throw new Error('the store is away');
        return rows.get(`${model} ${id}`);
      },
      destroy: async () => {},
      revokeByGrantId: async () => {},
      consume: async () => {},
      findByUid: async () => undefined,
      findByUserCode: async () => undefined,
    }),
  });
  introspectAccessTokensFirst(provider);
  const client = await provider.Client.find('web');
  if (!client) throw new Error('no client');
  const grantId = await new provider.Grant({ accountId: 'ada', clientId: 'web' }).save();
  const token = await new provider.AccessToken({ accountId: 'ada', client, grantId, gty: 'test', scope: '' }).save();
  const server = provider.listen(0, 'localhost');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const introspect = async (more: Record<string, string> = {}) => {
    const form = new URLSearchParams({ token, ...more });
    const init = { method: 'POST', body: form, headers: { authorization: `Basic ${btoa('web:a%20secret')}` } };
    const answer = await fetch(`http://localhost:${port}/token/introspection`, init);
    return { status: answer.status, active: Object(await answer.json()).active };
  };
  t.deepEqual(await introspect(), { status: 200, active: true });
  t.is((await introspect({ token_type_hint: 'refresh_token' })).status, 500);
  t.is((await introspect({ token: 'an unknown one' })).status, 500);
  server.close();
});
