// Who takes part: people, an administrator, clients of every kind, and what they hold. Made anew again and again, since requests that
// happen to be right spend codes, end sessions, and delete people.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { type Browser, createBrowser } from '../../test/helpers/browser.ts';
import { type Calls, createCalls, type Json } from './calls.ts';
import { pages } from './cast-pages.ts';
import { CALLBACK, PASSWORD } from './known-values.ts';
import { JWK, signedAs, THUMBPRINT } from './signing.ts';

const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code';
const CIBA_GRANT = 'urn:openid:params:grant-type:ciba';
const EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** An API, as it should be: those who take part may have changed it, or taken it away. */
const resource = async (calls: Calls, identifier: string, type: string, root: string): Promise<void> => {
  const columns = {
    name: 'An API',
    scopes: ['read', 'write'].map((name) => ({ name, description: { en: name } })),
    default_scopes: ['read'],
    authorization_details_types: [
      { type, description: { en: 'pay' }, fields: [{ name: 'amount', label: { en: 'Amount' } }] },
    ],
  };
  const one = `/admin/resources/one?${new URLSearchParams({ identifier })}`;
  await calls
    .json(one, columns, root, 'PUT')
    .catch(() => calls.json('/admin/resources', { identifier, ...columns }, root));
};

const people = async (calls: Calls, known: Map<string, string>, root: string): Promise<void> => {
  for (const [name, role] of [
    ['user', 'user'],
    ['other', 'user'],
    ['spare', 'user'],
    ['admin', 'admin'],
  ] as const) {
    const email = `${name}-${randomUUID()}@example.com`;
    const made = await calls.json(
      '/admin/users',
      { email, password: PASSWORD, role, email_verified: name !== 'other' },
      root,
    );
    known.set(`${name}.id`, String(made.id)).set(`${name}.email`, email).set(`${name}.password`, PASSWORD);
    if (name === 'other') continue;
    const tokens = await calls.json('/auth/login', { email, password: PASSWORD });
    known.set(`${name}.token`, String(tokens.access_token)).set(`${name}.refresh`, String(tokens.refresh_token));
    const scopes =
      name === 'admin'
        ? [
            'read:users',
            'write:users',
            'read:clients',
            'write:clients',
            'read:audit',
            'read:keys',
            'read:resources',
            'write:resources',
          ]
        : ['read:profile', 'write:profile'];
    const key = await calls.json('/users/api-keys', { name: 'a key', scopes }, `Bearer ${tokens.access_token}`);
    known.set(`${name}.key`, String(key.key));
    if (name === 'user') known.set('key.id', String(key.id));
  }
  const sessions = await calls.get('/users/me/sessions', `Bearer ${known.get('spare.token')}`);
  known.set('session.id', String((sessions.items as Json[] | undefined)?.[0]?.id));
};

const clients = async (calls: Calls, known: Map<string, string>, root: string): Promise<void> => {
  const kinds: Record<string, Json> = {
    web: {
      redirect_uris: [CALLBACK],
      grant_types: ['authorization_code', 'refresh_token'],
      post_logout_redirect_uris: ['https://app.example/'],
      first_party: true,
    },
    page: {
      redirect_uris: [CALLBACK, 'http://127.0.0.1/callback'],
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
    },
    service: {
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials', EXCHANGE_GRANT],
      token_exchange: { resources: [known.get('resource.identifier')] },
    },
    television: {
      redirect_uris: [],
      response_types: [],
      grant_types: [DEVICE_GRANT, 'refresh_token'],
      token_endpoint_auth_method: 'none',
    },
    till: {
      redirect_uris: [],
      response_types: [],
      grant_types: [CIBA_GRANT, 'refresh_token'],
      backchannel_token_delivery_mode: 'poll',
    },
    signing: {
      redirect_uris: [CALLBACK],
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: [JWK] },
      request_object_signing_alg: 'ES256',
    },
  };
  for (const [name, metadata] of Object.entries(kinds)) {
    const made = await calls.json('/admin/clients', { client_name: `Fuzz ${name}`, ...metadata }, root);
    const [id, secret] = [String(made.client_id), String(made.client_secret ?? '')];
    known
      .set(`${name}.id`, id)
      .set(`${name}.secret`, secret)
      .set(`${name}.basic`, Buffer.from(`${id}:${secret}`).toString('base64'));
  }
  const registered = await calls.json('/oauth/register', { redirect_uris: [CALLBACK] });
  known
    .set('registered.id', String(registered.client_id))
    .set('registered.token', String(registered.registration_access_token));
  const initial = await calls.json('/admin/initial-access-tokens', { name: 'for the fuzz', uses: 100 }, root);
  known
    .set('initial.id', String(initial.id))
    .set('initial.token', String(initial.initial_access_token ?? initial.token));
};

