import type { OneTimeTokens as Store } from '../storage/one-time-tokens.ts';
import { randomSecret, sha256 } from './secrets.ts';

/** What a mailed link is good for. */
export type TokenPurpose = 'reset_password' | 'invitation';

export type OneTimeTokens = ReturnType<typeof createOneTimeTokens>;

/** What links in mails carry: 256 random bits, good for one purpose, once, for a while. */
export const createOneTimeTokens = (store: Store) => ({
  /**
   * A new token; an older one of the same purpose and user ends.
   *
   * @param email The address that the token proves, where it proves one.
   */
  async issue(purpose: TokenPurpose, userId: string, ttlSeconds: number, email?: string): Promise<string> {
    const token = randomSecret();
    const expiresAt = new Date(Date.now() + ttlSeconds * 1000);
    await store.replace({ tokenHash: sha256(token), purpose, userId, email: email ?? null, expiresAt });
    return token;
  },
});
