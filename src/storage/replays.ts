import type { Pool } from 'pg';

/** The engine's name for it. */
const MODEL = 'ReplayDetection';

export type Replays = ReturnType<typeof createReplays>;

/**
 * What may be presented once: the identifiers of proofs and assertions. PostgreSQL remembers them, also where there is Redis, which may
 * be emptied while they are good.
 */
export const createReplays = (pool: Pool) => ({
  /**
   * Whether nobody has claimed this before: of any number of calls at once, in whatever process, one is told true.
   *
   * @param expiresAt In epoch seconds: it is remembered until then at least.
   */
  async claim(idHash: string, expiresAt: number): Promise<boolean> {
    const { rowCount } = await pool.query(
      `INSERT INTO oauth_tokens (model, id_hash, payload, expires_at) VALUES ($1, $2, '', to_timestamp($3))
       ON CONFLICT DO NOTHING`,
      [MODEL, idHash, expiresAt],
    );
    return rowCount === 1;
  },
});
