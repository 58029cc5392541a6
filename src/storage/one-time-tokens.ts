import type { OneTimeToken } from './generated/client.ts';
import type { PrismaClient } from './prisma.ts';
import type { User } from './users.ts';

/** What a link in a mail is good for. */
export type Purpose = 'verify_email' | 'reset_password';

export type NewOneTimeToken = Pick<OneTimeToken, 'tokenHash' | 'userId' | 'email' | 'expiresAt'> & { purpose: Purpose };

export type OneTimeTokens = ReturnType<typeof createOneTimeTokens>;

export const createOneTimeTokens = (prisma: PrismaClient) => {
  /** Of any number of redemptions at once, one is given the row. */
  const spend = async (tx: Tx, tokenHash: string, purposes: Purpose[]) => {
    const [spent] = await tx.$queryRaw<{ purpose: Purpose; userId: string; email: string }[]>`
      DELETE FROM one_time_tokens
       WHERE token_hash = ${tokenHash} AND purpose = ANY (${purposes}) AND expires_at > now() AND user_id IS NOT NULL
      RETURNING purpose, user_id AS "userId", email`;
    return spent;
  };

  return {
    /** Stores a token; the user's older ones for the same purpose end. Costs the same for a token that is nobody's. */
    async replace(token: NewOneTimeToken): Promise<void> {
      const { userId, purpose } = token;
      await prisma.$transaction([
        // Two requests at once for one user: one token is the newest.
        prisma.$queryRaw`SELECT 1 FROM users WHERE id = ${userId}::uuid FOR UPDATE`,
        prisma.$executeRaw`DELETE FROM one_time_tokens WHERE user_id = ${userId}::uuid AND purpose = ${purpose}`,
        prisma.oneTimeToken.create({ data: token }),
      ]);
    },

    /** Whose live token this is, without spending it. */
    async find(
      tokenHash: string,
      purposes: Purpose[],
    ): Promise<{ purpose: string; email: string; user: User } | undefined> {
      const found = await prisma.oneTimeToken.findFirst({
        where: { tokenHash, purpose: { in: purposes }, expiresAt: { gt: new Date() }, user: { bannedAt: null } },
        include: { user: true },
      });
      if (!found?.user || found.email === null) return undefined;
      return { purpose: found.purpose, email: found.email, user: found.user };
    },

    /**
     * Spends a reset token for a new password; the address that it was sent to counts as proven. Undefined when the token is
     * not live, or was sent to an address that is no longer the user's.
     */
    redeemReset: (tokenHash: string, passwordHash: string): Promise<User | undefined> =>
      prisma.$transaction(async (tx) => {
        const spent = await spend(tx, tokenHash, ['reset_password']);
        if (!spent) return undefined;
        const [user] = await tx.user.updateManyAndReturn({
          where: { id: spent.userId, email: spent.email, bannedAt: null },
          data: { passwordHash, emailVerified: true, updatedAt: new Date() },
        });
        return user;
      }),

    /** Spends a token that proves an address. Undefined as for `redeemReset`. */
    redeemVerification: (tokenHash: string): Promise<User | undefined> =>
      prisma.$transaction(async (tx) => {
        const spent = await spend(tx, tokenHash, ['verify_email']);
        if (!spent) return undefined;
        const [user] = await tx.user.updateManyAndReturn({
          where: { id: spent.userId, email: spent.email, bannedAt: null },
          data: { emailVerified: true, updatedAt: new Date() },
        });
        return user;
      }),

    /** What is outstanding for a user. */
    listOf: (userId: string): Promise<Pick<OneTimeToken, 'purpose' | 'email' | 'createdAt' | 'expiresAt'>[]> =>
      prisma.oneTimeToken.findMany({
        where: { userId, expiresAt: { gt: new Date() } },
        select: { purpose: true, email: true, createdAt: true, expiresAt: true },
        orderBy: { createdAt: 'desc' },
      }),

    /** Deletes expired tokens. @returns how many; `limit` of them means that there may be more. */
    sweep: (limit: number): Promise<number> =>
      prisma.$executeRaw`
        WITH expired AS MATERIALIZED (
          SELECT token_hash FROM one_time_tokens WHERE expires_at <= now() LIMIT ${limit} FOR UPDATE SKIP LOCKED
        )
        DELETE FROM one_time_tokens o USING expired e WHERE o.token_hash = e.token_hash`,
  };
};

type Tx = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0];
