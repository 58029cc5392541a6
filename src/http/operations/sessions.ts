import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { NoQuery } from '../page-query.ts';
import * as examples from './examples.ts';
import { Timestamp } from './fields.ts';

export const Session = z.strictObject({
  id: z.uuid(),
  kind: z.enum(['browser', 'app']),
  ip: z.string(),
  user_agent: z.string(),
  created_at: Timestamp,
  last_used_at: Timestamp,
  current: z.boolean(),
});

export const sessionOperations = {
  'GET /users/me/sessions': {
    summary: 'Where the caller is signed in, last used first',
    description:
      'A `browser` is signed in on the hosted pages, an `app` by POST /auth/login. `current` is the sign-in that the token belongs to.',
    auth: 'bearer',
    scope: 'read:profile',
    query: NoQuery,
    answers: {
      200: { description: 'The sign-ins that are live', body: z.array(Session), example: [examples.session] },
    },
    problems: [401, 403],
  },
  'DELETE /users/me/sessions/:id': {
    summary: 'Signs out in one place',
    description:
      'An app loses its tokens at once. A browser is signed out, and so are the apps it signed in to, but for those with offline access.',
    auth: 'bearer',
    scope: 'write:profile',
    answers: { 204: { description: 'Signed out there' } },
    problems: [401, 403, 404],
  },
} satisfies Operations;
