// What is right for a member or parameter of this name; {{names}} are put in by the cast (cast.ts).

export const PASSWORD = 'the password of the fuzz';
export const CALLBACK = 'https://app.example/callback';

const CLIENTS = [
  '{{web.id}}',
  '{{web.id}}',
  '{{page.id}}',
  '{{service.id}}',
  '{{television.id}}',
  '{{till.id}}',
  '{{signing.id}}',
  'user-auth',
  '{{none.id}}',
];
const SCOPES = [
  'openid',
  'openid email profile offline_access',
  'openid address phone',
  'read',
  'read write',
  '',
  'openid  email',
  'read:profile',
  'nothing',
];
const JWTS = ['{{oauth.id_token}}', '{{user.token}}', '{{resource.token}}'];
const TOKENS = [
  '{{oauth.token}}',
  '{{oauth.refresh}}',
  '{{service.token}}',
  '{{user.refresh}}',
  ...JWTS,
  '{{user.key}}',
  '{{initial.token}}',
  '{{registered.token}}',
];
// Mostly those whom nobody needs afterwards.
const USERS = [
  ...Array<string>(5).fill('{{other.id}}'),
  '{{spare.id}}',
  '{{spare.id}}',
  '{{user.id}}',
  '{{admin.id}}',
  '{{none.uuid}}',
];
const OTHER_CLIENTS = [
  '{{registered.id}}',
  '{{registered.id}}',
  '{{registered.id}}',
  '{{television.id}}',
  'user-auth',
  '{{none.id}}',
];
const ADDRESSES = ['{{user.email}}', '{{other.email}}', 'nobody@example.com', 'Fuzz.{{fresh}}@example.com'];
const URIS = [
  'https://app.example/callback',
  'https://app.example/callback?a=b',
  'http://127.0.0.1/callback',
  'https://other.example/',
];

/** Of what a request names by id. */
export const PATH_VALUES: Record<string, readonly string[]> = {
  '/users/me/apps/{clientId}': CLIENTS,
  '/users/me/identities/{id}': ['{{none.uuid}}'],
  '/users/me/sessions/{id}': ['{{session.id}}', '{{none.uuid}}'],
  '/users/api-keys/{id}': ['{{key.id}}', '{{none.uuid}}'],
  '/users/api-keys/{id}/rotate': ['{{key.id}}', '{{key.id}}', '{{none.uuid}}'],
  '/admin/clients/{clientId}': OTHER_CLIENTS,
  '/admin/clients/{clientId}/secret': ['{{till.id}}', ...OTHER_CLIENTS],
  '/admin/initial-access-tokens/{id}': ['{{initial.id}}', '{{none.uuid}}'],
  '/oauth/register/{clientId}': ['{{registered.id}}', '{{registered.id}}', '{{web.id}}'],
  '/oauth/{provider}/login': ['google', 'github', 'acme', 'none'],
  '/oauth/{provider}/callback': ['google', 'github', 'acme', 'none'],
};
export const pathValues = (path: string): readonly string[] => PATH_VALUES[path] ?? USERS;

