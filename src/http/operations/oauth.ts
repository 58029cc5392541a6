// The engine's own endpoints: it validates them, and these say how. Clients should start from discovery.
import { z } from 'zod';
import type { Operations } from '../operation.ts';
import * as examples from './examples.ts';

const Metadata = z.looseObject({ issuer: z.string() });
const ProtectedResource = z.strictObject({
  resource: z.string(),
  authorization_servers: z.array(z.string()),
  resource_name: z.string(),
  resource_documentation: z.string(),
  scopes_supported: z.array(z.string()),
  bearer_methods_supported: z.array(z.enum(['header', 'body', 'query'])),
  dpop_signing_alg_values_supported: z.array(z.string()),
  dpop_bound_access_tokens_required: z.boolean(),
  tls_client_certificate_bound_access_tokens: z.boolean(),
});

const Authorization = z.looseObject({
  client_id: z.string(),
  response_type: z.string().describe('code; id_token or code id_token for clients that are registered for them; none'),
  redirect_uri: z.string().optional().describe('Required unless the client has registered exactly one'),
  scope: z.string().optional(),
  state: z.string().optional(),
  nonce: z.string().optional(),
  code_challenge: z.string().optional().describe('RFC 7636; required for public clients'),
  code_challenge_method: z.literal('S256').optional(),
  response_mode: z
    .enum(['query', 'fragment', 'form_post', 'jwt', 'query.jwt', 'fragment.jwt', 'form_post.jwt'])
    .optional(),
  request: z.string().optional().describe('RFC 9101: the request itself, signed; what stands beside it does not count'),
  request_uri: z.string().optional().describe('RFC 9126: what /oauth/par answered; client_id alone stands beside it'),
  dpop_jkt: z.string().optional().describe('RFC 9449 §10: the key that the code is for'),
  prompt: z.string().optional().describe('none, login, consent, select_account'),
  max_age: z.string().optional().describe('Seconds since the person last signed in'),
  login_hint: z.string().optional(),
  id_token_hint: z.string().optional(),
  ui_locales: z.string().optional(),
  acr_values: z.string().optional(),
  claims: z.string().optional().describe('OIDC Core §5.5, as JSON'),
});

const ClientCredentials = {
  client_id: z.string().optional().describe('Unless sent by HTTP Basic'),
  client_secret: z.string().optional().describe('Unless sent by HTTP Basic'),
  client_assertion: z.string().optional().describe('private_key_jwt, client_secret_jwt'),
  client_assertion_type: z.literal('urn:ietf:params:oauth:client-assertion-type:jwt-bearer').optional(),
};

const DeviceAuthorization = z.looseObject({
  scope: z.string().optional(),
  resource: z.string().optional().describe('RFC 8707'),
  ...ClientCredentials,
});
const DeviceCodes = z.strictObject({
  device_code: z.string(),
  user_code: z.string(),
  verification_uri: z.string(),
  verification_uri_complete: z.string(),
  expires_in: z.int(),
  interval: z.int(),
});
const Backchannel = z.looseObject({
  scope: z.string().describe('With openid'),
  login_hint: z.string().optional().describe('An email address or a username'),
  id_token_hint: z.string().optional().describe('In place of `login_hint`'),
  binding_message: z
    .string()
    .max(64)
    .optional()
    .describe('Shown to the person, to be compared with what the app shows'),
  client_notification_token: z.string().max(1024).optional().describe('For `ping`: what we authenticate with'),
  requested_expiry: z.string().optional().describe('Seconds, up to 600'),
  ...ClientCredentials,
});
const BackchannelAnswer = z.strictObject({ auth_req_id: z.string(), expires_in: z.int(), interval: z.int() });

const TokenRequest = z.looseObject({
  grant_type: z.enum([
    'authorization_code',
    'refresh_token',
    'client_credentials',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:openid:params:grant-type:ciba',
  ]),
  code: z.string().optional().describe('With authorization_code'),
  redirect_uri: z.string().optional().describe('The same as in the authorization request'),
  code_verifier: z.string().optional().describe('RFC 7636'),
  device_code: z.string().optional().describe('RFC 8628'),
  auth_req_id: z.string().optional().describe('CIBA'),
  refresh_token: z.string().optional().describe('With refresh_token; every use replaces it'),
  scope: z.string().optional().describe('Fewer scopes than granted'),
  ...ClientCredentials,
});

