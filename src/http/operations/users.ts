import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { Account, Email, lines, Password, words } from './fields.ts';

const line = words(200).min(1).nullable();
const webAddress = z
  .url({ protocol: /^https?$/ })
  .max(2000)
  .nullable();

/** OIDC Core §5.1's claims that a person may set themselves; null clears one. */
export const Profile = z
  .strictObject({
    username: z.string().min(1).max(64).optional(),
    email: Email.optional(),
    current_password: Password.optional(),
    name: line.optional(),
    given_name: line.optional(),
    family_name: line.optional(),
    middle_name: line.optional(),
    nickname: line.optional(),
    profile: webAddress.optional(),
    picture: webAddress.optional(),
    website: webAddress.optional(),
    gender: line.optional(),
    birthdate: z
      .string()
      .regex(
        /^(\d{4}(-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))?|0000-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))$/,
        'is a year or a date: YYYY or YYYY-MM-DD',
      )
      .nullable()
      .optional(),
    zoneinfo: z
      .string()
      .refine((zone) => Intl.supportedValuesOf('timeZone').includes(zone) || zone === 'UTC', 'is no IANA time zone')
      .nullable()
      .optional(),
    locale: z
      .string()
      .regex(/^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$/, 'is no language tag')
      .max(35)
      .nullable()
      .optional(),
    phone_number: z
      .string()
      .regex(/^\+[1-9]\d{5,14}$/, 'is not in E.164 form, such as +14255551212')
      .nullable()
      .optional(),
    address: z
      .strictObject({
        formatted: lines(500).optional(),
        street_address: lines(500).optional(),
        locality: words(200).optional(),
        region: words(200).optional(),
        postal_code: words(50).optional(),
        country: words(200).optional(),
      })
      .nullable()
      .optional(),
  })
  .refine(({ email, current_password }) => email === undefined || current_password !== undefined, {
    path: ['current_password'],
    message: 'is needed to change the email address',
  });

export const NewPassword = z.strictObject({
  current_password: z.string().max(1024),
  new_password: z.string().max(1024),
});

export const Deletion = z.strictObject({ current_password: z.string().max(1024) });

export const userOperations = {
  'GET /users/me': {
    summary: "The caller's account",
    description: 'An API key may always ask whose it is; a token needs the scope.',
    auth: 'bearer or key',
    scope: 'read:profile',
    answers: { 200: { description: 'The account', body: Account } },
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
    answers: { 200: { description: 'The account as it is now', body: Account } },
    problems: [401, 403, 409, 429],
  },
  'PUT /users/me/password': {
    summary: 'Changes the password',
    description: "Ends every session and token of the user, the caller's included. API keys go on.",
    auth: 'bearer',
    scope: 'write:profile',
    body: NewPassword,
    example: { current_password: 'test123', new_password: 'correct horse battery' },
    answers: { 204: { description: 'The new password holds' } },
    problems: [401, 403, 429],
  },
  'DELETE /users/me': {
    summary: 'Asks for the account to be deleted',
    description:
      'Every session and token ends at once, and API keys are refused. For 14 days signing in with the password restores the account; then it is erased, with its keys, consents and sign-ins. The last administrator cannot go.',
    auth: 'bearer',
    scope: 'write:profile',
    body: Deletion,
    example: { current_password: 'test123' },
    answers: { 204: { description: 'The account will be erased' } },
    problems: [401, 403, 409, 429],
  },
} satisfies Operations;
