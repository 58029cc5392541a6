import type { OneTimeToken } from './generated/client.ts';
import type { PrismaClient } from './prisma.ts';

export type { OneTimeToken };

export type OneTimeTokens = ReturnType<typeof createOneTimeTokens>;

export const createOneTimeTokens = (prisma: PrismaClient) => ({
  /** Adds a token; those of the same purpose and user that came before are gone. */
  async replace(token: Omit<OneTimeToken, 'createdAt'>): Promise<void> {
    const { purpose, userId } = token;
    await prisma.$transaction([
      ...(userId === null ? [] : [prisma.oneTimeToken.deleteMany({ where: { purpose, userId } })]),
      prisma.oneTimeToken.create({ data: token }),
    ]);
  },
});