export const KNOWN_VALUES: Record<string, readonly string[]> = {
  acr_values: ['urn:example:password', '1 2'],
  actor: USERS,
  actor_token: JWTS,
  actor_token_type: ['urn:ietf:params:oauth:token-type:access_token', 'urn:ietf:params:oauth:token-type:jwt'],
  alg: ['ES256', 'RS256', 'HS256', 'none'],
  allowed_network: ['127.0.0.0/8', '::1/128', '192.0.2.1'],
  audience: ['{{resource.identifier}}', '{{issuer}}', '{{service.id}}'],
  auth_req_id: ['{{till.request}}'],
  authorization_details: [
    '[{"type":"{{detail.type}}"}]',
    '[]',
    '[{"type":"{{detail.type}}","amount":"1"}]',
    '{}',
    '[null]',
    '[{"type":7}]',
    '"x"',
    '[',
  ],
  binding_message: ['W4SCT', 'two words'],
  birthdate: ['2000-02-29', '1999'],
  claims: [
    '{"userinfo":{"email":null}}',
    '{"id_token":{"acr":{"essential":true,"values":["1"]}}}',
    '[]',
    'null',
    '{"id_token":7}',
    '{"userinfo":{"sub":{"value":7}}}',
    '{"id_token":{"sub":{"value":"x"}}}',
    '{',
  ],
  client: CLIENTS,
  client_assertion: ['{{sign.assertion}}'],
  client_assertion_type: ['urn:ietf:params:oauth:client-assertion-type:jwt-bearer'],
  client_id: CLIENTS,
  client_notification_token: ['a notification token of the app'],
  client_secret: ['{{web.secret}}', '{{web.secret}}', '{{service.secret}}', '{{till.secret}}', 'wrong'],
  code: ['{{oauth.code}}', '{{trip.code}}', '{{exchange.code}}'],
  code_challenge: ['{{pkce.challenge}}'],
  code_challenge_method: ['S256', 'S256', 'plain'],
  code_verifier: ['{{pkce.verifier}}'],
  current_password: ['{{user.password}}', '{{user.password}}', 'wrong'],
  cursor: ['{{cursor.users}}', '{{cursor.audit}}', '{{cursor.clients}}', 'eyJpZCI6MX0'],
  device_code: ['{{television.code}}'],
  dpop_jkt: ['{{key.thumbprint}}'],
  email: ADDRESSES,
  // That it is out of order itself is told by a 503, as it should be.
  error: ['access_denied', 'invalid_scope'],
  grant_type: [
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:openid:params:grant-type:ciba',
    'urn:ietf:params:oauth:grant-type:token-exchange',
    'implicit',
  ],
  id_token_hint: ['{{oauth.id_token}}', '{{oauth.id_token}}', '{{user.token}}'],
  identifier: ['{{resource.identifier}}', 'https://fuzz-{{fresh}}.example/'],
  interaction: ['{{login.uid}}'],
  introspection_client: CLIENTS,
  locale: ['en', 'zh-CN', 'de'],
  login: ADDRESSES,
  login_hint: ADDRESSES,
  max_age: ['0', '60', '-1', '1e9'],
  name: ['a name', 'Ada'],
  new_password: ['{{user.password}}'],
  nonce: ['n-{{fresh}}'],
  password: ['{{user.password}}', '{{user.password}}', 'wrong'],
  password_hash: [
    '$2b$04$abcdefghijklmnopqrstuuPJ1PqKb2sXoR8Qw1z1y2x3w4v5u6t7S',
    '$argon2id$v=19$m=1024,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b27nA',
    'pbkdf2_sha256$1000$salt$AAAA',
  ],
  picture: ['https://pictures.example/a.png'],
  post_logout_redirect_uri: ['https://app.example/', 'https://other.example/'],
  post_logout_redirect_uris: ['https://app.example/'],
  prompt: ['none', 'login', 'consent', 'select_account', 'login consent', 'none login', 'create'],
  q: ['fuzz', 'a', '%', '_'],
  redirect_uri: URIS,
  redirect_uris: URIS,
  refresh_token: ['{{oauth.refresh}}', '{{user.refresh}}', '{{user.refresh}}'],
  request: ['{{sign.request}}'],
  requested_expiry: ['60', '600', '601'],
  requested_token_type: ['urn:ietf:params:oauth:token-type:access_token', 'urn:ietf:params:oauth:token-type:jwt'],
  request_uri: ['{{par.uri}}', '{{par.uri}}', 'urn:ietf:params:oauth:request_uri:x', 'https://app.example/request.jwt'],
  resource: ['{{resource.identifier}}', '{{issuer}}', 'https://none.example/', 'x#y'],
  response_mode: ['query', 'fragment', 'form_post', 'jwt', 'query.jwt', 'form_post.jwt', 'web_message'],
  response_type: ['code', 'code', 'none', 'id_token', 'code id_token', 'token'],
  return_to: ['https://platform.example/signed-in', 'https://platform.example/x?code=y', 'https://evil.example/'],
  role: ['user', 'admin', 'nobody'],
  scope: SCOPES,
  state: ['s-{{fresh}}', '{{trip.state}}'],
  subject_token: TOKENS,
  subject_token_type: ['urn:ietf:params:oauth:token-type:access_token', 'urn:ietf:params:oauth:token-type:jwt'],
  target: USERS,
  token: [...TOKENS, '{{mail.token}}', '{{mail.verify}}', '{{mail.verify}}'],
  token_endpoint_auth_method: ['client_secret_basic', 'none', 'private_key_jwt'],
  token_type_hint: ['access_token', 'refresh_token', 'x'],
  ui_locales: ['en', 'zh-CN de', 'xx-yy'],
  user_code: ['{{television.user_code}}', 'BCDF-GHJK'],
  username: ['fuzz-{{fresh}}', '{{user.email}}', 'ada'],
  zoneinfo: ['Europe/Berlin', 'UTC', 'Mars/Base'],
};

/** What ends the sign-ins of who asks: somebody is who can be spared. */
export const ENDS_SIGN_INS: ReadonlySet<string> = new Set([
  'DELETE /users/me',
  'PUT /users/me/password',
  'PUT /users/me',
  'DELETE /users/me/sessions/{id}',
]);

/** Who asks, as headers: in the right place mostly. */
export const CREDENTIALS = {
  user: [
    'Bearer {{user.token}}',
    'Bearer {{user.token}}',
    'Bearer {{oauth.token}}',
    'bearer {{user.token}}',
    'Bearer {{admin.token}}',
  ],
  spare: ['Bearer {{spare.token}}'],
  admin: ['Bearer {{admin.token}}', 'Bearer {{admin.token}}', 'Bearer {{admin.token}}', 'Bearer {{user.token}}'],
  client: [
    'Basic {{web.basic}}',
    'Basic {{web.basic}}',
    'Basic {{service.basic}}',
    'Basic {{till.basic}}',
    'Bearer {{oauth.token}}',
  ],
  registration: ['Bearer {{registered.token}}', 'Bearer {{initial.token}}'],
} as const;
