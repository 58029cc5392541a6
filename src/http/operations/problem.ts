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
