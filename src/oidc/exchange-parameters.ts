import { errors } from 'oidc-provider';
import { z } from 'zod';

export const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
export const JWT = 'urn:ietf:params:oauth:token-type:jwt';

/** What a token exchange asks for (RFC 8693 §2.1), by the names that the engine lets through. */
export const TOKEN_EXCHANGE_PARAMETERS = [
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'resource',
  'audience',
  'scope',
];

const Parameters = z.object({
  subject_token: z.string().min(1).max(16_000),
  subject_token_type: z.enum([ACCESS_TOKEN, JWT]),
  actor_token: z.string().min(1).max(16_000).optional(),
  actor_token_type: z.enum([ACCESS_TOKEN, JWT]).optional(),
  requested_token_type: z.enum([ACCESS_TOKEN, JWT]).default(ACCESS_TOKEN),
  resource: z.string().min(1).max(1000).optional(),
  audience: z.string().min(1).max(1000).optional(),
  scope: z.string().max(4000).optional(),
});

export type ExchangeParameters = z.infer<typeof Parameters>;

/** What may be there more than once. */
export const TARGETS = ['resource', 'audience'];

export const parametersOf = (params: Record<string, unknown>): ExchangeParameters => {
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined && value !== null));
  // RFC 8693 §2.1 lets a client name several; a token is for one (§2.2.2).
  if (TARGETS.some((name) => Array.isArray(given[name]))) throw new errors.InvalidTarget('one target at a time');
  const parsed = Parameters.safeParse(given);
  if (!parsed.success) {
    const [name = 'request'] = parsed.error.issues[0]?.path ?? [];
    throw new errors.InvalidRequest(`${String(name)} is missing or not supported`);
  }
  const { actor_token, actor_token_type } = parsed.data;
  // RFC 8693 §2.1: the one with the other, and not without.
  if ((actor_token === undefined) !== (actor_token_type === undefined))
    throw new errors.InvalidRequest('actor_token and actor_token_type come together');
  return parsed.data;
};
