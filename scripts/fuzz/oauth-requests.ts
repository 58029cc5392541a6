// Requests to the protocol's endpoints: parameters that belong together, with slips, and clients of every kind.
import fc, { type Arbitrary } from 'fast-check';
import { CREDENTIALS, KNOWN_VALUES } from './known-values.ts';
import { bodyOfPairs, otherHeaders } from './parts.ts';
import type { FuzzRequest, Pairs } from './request.ts';
import { type Odd, wrap } from './signing.ts';
import { hostileJson, hostileName, hostileText } from './values.ts';

const AUTHORIZATION = [
  'client_id',
  'response_type',
  'redirect_uri',
  'scope',
  'state',
  'nonce',
  'code_challenge',
  'code_challenge_method',
  'response_mode',
  'request',
  'request_uri',
  'dpop_jkt',
  'prompt',
  'max_age',
  'login_hint',
  'id_token_hint',
  'ui_locales',
  'acr_values',
  'claims',
  'resource',
  'authorization_details',
  'registration',
  'claims_locales',
  'display',
];
const CLIENT = ['client_id', 'client_secret', 'client_assertion', 'client_assertion_type'];
const EXCHANGE = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'audience',
];

type Endpoint = {
  method: 'GET' | 'POST';
  path: string;
  parameters: readonly string[];
  usual: readonly Record<string, string>[];
};

const WEB = { client_id: '{{web.id}}', client_secret: '{{web.secret}}' };
const SIGNING = {
  client_id: '{{signing.id}}',
  client_assertion: '{{sign.assertion}}',
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
};
const CODE = {
  response_type: 'code',
  redirect_uri: 'https://app.example/callback',
  scope: 'openid email',
  code_challenge: '{{pkce.challenge}}',
  code_challenge_method: 'S256',
};
const grant = (name: string) => `urn:ietf:params:oauth:grant-type:${name}`;
const TILL = { client_id: '{{till.id}}', client_secret: '{{till.secret}}' };
const SERVICE = { client_id: '{{service.id}}', client_secret: '{{service.secret}}' };
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const authorizations: Record<string, string>[] = [
  { client_id: '{{web.id}}', ...CODE },
  { client_id: '{{page.id}}', ...CODE },
  { client_id: '{{signing.id}}', request: '{{sign.request}}' },
  { client_id: '{{web.id}}', ...CODE, resource: '{{resource.identifier}}', scope: 'read' },
];

