// The administration of users: what its routes take and answer.
import { z } from 'zod';
import type { Operations } from '../operation.ts';
import { Moment, PageQuery, QueryText } from '../page-query.ts';
import { profileFields } from '../profile-fields.ts';
import * as examples from './examples.ts';
import { NoBody, Password, words } from './fields.ts';

export const UserListQuery = z.strictObject({
  q: QueryText.optional().describe(
    'How the email address, the username or the id begins, in any letter case. % and _ are themselves.',
  ),
  status: z.enum(['active', 'banned', 'pending_deletion']).optional(),
  role: QueryText.optional(),
  provider: QueryText.optional().describe(
    'What they can sign in with: `password`, a provider such as `google`, or `none` for nothing at all.',
  ),
  email_verified: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional(),
  created_from: Moment.optional(),
  created_to: Moment.optional().describe('Not included.'),
  sort: z
    .enum(['created_at', '-created_at', 'email', '-email', 'username', '-username'])
    .default('-created_at')
    .describe(
      'With a hyphen: downwards. Names go by code points; who has no username comes before everybody who has one.',
    ),
  ...PageQuery,
});

const text = z.string().optional();

export const AdministeredUser = z
  .strictObject({
    id: z.uuid(),
    email: z.string(),
    username: z.string().nullable(),
    role: z.string(),
    is_active: z.boolean(),
    name: text,
    given_name: text,
    family_name: text,
    middle_name: text,
    nickname: text,
    profile: text,
    picture: text,
    website: text,
    gender: text,
    birthdate: text,
    zoneinfo: text,
    locale: text,
    email_verified: z.boolean(),
    pending_email: text.describe('Has been asked for, and not proven yet.'),
    phone_number: text,
    phone_number_verified: z.boolean().optional(),
    address: z.record(z.string(), z.string()).optional(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    status: z.enum(['active', 'banned', 'pending_deletion']),
    banned_at: z.iso.datetime().nullable(),
    banned_until: z.iso.datetime().nullable().describe('Null for a banned user: until further notice.'),
    ban_reason: z.string().nullable(),
    erase_after: z.iso.datetime().nullable(),
    has_password: z.boolean(),
  })
  .meta({ id: 'AdministeredUser' });

export const UserList = z.strictObject({
  items: z.array(AdministeredUser),
  next_cursor: z.string().nullable(),
  total: z.int(),
  total_is_estimate: z.boolean(),
});

const email = z.string().trim().min(1).max(320);
const role = words(64).min(1);

export const NewUser = z.strictObject({
  username: z.string().min(1).max(64).optional(),
  ...profileFields,
  email,
  password: Password.optional(),
  role: role.optional(),
  email_verified: z.boolean().optional(),
});

export const UserChanges = z.strictObject({
  ...profileFields,
  username: z.string().min(1).max(64).nullable().optional(),
  email: email.optional(),
  role: role.optional(),
  email_verified: z.boolean().optional(),
});

export const Ban = z.strictObject({
  reason: words(500).min(1),
  until: Moment.refine((moment) => !(Date.parse(moment) <= Date.now()), 'must be in the future').optional(),
});

const auth = 'bearer or key';
const read = { auth, scope: 'read:users' } as const;
const write = { auth, scope: 'write:users' } as const;
const user = (description: string, example: object = examples.administered) => ({
  description,
  body: AdministeredUser,
  example,
});

export const adminUsersOperations = {
  'GET /admin/users': {
    summary: 'List users',
    description:
      'All filters that are given have to hold. Pages are stable while users come and go: nobody is shown twice or left out for it. Go on with `next_cursor` until it is null: a page can be short, or even empty, ' +
      'and not be the last, when few fit among very many. `total` is exact up to 10,000, and otherwise an estimate of the database; `total_is_estimate` says so.',
    ...read,
    query: UserListQuery,
    answers: { 200: { description: 'A page of users.', body: UserList, example: examples.users } },
    problems: [422],
  },
  'POST /admin/users': {
    summary: 'Create or invite a user',
    description:
      'Without a password the person is invited: a mail brings a link, good for seven days, to choose one. With `write:users` an API key can make administrators as well, within what its owner’s role permits.',
    ...write,
    body: NewUser,
    example: { email: 'ada@example.com', name: 'Ada Lovelace', role: 'user' },
    answers: { 201: user('The new user.') },
    problems: [403, 409, 422],
  },
  'GET /admin/users/:id': {
    summary: 'Show a user',
    ...read,
    answers: { 200: user('The user.') },
    problems: [404],
  },
  'PUT /admin/users/:id': {
    summary: 'Change a user',
    description:
      'What is absent stays, null clears. A new email address takes effect at once, counts as unverified unless `email_verified` says otherwise, ends links that were mailed to the old one, and is told to both.',
    ...write,
    body: UserChanges,
    example: { role: 'admin' },
    answers: { 200: user('The user as changed.') },
    problems: [403, 404, 409, 422],
  },
  'DELETE /admin/users/:id': {
    summary: 'Erase a user at once',
    description:
      'Ends everything they are signed in with, then erases them with their keys and consents. There is no way back.',
    ...write,
    answers: { 204: { description: 'Erased.' } },
    problems: [403, 404, 409],
  },
  'POST /admin/users/:id/ban': {
    summary: 'Ban a user',
    description:
      'Ends their sessions, grants and tokens and deletes their API keys and mailed links, all at once; none of these come back when the ban ends. Until then they cannot sign in. Banning a banned user changes the reason and the end. ' +
      'After a 503 the ban holds already; repeat the request to be sure that everything has ended.',
    ...write,
    body: Ban,
    example: { reason: 'spam', until: '2030-01-01T00:00:00Z' },
    answers: { 200: user('The banned user.', examples.banned) },
    problems: [403, 404, 409, 422],
  },
  'POST /admin/users/:id/unban': {
    summary: 'Lift a ban',
    ...write,
    body: NoBody,
    answers: { 200: user('The user, who can sign in again.') },
    problems: [403, 404, 422],
  },
  'POST /admin/users/:id/sign-out': {
    summary: 'Sign a user out everywhere',
    description: 'Ends all their sessions, grants and tokens. API keys stay.',
    ...write,
    body: NoBody,
    answers: { 204: { description: 'Signed out.' } },
    problems: [403, 404, 422],
  },
  'POST /admin/users/:id/password-reset': {
    summary: 'Mail a link to set a new password',
    description: 'Good once, for 30 minutes; an older link ends.',
    ...write,
    body: NoBody,
    answers: { 202: { description: 'The mail is on its way.', body: NoBody, example: {} } },
    problems: [403, 404, 409, 422],
  },
} satisfies Operations;
