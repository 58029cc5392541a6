// RFC 8693: an API that was called with somebody's token has one for the next API, on their behalf.
import test from 'ava';
import { decodeJwt } from 'jose';
import * as oidc from 'openid-client';
import { createBrowser } from '../helpers/browser.ts';
import { authorizationRequest, newApp, newPerson, type Person, passThrough, redeem } from '../helpers/relying-party.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const [FRONT, BACK, OTHER] = ['https://front.example/', 'https://back.example/', 'https://other.example/'];

let server: TestServer;
let person: Person;
/** The front API as a client, which may exchange for the back one; and one that may impersonate. */
let front: Awaited<ReturnType<typeof newApp>>;
let impersonator: Awaited<ReturnType<typeof newApp>>;

const service = (token_exchange: object | undefined) =>
  newApp(server, {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials', ...(token_exchange ? [GRANT] : [])],
    ...(token_exchange && { token_exchange }),
  });

const register = (identifier: string, introspectionClients: string[], tokenFormat: 'jwt' | 'opaque' = 'jwt') =>
  server.resources.create({
    identifier,
    name: identifier,
    scopes: ['read', 'write'].map((name) => ({ name, description: { en: name } })),
    defaultScopes: ['read'],
    tokenFormat,
    ttlSeconds: 600,
    signingAlg: null,
    introspectionClients,
    detailTypes: [],
  });

test.before(async () => {
  server = await startServer();
  person = await newPerson(server);
  front = await service({ resources: [BACK] });
  impersonator = await service({ resources: [BACK], impersonation: true });
  const apis = [front.client.client_id, impersonator.client.client_id];
  await register(FRONT, apis);
  await register(BACK, apis);
  await register(OTHER, []);
});
test.after.always(() => server?.close());

/** An app's token for an API, of somebody who has allowed it. */
const tokenFor = async (resource: string, who = person, metadata: Record<string, unknown> = {}) => {
  const { rp } = await newApp(server, metadata);
  const started = await authorizationRequest(rp, { resource, scope: 'read', nonce: undefined });
  const browser = createBrowser(server.issuer);
  const arrived = await passThrough(browser, await browser.go(started.url), who);
  return { rp, token: (await redeem(rp, arrived.url, started)).access_token };
};

const exchange = (rp: oidc.Configuration, subject_token: string, more: Record<string, string> = {}) =>
  oidc.genericGrantRequest(rp, GRANT, { subject_token, subject_token_type: ACCESS_TOKEN, resource: BACK, ...more });

const refusal = async (attempt: Promise<unknown>) =>
  attempt.then(
    () => 'nothing was refused',
    (error) => (error instanceof oidc.ResponseBodyError ? error.error : String(error)),
  );

test('§2.2.1, §4.1: an API has a token for the next one, which says for whom, by whom, and lasts no longer than what it was made of', async (t) => {
  const who = await newPerson(server);
  const { token } = await tokenFor(FRONT, who);
  const answer = await exchange(front.rp, token, { scope: 'read' });
  t.is(answer.issued_token_type, ACCESS_TOKEN);
  t.is(answer.scope, 'read');
  t.is(answer.refresh_token, undefined);
  const claims = decodeJwt(answer.access_token);
  t.like(claims, { sub: who.id, aud: BACK, client_id: front.client.client_id });
  t.deepEqual(claims.act, { sub: front.client.client_id, client_id: front.client.client_id });
  t.true(Number(claims.exp) <= Number(decodeJwt(token).exp));
  const told = await oidc.tokenIntrospection(front.rp, answer.access_token);
  t.like(told, { active: true, aud: BACK, sub: who.id });
  t.false('accountId' in told || 'grant_id' in told);
  const { rows } = await server.database.pool.query(
    "SELECT event FROM audit_events WHERE type = 'token.exchanged' AND target = $1 ORDER BY seq DESC LIMIT 1",
    [who.id],
  );
  t.like(JSON.parse(rows[0].event), {
    client: front.client.client_id,
    details: { mode: 'delegation', resource: BACK, scope: 'read' },
  });
});