const Tokens = z
  .looseObject({
    access_token: z.string(),
    token_type: z.string(),
    expires_in: z.int(),
    refresh_token: z.string().optional(),
    id_token: z.string().optional(),
    scope: z.string().optional(),
  })
  .meta({ id: 'Tokens' });

const TokenQuestion = z.looseObject({
  token: z.string(),
  token_type_hint: z.string().optional(),
  ...ClientCredentials,
});
const PushedRequest = z.looseObject({ ...Authorization.omit({ request_uri: true }).shape, ...ClientCredentials });
const Pushed = z.strictObject({ request_uri: z.string(), expires_in: z.int() });
const Introspection = z.looseObject({ active: z.boolean() });
const UserInfo = z.looseObject({ sub: z.string() });
const JwkSet = z.strictObject({ keys: z.array(z.looseObject({ kty: z.string(), kid: z.string() })) });
const Health = z.strictObject({
  status: z.enum(['up', 'down']),
  version: z.string(),
  stores: z.record(z.string(), z.strictObject({ status: z.enum(['up', 'down']), latency_ms: z.number() })),
  // For `npm run doctor` alone, which proves that it holds the master key.
  seen: z
    .strictObject({
      address: z.string(),
      forwarded_for: z.array(z.string()),
      certificate_header: z.string().nullable(),
    })
    .optional(),
});

const FORM = 'application/x-www-form-urlencoded';

