import { ADMIN, anyAdmin, lockAdmins } from './administrators.ts';
import { Prisma, type User } from './generated/client.ts';
import { isStorable, type PrismaClient, violatedForeignKey, violatedUnique } from './prisma.ts';
import type { UserRead } from './user-read.ts';

export type { User };

/** The columns a new user starts with; everything else has a default. */
export type NewUser = Omit<UserChanges, 'username' | 'usernameKey'> &
  Pick<
    User,
    | 'id'
    | 'email'
    | 'emailKey'
    | 'emailVerified'
    | 'holderProven'
    | 'username'
    | 'usernameKey'
    | 'passwordHash'
    | 'role'
  >;

type Optional<T> = { [K in keyof T]?: T[K] | undefined };

export type UserChanges = Optional<
  Omit<
    User,
    | 'id'
    | 'email'
    | 'emailKey'
    | 'emailVerified'
    | 'holderProven'
    | 'passwordHash'
    | 'credentialsEpoch'
    | 'role'
    | 'bannedAt'
    | 'createdAt'
    | 'updatedAt'
    | 'address'
  >
> & { address?: Record<string, string | undefined> | null | undefined };

export type Users = ReturnType<typeof createUsers>;

/** Whose ban, if there was one, is over. */
export const notBanned = () => ({ OR: [{ bannedAt: null }, { bannedUntil: { lte: new Date() } }] });

/** Whatever was verified before, and is under way, is worth nothing from now on. */
export const SIGN_INS_ENDED = { credentialsEpoch: { increment: 1 } } as const;

/** Thrown inside a transaction to undo it. */
class LastAdmin extends Error {}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const createUsers = (prisma: PrismaClient, read: UserRead) => ({
  async findById(id: string): Promise<User | undefined> {
    // The column is a uuid: anything else cannot be there, and PostgreSQL would answer with an error.
    if (!UUID.test(id)) return undefined;
    return read('id', id);
  },

  /** @param key A normalised email address or username; usernames have no @, so at most one row matches. */
  async findByLogin(key: string): Promise<User | undefined> {
    if (!isStorable(key)) return undefined;
    return read(key.includes('@') ? 'emailKey' : 'usernameKey', key);
  },

  /** The new row, or which unique value somebody else already has, or that there is no such role. */
  async create({ address, ...columns }: NewUser): Promise<User | 'email_taken' | 'username_taken' | 'unknown_role'> {
    try {
      return await prisma.user.create({ data: { ...columns, address: address ?? Prisma.DbNull } });
    } catch (error) {
      if (violatedForeignKey(error)) return 'unknown_role';
      const violated = violatedUnique(error);
      if (violated === undefined) throw error;
      return violated.includes('username_key') ? 'username_taken' : 'email_taken';
    }
  },

  /**
   * Puts a chosen password in place of the one whose hash is `before`; false when that is not the hash any more. Links that were mailed
   * for another password or another address end with the old one: whoever asked for them may have known it.
   */
  choosePassword: (id: string, before: string | null, after: string): Promise<boolean> =>
    prisma.$transaction(async (tx) => {
      const { count } = await tx.user.updateMany({
        where: { id, passwordHash: before },
        data: {
          passwordHash: after,
          ...SIGN_INS_ENDED,
          pendingEmail: null,
          pendingEmailUntil: null,
          updatedAt: new Date(),
        },
      });
      if (count > 0)
        await tx.oneTimeToken.deleteMany({
          where: { userId: id, purpose: { in: ['reset_password', 'change_email'] } },
        });
      return count > 0;
    }),

  /** Changes the hash only while it is still `before`; false when it is not. */
  async replacePasswordHash(id: string, before: string | null, after: string): Promise<boolean> {
    const { count } = await prisma.user.updateMany({
      where: { id, passwordHash: before },
      data: { passwordHash: after },
    });
    return count > 0;
  },

  /** What is undefined stays. Undefined when there is no such user. */
  async update(id: string, { address, ...columns }: UserChanges): Promise<User | 'username_taken' | undefined> {
    try {
      const [user] = await prisma.user.updateManyAndReturn({
        where: { id },
        data: {
          ...columns,
          ...(address !== undefined && { address: address ?? Prisma.DbNull }),
          updatedAt: new Date(),
        },
      });
      return user;
    } catch (error) {
      if (violatedUnique(error) === undefined) throw error;
      return 'username_taken';
    }
  },

  /**
   * Sets when the account is erased. Undefined when there is no such user or it is set already; 'last_admin', and nothing
   * changed, when nobody who can administer would be left.
   */
  async scheduleErasure(id: string, eraseAfter: Date): Promise<User | 'last_admin' | undefined> {
    try {
      return await prisma.$transaction(async (tx) => {
        // The roles before the users, as administration locks them: the other way round two could wait for each other.
        const before = await tx.user.findUnique({ where: { id }, select: { role: true } });
        if (before?.role === ADMIN) await lockAdmins(tx);
        const [user] = await tx.user.updateManyAndReturn({
          where: { id, eraseAfter: null },
          data: { eraseAfter, ...SIGN_INS_ENDED, updatedAt: new Date() },
        });
        if (user?.role === ADMIN && !(await anyAdmin(tx))) throw new LastAdmin();
        return user;
      });
    } catch (error) {
      if (error instanceof LastAdmin) return 'last_admin';
      throw error;
    }
  },

  /** Ends what was verified until now, sign-ins under way included. False when there is no such user. */
  async endSignIns(id: string): Promise<boolean> {
    return (await prisma.user.updateMany({ where: { id }, data: SIGN_INS_ENDED })).count > 0;
  },

  /** Undefined when the account is not waiting to be erased, or its time is over. */
  async cancelErasure(id: string): Promise<User | undefined> {
    const [user] = await prisma.user.updateManyAndReturn({
      where: { id, eraseAfter: { gt: new Date() } },
      data: { eraseAfter: null, updatedAt: new Date() },
    });
    return user;
  },

  /** The ids of accounts whose time is over, the longest over first. */
  async dueForErasure(limit: number): Promise<string[]> {
    const due = await prisma.user.findMany({
      where: { eraseAfter: { lte: new Date() } },
      select: { id: true },
      orderBy: { eraseAfter: 'asc' },
      take: limit,
    });
    return due.map(({ id }) => id);
  },

  /** Deletes the row, and all that refers to it, where its time is over. False when somebody else was faster. */
  async erase(id: string): Promise<boolean> {
    return (await prisma.user.deleteMany({ where: { id, eraseAfter: { lte: new Date() } } })).count > 0;
  },

  async setPasswordHash(emailKey: string, passwordHash: string): Promise<User | undefined> {
    if (!isStorable(emailKey)) return undefined;
    return prisma.$transaction(async (tx) => {
      const [user] = await tx.user.updateManyAndReturn({
        where: { emailKey },
        data: {
          passwordHash,
          ...SIGN_INS_ENDED,
          pendingEmail: null,
          pendingEmailUntil: null,
          updatedAt: new Date(),
        },
      });
      if (user) await tx.oneTimeToken.deleteMany({ where: { userId: user.id } });
      return user;
    });
  },
});