/** Each with requests that are right as they are. */
export const ENDPOINTS: readonly Endpoint[] = [
  {
    method: 'GET',
    path: 'oauth/authorize',
    parameters: AUTHORIZATION,
    usual: [...authorizations, { client_id: '{{web.id}}', request_uri: '{{par.uri}}' }],
  },
  { method: 'POST', path: 'oauth/authorize', parameters: AUTHORIZATION, usual: authorizations },
  {
    method: 'POST',
    path: 'oauth/par',
    parameters: [...AUTHORIZATION, ...CLIENT],
    usual: [
      { ...WEB, ...CODE },
      { ...SIGNING, ...CODE },
      { ...SIGNING, request: '{{sign.request}}' },
    ],
  },
  {
    method: 'POST',
    path: 'oauth/token',
    parameters: [
      'grant_type',
      'code',
      'redirect_uri',
      'code_verifier',
      'device_code',
      'auth_req_id',
      'refresh_token',
      'scope',
      'resource',
      ...EXCHANGE,
      ...CLIENT,
    ],
    usual: [
      {
        ...WEB,
        grant_type: 'authorization_code',
        code: '{{oauth.code}}',
        redirect_uri: 'https://app.example/callback',
        code_verifier: '{{pkce.verifier}}',
      },
      { ...WEB, grant_type: 'refresh_token', refresh_token: '{{oauth.refresh}}' },
      { ...SERVICE, grant_type: 'client_credentials', scope: 'read', resource: '{{resource.identifier}}' },
      { ...SIGNING, grant_type: 'authorization_code', code: '{{oauth.code}}' },
      { client_id: '{{television.id}}', grant_type: grant('device_code'), device_code: '{{television.code}}' },
      { ...TILL, grant_type: 'urn:openid:params:grant-type:ciba', auth_req_id: '{{till.request}}' },
      {
        ...SERVICE,
        grant_type: grant('token-exchange'),
        subject_token: '{{resource.token}}',
        subject_token_type: ACCESS_TOKEN,
        resource: '{{resource.identifier}}',
      },
      { client_id: 'user-auth', grant_type: 'refresh_token', refresh_token: '{{user.refresh}}' },
    ],
  },
  {
    method: 'POST',
    path: 'oauth/introspect',
    parameters: ['token', 'token_type_hint', ...CLIENT],
    usual: ['{{oauth.token}}', '{{user.token}}', '{{oauth.refresh}}', '{{resource.token}}'].map((token) => ({
      ...WEB,
      token,
    })),
  },
  {
    method: 'POST',
    path: 'oauth/revoke',
    parameters: ['token', 'token_type_hint', ...CLIENT],
    usual: [
      { ...WEB, token: '{{oauth.refresh}}' },
      { ...SERVICE, token: '{{service.token}}' },
    ],
  },
  { method: 'GET', path: 'oauth/userinfo', parameters: ['access_token'], usual: [{}] },
  {
    method: 'POST',
    path: 'oauth/userinfo',
    parameters: ['access_token'],
    usual: [{ access_token: '{{oauth.token}}' }],
  },
  {
    method: 'POST',
    path: 'oauth/device_authorization',
    parameters: ['scope', 'resource', 'authorization_details', ...CLIENT],
    usual: [{ client_id: '{{television.id}}', scope: 'openid email' }],
  },
  {
    method: 'POST',
    path: 'oauth/backchannel',
    parameters: [
      'scope',
      'login_hint',
      'id_token_hint',
      'login_hint_token',
      'binding_message',
      'client_notification_token',
      'requested_expiry',
      'user_code',
      'request_context',
      'acr_values',
      'resource',
      'request',
      ...CLIENT,
    ],
    usual: [{ ...TILL, scope: 'openid', login_hint: '{{user.email}}' }],
  },
  {
    method: 'GET',
    path: 'oauth/logout',
    parameters: ['id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state', 'ui_locales', 'logout_hint'],
    usual: [{ id_token_hint: '{{oauth.id_token}}', post_logout_redirect_uri: 'https://app.example/' }],
  },
  {
    method: 'POST',
    path: 'oauth/logout',
    parameters: ['id_token_hint', 'client_id', 'post_logout_redirect_uri', 'state'],
    usual: [{ id_token_hint: '{{oauth.id_token}}' }],
  },
  { method: 'GET', path: 'device', parameters: ['user_code'], usual: [{ user_code: '{{television.user_code}}' }] },
];

const odd: Arbitrary<Odd> = fc.record(
  {
    header: fc.dictionary(
      fc.constantFrom('alg', 'typ', 'kid', 'jwk', 'crit', 'b64', 'jku', 'enc', 'zip', 'cty'),
      hostileJson,
      { maxKeys: 2 },
    ),
    claims: fc.dictionary(
      fc.oneof(
        {
          arbitrary: fc.constantFrom(
            ...AUTHORIZATION,
            'iss',
            'sub',
            'aud',
            'exp',
            'iat',
            'nbf',
            'jti',
            'htm',
            'htu',
            'ath',
            'nonce',
          ),
          weight: 6,
        },
        { arbitrary: hostileName, weight: 1 },
      ),
      hostileJson,
      { maxKeys: 3 },
    ),
  },
  { requiredKeys: [] },
);

