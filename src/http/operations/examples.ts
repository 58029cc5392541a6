// What answers look like, for people who read the description. A test holds each against the schema it is an example of.

const ID = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const AT = '2026-01-15T09:30:00.000Z';
const LATER = '2026-01-16T09:30:00.000Z';

export const account = {
  id: ID,
  email: 'test@optima.ai',
  username: 'testuser',
  role: 'user',
  is_active: true,
  email_verified: false,
  name: 'Ada Lovelace',
  locale: 'en',
  created_at: AT,
  updated_at: AT,
};

export const administered = {
  ...account,
  status: 'active',
  banned_at: null,
  banned_until: null,
  ban_reason: null,
  erase_after: null,
  has_password: true,
};

export const banned = {
  ...administered,
  is_active: false,
  status: 'banned',
  banned_at: AT,
  banned_until: '2030-01-01T00:00:00.000Z',
  ban_reason: 'spam',
};

export const users = { items: [administered], next_cursor: 'v1.Zm9v…', total: 1234, total_is_estimate: false };

export const tokenPair = {
  access_token: 'eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9…',
  refresh_token: 'KJnX2Yp…',
  token_type: 'bearer',
  expires_in: 1800,
};

export const key = {
  id: '16fd2706-8baf-433b-82eb-8c7fada847da',
  name: 'My Service',
  prefix: 'uak_3Fz9Qk',
  scopes: ['read:users', 'write:users'],
  allowed_networks: ['192.0.2.0/24'],
  created_at: AT,
  expires_at: null,
  last_used_at: LATER,
};
export const freshKey = { ...key, last_used_at: null, key: 'uak_3Fz9QkvT…' };

export const session = {
  id: '6fa459ea-ee8a-3ca4-894e-db77e160355e',
  kind: 'app',
  ip: '192.0.2.7',
  user_agent: 'curl/8.5.0',
  created_at: AT,
  last_used_at: LATER,
  current: true,
};

export const app = {
  client_id: 'acme-notes',
  name: 'Acme Notes',
  logo_uri: null,
  scopes: ['openid', 'profile'],
  resources: [{ identifier: 'https://notes.example.com/api', scopes: ['notes:read'] }],
  created_at: AT,
  last_used_at: LATER,
};

export const identity = {
  id: '886313e1-3b8a-5372-9b90-0c9aee199e5d',
  provider: 'github',
  issuer: 'https://github.com',
  subject: '583231',
  email: 'ada@example.com',
  email_verified: true,
  username: 'ada',
  linked_at: AT,
  last_used_at: LATER,
};

export const resource = {
  identifier: 'https://api.acme.example/notes',
  name: 'Acme Notes',
  scopes: [{ name: 'notes:read', description: { en: 'Read your notes', 'zh-CN': '读取您的笔记' } }],
  default_scopes: ['notes:read'],
  token_format: 'jwt' as const,
  access_token_ttl_seconds: 1800,
  signing_alg: null,
  introspection_clients: [],
  authorization_details_types: [],
  created_at: AT,
  updated_at: LATER,
};

export const event = {
  seq: 42,
  time: AT,
  type: 'user.banned',
  actor: ID,
  target: '16fd2706-8baf-433b-82eb-8c7fada847da',
  ip: '192.0.2.7',
  user_agent: 'curl/8.5.0',
  request_id: '0b5c1d54-6d0c-4c5a-9a53-8f0d6f0f3c11',
  details: { reason: 'spam', before: null, after: { since: AT, until: null, reason: 'spam' } },
};

export const exported = {
  exported_at: LATER,
  account: { ...account, has_password: true },
  api_keys: [key],
  sessions: [session],
  apps: [app],
  identities: [identity],
  removed_identities: [{ provider: 'github', issuer: 'https://github.com', subject: '583231', removed_at: AT }],
  outstanding_links: [{ purpose: 'verify_email', email: account.email, created_at: AT, expires_at: LATER }],
  audit_events: [{ seq: 41, time: AT, type: 'login.succeeded', actor: ID, target: ID }],
};

export const imported = {
  dry_run: false,
  created: 998,
  skipped: 1,
  failed: 1,
  errors: [{ line: 17, code: 'username_taken', message: 'another user has this username', path: 'username' }],
  errors_truncated: false,
};

export const client = {
  client_id: 'acme-notes',
  client_name: 'Acme Notes',
  redirect_uris: ['https://acme.example/callback'],
  grant_types: ['authorization_code', 'refresh_token'],
  response_types: ['code'],
  token_endpoint_auth_method: 'client_secret_basic',
  first_party: false,
  registration: null,
  created_at: AT,
  updated_at: AT,
};
export const freshClient = { ...client, client_secret: 'dGhl…', client_secret_expires_at: 0 };

export const metadata = {
  issuer: 'https://id.example.com',
  authorization_endpoint: 'https://id.example.com/oauth/authorize',
  token_endpoint: 'https://id.example.com/oauth/token',
  jwks_uri: 'https://id.example.com/oauth/jwks',
};

export const protectedResource = {
  resource: 'https://id.example.com',
  authorization_servers: ['https://id.example.com'],
  resource_name: 'User Auth',
  resource_documentation: 'https://id.example.com/docs',
  scopes_supported: ['read:profile', 'write:profile'],
  bearer_methods_supported: ['header' as const],
  dpop_signing_alg_values_supported: ['ES256', 'EdDSA', 'PS256'],
  dpop_bound_access_tokens_required: false,
  tls_client_certificate_bound_access_tokens: false,
};

export const jwks = {
  keys: [{ kty: 'EC', crv: 'P-256', x: 'f83O…', y: 'x_FE…', kid: 'Zxk…', alg: 'ES256', use: 'sig' }],
};

export const oauthTokens = {
  access_token: 'mF_9…',
  token_type: 'Bearer',
  expires_in: 1800,
  refresh_token: 'tGzv…',
  id_token: 'eyJhbGciOiJSUzI1NiJ9…',
  scope: 'openid profile offline_access',
};

export const userInfo = { sub: ID, name: 'Ada Lovelace', preferred_username: 'ada' };

export const introspection = {
  active: true,
  sub: ID,
  client_id: 'acme-notes',
  scope: 'openid profile',
  iss: 'https://id.example.com',
  iat: 1768469400,
  exp: 1768471200,
  token_type: 'Bearer',
};

export const health = {
  status: 'up',
  version: '0.2.0',
  stores: { postgres: { status: 'up', latency_ms: 0.6 }, redis: { status: 'up', latency_ms: 0.3 } },
};
export const unwell = { ...health, status: 'down', stores: { postgres: { status: 'down', latency_ms: 2000 } } };

export const deviceCodes = {
  device_code: 'dGhlIGNvZGUgb2YgdGhlIGRldmljZQ…',
  user_code: 'WDJB-MJHT',
  verification_uri: 'https://id.example.com/device',
  verification_uri_complete: 'https://id.example.com/device?user_code=WDJB-MJHT',
  expires_in: 600,
  interval: 5,
};

export const backchannel = { auth_req_id: 'YW4gYXBwcm92YWwgdGhhdCB3YWl0cw…', expires_in: 600, interval: 5 };
