import type { InitialAccessToken } from './generated/client.ts';
import type { PrismaClient } from './prisma.ts';

export type { InitialAccessToken };
export type NewInitialAccessToken = Pick<
  InitialAccessToken,
  'id' | 'name' | 'tokenHash' | 'usesLeft' | 'createdBy' | 'expiresAt'
>;

export type InitialAccessTokens = ReturnType<typeof createInitialAccessTokens>;

export const createInitialAccessTokens = (prisma: PrismaClient) => ({
  create: (token: NewInitialAccessToken): Promise<InitialAccessToken> =>
    prisma.initialAccessToken.create({ data: token }),

  /** Newest first; those that are spent or expired too. */
  list: (limit: number): Promise<InitialAccessToken[]> =>
    prisma.initialAccessToken.findMany({ orderBy: [{ createdAt: 'desc' }, { id: 'desc' }], take: limit }),

  count: (): Promise<number> => prisma.initialAccessToken.count(),

  /** Takes one use of a live token; its id, or undefined when it is not live. Of two at once for the last use, one gets it. */
  async spend(tokenHash: string): Promise<string | undefined> {
    const [row] = await prisma.$queryRaw<{ id: string }[]>`
      UPDATE initial_access_tokens SET uses_left = uses_left - 1, last_used_at = now()
       WHERE token_hash = ${tokenHash} AND uses_left > 0 AND expires_at > now() RETURNING id`;
    return row?.id;
  },

  async isLive(tokenHash: string): Promise<boolean> {
    const found = await prisma.initialAccessToken.findFirst({
      where: { tokenHash, usesLeft: { gt: 0 }, expiresAt: { gt: new Date() } },
    });
    return found !== null;
  },

  async remove(id: string): Promise<InitialAccessToken | undefined> {
    const [row] = await prisma.$queryRaw<InitialAccessToken[]>`
      DELETE FROM initial_access_tokens WHERE id = ${id}::uuid
      RETURNING id, name, token_hash AS "tokenHash", uses_left AS "usesLeft", created_by AS "createdBy",
                created_at AS "createdAt", expires_at AS "expiresAt", last_used_at AS "lastUsedAt"`;
    return row;
  },

  /** Removes what has been of no use for a month. */
  async sweep(): Promise<void> {
    await prisma.$executeRaw`
      DELETE FROM initial_access_tokens
       WHERE expires_at < now() - interval '30 days' OR (uses_left = 0 AND last_used_at < now() - interval '30 days')`;
  },
});
