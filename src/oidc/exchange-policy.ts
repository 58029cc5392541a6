import { z } from 'zod';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** What a client may exchange, which an administrator says in its metadata (`token_exchange`). Nothing is, unless it is said. */
export const ExchangePolicy = z.strictObject({
  /** Identifiers of the APIs that it may have tokens for. */
  resources: z.array(z.string().min(1).max(1000)).min(1).max(50),
  /** Whether it may have a token that does not say who acts. */
  impersonation: z.boolean().default(false),
});

/** Who alone may act for the people whose tokens a client is given (`may_act`, RFC 8693 §4.4): all that is said of them holds. */
export const MayAct = z
  .strictObject({ sub: z.string().min(1).max(200).optional(), client_id: z.string().min(1).max(512).optional() })
  .refine(({ sub, client_id }) => (sub ?? client_id) !== undefined, 'names nobody');
