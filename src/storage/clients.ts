import { isStorable, type PrismaClient, violatedUnique } from './prisma.ts';

/** RFC 7591 client metadata as oidc-provider reads it, without the secret. */
export type ClientMetadata = { client_id: string } & Record<string, unknown>;

/** What is stored of a secret: always its hash; itself, sealed, only where it is needed as a key. */
export type StoredSecret = { hash: string; sealed: string | null };

export type ClientRecord = { metadata: ClientMetadata; secret: StoredSecret | null; firstParty: boolean };

export type StoredClient = ClientRecord & {
  /** The secret before the last rotation, for as long as the overlap was to last. */
  previousSecret: (StoredSecret & { expiresAt: Date }) | undefined;
  createdAt: Date;
  updatedAt: Date;
};

type Row = {
  metadata: unknown;
  secretHash: string | null;
  sealedSecret: string | null;
  previousSecretHash: string | null;
  previousSealedSecret: string | null;
  previousSecretExpiresAt: Date | null;
  firstParty: boolean;
  createdAt: Date;
  updatedAt: Date;
};

const storedOf = ({ previousSecretHash: hash, previousSecretExpiresAt: expiresAt, ...row }: Row): StoredClient => ({
  metadata: row.metadata as ClientMetadata,
  secret: row.secretHash === null ? null : { hash: row.secretHash, sealed: row.sealedSecret },
  firstParty: row.firstParty,
  previousSecret:
    hash === null || expiresAt === null ? undefined : { hash, sealed: row.previousSealedSecret, expiresAt },
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});

export type Clients = ReturnType<typeof createClients>;

export const createClients = (prisma: PrismaClient) => {
  const columns = ({ metadata, secret, firstParty }: ClientRecord) => ({
    metadata: JSON.parse(JSON.stringify(metadata)),
    secretHash: secret?.hash ?? null,
    sealedSecret: secret?.sealed ?? null,
    firstParty,
  });

  return {
    async find(clientId: string): Promise<StoredClient | undefined> {
      if (!isStorable(clientId)) return undefined;
      const row = await prisma.client.findUnique({ where: { clientId } });
      return row ? storedOf(row) : undefined;
    },

    /**
     * By client_id, as bytes compare.
     *
     * @param begin What the client_id or the name begins with, in any letter case.
     * @param after Only those after this client_id.
     */
    async list(begin: string, after: string, limit: number): Promise<{ items: StoredClient[]; total: number }> {
      const [items, [count]] = await Promise.all([
        prisma.$queryRaw<Row[]>`
          SELECT metadata, client_secret_hash AS "secretHash", client_secret_sealed AS "sealedSecret",
                 previous_secret_hash AS "previousSecretHash", previous_secret_sealed AS "previousSealedSecret",
                 previous_secret_expires_at AS "previousSecretExpiresAt", first_party AS "firstParty",
                 created_at AS "createdAt", updated_at AS "updatedAt"
          FROM oauth_clients
          WHERE (starts_with(lower(client_id), lower(${begin})) OR starts_with(lower(metadata->>'client_name'), lower(${begin})))
            AND client_id COLLATE "C" > ${after}
          ORDER BY client_id COLLATE "C" LIMIT ${limit}`,
        prisma.$queryRaw<{ total: number }[]>`
          SELECT count(*)::int AS total FROM oauth_clients
          WHERE starts_with(lower(client_id), lower(${begin})) OR starts_with(lower(metadata->>'client_name'), lower(${begin}))`,
      ]);
      return { items: items.map(storedOf), total: count?.total ?? 0 };
    },

    /** False when the client_id is taken. */
    async create(client: ClientRecord): Promise<boolean> {
      try {
        await prisma.client.create({ data: { clientId: client.metadata.client_id, ...columns(client) } });
        return true;
      } catch (error) {
        if (violatedUnique(error) === undefined) throw error;
        return false;
      }
    },

    /** Inserts or replaces. */
    async put(client: ClientRecord): Promise<void> {
      const clientId = client.metadata.client_id;
      const data = columns(client);
      await prisma.client.upsert({
        where: { clientId },
        create: { clientId, ...data },
        update: { ...data, updatedAt: new Date() },
      });
    },

    /** Replaces a client as long as it is still the one that was read; undefined when it is not. */
    async replace(before: StoredClient, client: ClientRecord): Promise<StoredClient | undefined> {
      const [row] = await prisma.client.updateManyAndReturn({
        where: { clientId: client.metadata.client_id, updatedAt: before.updatedAt },
        data: {
          ...columns(client),
          ...(client.secret === null && { previousSecretHash: null, previousSecretExpiresAt: null }),
          // A key that is no longer needed is not kept, nor is a former one that the client never signed with.
          ...(!client.secret?.sealed && { previousSealedSecret: null }),
          // Never the same twice, however fast.
          updatedAt: new Date(Math.max(Date.now(), before.updatedAt.getTime() + 1)),
        },
      });
      return row && storedOf(row);
    },

    /** Gives a client that has a secret another; the one it has goes on until `previousExpiresAt`. */
    async rotateSecret(
      before: StoredClient,
      secret: StoredSecret,
      previousExpiresAt: Date | undefined,
    ): Promise<StoredClient | undefined> {
      const [row] = await prisma.client.updateManyAndReturn({
        where: { clientId: before.metadata.client_id, updatedAt: before.updatedAt },
        data: {
          secretHash: secret.hash,
          sealedSecret: secret.sealed,
          previousSecretHash: previousExpiresAt ? (before.secret?.hash ?? null) : null,
          previousSealedSecret: previousExpiresAt ? (before.secret?.sealed ?? null) : null,
          previousSecretExpiresAt: previousExpiresAt ?? null,
          updatedAt: new Date(Math.max(Date.now(), before.updatedAt.getTime() + 1)),
        },
      });
      return row && storedOf(row);
    },

    /** Removes a client and what people have agreed to for it. What it was, or undefined when there was none. */
    async remove(clientId: string): Promise<StoredClient | undefined> {
      if (!isStorable(clientId)) return undefined;
      const [, [row]] = await prisma.$transaction([
        prisma.consent.deleteMany({ where: { clientId } }),
        prisma.$queryRaw<Row[]>`
          DELETE FROM oauth_clients WHERE client_id = ${clientId}
          RETURNING metadata, client_secret_hash AS "secretHash", client_secret_sealed AS "sealedSecret",
                    previous_secret_hash AS "previousSecretHash", previous_secret_sealed AS "previousSealedSecret",
                    previous_secret_expires_at AS "previousSecretExpiresAt", first_party AS "firstParty",
                    created_at AS "createdAt", updated_at AS "updatedAt"`,
      ]);
      return row && storedOf(row);
    },
  };
};
