import { DatabaseError, type Pool } from 'pg';
import type { ArtifactEntry, ArtifactKey } from './artifacts.ts';

type Write = ArtifactKey & { entry: ArtifactEntry };
type Outcome = 'inserted' | 'replaced';
type Waiting = { write: Write; resolve(outcome: Outcome): void; reject(error: unknown): void };

const nameOf = ({ model, idHash }: ArtifactKey): string => `${model}:${idHash}`;

// xmax is 0 in a row version that an INSERT made, and the locking transaction where ON CONFLICT updated.
const UPSERT = `
  INSERT INTO oauth_tokens AS o (model, id_hash, payload, expires_at, grant_id, uid, user_code_hash, account_id, created_at)
  SELECT model, id_hash, payload, to_timestamp(expires_at), grant_id, uid, user_code_hash, account_id, now()
    FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::text[], $8::text[])
      AS new (model, id_hash, payload, expires_at, grant_id, uid, user_code_hash, account_id)
   ORDER BY model, id_hash
  ON CONFLICT (model, id_hash) DO UPDATE SET
    payload = excluded.payload, expires_at = excluded.expires_at, grant_id = excluded.grant_id,
    uid = excluded.uid, user_code_hash = excluded.user_code_hash, account_id = excluded.account_id,
    consumed_at = CASE WHEN o.expires_at > now() THEN o.consumed_at END
  RETURNING model, id_hash AS "idHash", xmax = 0 AS inserted`;

/**
 * Inserts or replaces rows of `oauth_tokens`; those asked for in one turn of the event loop by one statement, such as a grant and its
 * first refresh token, or those of all who sign in at once. A mark of consumption survives a replace, unless the row had expired.
 */
export const createWriteTogether = (pool: Pool): ((write: Write) => Promise<Outcome>) => {
  let waiting: Waiting[] = [];

  const upsert = async (writes: Write[]): Promise<Map<string, Outcome>> => {
    const column = <T>(value: (write: Write) => T): T[] => writes.map(value);
    const { rows } = await pool.query<ArtifactKey & { inserted: boolean }>(UPSERT, [
      column(({ model }) => model),
      column(({ idHash }) => idHash),
      column(({ entry }) => entry.payload),
      column(({ entry }) => entry.expiresAt),
      column(({ entry }) => entry.grantId ?? null),
      column(({ entry }) => entry.uid ?? null),
      column(({ entry }) => entry.userCodeHash ?? null),
      column(({ entry }) => entry.accountId ?? null),
    ]);
    return new Map(rows.map((row) => [nameOf(row), row.inserted ? 'inserted' : 'replaced']));
  };

  const settle = async (batch: Waiting[]): Promise<void> => {
    try {
      const outcomes = await upsert(batch.map(({ write }) => write));
      for (const { write, resolve } of batch) resolve(outcomes.get(nameOf(write)) ?? 'replaced');
    } catch (error) {
      // What the database will not have of one is not the others' failure.
      if (batch.length > 1 && error instanceof DatabaseError) for (const one of batch) await settle([one]);
      else for (const { reject } of batch) reject(error);
    }
  };

  const flush = async (): Promise<void> => {
    const all = waiting;
    waiting = [];
    // One statement cannot write a row twice: the later one goes with the next.
    for (let rest = all; rest.length > 0; ) {
      const batch = new Map<string, Waiting>();
      const later: Waiting[] = [];
      for (const one of rest) {
        const name = nameOf(one.write);
        if (batch.has(name)) later.push(one);
        else batch.set(name, one);
      }
      await settle([...batch.values()]);
      rest = later;
    }
  };

  return (write) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({ write, resolve, reject });
    });
};
