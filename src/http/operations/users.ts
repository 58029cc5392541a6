import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { profileFields } from '../profile-fields.ts';
import * as examples from './examples.ts';
import { Account, anyway, ChosenPassword, Email, Password } from './fields.ts';

/** OIDC Core §5.1's claims that a person may set themselves; null clears one. */
export const Profile = z
  .strictObject({
    username: z.string().min(1).max(64).optional(),
    email: Email.optional(),
    current_password: Password.optional(),
    ...profileFields,
  })
  .refine(({ email, current_password }) => email === undefined || current_password !== undefined, {
    path: ['current_password'],
    message: 'is needed to change the email address',
    ...anyway,
  });

export const NewPassword = z.strictObject({
  current_password: z.string().max(1024),
  new_password: ChosenPassword,
});

export const Deletion = z.strictObject({ current_password: z.string().max(1024) });

export const userOperations = {
  'GET /users/me': {
    summary: "The caller's account",
    description: 'An API key may always ask whose it is; a token needs the scope.',
    auth: 'bearer or key',
    scope: 'read:profile',
    answers: { 200: { description: 'The account', body: Account, example: examples.account } },
    problems: [401, 403],
  },
  'PUT /users/me': {
    summary: "Changes the caller's profile",
    description:
      'What is absent stays, null clears. A new `email` needs `current_password` and a token of the platform’s own apps; it takes effect when the link that is mailed to it comes back, within 48 hours, and is `pending_email` until then. The answer does not tell whether somebody else has the address.',
    auth: 'bearer or key',
    scope: 'write:profile',
    body: Profile,
    example: { name: 'Ada Lovelace', locale: 'en-GB' },
    answers: { 200: { description: 'The account as it is now', body: Account, example: examples.account } },
    problems: [401, 403, 409, 429],
  },
  'PUT /users/me/password': {
    summary: 'Changes the password',
    description:
      'Ends every session and token of the user, the caller’s included. API keys go on. Who has none yet (409 `password_not_set`) sets one by a link in a mail: POST /auth/forgot-password.',
    auth: 'bearer',
    scope: 'write:profile',
    body: NewPassword,
    example: { current_password: 'test123', new_password: 'correct horse battery' },
    answers: { 204: { description: 'The new password holds' } },
    problems: [401, 403, 409, 429],
  },
  'DELETE /users/me': {
    summary: 'Asks for the account to be deleted',
    description:
      'Every session and token ends at once, and API keys are refused. For 14 days signing in restores the account; then it is erased, with its keys, consents and sign-ins. The last administrator cannot go.',
    auth: 'bearer',
    scope: 'write:profile',
    body: Deletion,
    example: { current_password: 'test123' },
    answers: { 204: { description: 'The account will be erased' } },
    problems: [401, 403, 409, 429],
  },
} satisfies Operations;
