import { z } from 'zod';
import type { Operations } from '../operation.ts';
import * as examples from './examples.ts';
import { Account, anyway, Email, OneTimeToken, Password } from './fields.ts';

export const Registration = z.strictObject({
  email: Email,
  password: Password,
  username: z.string().min(1).max(64).optional(),
});
export const Login = z
  .strictObject({
    email: Email.optional(),
    username: z.string().min(1).max(320).optional().describe('In place of `email`.'),
    password: Password,
  })
  .refine(({ email, username }) => email !== undefined || username !== undefined, {
    path: ['email'],
    message: 'is needed, or username',
    ...anyway,
  })
  .refine(({ email, username }) => email === undefined || username === undefined, {
    path: ['username'],
    message: 'does not go with email',
    ...anyway,
  });
export const Refresh = z.strictObject({ refresh_token: z.string().min(1).max(512) });
export const Logout = z.strictObject({ refresh_token: z.string().min(1).max(512).optional() });
export const Address = z.strictObject({ email: Email });
export const Reset = z.strictObject({ token: OneTimeToken, new_password: Password });
export const Exchange = z.strictObject({
  code: z.string().min(1).max(512),
  code_verifier: z
    .string()
    .regex(/^[\w.~-]{43,128}$/)
    .optional(),
});
export const Verification = z.strictObject({ token: OneTimeToken, password: Password.optional() });

const TokenPair = z.strictObject({
  access_token: z.string(),
  refresh_token: z.string(),
  token_type: z.literal('bearer'),
  expires_in: z.int(),
});

/** The same words whoever the address belongs to, if anybody. */
export const ACCEPTED = { detail: 'If there is such an account, a mail is on its way to it.' } as const;
const Accepted = z.strictObject({ detail: z.literal(ACCEPTED.detail) });

const SAME_FOR_ALL =
  'The answer is the same whether or not there is such an account, and so is the time that it takes.';

export const authOperations = {
  'POST /auth/register': {
    summary: 'Creates an account',
    description: 'A mail with a link that proves the address is sent to it. The account can be used at once.',
    auth: 'none',
    body: Registration,
    example: { email: 'test@optima.ai', password: 'test123', username: 'testuser' },
    throttled: true,
    answers: { 201: { description: 'The account', body: Account, example: examples.account } },
    problems: [409, 429],
  },
  'POST /auth/login': {
    summary: 'Signs in with a password',
    description:
      'Unknown, banned and wrong are refused in the same words and time. Signing in restores an account whose deletion was asked for and is not yet done.',
    auth: 'none',
    body: Login,
    example: { email: 'test@optima.ai', password: 'test123' },
    throttled: true,
    answers: {
      200: { description: 'An access token and a refresh token', body: TokenPair, example: examples.tokenPair },
    },
    problems: [401, 429],
  },
  'POST /auth/exchange': {
    summary: 'Exchanges the code of a sign-in through another provider for tokens',
    description:
      'The code came with the browser from `GET /oauth/{provider}/login?return_to=…`. It works once, within 60 seconds; a second exchange ends what the first one got. Where that request had a `code_challenge`, `code_verifier` is what it was made of; a wrong one spends the code.',
    auth: 'none',
    body: Exchange,
    example: { code: 'dGhl…' },
    answers: {
      200: { description: 'An access token and a refresh token', body: TokenPair, example: examples.tokenPair },
    },
    problems: [429],
  },
  'POST /auth/refresh': {
    summary: 'Exchanges a refresh token for a new pair',
    description:
      'The old refresh token is spent. Tried again shortly after, it gives the same successor; later it ends the sign-in.',
    auth: 'none',
    body: Refresh,
    example: { refresh_token: 'KJn…' },
    throttled: true,
    answers: { 200: { description: 'A new pair', body: TokenPair, example: examples.tokenPair } },
    problems: [401],
  },
  'POST /auth/logout': {
    summary: 'Ends the sign-in that the bearer token belongs to',
    description: 'Access token and refresh token end at once. The refresh token in the body is optional.',
    auth: 'bearer or key',
    body: Logout,
    example: {},
    answers: { 204: { description: 'Signed out' } },
    problems: [401],
  },
  'POST /auth/forgot-password': {
    summary: 'Mails a link to choose a new password',
    description: `The link holds a token for 30 minutes and one use; only the newest one works. ${SAME_FOR_ALL}`,
    auth: 'none',
    body: Address,
    example: { email: 'test@optima.ai' },
    throttled: true,
    answers: { 202: { description: 'Taken up', body: Accepted, example: ACCEPTED } },
    problems: [429],
  },
  'POST /auth/reset-password': {
    summary: 'Sets a new password with a token from a mail',
    description:
      'Ends every session and token of the user; API keys go on, unless who signs in has not proven the address before (`/auth/verify-email`): then they go too, with the sign-ins through other providers, and a mail says so. A change of address that was asked for before is off. A password that is refused leaves the token as it is.',
    auth: 'none',
    body: Reset,
    example: { token: 'dGhl…', new_password: 'correct horse battery' },
    throttled: true,
    answers: { 204: { description: 'The new password holds' } },
    problems: [429],
  },
  'POST /auth/verify-email': {
    summary: 'Proves an address with a token from a mail',
    description:
      'Of a new account, or the new address of an account that asked to change it, which changes now. With the account’s `password` it is known to be one and the same person who chose the password and reads the mail, as the page that the mail leads to asks for: only then is a provider’s word on the address enough to sign in to the account.',
    auth: 'none',
    body: Verification,
    example: { token: 'dGhl…' },
    throttled: true,
    answers: { 204: { description: 'The address is proven' } },
    problems: [401, 409, 429],
  },
  'POST /auth/resend-verification': {
    summary: 'Mails the link that proves an address again',
    description: `The link works for 48 hours; older ones end. ${SAME_FOR_ALL}`,
    auth: 'none',
    body: Address,
    example: { email: 'test@optima.ai' },
    throttled: true,
    answers: { 202: { description: 'Taken up', body: Accepted, example: ACCEPTED } },
    problems: [429],
  },
} satisfies Operations;