test('§1.1: who may impersonate has a token that names no actor; a chain never becomes anonymous', async (t) => {
  const { token } = await tokenFor(FRONT);
  const alone = await exchange(impersonator.rp, token);
  t.is(decodeJwt(alone.access_token).act, undefined);
  const delegated = await exchange(front.rp, token);
  const chained = await exchange(impersonator.rp, delegated.access_token);
  t.deepEqual(decodeJwt(chained.access_token).act, {
    sub: impersonator.client.client_id,
    client_id: impersonator.client.client_id,
    act: { sub: front.client.client_id, client_id: front.client.client_id },
  });
});

test('§2.1: with an actor_token the actor is whose token that is; somebody else’s client’s is refused', async (t) => {
  const { token } = await tokenFor(FRONT);
  const own = await oidc.clientCredentialsGrant(front.rp, { resource: BACK });
  const actor = { actor_token: own.access_token, actor_token_type: ACCESS_TOKEN };
  const answer = await exchange(front.rp, token, actor);
  t.like(decodeJwt(answer.access_token).act, { sub: front.client.client_id });
  t.is(await refusal(exchange(impersonator.rp, token, actor)), 'invalid_request');
  t.is(await refusal(exchange(front.rp, token, { actor_token: own.access_token })), 'invalid_request');
  t.is(await refusal(exchange(front.rp, token, { actor_token_type: ACCESS_TOKEN })), 'invalid_request');
});

test('§4.1: a person who acts is named as the client’s tokens name them, pairwise too', async (t) => {
  for (const subject_type of ['public', 'pairwise']) {
    const { rp } = await newApp(server, {
      subject_type,
      grant_types: ['authorization_code', GRANT],
      token_exchange: { resources: [BACK] },
    });
    const [customer, agent] = [await newPerson(server), await newPerson(server)];
    const tokenOf = async (who: Person) => {
      const started = await authorizationRequest(rp, { resource: FRONT, scope: 'read', nonce: undefined });
      const browser = createBrowser(server.issuer);
      const arrived = await passThrough(browser, await browser.go(started.url), who);
      return (await redeem(rp, arrived.url, started)).access_token;
    };
    const subject = await tokenOf(customer);
    const actor = await tokenOf(agent);
    const answer = await exchange(rp, subject, { actor_token: actor, actor_token_type: ACCESS_TOKEN });
    const claims = decodeJwt(answer.access_token);
    t.is(claims.sub, decodeJwt(subject).sub);
    t.is((claims.act as { sub?: string }).sub, decodeJwt(actor).sub);
    t.is(JSON.stringify(claims).includes(agent.id), subject_type === 'public');
  }
});

test('§4.4: a token that says who may act is exchanged for nobody else, JWT or opaque, on their own behalf or not', async (t) => {
  const named = { client_id: front.client.client_id };
  const { token } = await tokenFor(FRONT, person, { may_act: named });
  t.deepEqual(decodeJwt(token).may_act, named);
  t.deepEqual((await oidc.tokenIntrospection(front.rp, token)).may_act as unknown, named);
  const answer = await exchange(front.rp, token);
  t.like(decodeJwt(answer.access_token), { sub: person.id, act: { client_id: front.client.client_id } });
  t.is(await refusal(exchange(impersonator.rp, token)), 'invalid_request');

  const { token: theirs } = await tokenFor(FRONT, person, { may_act: { sub: impersonator.client.client_id } });
  t.is(decodeJwt((await exchange(impersonator.rp, theirs)).access_token).act, undefined, 'and may do so unnamed');
  t.is(await refusal(exchange(front.rp, theirs)), 'invalid_request');

  // All that is said of them has to hold.
  const { token: both } = await tokenFor(FRONT, person, { may_act: { ...named, sub: 'somebody else' } });
  t.is(await refusal(exchange(front.rp, both)), 'invalid_request');

  const resource = 'https://opaque-may-act.example/';
  await register(resource, [front.client.client_id, impersonator.client.client_id], 'opaque');
  const { token: opaque } = await tokenFor(resource, person, { may_act: named });
  t.deepEqual((await oidc.tokenIntrospection(front.rp, opaque)).may_act as unknown, named);
  t.truthy((await exchange(front.rp, opaque)).access_token);
  t.is(await refusal(exchange(impersonator.rp, opaque)), 'invalid_request');
});

