import type { Pool } from 'pg';
import type {
  ArtifactEntry,
  ArtifactKey,
  ArtifactModel,
  ArtifactRecord,
  Artifacts,
  StoredArtifact,
} from './artifacts.ts';
import { createWriteTogether, type WriteTogether } from './artifacts-written.ts';
import type { KeptStatement } from './postgres-pool.ts';

/** The contract, and what a store that keeps copies of the rows must know on top: whole rows, and which rows a write met. */
export type PostgresArtifacts = Artifacts & {
  /** As `find`, with every column a copy needs. */
  read(model: ArtifactModel, idHash: string): Promise<StoredArtifact | undefined>;
  /** As `upsert`. */
  write(model: ArtifactModel, idHash: string, entry: ArtifactEntry): Promise<'inserted' | 'replaced'>;
  /** What `revokeByGrantId` would delete. */
  keysByGrantId(model: ArtifactModel, grantId: string): Promise<ArtifactKey[]>;
  /** What `destroyByUid` would delete. */
  keysByUid(model: ArtifactModel, uid: string): Promise<ArtifactKey[]>;
  /** As `revokeByGrantId`; the keys of the rows deleted. */
  removeByGrantId(model: ArtifactModel, grantId: string): Promise<ArtifactKey[]>;
  /** As `destroyByUid`; the keys of the rows deleted. */
  removeByUid(model: ArtifactModel, uid: string): Promise<ArtifactKey[]>;
  /** As `destroyByAccount`; the keys of the rows deleted. */
  removeByAccount(accountId: string): Promise<ArtifactKey[]>;
  /** The grants that any of the account's rows belongs to. */
  grantIdsOf(accountId: string): Promise<string[]>;
};

type Row = {
  payload: string;
  consumed_at: number | null;
  expires_at: number;
  grant_id: string | null;
  uid: string | null;
  user_code_hash: string | null;
  account_id: string | null;
};

// float8, because pg hands out numeric and int8 as strings.
const CONSUMED_AT = 'floor(extract(epoch FROM consumed_at))::float8 AS consumed_at';

const recordOf = ({ payload, consumed_at }: Pick<Row, 'payload' | 'consumed_at'>): ArtifactRecord => ({
  payload,
  ...(consumed_at !== null && { consumedAt: consumed_at }),
});

// The rows are locked in one order, whoever deletes them: two calls that meet the same rows wait instead of deadlocking.
const removal = (condition: string): string =>
  `WITH doomed AS MATERIALIZED (
     SELECT model, id_hash FROM oauth_tokens WHERE ${condition} ORDER BY model, id_hash FOR UPDATE
   )
   DELETE FROM oauth_tokens o USING doomed d WHERE o.model = d.model AND o.id_hash = d.id_hash
   RETURNING o.model, o.id_hash AS "idHash"`;

/**
 * Ends everything that the account $1 holds in Postgres, also as part of somebody else's transaction.
 * ARRAY(…) is computed once, so that both sides of the OR go by their index.
 */
export const REMOVE_BY_ACCOUNT = removal(
  `account_id = $1 OR grant_id = ANY (
     ARRAY(SELECT grant_id FROM oauth_tokens WHERE account_id = $1 AND grant_id IS NOT NULL))`,
);

const READ = `
  SELECT payload, ${CONSUMED_AT}, extract(epoch FROM expires_at)::float8 AS expires_at, grant_id, uid, user_code_hash, account_id
    FROM oauth_tokens WHERE model = $1 AND id_hash = $2 AND expires_at > now()`;

const OF_GRANT = 'model = $1 AND grant_id = $2';
const OF_UID = 'model = $1 AND uid = $2';

/**
 * Artifacts in the table `oauth_tokens`. Each method is one statement and so one round trip, and atomic; what is written in the
 * same turn of the event loop shares one. Time is the database's (`now()`), on whatever machine the caller runs.
 */