/** Codes, tokens and requests that wait for somebody. */
const grants = async (calls: Calls, known: Map<string, string>, signedIn: Browser): Promise<void> => {
  const of = (name: string) => known.get(name) ?? '';
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  known.set('pkce.verifier', verifier).set('pkce.challenge', challenge);
  const asked = {
    client_id: of('web.id'),
    response_type: 'code',
    redirect_uri: CALLBACK,
    scope: 'openid email offline_access',
    prompt: 'consent',
    code_challenge: challenge,
    code_challenge_method: 'S256',
  };
  const { prompt: _, ...quietly } = asked;
  const code = async (params: Record<string, string>): Promise<string> => {
    let at = await signedIn.go(`/oauth/authorize?${new URLSearchParams(params)}`);
    if (at.html.includes('id="allow"')) at = await signedIn.submit(at, 'allow');
    return at.url.searchParams.get('code') ?? 'no-code';
  };
  const web = { client_id: of('web.id'), client_secret: of('web.secret') };
  const redeem = (one: string) =>
    calls.form('/oauth/token', {
      ...web,
      grant_type: 'authorization_code',
      code: one,
      redirect_uri: CALLBACK,
      code_verifier: verifier,
    });
  const tokens = await redeem(await code(asked));
  known
    .set('oauth.token', String(tokens.access_token))
    .set('oauth.refresh', String(tokens.refresh_token))
    .set('oauth.id_token', String(tokens.id_token));
  const forResource = await redeem(await code({ ...quietly, scope: 'read', resource: of('resource.identifier') }));
  known.set('resource.token', String(forResource.access_token));
  known.set('oauth.code', await code(quietly));
  known.set('par.uri', String((await calls.form('/oauth/par', { ...web, ...quietly })).request_uri));
  const service = { client_id: of('service.id'), client_secret: of('service.secret') };
  known.set(
    'service.token',
    String(
      (
        await calls.form('/oauth/token', {
          ...service,
          grant_type: 'client_credentials',
          resource: of('resource.identifier'),
        })
      ).access_token,
    ),
  );
  const device = await calls.form('/oauth/device_authorization', {
    client_id: of('television.id'),
    scope: 'openid email',
  });
  known.set('television.code', String(device.device_code)).set('television.user_code', String(device.user_code));
  const till = { client_id: of('till.id'), client_secret: of('till.secret') };
  known.set(
    'till.request',
    String(
      (await calls.form('/oauth/backchannel', { ...till, scope: 'openid', login_hint: of('user.email') })).auth_req_id,
    ),
  );
};

export type Cast = Map<string, string>;

/** Everybody and everything, new. */
export const newCast = async (origin: string, rootToken: string, lane: number): Promise<Cast> => {
  const calls = createCalls(origin);
  const known: Cast = new Map([
    ['issuer', origin],
    ['none.uuid', randomUUID()],
    ['none.id', 'no-such-client'],
    ['key.thumbprint', THUMBPRINT],
    ['detail.type', `payment-${lane}`],
    ['resource.identifier', `https://api-${lane}.example/`],
  ]);
  await resource(calls, known.get('resource.identifier') ?? '', known.get('detail.type') ?? '', rootToken);
  await people(calls, known, rootToken);
  await clients(calls, known, rootToken);
  const signedIn = createBrowser(origin);
  await signedIn.submit(await signedIn.go('/login'), 'sign-in', {
    login: known.get('user.email') ?? '',
    password: PASSWORD,
  });
  await grants(calls, known, signedIn);
  await pages(origin, known, signedIn);
  const cursorIn = async (path: string) => String((await calls.get(`${path}?limit=1`, rootToken)).next_cursor);
  for (const name of ['users', 'audit', 'clients']) known.set(`cursor.${name}`, await cursorIn(`/admin/${name}`));
  return known;
};

let serial = 0;

/** What a name stands for, also where that is another thing each time. */
export const lookUp = (cast: Cast, name: string): string | undefined => {
  if (name === 'fresh') {
    serial += 1;
    return String(serial);
  }
  return signedAs(name, cast.get('issuer') ?? '', cast.get('signing.id') ?? '') ?? cast.get(name);
};
