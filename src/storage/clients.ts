import type { PrismaClient } from './prisma.ts';
import { isStorable, violatedUnique } from './prisma.ts';

/** RFC 7591 client metadata as oidc-provider reads it, without the secret. */
export type ClientMetadata = { client_id: string } & Record<string, unknown>;

export type ClientRecord = { metadata: ClientMetadata; secretHash: string | null; firstParty: boolean };

export type Clients = ReturnType<typeof createClients>;

export const createClients = (prisma: PrismaClient) => {
  const columns = ({ metadata, ...rest }: ClientRecord) => ({
    metadata: JSON.parse(JSON.stringify(metadata)),
    ...rest,
  });

  return {
    async find(clientId: string): Promise<ClientRecord | undefined> {
      if (!isStorable(clientId)) return undefined;
      const row = await prisma.client.findUnique({ where: { clientId } });
      if (!row) return undefined;
      return { metadata: row.metadata as ClientMetadata, secretHash: row.secretHash, firstParty: row.firstParty };
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
  };
};
