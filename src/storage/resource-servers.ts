import { isStorable, type PrismaClient, violatedUnique } from './prisma.ts';

/** A scope of a resource, in words for the people who are asked for it, by language. */
export type ResourceScope = { name: string; description: { en: string; 'zh-CN'?: string | undefined } };

type Words = ResourceScope['description'];

/** What can be asked for at a resource in detail (RFC 9396), and how each value is called. */
export type DetailType = {
  type: string;
  description: Words;
  fields: { name: string; label: Words; required: boolean; max_length: number }[];
};

/** An API that tokens are for. */
export type ResourceServerRecord = {
  /** An absolute URI, which tokens bear as their audience. */
  identifier: string;
  name: string;
  scopes: ResourceScope[];
  /** What a request without scope asks for. */
  defaultScopes: string[];
  tokenFormat: 'opaque' | 'jwt';
  /** Of access tokens, in seconds. */
  ttlSeconds: number;
  /** Of JWTs; null for the service's own choice. */
  signingAlg: string | null;
  /** Who may ask about its tokens, besides whom they were issued to. */
  introspectionClients: string[];
  detailTypes: DetailType[];
};

export type StoredResourceServer = ResourceServerRecord & { createdAt: Date; updatedAt: Date };

export type ResourceServers = ReturnType<typeof createResourceServers>;

export const createResourceServers = (prisma: PrismaClient) => {
  type Row = Awaited<ReturnType<typeof prisma.resourceServer.findMany>>[number];
  const storedOf = ({ identifierKey: _, scopes, detailTypes, tokenFormat, ...row }: Row): StoredResourceServer => ({
    ...row,
    scopes: scopes as ResourceScope[],
    detailTypes: detailTypes as DetailType[],
    tokenFormat: tokenFormat === 'jwt' ? 'jwt' : 'opaque',
  });
  const columns = ({ scopes, detailTypes, ...record }: ResourceServerRecord, identifierKey: string) => ({
    ...record,
    identifierKey,
    scopes: JSON.parse(JSON.stringify(scopes)),
    detailTypes: JSON.parse(JSON.stringify(detailTypes)),
  });

  return {
    /** @param identifierKey The identifier as it is compared. */
    async find(identifierKey: string): Promise<StoredResourceServer | undefined> {
      if (!isStorable(identifierKey)) return undefined;
      const row = await prisma.resourceServer.findUnique({ where: { identifierKey } });
      return row ? storedOf(row) : undefined;
    },

    /** By identifier. @param after Only those after this one. */
    async list(after: string, limit: number): Promise<StoredResourceServer[]> {
      const where = { identifier: { gt: after } };
      return (await prisma.resourceServer.findMany({ where, orderBy: { identifier: 'asc' }, take: limit })).map(
        storedOf,
      );
    },

    /** Whoever gives types to resources does so one after the other, until the transaction under way has ended. */
    async lockDetailTypes(): Promise<void> {
      await prisma.$queryRaw`SELECT pg_advisory_xact_lock(hashtextextended('resource_servers.detail_types', 0))::text`;
    },

    /** Every type there is, by the resource that it belongs to. */
    async detailTypes(): Promise<[identifier: string, type: DetailType][]> {
      const rows = await prisma.$queryRaw<{ identifier: string; type: DetailType }[]>`
        SELECT identifier, type FROM resource_servers, jsonb_array_elements(detail_types) AS types (type)
         ORDER BY identifier LIMIT 1000`;
      return rows.map(({ identifier, type }) => [identifier, type]);
    },

    /** The names of all scopes. */
    async scopeNames(): Promise<ReadonlySet<string>> {
      const rows = await prisma.$queryRaw<{ name: string }[]>`
        SELECT DISTINCT scope ->> 'name' AS name FROM resource_servers, jsonb_array_elements(scopes) AS s (scope)`;
      return new Set(rows.map(({ name }) => name));
    },

    /** False when there is one of this identifier. */
    async create(record: ResourceServerRecord, identifierKey: string): Promise<StoredResourceServer | undefined> {
      try {
        return storedOf(await prisma.resourceServer.create({ data: columns(record, identifierKey) }));
      } catch (error) {
        if (violatedUnique(error) === undefined) throw error;
        return undefined;
      }
    },

    /** What it was before and is now; undefined when there is none. */
    async replace(
      record: ResourceServerRecord,
      identifierKey: string,
    ): Promise<{ before: StoredResourceServer; after: StoredResourceServer } | undefined> {
      return prisma.$transaction(async (tx) => {
        const where = { identifierKey };
        const [locked] = await tx.$queryRaw<unknown[]>`
          SELECT 1 FROM resource_servers WHERE identifier_key = ${identifierKey} FOR UPDATE`;
        if (!locked) return undefined;
        const before = await tx.resourceServer.findUniqueOrThrow({ where });
        const { identifier: _, ...data } = columns(record, identifierKey);
        const after = await tx.resourceServer.update({ where, data: { ...data, updatedAt: new Date() } });
        return { before: storedOf(before), after: storedOf(after) };
      });
    },

    async remove(identifierKey: string): Promise<StoredResourceServer | undefined> {
      const before = await this.find(identifierKey);
      if (!before) return undefined;
      const { count } = await prisma.resourceServer.deleteMany({ where: { identifier: before.identifier } });
      return count > 0 ? before : undefined;
    },
  };
};
