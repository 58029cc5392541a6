import type { PrismaClient } from './prisma.ts';

/** A signing key pair; the private half is sealed and opens only with a key that is not in the database. */
export type SigningKeyRecord = { kid: string; alg: string; publicJwk: Record<string, unknown>; sealedJwk: string };

export type SigningKeys = ReturnType<typeof createSigningKeys>;

export const createSigningKeys = (prisma: PrismaClient) => ({
  /** Oldest first, so that every process lists them in the same order. */
  async list(): Promise<SigningKeyRecord[]> {
    const rows = await prisma.signingKey.findMany({ orderBy: [{ createdAt: 'asc' }, { kid: 'asc' }] });
    return rows.map(({ kid, alg, publicJwk, sealedJwk }) => ({
      kid,
      alg,
      publicJwk: publicJwk as Record<string, unknown>,
      sealedJwk,
    }));
  },

  /**
   * Adds the keys unless some process added keys of the same algorithms first; the caller lists again afterwards.
   *
   * @returns those that were added.
   */
  addFirst: (keys: SigningKeyRecord[]): Promise<SigningKeyRecord[]> =>
    prisma.$transaction(async (tx) => {
      // Two processes starting on an empty database: the second waits here, then sees the first one's keys.
      await tx.$executeRaw`LOCK TABLE signing_keys IN EXCLUSIVE MODE`;
      const known = await tx.signingKey.findMany({ select: { alg: true } });
      const missing = keys.filter(({ alg }) => !known.some((key) => key.alg === alg));
      await tx.signingKey.createMany({
        data: missing.map((key) => ({ ...key, publicJwk: JSON.parse(JSON.stringify(key.publicJwk)) })),
      });
      return missing;
    }),
});
