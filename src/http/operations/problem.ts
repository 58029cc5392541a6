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

const PROBLEMS: Record<number, { code: string; title: string; detail: string; path?: string }> = {
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

/** What a failure looks like. */
export const problemExample = (status: number): z.infer<typeof Problem> | undefined => {
  const known = PROBLEMS[status];
  if (!known) return undefined;
  const { code, title, detail, path } = known;
  return {
    type: 'about:blank',
    title,
    status,
    detail,
    code,
    request_id: '0b5c1d54-6d0c-4c5a-9a53-8f0d6f0f3c11',
    ...(path && { errors: [{ path, message: status === 409 ? detail : 'is too short' }] }),
  };
};

export const oauthErrorExample = (status: number): z.infer<typeof OAuthError> =>
  ({
    401: { error: 'invalid_client', error_description: 'client authentication failed' },
    403: { error: 'insufficient_scope', error_description: 'access token missing openid scope' },
    429: { error: 'temporarily_unavailable', error_description: 'too many failed attempts' },
  })[status] ?? { error: 'invalid_grant', error_description: 'grant request is invalid' };
