// What administrators do with other people's accounts.
import type { UserFilter, UserOrder, UserPage, UserPosition, UserSearch } from '../storage/user-search.ts';
import { keyOf } from './accounts.ts';

export type { UserOrder, UserPosition };

export type ListedBy = Omit<UserFilter, 'prefix' | 'hasPassword'> & {
  /** How the email address, the username or the id begins, in any letter case. */
  search?: string | undefined;
  /** What they can sign in with: 'password', or 'none' for nothing at all. */
  provider?: string | undefined;
};

export type Administration = ReturnType<typeof createAdministration>;

export const createAdministration = (search: UserSearch) => ({
  /** @param after A place that an earlier page of the same list gave. */
  async list(by: ListedBy, order: UserOrder, after: UserPosition | undefined, limit: number): Promise<UserPage> {
    const { search: text, provider, ...filter } = by;
    // Nobody has signed in through any other yet.
    if (provider !== undefined && provider !== 'password' && provider !== 'none')
      return { users: [], next: undefined, total: 0, isEstimate: false };
    const hasPassword = provider === undefined ? undefined : provider === 'password';
    const prefix = text === undefined ? undefined : keyOf(text);
    return search.list({ ...filter, hasPassword, prefix }, order, after, limit);
  },
});
