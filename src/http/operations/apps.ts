import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { NoQuery } from '../page-query.ts';
import * as examples from './examples.ts';
import { Timestamp } from './fields.ts';

export const App = z
  .strictObject({
    client_id: z.string(),
    name: z.string(),
    logo_uri: z.string().nullable(),
    scopes: z.array(z.string()),
    resources: z
      .array(z.strictObject({ identifier: z.string(), scopes: z.array(z.string()) }))
      .describe('What was allowed at other APIs'),
    created_at: Timestamp,
    last_used_at: Timestamp,
  })
  .meta({ id: 'ConnectedApp' });

export const appOperations = {
  'GET /users/me/apps': {
    summary: 'The apps that the caller has let use their account, last used first',
    auth: 'bearer',
    scope: 'read:profile',
    query: NoQuery,
    answers: { 200: { description: 'The apps', body: z.array(App), example: [examples.app] } },
    problems: [401, 403],
  },
  'DELETE /users/me/apps/:clientId': {
    summary: 'Takes back what an app was allowed',
    description: 'All its tokens for the caller end at once, and it has to ask again.',
    auth: 'bearer',
    scope: 'write:profile',
    answers: { 204: { description: 'The app has no access any more' } },
    problems: [401, 403, 404],
  },
} satisfies Operations;
