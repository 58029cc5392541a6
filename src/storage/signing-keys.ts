import { Prisma } from './generated/client.ts';
import type { PrismaClient } from './prisma.ts';

/** A signing key pair; the private half is sealed and opens only with a key that is not in the database. */
export type SigningKeyRecord = { kid: string; alg: string; publicJwk: Record<string, unknown>; sealedJwk: string };

/**
 * `next`: published, and signs nothing yet. `active`: signs. `retiring`: signs no more, and what it has signed is still verified by it.
 * `gone`: all that it signed has expired.
 */
export type KeyState = 'next' | 'active' | 'retiring' | 'gone';

export type StoredSigningKey = SigningKeyRecord & {
  state: KeyState;
  createdAt: Date;
  activeFrom: Date;
  /** When the next one of its algorithm took over, or will; null for the last one. */
  supersededAt: Date | null;
};

export type SigningKeys = ReturnType<typeof createSigningKeys>;

/** The state of a key is a function of the database's clock: every process sees the same, and none has to change it. */
export const createSigningKeys = (prisma: PrismaClient) => {
  const json = (jwk: Record<string, unknown>) => JSON.parse(JSON.stringify(jwk));

  return {
    /**
     * Oldest first, so that every process lists them in the same order.
     *
     * @param keepSeconds How long a key that signs no more is needed to verify.
     */
    list: (keepSeconds: number): Promise<StoredSigningKey[]> => prisma.$queryRaw<StoredSigningKey[]>`
      SELECT kid, alg, public_jwk AS "publicJwk", sealed_jwk AS "sealedJwk", created_at AS "createdAt",
             active_from AS "activeFrom", superseded_at AS "supersededAt",
             CASE WHEN active_from > now() THEN 'next'
                  WHEN superseded_at IS NULL OR superseded_at > now() THEN 'active'
                  WHEN superseded_at > now() - make_interval(secs => ${keepSeconds}::float8) THEN 'retiring'
                  ELSE 'gone' END AS state
        FROM (SELECT *, lead(active_from) OVER (PARTITION BY alg ORDER BY active_from, kid) AS superseded_at
                FROM signing_keys) k
       ORDER BY created_at, kid`,

    /** Adds the keys unless some process added keys of the same algorithms first; the caller lists again afterwards. */
    async addFirst(keys: SigningKeyRecord[]): Promise<SigningKeyRecord[]> {
      return prisma.$transaction(async (tx) => {
        // Two processes starting on an empty database: the second waits here, then sees the first one's keys.
        await tx.$executeRaw`LOCK TABLE signing_keys IN EXCLUSIVE MODE`;
        const known = await tx.signingKey.findMany({ select: { alg: true } });
        const missing = keys.filter(({ alg }) => !known.some((key) => key.alg === alg));
        await tx.signingKey.createMany({ data: missing.map((key) => ({ ...key, publicJwk: json(key.publicJwk) })) });
        return missing;
      });
    },

    /**
     * Publishes keys that take over in `leadSeconds`; none of an algorithm that has one waiting already.
     *
     * @param olderThanSeconds Only where the newest key of the algorithm has signed for so long.
     * @returns those that were added.
     */
    async addNext(keys: SigningKeyRecord[], leadSeconds: number, olderThanSeconds = 0): Promise<SigningKeyRecord[]> {
      return prisma.$transaction(async (tx) => {
        await tx.$executeRaw`LOCK TABLE signing_keys IN EXCLUSIVE MODE`;
        const added: SigningKeyRecord[] = [];
        for (const key of keys) {
          const { kid, alg, publicJwk, sealedJwk } = key;
          const count = await tx.$executeRaw`
            INSERT INTO signing_keys (kid, alg, public_jwk, sealed_jwk, active_from)
            SELECT ${kid}, ${alg}, ${JSON.stringify(publicJwk)}::jsonb, ${sealedJwk},
                   now() + make_interval(secs => ${leadSeconds}::float8)
             WHERE NOT EXISTS (SELECT FROM signing_keys WHERE alg = ${alg}
                                  AND active_from > now() - make_interval(secs => ${olderThanSeconds}::float8))`;
          if (count > 0) added.push(key);
        }
        return added;
      });
    },

    /** Forgets keys. @returns those that were there until now. */
    async remove(kids: string[]): Promise<{ kid: string; alg: string }[]> {
      if (kids.length === 0) return [];
      return prisma.$queryRaw<{ kid: string; alg: string }[]>`
        DELETE FROM signing_keys WHERE kid IN (${Prisma.join(kids)}) RETURNING kid, alg`;
    },

    /** Seals a private key anew, as long as it is still sealed as it was read. */
    async reseal(kid: string, before: string, after: string): Promise<void> {
      await prisma.signingKey.updateMany({ where: { kid, sealedJwk: before }, data: { sealedJwk: after } });
    },
  };
};
