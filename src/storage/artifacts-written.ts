import { DatabaseError, type Pool } from 'pg';
import type { ArtifactEntry, ArtifactKey } from './artifacts.ts';
import type { SignIn } from './generated/client.ts';
import type { KeptStatement } from './postgres-pool.ts';

/** A sign-in by a grant of the platform's own apps. */
export type AppSignIn = Pick<SignIn, 'id' | 'userId' | 'ip' | 'userAgent'> & {
  grantId: string;
  /** What the user has not used since then cannot be live any more, and goes. */
  deadBefore: Date;
};

type Write = ArtifactKey & { entry: ArtifactEntry };
type Outcome = 'inserted' | 'replaced';
type Settled<T> = { resolve(outcome: T): void; reject(error: unknown): void };
type Artifact = Write & Settled<Outcome>;
type Note = AppSignIn & Settled<void>;

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
 * Along with them, the sign-in of an app; nothing for a user who is gone. One, not a list: then the plan is the same for whatever it is
 * asked with, and made once.
 */
const UPSERT_AND_NOTE = `
  WITH written AS (${UPSERT}),
  dead AS (
    DELETE FROM sign_ins WHERE ctid = ANY (
      ARRAY(SELECT ctid FROM sign_ins WHERE user_id = $10 AND last_used_at < $14 ORDER BY last_used_at LIMIT 10))
  ),
  noted AS (
    INSERT INTO sign_ins (id, user_id, grant_id, ip, user_agent) SELECT $9, id, $11, $12, $13 FROM users WHERE id = $10
  )
  SELECT * FROM written`;

export type WriteTogether = ReturnType<typeof createWriteTogether>;

/**
 * Inserts or replaces rows of `oauth_tokens`, those asked for in one turn of the event loop by one statement; and notes sign-ins, each
 * along with its grant and the grant's first refresh token. A mark of consumption survives a replace, unless the row had expired.
 */
export const createWriteTogether = (pool: Pool) => {
  let artifacts: Artifact[] = [];
  let notes: Note[] = [];

  const write = async (written: Artifact[], note?: Note): Promise<Map<string, Outcome>> => {
    const values = [
      written.map(({ model }) => model),
      written.map(({ idHash }) => idHash),
      written.map(({ entry }) => entry.payload),
      written.map(({ entry }) => entry.expiresAt),
      written.map(({ entry }) => entry.grantId ?? null),
      written.map(({ entry }) => entry.uid ?? null),
      written.map(({ entry }) => entry.userCodeHash ?? null),
      written.map(({ entry }) => entry.accountId ?? null),
    ];
    const noted = note && [note.id, note.userId, note.grantId, note.ip, note.userAgent, note.deadBefore];
    const statement: KeptStatement = noted
      ? { keptAs: 'upsert-and-note', text: UPSERT_AND_NOTE, values: [...values, ...noted] }
      : { keptAs: 'upsert', text: UPSERT, values };
    const { rows } = await pool.query<ArtifactKey & { inserted: boolean }>(statement);
    return new Map(rows.map((row) => [nameOf(row), row.inserted ? 'inserted' : 'replaced']));
  };

  /** A sign-in with what it is by: as one, also where it fails. */
  const settleSignIn = async (batch: Artifact[], note: Note): Promise<void> => {
    try {
      const outcomes = await write(batch, note);
      for (const one of batch) one.resolve(outcomes.get(nameOf(one)) ?? 'replaced');
      note.resolve();
    } catch (error) {
      for (const one of [...batch, note]) one.reject(error);
    }
  };

  const settle = async (batch: Artifact[]): Promise<void> => {
    try {
      const outcomes = await write(batch);
      for (const one of batch) one.resolve(outcomes.get(nameOf(one)) ?? 'replaced');
    } catch (error) {
      // What the database will not have of one is not the others' failure.
      if (batch.length > 1 && error instanceof DatabaseError) for (const one of batch) await settle([one]);
      else for (const { reject } of batch) reject(error);
    }
  };

  const settleAll = async (all: Artifact[]): Promise<void> => {
    // One statement cannot write a row twice: the later one goes with the next.
    for (let rest = all; rest.length > 0; ) {
      const batch = new Map<string, Artifact>();
      const later: Artifact[] = [];
      for (const one of rest) {
        const name = nameOf(one);
        if (batch.has(name)) later.push(one);
        else batch.set(name, one);
      }
      await settle([...batch.values()]);
      rest = later;
    }
  };

  const flush = (): void => {
    const [written, noted] = [artifacts, notes];
    artifacts = [];
    notes = [];
    // A sign-in waits for its user's row, should that be locked: nobody else's artifacts are to wait with it.
    const grants = new Set(noted.map(({ grantId }) => grantId));
    const ofNote = ({ entry }: Artifact) => entry.grantId !== undefined && grants.has(entry.grantId);
    for (const note of noted)
      void settleSignIn(
        written.filter(({ entry }) => entry.grantId === note.grantId),
        note,
      );
    void settleAll(written.filter((one) => !ofNote(one)));
  };

  const soon = (): void => {
    if (artifacts.length + notes.length === 0) setImmediate(flush);
  };

  return {
    artifact: (one: Write): Promise<Outcome> =>
      new Promise((resolve, reject) => {
        soon();
        artifacts.push({ ...one, resolve, reject });
      }),
    signIn: (one: AppSignIn): Promise<void> =>
      new Promise((resolve, reject) => {
        soon();
        notes.push({ ...one, resolve, reject });
      }),
  };
};
