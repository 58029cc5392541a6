import { ADMIN, anyAdmin, lockAdmins } from './administrators.ts';
import { REMOVE_BY_ACCOUNT } from './artifacts-postgres.ts';
import { Prisma } from './generated/client.ts';
import { type PrismaClient, type Tx, violatedForeignKey, violatedUnique } from './prisma.ts';
import { STATUS } from './user-filter.ts';
import { SIGN_INS_ENDED, type User, type UserChanges } from './users.ts';

type Optional<T> = { [K in keyof T]?: T[K] | undefined };

/** Everything about a user that an administrator may set. */
export type AdministeredColumns = UserChanges &
  Optional<Pick<User, 'email' | 'emailKey' | 'emailVerified' | 'holderProven' | 'role' | 'bannedAt'>>;

/** What belongs to a user and ends with a change, in the same transaction. */
export type Ended = 'artifacts' | 'apiKeys' | 'oneTimeTokens';

/** Why nothing was changed. */
export type Unchanged = 'last_admin' | 'email_taken' | 'username_taken' | 'unknown_role';

/** Undoes a transaction. */
class WouldBeLast extends Error {}

export type AdministrationStore = ReturnType<typeof createAdministrationStore>;

/** Changes to users that have to leave an administrator behind, who is neither banned nor about to be erased. */
export const createAdministrationStore = (prisma: PrismaClient) => {
  const guarded = async <T>(
    id: string,
    act: (tx: Tx, before: User) => Promise<T>,
  ): Promise<T | Unchanged | undefined> => {
    try {
      return await prisma.$transaction(async (tx) => {
        await lockAdmins(tx);
        await tx.$queryRaw`SELECT 1 FROM users WHERE id = ${id}::uuid FOR UPDATE`;
        const before = await tx.user.findUnique({ where: { id } });
        if (!before) return undefined;
        const watched = before.role === ADMIN && (await anyAdmin(tx));
        const done = await act(tx, before);
        if (watched && !(await anyAdmin(tx))) throw new WouldBeLast();
        return done;
      });
    } catch (error) {
      if (error instanceof WouldBeLast) return 'last_admin';
      if (violatedForeignKey(error)) return 'unknown_role';
      const unique = violatedUnique(error);
      if (unique === undefined) throw error;
      return unique.includes('username_key') ? 'username_taken' : 'email_taken';
    }
  };

  const end: Record<Ended, (tx: Tx, userId: string) => Promise<unknown>> = {
    artifacts: (tx, userId) => tx.$executeRawUnsafe(REMOVE_BY_ACCOUNT, userId),
    apiKeys: (tx, userId) => tx.apiKey.deleteMany({ where: { userId } }),
    oneTimeTokens: (tx, userId) => tx.oneTimeToken.deleteMany({ where: { userId } }),
  };

  return {
    /**
     * Changes a user, and ends what `decide` says along with it: all or nothing. What is undefined stays.
     *
     * @param id A uuid.
     * @param decide Is given the row as it is, locked.
     * @returns undefined when there is no such user.
     */
    change: (
      id: string,
      decide: (before: User) => { columns: AdministeredColumns; ended?: Ended[] },
    ): Promise<{ before: User; after: User } | Unchanged | undefined> =>
      guarded(id, async (tx, before) => {
        const { columns, ended = [] } = decide(before);
        const { address, ...plain } = columns;
        const after = await tx.user.update({
          where: { id },
          data: {
            ...plain,
            ...(ended.includes('artifacts') && SIGN_INS_ENDED),
            // The link that would have proven it is among them.
            ...(ended.includes('oneTimeTokens') && { pendingEmail: null, pendingEmailUntil: null }),
            ...(address !== undefined && { address: address ?? Prisma.DbNull }),
            updatedAt: new Date(),
          },
        });
        for (const one of ended) await end[one](tx, id);
        return { before, after };
      }),

    /** Whether nobody else is an administrator who is neither banned nor about to be erased. @param id A uuid. */
    async isLastAdministrator(id: string): Promise<boolean> {
      const found = await prisma.$queryRaw<{ id: string }[]>`
        SELECT id FROM users WHERE role = 'admin' AND ${Prisma.raw(STATUS.active)} LIMIT 2`;
      return found.length === 1 && found[0]?.id === id;
    },

    /** Deletes a user, with everything of theirs in this database. @param id A uuid. */
    erase: (id: string): Promise<User | Unchanged | undefined> =>
      guarded(id, async (tx, before) => {
        await end.artifacts(tx, id);
        await tx.user.delete({ where: { id } });
        return before;
      }),
  };
};