test('§4.4: a chain goes on with who may act for the one before: what is exchanged says so for its own client', async (t) => {
  const last = await service({ resources: [BACK] });
  const middle = await newApp(server, {
    redirect_uris: [],
    response_types: [],
    grant_types: ['client_credentials', GRANT],
    token_exchange: { resources: [FRONT] },
    may_act: { client_id: last.client.client_id },
  });
  const resource = 'https://first.example/';
  await register(resource, [middle.client.client_id]);
  const { token } = await tokenFor(resource);
  const exchanged = await exchange(middle.rp, token, { resource: FRONT });
  t.like(decodeJwt(exchanged.access_token), { may_act: { client_id: last.client.client_id } });
  t.is(await refusal(exchange(front.rp, exchanged.access_token)), 'invalid_request', 'though it may ask about it');
});

test('§4.4: who may act is said by an administrator, and names somebody', async (t) => {
  for (const may_act of [{}, 'front', { client_id: '' }, { client_id: 7 }, { sub: 'x', iss: 'https://other.example' }])
    await t.throwsAsync(
      server.clients.register({ redirect_uris: ['https://app.example/cb'], may_act }),
      { code: 'invalid_client_metadata', message: /may_act/ },
      JSON.stringify(may_act),
    );
});

test('§2.1, §2.2.2: several targets at once are an invalid_target, the same one named both ways is one', async (t) => {
  const { token } = await tokenFor(FRONT);
  const send = async (more: [string, string][]) => {
    const { client_id, client_secret } = front.client;
    const body = new URLSearchParams({
      grant_type: GRANT,
      client_id,
      client_secret: String(client_secret),
      subject_token: token,
      subject_token_type: ACCESS_TOKEN,
    });
    for (const [name, value] of more) body.append(name, value);
    const response = await fetch(`${server.origin}/oauth/token`, { method: 'POST', body });
    return { status: response.status, ...((await response.json()) as Record<string, unknown>) };
  };
  t.is(
    (
      await send([
        ['resource', BACK],
        ['audience', BACK],
      ])
    ).status,
    200,
  );
  for (const more of [
    [
      ['resource', BACK],
      ['resource', FRONT],
    ],
    [
      ['resource', BACK],
      ['resource', BACK],
    ],
    [
      ['audience', BACK],
      ['audience', FRONT],
    ],
    [
      ['resource', BACK],
      ['audience', FRONT],
    ],
  ] as [string, string][][])
    t.like(await send(more), { status: 400, error: 'invalid_target' }, JSON.stringify(more));
  for (const twice of ['scope', 'subject_token', 'subject_token_type'])
    t.like(
      await send([
        [twice, 'read'],
        [twice, 'read'],
      ]),
      { status: 400, error: 'invalid_request' },
      twice,
    );
});

test('§5: at the API that a token is for already, it becomes one for less, and never for more', async (t) => {
  const resource = 'https://narrow.example/';
  const narrowing = await service({ resources: [resource] });
  await register(resource, [narrowing.client.client_id]);
  const { token } = await tokenFor(resource);
  const at = { resource };
  t.is(await refusal(exchange(narrowing.rp, token, { ...at, scope: 'write' })), 'invalid_scope');
  t.is(await refusal(exchange(narrowing.rp, token, { ...at, scope: 'read write' })), 'invalid_scope');
  t.is((await exchange(narrowing.rp, token, { ...at, scope: 'read' })).scope, 'read');
  t.is((await exchange(narrowing.rp, token, at)).scope, 'read', 'what it was for, where nothing is said');
});

test('§2.2.2: the target is one that the client’s policy names; the scope is the target’s', async (t) => {
  const { token } = await tokenFor(FRONT);
  t.is(await refusal(exchange(front.rp, token, { resource: OTHER })), 'invalid_target');
  t.is(await refusal(exchange(front.rp, token, { resource: 'https://unknown.example/' })), 'invalid_target');
  t.is(await refusal(exchange(front.rp, token, { audience: OTHER })), 'invalid_target');
  t.is(await refusal(exchange(front.rp, token, { scope: 'read admin' })), 'invalid_scope');
  t.is((await exchange(front.rp, token)).scope, 'read', 'the default scopes');
});

test('a client without a policy, a public one, and a token that came by elsewhere are refused', async (t) => {
  const { token, rp: app } = await tokenFor(FRONT);
  const { rp: none } = await service(undefined);
  t.is(await refusal(exchange(none, token)), 'unauthorized_client');
  t.is(await refusal(exchange(app, token)), 'unauthorized_client');
  const foreign = await service({ resources: [BACK] });
  t.is(await refusal(exchange(foreign.rp, token)), 'invalid_request');
  const { token: other } = await tokenFor(OTHER);
  t.is(await refusal(exchange(front.rp, other)), 'invalid_request');
});

