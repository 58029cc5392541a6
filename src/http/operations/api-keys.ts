import { z } from 'zod';
import { isNetwork } from '../../domain/api-keys.ts';
import type { Operations } from '../operation.ts';
import { NoQuery } from '../page-query.ts';
import * as examples from './examples.ts';
import { KeyScope, Moment, Timestamp, words } from './fields.ts';

const distinct = <T>(values: T[]): T[] => [...new Set(values)];

export const NewKey = z.strictObject({
  name: words(100).min(1),
  scopes: z
    .array(KeyScope)
    .max(20)
    .transform(distinct)
    .default([])
    .describe('Each counts once, however often it is named.'),
  expires_at: Moment.refine((text) => Date.parse(text) > Date.now(), 'must be in the future').optional(),
  allowed_networks: z
    .array(z.string().refine(isNetwork, 'is no network such as 192.0.2.0/24'))
    .max(50)
    .transform(distinct)
    .optional(),
});
export const Rotation = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(86_400),
});

export const Key = z
  .strictObject({
    id: z.uuid(),
    name: z.string(),
    prefix: z.string(),
    scopes: z.array(z.string()),
    allowed_networks: z.array(z.string()),
    created_at: Timestamp,
    expires_at: Timestamp.nullable(),
    last_used_at: Timestamp.nullable(),
  })
  .meta({ id: 'ApiKey' });
const FreshKey = Key.extend({ key: z.string() });

export const apiKeyOperations = {
  'GET /users/api-keys': {
    summary: "The caller's API keys, newest first",
    auth: 'bearer',
    scope: 'read:profile',
    query: NoQuery,
    answers: { 200: { description: 'The keys, without their secrets', body: z.array(Key), example: [examples.key] } },
    problems: [401, 403],
  },
  'POST /users/api-keys': {
    summary: 'Makes an API key',
    description:
      "The key itself is in this answer and never again. It never does more than its owner's role permits at the time. At most 50 a user.",
    auth: 'bearer',
    scope: 'write:profile',
    body: NewKey,
    example: { name: 'My Service', scopes: ['read:users', 'write:users'] },
    answers: { 201: { description: 'The key, with its secret', body: FreshKey, example: examples.freshKey } },
    problems: [401, 403, 409],
  },
  'DELETE /users/api-keys/:id': {
    summary: 'Ends an API key',
    auth: 'bearer',
    scope: 'write:profile',
    answers: { 204: { description: 'The key is refused from now on' } },
    problems: [401, 403, 404],
  },
  'POST /users/api-keys/:id/rotate': {
    summary: 'Makes a new secret for an API key',
    description:
      'The old one goes on for `overlap_seconds`, a day unless said otherwise. Rotated once more, for an answer that was lost, it has another successor, which lasts as long; the lost one is to be deleted.',
    auth: 'bearer',
    scope: 'write:profile',
    body: Rotation,
    example: { overlap_seconds: 3600 },
    answers: { 201: { description: 'The new key, with its secret', body: FreshKey, example: examples.freshKey } },
    problems: [401, 403, 404, 409],
  },
} satisfies Operations;
