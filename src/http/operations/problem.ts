import { z } from 'zod';

/** RFC 9457, with a stable code, the request's id, and every path that is wrong. */
export const Problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('In words, for people. Do not match on them: `code` is stable.'),
    code: z.string(),
    request_id: z.string().describe('As in the header X-Request-Id and in the log.'),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

/** RFC 6749 §5.2. */
export const OAuthError = z
  .looseObject({ error: z.string(), error_description: z.string().optional() })
  .meta({ id: 'OAuthError' });

type Failure = { code: string; detail: string; path?: string };

const PROBLEMS: Record<number, Failure & { title: string }> = {
  400: { code: 'invalid_request', title: 'Bad Request', detail: 'The body is not JSON.' },
  401: { code: 'invalid_token', title: 'Unauthorized', detail: 'Could not validate credentials' },
  403: { code: 'insufficient_scope', title: 'Forbidden', detail: 'This needs the scope read:users.' },
  404: { code: 'unknown_user', title: 'Not Found', detail: 'there is no such user' },
  409: {
    code: 'email_taken',
    title: 'Conflict',
    detail: 'a user with this email address exists already',
    path: 'email',
  },
  413: { code: 'invalid_request', title: 'Payload Too Large', detail: 'The body is too large.' },
  415: { code: 'invalid_request', title: 'Unsupported Media Type', detail: 'The body must be application/json.' },
  422: { code: 'invalid_request', title: 'Unprocessable Entity', detail: 'The request does not fit.', path: 'email' },
  429: {
    code: 'too_many_attempts',
    title: 'Too Many Requests',
    detail: 'Too many attempts. Wait, then try again.',
  },
  503: {
    code: 'temporarily_unavailable',
    title: 'Service Unavailable',
    detail: 'A store is not available. Please try again.',
  },
};

/** Where a route fails in a way of its own. */
const OWN: readonly [route: RegExp, failures: Record<number, Failure>][] = [
  [/ \/auth\/login$/, { 401: { code: 'invalid_credentials', detail: 'Incorrect email or password' } }],
  [
    / \/auth\/refresh$/,
    { 401: { code: 'invalid_refresh_token', detail: 'Could not validate credentials', path: 'refresh_token' } },
  ],
  [
    /^(DELETE \/users\/me|PUT \/users\/me\/password)$/,
    {
      401: { code: 'invalid_credentials', detail: 'The current password is not right' },
      409: {
        code: 'password_not_set',
        detail: 'This account has no password yet: set one by a link in a mail first',
      },
    },
  ],
  [
    / \/users\/api-keys/,
    {
      404: { code: 'unknown_api_key', detail: 'there is no such key' },
      409: { code: 'too_many_api_keys', detail: 'at most 50 keys; delete one that is not used' },
    },
  ],
  [/ \/users\/me\/sessions/, { 404: { code: 'unknown_session', detail: 'there is no such session' } }],
  [/ \/users\/me\/apps/, { 404: { code: 'unknown_app', detail: 'there is no such app' } }],
  [
    / \/users\/me\/identities/,
    {
      404: { code: 'unknown_identity', detail: 'there is no such identity' },
      409: { code: 'last_way_in', detail: 'nothing would be left to sign in with: set a password first' },
    },
  ],
  [
    /^(DELETE \/admin\/users\/:id|POST \/admin\/users\/:id\/ban)$/,
    {
      409: {
        code: 'last_admin',
        detail: 'The last administrator cannot be removed: make somebody else one first',
      },
    },
  ],
  [
    /^POST \/admin\/clients$/,
    { 409: { code: 'client_exists', detail: 'a client with client_id my-app exists already' } },
  ],
  [
    /^POST \/admin\/clients\/:clientId\/secret$/,
    { 409: { code: 'client_without_secret', detail: 'this client has no secret: it authenticates otherwise' } },
  ],
  [
    / \/admin\/clients/,
    {
      404: { code: 'unknown_client', detail: 'there is no such client' },
      409: { code: 'built_in_client', detail: "this client is the service's own and cannot be changed" },
    },
  ],
  [
    / \/admin\/resources/,
    {
      404: { code: 'unknown_resource', detail: 'there is no such resource' },
      409: { code: 'resource_exists', detail: 'there is a resource of this identifier already' },
    },
  ],
  [/ \/oauth\/:provider\//, { 404: { code: 'unknown_provider', detail: 'Signing in with Google is not set up here' } }],
  [
    / \/admin\/initial-access-tokens/,
    {
      404: { code: 'unknown_initial_access_token', detail: 'there is no such initial access token' },
      409: { code: 'too_many_initial_access_tokens', detail: 'there are 1000 already: revoke some first' },
    },
  ],
];

/**
 * What a failure looks like.
 *
 * @param route Method and path, as the router spells it.
 * @param scope What the route needs.
 */
export const problemExample = (status: number, route: string, scope?: string): z.infer<typeof Problem> | undefined => {
  const known = PROBLEMS[status];
  if (!known) return undefined;
  const own = OWN.find(([pattern, failures]) => pattern.test(route) && failures[status])?.[1][status];
  const { title, code, detail, path } = own ? { title: known.title, path: undefined, ...own } : known;
  return {
    type: 'about:blank',
    title,
    status,
    detail: status === 403 && scope ? `This needs the scope ${scope}.` : detail,
    code,
    request_id: '0b5c1d54-6d0c-4c5a-9a53-8f0d6f0f3c11',
    ...(path && { errors: [{ path, message: status === 422 ? 'is too short' : detail }] }),
  };
};

export const oauthErrorExample = (status: number): z.infer<typeof OAuthError> =>
  ({
    401: { error: 'invalid_client', error_description: 'client authentication failed' },
    403: { error: 'insufficient_scope', error_description: 'access token missing openid scope' },
    429: { error: 'temporarily_unavailable', error_description: 'too many failed attempts' },
  })[status] ?? { error: 'invalid_grant', error_description: 'grant request is invalid' };