test('what is no live access token of ours is refused, in the same words', async (t) => {
  const { token, rp } = await tokenFor(FRONT);
  const [head, body, signature] = token.split('.');
  const unsigned = `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.${body}.`;
  const own = await oidc.clientCredentialsGrant(front.rp, { resource: BACK });
  for (const bad of ['x', `${head}.${body}.${signature?.split('').reverse().join('')}`, unsigned, own.access_token])
    t.is(await refusal(exchange(front.rp, bad)), 'invalid_request', bad.slice(0, 20));
  for (const type of [
    'urn:ietf:params:oauth:token-type:id_token',
    'urn:ietf:params:oauth:token-type:refresh_token',
    'x',
  ])
    t.is(await refusal(exchange(front.rp, token, { subject_token_type: type })), 'invalid_request', type);
  t.is(
    await refusal(
      exchange(front.rp, token, { requested_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' }),
    ),
    'invalid_request',
  );
  await oidc.tokenRevocation(rp, token);
  t.is(await refusal(exchange(front.rp, token)), 'invalid_request', 'revoked');
});

test('an exchanged token ends with the consent it was made of, and with its user', async (t) => {
  const who = await newPerson(server);
  const { token } = await tokenFor(FRONT, who);
  const { access_token } = await exchange(front.rp, token);
  t.true((await oidc.tokenIntrospection(front.rp, access_token)).active);
  await server.stores.artifacts.revokeByGrantId('Grant', String(decodeJwt(token).grant_id));
  t.false((await oidc.tokenIntrospection(front.rp, access_token)).active);

  const { token: second } = await tokenFor(FRONT, who);
  const again = await exchange(front.rp, second);
  await server.database.pool.query('UPDATE users SET banned_at = now() WHERE id = $1', [who.id]);
  t.false((await oidc.tokenIntrospection(front.rp, again.access_token)).active);
  t.is(await refusal(exchange(front.rp, second)), 'invalid_request');
});

test('opaque tokens are exchanged, and come of it, alike', async (t) => {
  const [from, to] = ['https://opaque-front.example/', 'https://opaque-back.example/'];
  const api = await service({ resources: [to] });
  await register(from, [api.client.client_id], 'opaque');
  await register(to, [api.client.client_id], 'opaque');
  const who = await newPerson(server);
  const { token } = await tokenFor(from, who);
  const answer = await exchange(api.rp, token, { resource: to });
  const told = await oidc.tokenIntrospection(api.rp, answer.access_token);
  t.like(told, { active: true, aud: to, sub: who.id, act: { sub: api.client.client_id } });
  const asJwt = { resource: to, requested_token_type: 'urn:ietf:params:oauth:token-type:jwt' };
  t.is(await refusal(exchange(api.rp, token, asJwt)), 'invalid_request');
  const { rows } = await server.database.pool.query(
    "SELECT grant_id FROM oauth_tokens WHERE model = 'Grant' AND account_id = $1 ORDER BY created_at LIMIT 1",
    [who.id],
  );
  await server.stores.artifacts.revokeByGrantId('Grant', rows[0].grant_id);
  t.false((await oidc.tokenIntrospection(api.rp, answer.access_token)).active, 'its grant has ended');
});

test('a policy is an administrator’s to give, and fits the client', async (t) => {
  const refused: object[] = [
    { grant_types: [GRANT] },
    { token_exchange: { resources: [BACK] }, grant_types: ['client_credentials'] },
    { grant_types: [GRANT], token_exchange: { resources: [] } },
    { grant_types: [GRANT], token_exchange: { resources: [BACK], everything: true } },
    { grant_types: [GRANT], token_exchange: { resources: [BACK] }, token_endpoint_auth_method: 'none' },
    { grant_types: [GRANT], token_exchange: { resources: [BACK] }, dpop_bound_access_tokens: true },
  ];
  for (const metadata of refused)
    await t.throwsAsync(
      server.clients.register({ redirect_uris: [], response_types: [], ...metadata }),
      { code: 'invalid_client_metadata' },
      JSON.stringify(metadata),
    );
});
