// What each route takes and answers, in the schemas that it validates with.
import { z } from 'zod';
import { ExportedHash } from '../../domain/password-hashes/foreign.ts';
import type { Operations } from '../operation.ts';
import { profileFields } from '../profile-fields.ts';
import * as examples from './examples.ts';
import { words } from './fields.ts';

export const MAX_LINE_BYTES = 64 * 1024;
export const MAX_LINES = 1_000_000;

/** One line of an import. */
export const ImportedUser = z.strictObject({
  email: words(320).min(1),
  username: words(64).min(1).optional(),
  email_verified: z.boolean().optional(),
  role: words(100).min(1).optional(),
  password_hash: ExportedHash.optional(),
  ...profileFields,
  phone_number_verified: z.boolean().optional(),
  created_at: z.iso
    .datetime({ offset: true })
    .refine((text) => Date.parse(text) >= 0 && Date.parse(text) <= Date.now(), 'is before 1970 or in the future')
    .optional(),
});

export const ImportQuery = z.strictObject({ dry_run: z.enum(['true', 'false']).default('false') });

const Summary = z.strictObject({
  dry_run: z.boolean(),
  created: z.int(),
  skipped: z.int(),
  failed: z.int(),
  errors: z.array(z.strictObject({ line: z.int().min(1), code: z.string(), message: z.string(), path: z.string() })),
  errors_truncated: z.boolean(),
});

export const adminImportOperations = {
  'POST /admin/users/import': {
    summary: 'Import users with the passwords they have',
    description:
      'Newline-delimited JSON, one user a line, read as a stream: at most 1,000,000 lines of at most 64 KiB. ' +
      '`password_hash` is a text (argon2, bcrypt, scrypt or PBKDF2 as PHC strings, or as Django or passlib write them) or an object ' +
      '(`scrypt`, `firebase-scrypt`); it is replaced by argon2id when its owner next signs in. A line that is wrong is told in `errors` ' +
      '(at most 1000 of them) and stops no other. An email address that is there already is skipped, so the same file may be sent again. ' +
      'With `dry_run=true` nothing is written.',
    auth: 'bearer or key',
    scope: 'write:users',
    query: ImportQuery,
    body: ImportedUser,
    bodyType: 'application/x-ndjson',
    example: {
      email: 'ada@example.com',
      username: 'ada',
      email_verified: true,
      password_hash: '$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW',
      name: 'Ada Lovelace',
    },
    answers: { 200: { description: 'What became of the lines.', body: Summary, example: examples.imported } },
    problems: [400, 401, 403, 413, 415, 422],
  },
} satisfies Operations;
