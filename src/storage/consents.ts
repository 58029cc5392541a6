import type { Consent } from './generated/client.ts';
import { isStorable, type PrismaClient } from './prisma.ts';

export type { Consent };

/** Identifier of a resource → the scopes allowed there. */
export type ResourceScopes = Record<string, string[]>;

export type Consents = ReturnType<typeof createConsents>;

export const createConsents = (prisma: PrismaClient) => ({
  /** Adds to what was allowed before; nothing for a user who is gone. */
  async give(
    userId: string,
    clientId: string,
    scopes: string[],
    claims: string[],
    resources: ResourceScopes,
  ): Promise<void> {
    await prisma.$executeRaw`
      INSERT INTO consents AS c (user_id, client_id, scopes, claims, resources)
      SELECT id, ${clientId}, ${scopes}, ${claims}, ${JSON.stringify(resources)}::jsonb FROM users WHERE id = ${userId}::uuid
      ON CONFLICT (user_id, client_id) DO UPDATE SET
        scopes = ARRAY(SELECT DISTINCT unnest(c.scopes || excluded.scopes)),
        claims = ARRAY(SELECT DISTINCT unnest(c.claims || excluded.claims)),
        -- Whoever gives has read what was there: what is given of a resource holds what was given of it before.
        resources = c.resources || excluded.resources,
        last_used_at = now()`;
  },

  async find(userId: string, clientId: string): Promise<Consent | undefined> {
    if (!isStorable(clientId)) return undefined;
    return (await prisma.consent.findUnique({ where: { userId_clientId: { userId, clientId } } })) ?? undefined;
  },

  /** Last used first. */
  list: (userId: string): Promise<Consent[]> =>
    prisma.consent.findMany({ where: { userId }, orderBy: [{ lastUsedAt: 'desc' }, { clientId: 'asc' }] }),

  /** Notes that the client got tokens, once a minute at most. */
  async used(userId: string, clientId: string): Promise<void> {
    await prisma.$executeRaw`UPDATE consents SET last_used_at = now()
      WHERE user_id = ${userId}::uuid AND client_id = ${clientId} AND last_used_at < now() - interval '1 minute'`;
  },

  async remove(userId: string, clientId: string): Promise<void> {
    await prisma.consent.deleteMany({ where: { userId, clientId } });
  },
});
