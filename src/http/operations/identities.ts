import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { NoQuery } from '../page-query.ts';
import * as examples from './examples.ts';
import { Password, Timestamp } from './fields.ts';

export const Unlinking = z.strictObject({ current_password: Password.optional() });

export const Identity = z
  .strictObject({
    id: z.uuid(),
    provider: z.string().describe('`google`, `github`, or a name of OIDC_PROVIDERS'),
    issuer: z.string().describe('Whom the provider’s name stood for when it was linked'),
    subject: z.string().describe('The provider’s own name for the person'),
    email: z.string().nullable().describe('As the provider said when it was last used'),
    email_verified: z.boolean(),
    name: z.string().optional(),
    picture: z.string().optional(),
    username: z.string().optional(),
    linked_at: Timestamp,
    last_used_at: Timestamp,
  })
  .meta({ id: 'Identity' });

export const identityOperations = {
  'GET /users/me/identities': {
    summary: 'The other providers that the caller can sign in with, first linked first',
    description: 'They are added on the account page, `/account`, in a browser.',
    auth: 'bearer',
    scope: 'read:profile',
    query: NoQuery,
    answers: { 200: { description: 'The identities', body: z.array(Identity), example: [examples.identity] } },
    problems: [401, 403],
  },
  'DELETE /users/me/identities/:id': {
    summary: 'Takes a provider off the account',
    description:
      'Somebody who found a phone unlocked must not lock its owner out: it needs `current_password` in the body, or a sign-in (`/auth/login`, `/auth/exchange`) of the last ten minutes, which refreshing does not renew; otherwise the answer is 401 `stale_sign_in` (RFC 9470). The last way in stays: without a password, and with no other provider that is set up, the answer is 409 `last_way_in`.',
    auth: 'bearer',
    scope: 'write:profile',
    body: Unlinking,
    example: {},
    answers: { 204: { description: 'It signs in no longer' } },
    problems: [401, 403, 404, 409, 429],
  },
} satisfies Operations;