const valueFor = (name: string): Arbitrary<string> => {
  const right = fc.constantFrom(...(KNOWN_VALUES[name] ?? ['x']));
  if (name === 'client_assertion')
    return fc.oneof(
      right,
      odd.map((one) => wrap('assertion', one)),
      hostileText,
    );
  if (name === 'request')
    return fc.oneof(right, { arbitrary: odd.map((one) => wrap('request', one)), weight: 4 }, hostileText);
  return fc.oneof(
    { arbitrary: right, weight: 3 },
    { arbitrary: hostileText, weight: 2 },
    { arbitrary: hostileJson.map((value) => JSON.stringify(value)), weight: 1 },
  );
};

/** The usual parameters, with up to three that are left out, other than usual, there twice, in brackets, or new. */
const pairsFor = ({ parameters, usual }: Endpoint): Arbitrary<Pairs> =>
  fc
    .tuple(
      fc.constantFrom(...usual),
      fc.array(
        fc
          .constantFrom(...parameters)
          .chain((name) =>
            fc.tuple(
              fc.constant(name),
              fc.constantFrom('other', 'other', 'other', 'without', 'twice', 'list', 'member'),
              valueFor(name),
            ),
          ),
        { maxLength: 3 },
      ),
      fc.option(fc.tuple(hostileName, hostileText), { freq: 8 }),
    )
    .map(([right, slips, extra]) => {
      let pairs: Pairs = Object.entries(right);
      for (const [name, how, value] of slips) {
        if (how === 'twice') pairs.push([name, value], [name, value]);
        else pairs = pairs.filter(([other]) => other !== name);
        if (how === 'other') pairs.push([name, value]);
        if (how === 'list') pairs.push([`${name}[]`, value]);
        if (how === 'member') pairs.push([`${name}[a]`, value]);
      }
      return extra ? [...pairs, extra] : pairs;
    });

const credentialHeaders: Arbitrary<Pairs> = fc.oneof(
  { arbitrary: fc.constant<Pairs>([]), weight: 5 },
  { arbitrary: fc.constantFrom(...CREDENTIALS.client).map((value): Pairs => [['authorization', value]]), weight: 2 },
  {
    arbitrary: fc
      .tuple(fc.constantFrom('Basic', 'Bearer', 'DPoP', 'basic', ''), hostileText)
      .map(([scheme, text]): Pairs => [['authorization', `${scheme} ${text}`]]),
    weight: 1,
  },
  {
    arbitrary: fc
      .tuple(hostileText, hostileText)
      .map(([id, secret]): Pairs => [['authorization', `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`]]),
    weight: 1,
  },
  {
    arbitrary: odd.map(
      (one): Pairs => [
        ['dpop', wrap('dpop', one)],
        ['authorization', 'DPoP {{oauth.token}}'],
      ],
    ),
    weight: 1,
  },
  { arbitrary: odd.map((one): Pairs => [['dpop', wrap('dpop', one)]]), weight: 2 },
);

const cookieHeaders: Arbitrary<Pairs> = fc.constantFrom<Pairs>(
  [],
  [['cookie', '{{account.cookies}}']],
  [['cookie', '{{login.cookies}}']],
);

export const oauthRequest: Arbitrary<FuzzRequest> = fc.constantFrom(...ENDPOINTS).chain((endpoint) =>
  fc
    .tuple(pairsFor(endpoint), credentialHeaders, cookieHeaders, otherHeaders)
    .chain(([pairs, credentials, cookies, others]) =>
      (endpoint.method === 'GET' ? fc.constant<Partial<FuzzRequest>>({ query: pairs }) : bodyOfPairs(pairs)).map(
        (carried): FuzzRequest => ({
          operation: `${endpoint.method} /${endpoint.path}`,
          method: endpoint.method,
          path: endpoint.path.split('/'),
          query: [],
          body: undefined,
          ...carried,
          headers: [
            ...(endpoint.path === 'oauth/userinfo' && credentials.length === 0
              ? ([['authorization', 'Bearer {{oauth.token}}']] as Pairs)
              : credentials),
            ...cookies,
            ...others,
            ...(carried.headers ?? []),
          ],
        }),
      ),
    ),
);
