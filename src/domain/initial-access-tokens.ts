import { randomUUID } from 'node:crypto';
import type { InitialAccessToken } from '../storage/initial-access-tokens.ts';
import type { Stores } from '../storage/stores.ts';
import type { Audit } from './audit.ts';
import { DomainError } from './errors.ts';
import { randomSecret, sha256 } from './secrets.ts';

/** Live and spent ones together; the latter are swept. */
const MOST = 1_000;

export type ShownInitialAccessToken = Omit<InitialAccessToken, 'tokenHash'>;

export type InitialAccessTokens = ReturnType<typeof createInitialAccessTokens>;

/** What lets somebody register clients (RFC 7591 §3): so many of them, for so long. */
export const createInitialAccessTokens = (
  { initialAccessTokens: tokens, atomically }: Pick<Stores, 'initialAccessTokens' | 'atomically'>,
  audit: Audit,
) => {
  const shown = ({ tokenHash: _, ...token }: InitialAccessToken): ShownInitialAccessToken => token;

  return {
    /**
     * @param uses How many clients it registers.
     * @returns the token with its value, which is stored hashed and cannot be shown again.
     * @throws {DomainError} `too_many_initial_access_tokens`.
     */
    create: (
      { name, uses, expiresInSeconds }: { name: string; uses: number; expiresInSeconds: number },
      createdBy: string | null,
    ): Promise<ShownInitialAccessToken & { value: string }> =>
      atomically(async () => {
        if ((await tokens.count()) >= MOST)
          throw new DomainError('too_many_initial_access_tokens', `there are ${MOST} already: revoke some first`);
        const value = `uai_${randomSecret(32)}`;
        const token = await tokens.create({
          id: randomUUID(),
          name,
          tokenHash: sha256(value),
          usesLeft: uses,
          createdBy,
          expiresAt: new Date(Date.now() + expiresInSeconds * 1000),
        });
        const details = { name, uses, expires_at: token.expiresAt.toISOString() };
        await audit.record({ type: 'initial_access_token.created', target: token.id, details });
        return { ...shown(token), value };
      }),

    /** Newest first. */
    list: async (): Promise<ShownInitialAccessToken[]> => (await tokens.list(MOST)).map(shown),

    /** @throws {DomainError} `unknown_initial_access_token`. */
    revoke: (id: string): Promise<void> =>
      atomically(async () => {
        const removed = await tokens.remove(id);
        if (!removed) throw new DomainError('unknown_initial_access_token', 'there is no such initial access token');
        await audit.record({ type: 'initial_access_token.revoked', target: id, details: { name: removed.name } });
      }),

    isLive: (value: string): Promise<boolean> => tokens.isLive(sha256(value)),

    /** Takes one use of it. @returns its id, or undefined when it is not live. */
    spend: (value: string): Promise<string | undefined> => tokens.spend(sha256(value)),

    sweep: (): Promise<void> => tokens.sweep(),
  };
};
