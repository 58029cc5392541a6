import type { SessionClient } from './generated/client.ts';
import type { PrismaClient } from './prisma.ts';

export type { SessionClient };

/** An app to be told, about whom, and how it knows the session. */
export type Parted = Pick<SessionClient, 'clientId' | 'userId' | 'sid'>;

export type SessionClients = ReturnType<typeof createSessionClients>;

/** Taking is one statement: of several that take at once, each row goes to one. What has expired is nobody's any more. */
export const createSessionClients = (prisma: PrismaClient) => ({
  /** An app has signed somebody in by a session, whose other apps stay known for as long as it lives. */
  async note({ sessionHash, clientId, userId, sid, expiresAt }: SessionClient): Promise<void> {
    await prisma.$executeRaw`INSERT INTO session_clients (session_hash, client_id, user_id, sid, expires_at)
      VALUES (${sessionHash}, ${clientId}, ${userId}::uuid, ${sid}, ${expiresAt})
      ON CONFLICT (session_hash, client_id) DO UPDATE
        SET user_id = excluded.user_id, sid = excluded.sid, expires_at = excluded.expires_at`;
  },

  /** The session lives longer: until `expiresAt`. */
  async extend(sessionHash: string, expiresAt: Date): Promise<void> {
    await prisma.sessionClient.updateMany({ where: { sessionHash }, data: { expiresAt } });
  },

  takeOfUser: (userId: string): Promise<Parted[]> =>
    prisma.$queryRaw<Parted[]>`DELETE FROM session_clients WHERE user_id = ${userId}::uuid AND expires_at > now()
      RETURNING client_id AS "clientId", user_id::text AS "userId", sid`,

  takeOfSession: (sessionHash: string): Promise<Parted[]> =>
    prisma.$queryRaw<Parted[]>`DELETE FROM session_clients WHERE session_hash = ${sessionHash} AND expires_at > now()
      RETURNING client_id AS "clientId", user_id::text AS "userId", sid`,

  /** One app's part of a session. */
  async forget(clientId: string, sid: string): Promise<void> {
    await prisma.sessionClient.deleteMany({ where: { clientId, sid } });
  },

  /** @param limit Most rows to delete in this call. @returns how many were. */
  sweep: (limit: number): Promise<number> =>
    prisma.$executeRaw`DELETE FROM session_clients WHERE (session_hash, client_id) IN (
      SELECT session_hash, client_id FROM session_clients WHERE expires_at < now() LIMIT ${limit} FOR UPDATE SKIP LOCKED)`,
});
