import type { Configuration } from 'oidc-provider';
import type { Accounts } from '../domain/accounts.ts';
import { claimsOf } from '../domain/claims.ts';

type FindAccount = NonNullable<Configuration['findAccount']>;

/** The engine's view of an account; a banned or deleted one is not there. */
export const createFindAccount =
  (accounts: Accounts): FindAccount =>
  async (_ctx, id) => {
    const user = await accounts.find(id);
    return user && { accountId: user.id, claims: async () => claimsOf(user) };
  };
