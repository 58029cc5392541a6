// The protocol's endpoints, their parameters, and requests that are right.

export const AUTHORIZATION = [
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

export type Endpoint = {
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
