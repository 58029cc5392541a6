import { randomUUID } from 'node:crypto';
import { type Identity, Prisma } from './generated/client.ts';
import { isStorable, type PrismaClient, violatedUnique } from './prisma.ts';
import type { NewUser, User } from './users.ts';

export type { Identity };

/** What a provider says of somebody; the first two name them. */
export type IdentityColumns = Pick<Identity, 'provider' | 'subject' | 'email' | 'emailVerified'> & {
  profile: { name?: string | undefined; picture?: string | undefined; username?: string | undefined };
};

export type Identities = ReturnType<typeof createIdentities>;

export const createIdentities = (prisma: PrismaClient) => {
  const find = async (provider: string, subject: string): Promise<(Identity & { user: User }) | undefined> => {
    if (!isStorable(subject)) return undefined;
    const where = { provider_subject: { provider, subject } };
    return (await prisma.identity.findUnique({ where, include: { user: true } })) ?? undefined;
  };

  return {
    find,

    /** First linked first. */
    list: (userId: string): Promise<Identity[]> =>
      prisma.identity.findMany({ where: { userId }, orderBy: [{ linkedAt: 'asc' }, { id: 'asc' }] }),

    /** Makes a user who signs in by this identity, or neither; which of the two is there already. */
    async signUp(
      { address, ...user }: NewUser,
      identity: IdentityColumns,
    ): Promise<User | 'identity_taken' | 'email_taken' | 'username_taken'> {
      try {
        const [created] = await prisma.$transaction([
          prisma.user.create({ data: { ...user, address: address ?? Prisma.DbNull } }),
          prisma.identity.create({ data: { id: randomUUID(), userId: user.id, ...identity } }),
        ]);
        return created;
      } catch (error) {
        const violated = violatedUnique(error);
        if (violated === undefined) throw error;
        if (violated.includes('subject')) return 'identity_taken';
        return violated.includes('username_key') ? 'username_taken' : 'email_taken';
      }
    },

    /**
     * Links an identity to a user whose address is proven, or does nothing.
     *
     * @param emailKey The address that must be the user's; any when absent.
     */
    async link(
      userId: string,
      { provider, subject, email, emailVerified, profile }: IdentityColumns,
      emailKey?: string,
    ): Promise<'linked' | 'linked_before' | 'identity_taken' | 'unproven'> {
      // One statement: the address may change, or somebody else link it, at any time.
      const count = await prisma.$executeRaw`
        INSERT INTO identities (id, user_id, provider, subject, email, email_verified, profile)
        SELECT ${randomUUID()}::uuid, u.id, ${provider}, ${subject}, ${email}, ${emailVerified}, ${JSON.stringify(profile)}::jsonb
          FROM users u
         WHERE u.id = ${userId}::uuid AND u.email_verified AND u.email_key = COALESCE(${emailKey ?? null}, u.email_key)
        ON CONFLICT (provider, subject) DO NOTHING`;
      if (count > 0) return 'linked';
      const found = await find(provider, subject);
      if (!found) return 'unproven';
      return found.userId === userId ? 'linked_before' : 'identity_taken';
    },

    /** Notes that it was used, and what the provider says now. */
    async used(id: string, { email, emailVerified, profile }: IdentityColumns): Promise<void> {
      await prisma.identity.updateMany({
        where: { id },
        data: { email, emailVerified, profile, lastUsedAt: new Date() },
      });
    },

    /**
     * Takes an identity off its user, unless nothing would be left to sign in with: no password, and no other identity of one of
     * the `usable` providers.
     */
    unlink: (userId: string, id: string, usable: string[]): Promise<Identity | 'last_way_in' | undefined> =>
      prisma.$transaction(async (tx) => {
        // One after the other, so that of the last two each sees whether the other is still there.
        await tx.$queryRaw`SELECT 1 FROM users WHERE id = ${userId}::uuid FOR UPDATE`;
        const user = await tx.user.findUnique({ where: { id: userId }, include: { identities: true } });
        const identity = user?.identities.find((one) => one.id === id);
        if (!user || !identity) return undefined;
        const others = user.identities.filter((one) => one !== identity && usable.includes(one.provider));
        if (user.passwordHash === null && others.length === 0) return 'last_way_in';
        return tx.identity.delete({ where: { id } });
      }),
  };
};
