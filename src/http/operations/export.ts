import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { Key } from './api-keys.ts';
import { App } from './apps.ts';
import * as examples from './examples.ts';
import { Account, Timestamp } from './fields.ts';
import { Identity } from './identities.ts';
import { Session } from './sessions.ts';

const Export = z.strictObject({
  exported_at: Timestamp,
  account: Account.extend({ has_password: z.boolean() }),
  api_keys: z.array(Key),
  sessions: z.array(Session),
  apps: z.array(App),
  identities: z.array(Identity),
  removed_identities: z.array(
    z.strictObject({ provider: z.string(), issuer: z.string(), subject: z.string(), removed_at: Timestamp }),
  ),
  outstanding_links: z.array(
    z.strictObject({
      purpose: z.string(),
      email: z.string().nullable(),
      created_at: Timestamp,
      expires_at: Timestamp,
    }),
  ),
  audit_events: z.array(z.looseObject({ seq: z.int(), time: Timestamp, type: z.string() })),
});

export const exportOperations = {
  'GET /users/me/export': {
    summary: 'Everything that is held about the caller',
    description:
      'Account, API keys without their secrets, sign-ins, connected apps, the other providers that they sign in with or did until they took them off, links in mails that still work, and every event of the audit log that names them, newest first. Of what somebody else did, who and from where is left out.',
    auth: 'bearer',
    scope: 'read:profile',
    answers: {
      200: {
        description: 'A file',
        body: Export,
        example: examples.exported,
        headers: { 'Content-Disposition': 'The name of the file.' },
      },
    },
    problems: [401, 403],
  },
} satisfies Operations;
