import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { NoQuery } from '../page-query.ts';

export const KeyRotation = z.strictObject({});

const Key = z.strictObject({
  kid: z.string(),
  alg: z.string(),
  /** Published and not used yet; in use; no longer used, and published for as long as something it signed is good. */
  state: z.enum(['next', 'active', 'retiring']),
  created_at: z.iso.datetime(),
  active_from: z.iso.datetime(),
  superseded_at: z.iso.datetime().nullable(),
});
const Keys = z.strictObject({ items: z.array(Key) });

const example = {
  items: [
    {
      kid: 'ueVu-VDz6KcXE_rqqdHM8aLMEPY6ymhADRhH8lwWhjs',
      alg: 'ES256',
      state: 'active' as const,
      created_at: '2026-11-01T08:00:00.000Z',
      active_from: '2026-11-01T08:06:00.000Z',
      superseded_at: null,
    },
  ],
};

export const adminKeyOperations = {
  'GET /admin/keys': {
    summary: 'List the signing keys',
    query: NoQuery,
    auth: 'bearer or key',
    scope: 'read:keys',
    answers: {
      200: { description: 'What the JWKS endpoint publishes, and what each key is for now.', body: Keys, example },
    },
    problems: [401, 403, 422],
  },
  'POST /admin/keys/rotate': {
    summary: 'Rotate the signing keys',
    description:
      'Publishes a next key of each algorithm. It takes over by itself once everybody can have fetched it; the one before it stays ' +
      'published until what it signed has expired. An algorithm that has a next key already keeps that.',
    auth: 'bearer or key',
    scope: 'write:keys',
    body: KeyRotation,
    example: {},
    answers: { 200: { description: 'All keys.', body: Keys, example } },
    problems: [400, 401, 403, 413, 415, 422],
  },
} satisfies Operations;
