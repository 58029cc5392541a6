import { type ClientMetadata, corsOriginsOf } from './clients.ts';
import { isStorable, type PrismaClient } from './prisma.ts';

/** A client's metadata as it was read at its client_id. */
export type ClientDocument = { metadata: ClientMetadata; fetchedAt: Date; freshUntil: Date };

export type ClientDocuments = ReturnType<typeof createClientDocuments>;

export const createClientDocuments = (prisma: PrismaClient) => ({
  async find(clientId: string): Promise<ClientDocument | undefined> {
    if (!isStorable(clientId)) return undefined;
    const row = await prisma.clientDocument.findUnique({ where: { clientId } });
    return row
      ? { metadata: row.metadata as ClientMetadata, fetchedAt: row.fetchedAt, freshUntil: row.freshUntil }
      : undefined;
  },

  async put({ metadata, fetchedAt, freshUntil }: ClientDocument): Promise<void> {
    const clientId = metadata.client_id;
    const data = {
      metadata: JSON.parse(JSON.stringify(metadata)),
      corsOrigins: corsOriginsOf(metadata),
      fetchedAt,
      freshUntil,
    };
    await prisma.clientDocument.upsert({ where: { clientId }, create: { clientId, ...data }, update: data });
  },

  /** Removes what has not been read for a month, and the oldest beyond so many: anybody can name addresses. */
  async sweep(most: number): Promise<void> {
    await prisma.$executeRaw`
      DELETE FROM client_documents WHERE client_id IN (
        SELECT client_id FROM client_documents WHERE fetched_at < now() - interval '30 days'
        UNION ALL (SELECT client_id FROM client_documents ORDER BY fetched_at DESC OFFSET ${most}))`;
  },
});
