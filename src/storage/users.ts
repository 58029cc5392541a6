import { Prisma, type User } from './generated/client.ts';
import { isStorable, type PrismaClient, violatedForeignKey, violatedUnique } from './prisma.ts';

export type { User };

/** The columns a new user starts with; everything else has a default. */
export type NewUser = Omit<UserChanges, 'username' | 'usernameKey'> &
  Pick<User, 'id' | 'email' | 'emailKey' | 'emailVerified' | 'username' | 'usernameKey' | 'passwordHash' | 'role'>;

type Optional<T> = { [K in keyof T]?: T[K] | undefined };

export type UserChanges = Optional<
  Omit<
    User,
    | 'id'
    | 'email'
    | 'emailKey'
    | 'emailVerified'
    | 'passwordHash'
    | 'role'
    | 'bannedAt'
    | 'createdAt'
    | 'updatedAt'
    | 'address'
  >
> & { address?: Record<string, string | undefined> | null | undefined };

export type Users = ReturnType<typeof createUsers>;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const createUsers = (prisma: PrismaClient) => ({
  async findById(id: string): Promise<User | undefined> {
    // The column is a uuid: anything else cannot be there, and PostgreSQL would answer with an error.
    if (!UUID.test(id)) return undefined;
    return (await prisma.user.findUnique({ where: { id } })) ?? undefined;
  },

  /** @param key A normalised email address or username; usernames have no @, so at most one row matches. */
  async findByLogin(key: string): Promise<User | undefined> {
    if (!isStorable(key)) return undefined;
    const where = key.includes('@') ? { emailKey: key } : { usernameKey: key };
    return (await prisma.user.findUnique({ where })) ?? undefined;
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

  async setPasswordHash(emailKey: string, passwordHash: string): Promise<User | undefined> {
    if (!isStorable(emailKey)) return undefined;
    const [user] = await prisma.user.updateManyAndReturn({
      where: { emailKey },
      data: { passwordHash, updatedAt: new Date() },
    });
    return user;
  },
});
