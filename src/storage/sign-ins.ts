import type { Pool } from 'pg';
import type { AppSignIn, WriteTogether } from './artifacts-written.ts';
import type { SignIn } from './generated/client.ts';
import type { PrismaClient } from './prisma.ts';

export type { SignIn };

/** By a browser's session. */
export type BrowserSignIn = Omit<AppSignIn, 'grantId'> & { sessionHash: string };

export type SignIns = ReturnType<typeof createSignIns>;

/**
 * @param pool For what every sign-in and refresh writes.
 * @param together Writes what an app's sign-in writes.
 */
export const createSignIns = (prisma: PrismaClient, pool: Pool, together: WriteTogether) => ({
  /**
   * Notes the sign-in of an app: along with the grant that it is by, where that is written in the same turn of the event loop. Nothing
   * for a user who is gone.
   */
  noteApp: (signIn: AppSignIn): Promise<void> => together.signIn(signIn),

  /**
   * Notes a browser's sign-in; one that is known already was used again, which is written once a minute at most;
   * nothing for a user who is gone.
   */
  async noteBrowser({ id, userId, sessionHash, ip, userAgent, deadBefore }: BrowserSignIn): Promise<void> {
    await pool.query(
      `WITH dead AS (DELETE FROM sign_ins WHERE user_id = $1 AND last_used_at < $2)
       INSERT INTO sign_ins AS s (id, user_id, session_hash, ip, user_agent)
       SELECT $3, id, $4, $5, $6 FROM users WHERE id = $1
       ON CONFLICT (session_hash) DO UPDATE
         SET last_used_at = now(), ip = excluded.ip, user_agent = excluded.user_agent, user_id = excluded.user_id
         WHERE s.last_used_at < now() - interval '1 minute' OR s.user_id <> excluded.user_id`,
      [userId, deadBefore, id, sessionHash, ip, userAgent],
    );
  },

  /** Notes that a grant was used, once a minute at most. */
  async used(grantId: string): Promise<void> {
    await pool.query(
      "UPDATE sign_ins SET last_used_at = now() WHERE grant_id = $1 AND last_used_at < now() - interval '1 minute'",
      [grantId],
    );
  },

  /** Last used first. */
  list: (userId: string): Promise<SignIn[]> =>
    prisma.signIn.findMany({ where: { userId }, orderBy: [{ lastUsedAt: 'desc' }, { id: 'desc' }] }),

  async find(userId: string, id: string): Promise<SignIn | undefined> {
    return (await prisma.signIn.findFirst({ where: { id, userId } })) ?? undefined;
  },

  /** Those whose session or grant was not to be found. Not at once: they may be noted a moment before that is written. */
  async removeDead(ids: string[]): Promise<void> {
    if (ids.length === 0) return;
    await pool.query("DELETE FROM sign_ins WHERE id = ANY ($1) AND created_at < now() - interval '1 minute'", [ids]);
  },

  async removeByGrant(grantId: string): Promise<void> {
    await prisma.signIn.deleteMany({ where: { grantId } });
  },

  async remove(ids: string[]): Promise<void> {
    if (ids.length > 0) await prisma.signIn.deleteMany({ where: { id: { in: ids } } });
  },
});
