import { type ApiKeyHolder, createApiKeyCopies } from './api-key-copies.ts';
import type { ApiKey, Prisma } from './generated/client.ts';
import type { PrismaClient, Tx } from './prisma.ts';
import type { Stamps } from './stamps.ts';

export type { ApiKey, ApiKeyHolder };

/** How long an expired key is still listed. */
const KEPT_MS = 30 * 86_400_000;
/** So many of them: whoever rotates a key often has more, and they must not push out one that is live. */
const SHOWN_EXPIRED = 100;

const liveAt = (now: Date) => ({ OR: [{ expiresAt: null }, { expiresAt: { gt: now } }] });

export type ApiKeys = ReturnType<typeof createApiKeys>;

/** @param mostCopies Keys that are kept at hand. */
export const createApiKeys = (prisma: PrismaClient, stamps: Stamps, mostCopies: number) => {
  // Two at once for one user count one after the other.
  const lockOwner = async (tx: Tx, userId: string): Promise<{ epoch: number } | undefined> => {
    const [owner] = await tx.$queryRaw<{ epoch: number }[]>`
      SELECT credentials_epoch AS epoch FROM users WHERE id = ${userId}::uuid FOR UPDATE`;
    return owner;
  };

  const inTurn = <T>(userId: string, change: (tx: Tx) => Promise<T>): Promise<T> =>
    stamps.changing(userId, () =>
      prisma.$transaction(async (tx) => {
        await lockOwner(tx, userId);
        return change(tx);
      }),
    );

  const countLive = async (tx: Tx, userId: string): Promise<number> => {
    // Long expired keys tell nobody anything any more.
    await tx.apiKey.deleteMany({ where: { userId, expiresAt: { lt: new Date(Date.now() - KEPT_MS) } } });
    return tx.apiKey.count({ where: { userId, ...liveAt(new Date()) } });
  };

  const findByHash = async (keyHash: string): Promise<ApiKeyHolder | undefined> => {
    const found = await prisma.apiKey.findUnique({
      where: { keyHash },
      include: { user: true },
    });
    if (!found) return undefined;
    const { user, ...key } = found;
    return { key, user };
  };
  const copies = createApiKeyCopies(findByHash, stamps, mostCopies);

  return {
    /**
     * @param epoch What the request speaks for the owner by: where their sign-ins were ended since, it is 'over'.
     * @returns 'too_many' when the user has `limit` live keys already.
     */
    create: (
      key: Omit<ApiKey, 'createdAt' | 'lastUsedAt' | 'rotatedAt' | 'plannedExpiresAt'>,
      epoch: number,
      limit: number,
    ): Promise<ApiKey | 'too_many' | 'over'> =>
      prisma.$transaction(async (tx) => {
        // Whatever ends keys or sign-ins takes this lock too: it is done, or comes after and finds the key.
        if ((await lockOwner(tx, key.userId))?.epoch !== epoch) return 'over';
        return (await countLive(tx, key.userId)) >= limit ? 'too_many' : tx.apiKey.create({ data: key });
      }),

    /** Newest first: every live one, and of the expired ones the newest. */
    async list(userId: string): Promise<ApiKey[]> {
      const now = new Date();
      const orderBy: Prisma.ApiKeyOrderByWithRelationInput[] = [{ createdAt: 'desc' }, { id: 'desc' }];
      const [live, expired] = await Promise.all([
        prisma.apiKey.findMany({ where: { userId, ...liveAt(now) }, orderBy }),
        prisma.apiKey.findMany({
          where: { userId, expiresAt: { lte: now } },
          orderBy,
          take: SHOWN_EXPIRED,
        }),
      ]);
      return [...live, ...expired].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    },

    /** The key with its owner, whatever their state; from a copy while nothing of the owner's has changed. */
    findByHash: copies.findByHash,

    /** Whether the key is one that this process has just seen; says nothing of its state. */
    knows: copies.knows,

    /** As `findByHash`, where nobody has to be asked; undefined otherwise. */
    atHand: copies.atHand,

    /** False when the user has no such key. */
    async remove(userId: string, id: string): Promise<boolean> {
      const { count } = await stamps.changing(userId, () => prisma.apiKey.deleteMany({ where: { id, userId } }));
      return count > 0;
    },

    /**
     * Puts `successor` in place of the user's key `id`, which goes on until `overlapEnds` at most; its name, scopes, networks and
     * expiry are taken over. Undefined when the user has no such live key, 'too_many' when `limit` are live already.
     */
    rotate: (
      userId: string,
      id: string,
      successor: Pick<ApiKey, 'id' | 'prefix' | 'keyHash'>,
      overlapEnds: Date,
      limit: number,
    ): Promise<ApiKey | 'too_many' | undefined> =>
      inTurn(userId, async (tx) => {
        const old = await tx.apiKey.findFirst({ where: { id, userId } });
        if (!old || (old.expiresAt && old.expiresAt <= new Date())) return undefined;
        if ((await countLive(tx, userId)) >= limit) return 'too_many';
        const { name, scopes, allowedNetworks, rotatedAt } = old;
        // Rotated once more, since the answer was lost: the end of the overlap is not how long a key of theirs is to last.
        const expiresAt = rotatedAt ? old.plannedExpiresAt : old.expiresAt;
        const ends = old.expiresAt && old.expiresAt < overlapEnds ? old.expiresAt : overlapEnds;
        await tx.apiKey.update({
          where: { id },
          data: { expiresAt: ends, rotatedAt: rotatedAt ?? new Date(), plannedExpiresAt: expiresAt },
        });
        return tx.apiKey.create({ data: { ...successor, userId, name, scopes, allowedNetworks, expiresAt } });
      }),

    /** Notes a use; a key in constant use is written once a minute. */
    async touch(id: string): Promise<'first' | 'again'> {
      // The condition is checked again on the row as it is once it can be locked: of several first uses at once, one is the first.
      const first = await prisma.$executeRaw`UPDATE api_keys SET last_used_at = now()
        WHERE id = ${id}::uuid AND last_used_at IS NULL`;
      if (first > 0) return 'first';
      await prisma.$executeRaw`UPDATE api_keys SET last_used_at = now()
        WHERE id = ${id}::uuid AND last_used_at < now() - interval '1 minute'`;
      return 'again';
    },
  };
};