export const createPostgresArtifacts = (
  pool: Pool,
  together: WriteTogether = createWriteTogether(pool),
): PostgresArtifacts => {
  const findBy = async (condition: string, values: string[]): Promise<ArtifactRecord | undefined> => {
    const { rows } = await pool.query<Pick<Row, 'payload' | 'consumed_at'>>(
      `SELECT payload, ${CONSUMED_AT} FROM oauth_tokens
        WHERE ${condition} AND expires_at > now() ORDER BY expires_at DESC LIMIT 1`,
      values,
    );
    return rows[0] && recordOf(rows[0]);
  };

  const keysOf = async (statement: string, values: string[]): Promise<ArtifactKey[]> =>
    (await pool.query<ArtifactKey>(statement, values)).rows;
  const keysBy = (condition: string, values: string[]) =>
    keysOf(`SELECT model, id_hash AS "idHash" FROM oauth_tokens WHERE ${condition}`, values);

  const artifacts: PostgresArtifacts = {
    write: (model, idHash, entry) => together.artifact({ model, idHash, entry }),

    async upsert(model, idHash, entry) {
      await artifacts.write(model, idHash, entry);
    },

    async replace(model, idHash, { payload, expiresAt, grantId, uid, userCodeHash, accountId }) {
      const { rowCount } = await pool.query(
        `UPDATE oauth_tokens SET payload = $3, expires_at = to_timestamp($4), grant_id = $5, uid = $6, user_code_hash = $7, account_id = $8
          WHERE model = $1 AND id_hash = $2 AND expires_at > now()`,
        [model, idHash, payload, expiresAt, grantId ?? null, uid ?? null, userCodeHash ?? null, accountId ?? null],
      );
      return rowCount === 1;
    },

    find: (model, idHash) => findBy('model = $1 AND id_hash = $2', [model, idHash]),
    findByUid: (model, uid) => findBy(OF_UID, [model, uid]),
    findByUserCode: (model, userCodeHash) => findBy('model = $1 AND user_code_hash = $2', [model, userCodeHash]),

    async findByAccount(model, accountId) {
      const { rows } = await pool.query<Pick<Row, 'payload' | 'consumed_at'>>(
        `SELECT payload, ${CONSUMED_AT} FROM oauth_tokens
          WHERE account_id = $1 AND model = $2 AND expires_at > now()`,
        [accountId, model],
      );
      return rows.map(recordOf);
    },

    async read(model, idHash) {
      const statement: KeptStatement = { keptAs: 'artifact', text: READ, values: [model, idHash] };
      const { rows } = await pool.query<Row>(statement);
      const row = rows[0];
      return (
        row && {
          ...recordOf(row),
          expiresAt: row.expires_at,
          ...(row.grant_id !== null && { grantId: row.grant_id }),
          ...(row.uid !== null && { uid: row.uid }),
          ...(row.user_code_hash !== null && { userCodeHash: row.user_code_hash }),
          ...(row.account_id !== null && { accountId: row.account_id }),
        }
      );
    },

    async consume(model, idHash) {
      const { rowCount } = await pool.query(
        `UPDATE oauth_tokens SET consumed_at = now()
          WHERE model = $1 AND id_hash = $2 AND consumed_at IS NULL AND expires_at > now() RETURNING 1`,
        [model, idHash],
      );
      return rowCount === 1;
    },

    async consumedWithin(model, idHash, seconds) {
      const { rowCount } = await pool.query(
        `SELECT 1 FROM oauth_tokens WHERE model = $1 AND id_hash = $2 AND expires_at > now()
            AND consumed_at > now() - make_interval(secs => $3)`,
        [model, idHash, seconds],
      );
      return rowCount === 1;
    },

    async destroy(model, idHash) {
      await pool.query('DELETE FROM oauth_tokens WHERE model = $1 AND id_hash = $2', [model, idHash]);
    },

    keysByGrantId: (model, grantId) => keysBy(OF_GRANT, [model, grantId]),
    keysByUid: (model, uid) => keysBy(OF_UID, [model, uid]),
    removeByGrantId: (model, grantId) => keysOf(removal(OF_GRANT), [model, grantId]),
    removeByUid: (model, uid) => keysOf(removal(OF_UID), [model, uid]),
    removeByAccount: (accountId) => keysOf(REMOVE_BY_ACCOUNT, [accountId]),

    async revokeByGrantId(model, grantId) {
      await artifacts.removeByGrantId(model, grantId);
    },

    async destroyByUid(model, uid) {
      await artifacts.removeByUid(model, uid);
    },

    async destroyByAccount(accountId) {
      await artifacts.removeByAccount(accountId);
    },

    async grantIdsOf(accountId) {
      const { rows } = await pool.query<{ grant_id: string }>(
        'SELECT DISTINCT grant_id FROM oauth_tokens WHERE account_id = $1 AND grant_id IS NOT NULL',
        [accountId],
      );
      return rows.map((row) => row.grant_id);
    },

    async sweep(limit = 1000) {
      // Rows that somebody else is busy with wait for the next sweep. Materialized, or the planner may run the LIMIT more than once.
      const { rowCount } = await pool.query(
        `WITH expired AS MATERIALIZED (
           SELECT model, id_hash FROM oauth_tokens WHERE expires_at <= now()
           ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
         )
         DELETE FROM oauth_tokens o USING expired e WHERE o.model = e.model AND o.id_hash = e.id_hash`,
        [limit],
      );
      return rowCount ?? 0;
    },
  };
  return artifacts;
};
