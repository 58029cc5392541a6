import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { NoQuery } from '../page-query.ts';

const DAY = 86_400;

/** Bounds of what an initial access token is good for; the script keeps to them too. */
export const NewInitialAccessToken = z.strictObject({
  name: z
    .string()
    .trim()
    .min(1)
    .max(200)
    .regex(/^\P{Cc}*$/u, 'has control characters')
    .refine((text) => text.isWellFormed(), 'has half a character'),
  uses: z.int().min(1).max(1_000).default(1).describe('How many clients it registers.'),
  expires_in: z
    .int()
    .min(60)
    .max(365 * DAY)
    .default(7 * DAY)
    .describe('Seconds'),
});

const Token = z.strictObject({
  id: z.uuid(),
  name: z.string(),
  uses_left: z.int(),
  created_by: z.uuid().nullable(),
  created_at: z.iso.datetime(),
  expires_at: z.iso.datetime(),
  last_used_at: z.iso.datetime().nullable(),
});
const FreshToken = Token.extend({ initial_access_token: z.string() });
const Tokens = z.strictObject({ items: z.array(Token) });

const token = {
  id: '7d444840-9dc0-11d1-b245-5ffdce74fad2',
  name: 'Partner portal',
  uses_left: 10,
  created_by: null,
  created_at: '2026-11-01T08:00:00.000Z',
  expires_at: '2026-11-08T08:00:00.000Z',
  last_used_at: null,
};

export const adminInitialAccessTokenOperations = {
  'GET /admin/initial-access-tokens': {
    summary: 'List the initial access tokens',
    description: 'Newest first; spent and expired ones for another month.',
    query: NoQuery,
    auth: 'bearer or key',
    scope: 'read:clients',
    answers: { 200: { description: 'All of them.', body: Tokens, example: { items: [token] } } },
    problems: [401, 403, 422],
  },
  'POST /admin/initial-access-tokens': {
    summary: 'Create an initial access token',
    description:
      'With it somebody registers clients at POST /oauth/register (RFC 7591 §3). It is in this answer alone.',
    auth: 'bearer or key',
    scope: 'write:clients',
    body: NewInitialAccessToken,
    example: { name: 'Partner portal', uses: 10, expires_in: 604_800 },
    answers: {
      201: {
        description: 'The token, with its value.',
        body: FreshToken,
        example: { ...token, initial_access_token: 'uai_dGhl…' },
      },
    },
    problems: [400, 401, 403, 409, 413, 415, 422],
  },
  'DELETE /admin/initial-access-tokens/:id': {
    summary: 'Revoke an initial access token',
    description: 'Clients that were registered with it stay.',
    auth: 'bearer or key',
    scope: 'write:clients',
    answers: { 204: { description: 'It is gone.' } },
    problems: [401, 403, 404],
  },
} satisfies Operations;
