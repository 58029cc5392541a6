import { randomUUID } from 'node:crypto';
import { type Identity, Prisma, type RemovedIdentity } from './generated/client.ts';
import { isStorable, type PrismaClient, violatedUnique } from './prisma.ts';
import { type NewUser, SIGN_INS_ENDED, type User } from './users.ts';

export type { Identity };

/** What a provider says of somebody; the first three name them. */
export type IdentityColumns = Pick<Identity, 'provider' | 'issuer' | 'subject' | 'email' | 'emailVerified'> & {
  profile: { name?: string | undefined; picture?: string | undefined; username?: string | undefined };
};

export type Identities = ReturnType<typeof createIdentities>;

/** A provider that is set up: its name here, and whom that stands for. */
export type IssuerOfProvider = { id: string; issuer: string };

const isUsable = ({ provider, issuer }: Identity, usable: IssuerOfProvider[]): boolean =>
  usable.some((one) => one.id === provider && (issuer === '' || issuer === one.issuer));

export const createIdentities = (prisma: PrismaClient) => {
  const find = async (
    { provider, issuer, subject }: Pick<Identity, 'provider' | 'issuer' | 'subject'>,
    by: Pick<PrismaClient, 'identity'> = prisma,
  ): Promise<(Identity & { user: User }) | undefined> => {
    if (!isStorable(subject)) return undefined;
    const of = (named: string) => ({ provider_issuer_subject: { provider, issuer: named, subject } });
    const include = { user: true };
    const found = await by.identity.findUnique({ where: of(issuer), include });
    if (found) return found;
    // Linked by a process that knew of no issuers yet.
    const unnamed = await by.identity.findUnique({ where: of(''), include });
    if (!unnamed) return undefined;
    await by.identity.updateMany({ where: { id: unnamed.id, issuer: '' }, data: { issuer } });
    return { ...unnamed, issuer };
  };

  return {
    find: (identity: Pick<Identity, 'provider' | 'issuer' | 'subject'>) => find(identity),

    /** Identities from before issuers were kept: their providers' names stand for whom they stand for now, from now on. */
    async nameIssuers(providers: IssuerOfProvider[]): Promise<void> {
      for (const { id: provider, issuer } of providers)
        await prisma.$executeRaw`
          UPDATE identities i SET issuer = ${issuer} WHERE i.provider = ${provider} AND i.issuer = ''
             AND NOT EXISTS (SELECT 1 FROM identities o
                              WHERE o.provider = i.provider AND o.issuer = ${issuer} AND o.subject = i.subject)`;
    },

    /** First linked first. */
    list: (userId: string): Promise<Identity[]> =>
      prisma.identity.findMany({ where: { userId }, orderBy: [{ linkedAt: 'asc' }, { id: 'asc' }] }),

    /** What the user has taken off their account, as it is remembered. */
    listRemoved: (userId: string): Promise<RemovedIdentity[]> =>
      prisma.removedIdentity.findMany({ where: { userId }, orderBy: { removedAt: 'asc' } }),

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
     * @param holder As they were read when they showed who they are: where their sign-ins were ended since, or they may not sign in
     *   any more, it is 'over'.
     * @param emailKey The address that must be the user's, and proven by who signs in to the account; any proven one when absent, where
     *   the user asks for it. An address brings nothing back that the user has taken off the account.
     * @param proves The address that counts as proven by who signs in to the account from then on, if it is the user's still.
     */
    link: (
      { id: userId, credentialsEpoch }: Pick<User, 'id' | 'credentialsEpoch'>,
      identity: IdentityColumns,
      { emailKey, proves }: { emailKey?: string | undefined; proves?: string | undefined } = {},
    ): Promise<'linked' | 'linked_before' | 'identity_taken' | 'unproven' | 'over' | 'removed'> =>
      prisma.$transaction(async (tx) => {
        const { provider, issuer, subject, email, emailVerified, profile } = identity;
        // Whatever clears an account, changes its address or ends its sign-ins takes this lock too: it is done, or comes after.
        const [user] = await tx.$queryRaw<{ epoch: number; email_key: string; verified: boolean; proven: boolean }[]>`
          SELECT credentials_epoch AS epoch, email_key, email_verified AS verified, holder_proven AS proven FROM users
           WHERE id = ${userId}::uuid AND (banned_at IS NULL OR banned_until <= now()) AND erase_after IS NULL FOR UPDATE`;
        const before = await find(identity, tx);
        if (before) return before.userId === userId ? 'linked_before' : 'identity_taken';
        if (user?.epoch !== credentialsEpoch) return 'over';
        if (!user.verified || (emailKey !== undefined && (user.email_key !== emailKey || !user.proven)))
          return 'unproven';
        const named = { userId, provider, issuer, subject };
        if (emailKey !== undefined && (await tx.removedIdentity.count({ where: named })) > 0) return 'removed';
        await tx.removedIdentity.deleteMany({ where: named });
        const count = await tx.$executeRaw`
          INSERT INTO identities (id, user_id, provider, issuer, subject, email, email_verified, profile)
          VALUES (${randomUUID()}::uuid, ${userId}::uuid, ${provider}, ${issuer}, ${subject}, ${email}, ${emailVerified},
                  ${JSON.stringify(profile)}::jsonb)
          ON CONFLICT (provider, issuer, subject) DO NOTHING`;
        if (count === 0) return 'identity_taken';
        if (proves !== undefined && proves === user.email_key && !user.proven)
          await tx.user.update({ where: { id: userId }, data: { holderProven: true } });
        return 'linked';
      }),

    /** Whether the user has taken it off their account. */
    async wasRemoved(
      userId: string,
      { provider, issuer, subject }: Pick<Identity, 'provider' | 'issuer' | 'subject'>,
    ): Promise<boolean> {
      return (await prisma.removedIdentity.count({ where: { userId, provider, issuer, subject } })) > 0;
    },

    /** Notes that it was used, and what the provider says now. False when it is gone. */
    async used(id: string, { email, emailVerified, profile }: IdentityColumns): Promise<boolean> {
      const { count } = await prisma.identity.updateMany({
        where: { id },
        data: { email, emailVerified, profile, lastUsedAt: new Date() },
      });
      return count > 0;
    },

    /**
     * Takes an identity off its user, and ends what they are signed in by, unless nothing would be left to sign in with: no password,
     * and no other identity of one of the `usable` providers.
     *
     * @param holder As for `link`.
     */
    unlink: (
      { id: userId, credentialsEpoch }: Pick<User, 'id' | 'credentialsEpoch'>,
      id: string,
      usable: IssuerOfProvider[],
    ): Promise<Identity | 'last_way_in' | 'over' | undefined> =>
      prisma.$transaction(async (tx) => {
        // One after the other, so that of the last two each sees whether the other is still there.
        await tx.$queryRaw`SELECT 1 FROM users WHERE id = ${userId}::uuid FOR UPDATE`;
        const user = await tx.user.findUnique({ where: { id: userId }, include: { identities: true } });
        const identity = user?.identities.find((one) => one.id === id);
        if (!user || !identity) return undefined;
        if (user.credentialsEpoch !== credentialsEpoch) return 'over';
        const others = user.identities.filter((one) => one !== identity && isUsable(one, usable));
        if (user.passwordHash === null && others.length === 0) return 'last_way_in';
        await tx.user.update({ where: { id: userId }, data: SIGN_INS_ENDED });
        const { provider, issuer, subject } = identity;
        const named = { userId, provider, issuer, subject };
        await tx.removedIdentity.upsert({
          where: { userId_provider_issuer_subject: named },
          create: named,
          update: {},
        });
        return tx.identity.delete({ where: { id } });
      }),
  };
};
