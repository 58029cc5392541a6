import type { OneTimeToken } from './generated/client.ts';
import { isUniqueViolation, type PrismaClient } from './prisma.ts';
import { notBanned, type User } from './users.ts';

/** What a link in a mail is good for. */
export type Purpose = 'verify_email' | 'change_email' | 'reset_password';

export type NewOneTimeToken = Pick<OneTimeToken, 'tokenHash' | 'userId' | 'email' | 'expiresAt'> & { purpose: Purpose };

/** Whose password was reset, and what was taken out of the account: names of providers, and ids of API keys. */
export type Redeemed = { user: User; providers: string[]; keys: string[] };

export type OneTimeTokens = ReturnType<typeof createOneTimeTokens>;

export const createOneTimeTokens = (prisma: PrismaClient) => {
  const replacing = (token: NewOneTimeToken) => {
    const { userId, purpose } = token;
    return [
      // Two requests at once for one user: one token is the newest.
      prisma.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended(${userId}, 0))::text`,
      prisma.$executeRaw`DELETE FROM one_time_tokens WHERE user_id = ${userId}::uuid AND purpose = ${purpose}`,
      prisma.oneTimeToken.create({ data: token }),
    ];
  };

  const userOf = async (id: string) => (await prisma.user.findUnique({ where: { id } })) ?? undefined;

  return {
    /** Stores a token; the user's older ones for the same purpose end. Costs the same for a token that is nobody's. */
    async replace(token: NewOneTimeToken): Promise<void> {
      await prisma.$transaction(replacing(token));
    },

    /** As `replace`; the address is the user's pending one for as long as the token lives. */
    async replacePending(token: NewOneTimeToken & { userId: string; email: string }): Promise<void> {
      const { userId, email, expiresAt } = token;
      const data = { pendingEmail: email, pendingEmailUntil: expiresAt, updatedAt: new Date() };
      await prisma.$transaction([...replacing(token), prisma.user.updateMany({ where: { id: userId }, data })]);
    },

    /** No change of address is outstanding any more. */
    async clearPending(userId: string): Promise<void> {
      const data = { pendingEmail: null, pendingEmailUntil: null, updatedAt: new Date() };
      await prisma.$transaction([
        prisma.oneTimeToken.deleteMany({ where: { userId, purpose: 'change_email' } }),
        prisma.user.updateMany({ where: { id: userId, pendingEmail: { not: null } }, data }),
      ]);
    },

    /** Whose live token this is, without spending it. */
    async find(
      tokenHash: string,
      purposes: Purpose[],
    ): Promise<{ purpose: string; email: string; user: User } | undefined> {
      const found = await prisma.oneTimeToken.findFirst({
        where: { tokenHash, purpose: { in: purposes }, expiresAt: { gt: new Date() }, user: notBanned() },
        include: { user: true },
      });
      if (!found?.user || found.email === null) return undefined;
      return { purpose: found.purpose, email: found.email, user: found.user };
    },

    /**
     * Spends a reset token for a new password; the address that it was sent to counts as proven. Undefined when the token is
     * not live, or was sent to an address that is no longer the user's. Of any number of redemptions at once, one is done.
     *
     * Whatever else was mailed ends, a change of address included. Where who signs in had not proven the address before, what others
     * may have left in the account goes too: identities of other providers, and API keys.
     *
     * @returns the user, and what has gone.
     */
    redeemReset: (tokenHash: string, passwordHash: string): Promise<Redeemed | undefined> =>
      prisma.$transaction(async (tx) => {
        // First, and by itself: an identity that is being linked at this moment is there for the next statement to see, or comes after it.
        await tx.$queryRaw`
        SELECT 1 FROM users WHERE id = (SELECT user_id FROM one_time_tokens WHERE token_hash = ${tokenHash}) FOR UPDATE`;
        const [changed] = await tx.$queryRaw<{ id: string; providers: string[]; keys: string[] }[]>`
        WITH spent AS (
          DELETE FROM one_time_tokens
           WHERE token_hash = ${tokenHash} AND purpose = 'reset_password' AND expires_at > now() RETURNING user_id, email
        ), holder AS (
          SELECT u.id, u.holder_proven FROM users u JOIN spent ON u.id = spent.user_id AND u.email = spent.email
           WHERE u.banned_at IS NULL OR u.banned_until <= now()
        ), others AS (
          DELETE FROM one_time_tokens o USING holder h WHERE o.user_id = h.id AND o.token_hash <> ${tokenHash}
        ), strangers AS (
          DELETE FROM identities i USING holder h WHERE i.user_id = h.id AND NOT h.holder_proven RETURNING i.provider
        ), strange_keys AS (
          DELETE FROM api_keys k USING holder h WHERE k.user_id = h.id AND NOT h.holder_proven RETURNING k.id::text
        )
        UPDATE users u SET password_hash = ${passwordHash}, email_verified = true, holder_proven = true,
                           credentials_epoch = credentials_epoch + 1,
                           pending_email = NULL, pending_email_until = NULL, updated_at = now()
          FROM spent WHERE u.id = spent.user_id AND u.email = spent.email AND (u.banned_at IS NULL OR u.banned_until <= now())
        RETURNING u.id::text,
                  ARRAY(SELECT provider FROM strangers) AS providers, ARRAY(SELECT id FROM strange_keys) AS keys`;
        const user = changed && (await tx.user.findUnique({ where: { id: changed.id } }));
        return user ? { user, providers: changed.providers, keys: changed.keys } : undefined;
      }),

    /**
     * Spends a token that proves the address of its user. Undefined as for `redeemReset`.
     *
     * @param byHolder Whether who brings it is who signs in to the account.
     */
    async redeemVerification(tokenHash: string, byHolder: boolean): Promise<User | undefined> {
      const [changed] = await prisma.$queryRaw<{ id: string }[]>`
        WITH spent AS (
          DELETE FROM one_time_tokens
           WHERE token_hash = ${tokenHash} AND purpose = 'verify_email' AND expires_at > now() RETURNING user_id, email
        )
        UPDATE users u SET email_verified = true, holder_proven = u.holder_proven OR ${byHolder}, updated_at = now()
          FROM spent WHERE u.id = spent.user_id AND u.email = spent.email AND (u.banned_at IS NULL OR u.banned_until <= now())
        RETURNING u.id::text`;
      return changed && userOf(changed.id);
    },

    /**
     * Spends a token that proves a new address, which takes the former's place; whatever else was mailed to the former ends.
     * 'email_taken', and nothing spent, when somebody else has the address by now.
     *
     * @param emailKey The form uniqueness goes by, of the token's address.
     * @param byHolder As for `redeemVerification`.
     */
    async redeemChange(
      tokenHash: string,
      emailKey: string,
      byHolder: boolean,
    ): Promise<{ user: User; formerEmail: string } | 'email_taken' | undefined> {
      try {
        // Every part sees the rows as they were before the statement: so `former` has the former address.
        const [changed] = await prisma.$queryRaw<{ id: string; formerEmail: string }[]>`
          WITH spent AS (
            DELETE FROM one_time_tokens
             WHERE token_hash = ${tokenHash} AND purpose = 'change_email' AND expires_at > now() RETURNING user_id, email
          ), others AS (
            DELETE FROM one_time_tokens o USING spent WHERE o.user_id = spent.user_id AND o.token_hash <> ${tokenHash}
          )
          UPDATE users u SET email = spent.email, email_key = ${emailKey}, email_verified = true, holder_proven = ${byHolder},
                             pending_email = NULL, pending_email_until = NULL, updated_at = now()
            FROM spent JOIN users former ON former.id = spent.user_id
           WHERE u.id = spent.user_id AND (u.banned_at IS NULL OR u.banned_until <= now())
          RETURNING u.id::text, former.email AS "formerEmail"`;
        const user = changed && (await userOf(changed.id));
        return user && { user, formerEmail: changed.formerEmail };
      } catch (error) {
        if (!isUniqueViolation(error)) throw error;
        return 'email_taken';
      }
    },

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