export const oauthOperations = {
  'GET /.well-known/openid-configuration': {
    tag: 'Discovery',
    summary: 'The provider’s metadata (OpenID Connect Discovery)',
    auth: 'none',
    answers: {
      200: { description: 'Where everything is, and what is supported', body: Metadata, example: examples.metadata },
    },
  },
  'GET /.well-known/oauth-authorization-server': {
    tag: 'Discovery',
    summary: 'The same for OAuth clients (RFC 8414)',
    auth: 'none',
    answers: {
      200: { description: 'Where everything is, and what is supported', body: Metadata, example: examples.metadata },
    },
  },
  'GET /.well-known/oauth-protected-resource': {
    tag: 'Discovery',
    summary: 'Which tokens this API takes, and who issues them (RFC 9728)',
    description: 'Every 401 and 403 of the REST API leads here by `resource_metadata` in `WWW-Authenticate`.',
    auth: 'none',
    answers: {
      200: {
        description: 'The metadata of the REST API as a protected resource',
        body: ProtectedResource,
        example: examples.protectedResource,
      },
    },
  },
  'GET /oauth/jwks': {
    tag: 'Discovery',
    summary: 'The public keys that tokens are signed with (RFC 7517)',
    auth: 'none',
    answers: {
      200: { description: 'The keys', body: JwkSet, example: examples.jwks, type: 'application/jwk-set+json' },
      304: { description: 'They are as `If-None-Match` says that the caller has them' },
    },
  },
  'GET /oauth/authorize': {
    tag: 'Authorization',
    summary: 'Where an app sends the browser to have somebody sign in (RFC 6749 §4.1)',
    auth: 'none',
    query: Authorization,
    answers: {
      303: { description: 'On to a page of ours, or back to the app with a code or an error' },
      400: { description: 'Not a request that can be answered to the app: a page says why', type: 'text/html' },
    },
    oauthErrors: [400],
  },
  'POST /oauth/par': {
    tag: 'Authorization',
    summary: 'Takes an authorization request from the app itself (RFC 9126)',
    auth: 'client',
    body: PushedRequest,
    bodyType: FORM,
    answers: {
      201: {
        description: 'What to send the browser to /oauth/authorize with',
        body: Pushed,
        example: { request_uri: 'urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c', expires_in: 60 },
      },
    },
    oauthErrors: [400, 401, 413, 429],
    throttled: true,
  },
  'GET /oauth/logout': {
    tag: 'Authorization',
    summary: 'Where an app sends the browser to sign out (OpenID Connect RP-Initiated Logout)',
    auth: 'none',
    query: z.looseObject({
      id_token_hint: z.string().optional(),
      client_id: z.string().optional(),
      post_logout_redirect_uri: z.string().optional(),
      state: z.string().optional(),
      ui_locales: z.string().optional(),
    }),
    answers: {
      200: { description: 'A page asks whether to sign out', type: 'text/html' },
      303: { description: 'Nobody is signed in: on to where signing out leads' },
      400: { description: 'The request does not fit: a page says why', type: 'text/html' },
    },
    oauthErrors: [400],
  },
  'GET /oauth/:provider/login': {
    tag: 'Other providers',
    summary: 'Where one of the platform’s own apps sends the browser to sign in through another provider',
    description:
      'Ends at `return_to` with `code`, for POST /auth/exchange, or with `error`. Without `return_to` it is a sign-in on the hosted pages.',
    auth: 'none',
    query: z.looseObject({
      return_to: z.string().optional().describe('At one of FIRST_PARTY_ORIGINS, without a fragment'),
      code_challenge: z
        .string()
        .optional()
        .describe('SHA-256 of the `code_verifier` that POST /auth/exchange then needs, in base64url (RFC 7636)'),
      code_challenge_method: z.literal('S256').optional(),
    }),
    answers: {
      303: { description: 'On to the provider' },
      503: { description: 'The provider does not answer: a page says so', type: 'text/html' },
    },
    problems: [404, 422, 429],
  },
  'GET /oauth/:provider/callback': {
    tag: 'Other providers',
    summary: 'Where the provider sends the browser back; the address to register there',
    auth: 'none',
    query: z.looseObject({ code: z.string().optional(), state: z.string().optional(), error: z.string().optional() }),
    answers: {
      303: { description: 'On to what the sign-in was for' },
      400: { description: 'Nobody came of it, and there is no form to say it on: a page does', type: 'text/html' },
      503: { description: 'The provider does not answer: a page says so', type: 'text/html' },
    },
    problems: [404, 429],
  },
  'POST /oauth/device_authorization': {
    tag: 'Authorization',
    summary: 'A code for a device that cannot show a page (RFC 8628)',
    description:
      'The person types `user_code` at `verification_uri`; the device asks POST /oauth/token for the outcome, every `interval` seconds.',
    auth: 'client',
    body: DeviceAuthorization,
    bodyType: FORM,
    answers: { 200: { description: 'The codes', body: DeviceCodes, example: examples.deviceCodes } },
    oauthErrors: [400, 401, 429],
    throttled: true,
  },
  'POST /oauth/backchannel': {
    tag: 'Authorization',
    summary: 'Asks a person, by name, for an approval on another device (OpenID CIBA)',
    description:
      'They decide on their account page. The app asks POST /oauth/token for the outcome, every `interval` seconds; with `ping` it is told when there is one.',
    auth: 'client',
    body: Backchannel,
    bodyType: FORM,
    answers: {
      200: { description: 'What to ask for the outcome with', body: BackchannelAnswer, example: examples.backchannel },
    },
    oauthErrors: [400, 401, 429],
    throttled: true,
  },
  'POST /oauth/token': {
    tag: 'Tokens',
    summary: 'Exchanges a code, a refresh token or client credentials for tokens (RFC 6749 §3.2)',
    auth: 'client',
    body: TokenRequest,
    bodyType: FORM,
    answers: { 200: { description: 'The tokens', body: Tokens, example: examples.oauthTokens } },
    oauthErrors: [400, 401, 429],
    throttled: true,
  },
  'GET /oauth/userinfo': {
    tag: 'Tokens',
    summary: 'The claims that an access token is good for (OIDC Core §5.3)',
    auth: 'bearer',
    answers: { 200: { description: 'The claims', body: UserInfo, example: examples.userInfo } },
    oauthErrors: [400, 401, 403],
  },
  'POST /oauth/introspect': {
    tag: 'Tokens',
    summary: 'Whether a token is live, and what it stands for (RFC 7662)',
    description: 'Answers for every token of this service, JWTs included.',
    auth: 'client',
    body: TokenQuestion,
    bodyType: FORM,
    answers: { 200: { description: 'What is known of it', body: Introspection, example: examples.introspection } },
    oauthErrors: [400, 401, 429],
    throttled: true,
  },
  'POST /oauth/revoke': {
    tag: 'Tokens',
    summary: 'Ends a token (RFC 7009)',
    auth: 'client',
    body: TokenQuestion,
    bodyType: FORM,
    answers: { 200: { description: 'It is not live, whatever it was before' } },
    oauthErrors: [400, 401, 429],
    throttled: true,
  },
  'GET /health': {
    tag: 'Operations',
    summary: 'Whether the service and its stores are up',
    auth: 'none',
    answers: {
      200: { description: 'Everything answers', body: Health, example: examples.health },
      503: { description: 'A store does not', body: Health, example: examples.unwell },
    },
  },
} satisfies Operations;
