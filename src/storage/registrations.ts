import type { SelfRegistration } from './clients.ts';
import type { PrismaClient } from './prisma.ts';

export type Registrations = ReturnType<typeof createRegistrations>;

/** What there is to know of clients that registered themselves, beyond what is known of any client. */
export const createRegistrations = (prisma: PrismaClient) => ({
  /** Notes how a client that was created just now was registered. */
  async mark(clientId: string, registration: SelfRegistration, tokenHash: string): Promise<void> {
    await prisma.client.update({ where: { clientId }, data: { registration, registrationTokenHash: tokenHash } });
  },

  /** Replaces the registration access token; false when it is no longer the one that was read. */
  async replaceToken(clientId: string, before: string, after: string): Promise<boolean> {
    const { count } = await prisma.client.updateMany({
      where: { clientId, registrationTokenHash: before },
      data: { registrationTokenHash: after },
    });
    return count === 1;
  },

  /** Notes that a client that registered itself is of use, once a day at most. */
  async used(clientId: string): Promise<void> {
    await prisma.$executeRaw`
      UPDATE oauth_clients SET last_used_at = now()
       WHERE client_id = ${clientId} AND registration IS NOT NULL
         AND (last_used_at IS NULL OR last_used_at < now() - interval '1 day')`;
  },

  /**
   * Removes clients that anybody registered and nobody has used since, with what people agreed to for them. Those that another
   * process is removing are passed over.
   *
   * @returns their client_ids.
   */
  async removeUnused(days: number, limit: number): Promise<string[]> {
    const rows = await prisma.$queryRaw<{ clientId: string }[]>`
      WITH unused AS (
        SELECT client_id FROM oauth_clients
         WHERE registration = 'open' AND NOT first_party
           AND greatest(created_at, updated_at, coalesce(last_used_at, created_at)) < now() - make_interval(days => ${days}::int)
         ORDER BY created_at LIMIT ${limit} FOR UPDATE SKIP LOCKED
      ), forgotten AS (
        DELETE FROM consents USING unused WHERE consents.client_id = unused.client_id
      )
      DELETE FROM oauth_clients c USING unused WHERE c.client_id = unused.client_id RETURNING c.client_id AS "clientId"`;
    return rows.map(({ clientId }) => clientId);
  },

  /** Whether pages of some public client are at this origin. */
  async isOrigin(origin: string): Promise<boolean> {
    const [row] = await prisma.$queryRaw<{ known: boolean }[]>`
      SELECT EXISTS (SELECT FROM oauth_clients WHERE cors_origins @> ARRAY[${origin}])
          OR EXISTS (SELECT FROM client_documents WHERE cors_origins @> ARRAY[${origin}]) AS known`;
    return row?.known ?? false;
  },
});
