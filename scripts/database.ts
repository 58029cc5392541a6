// The database that the configuration names, for scripts that go beneath the stores.
import { Client, Pool } from 'pg';
import type { Config } from '../src/config.ts';
import { codeOf, openDataDir } from '../src/storage/data-dir.ts';
import { openEmbedded } from '../src/storage/embedded.ts';
import type { Mode } from '../src/storage/embedded-lock.ts';
import { StoreError } from '../src/storage/open-stores.ts';

type Named = Pick<Config, 'databaseUrl' | 'dataDir'>;

const withConnectionString = async <T>(
  { databaseUrl, dataDir }: Named,
  mode: Mode,
  use: (connectionString: string) => Promise<T>,
): Promise<T> => {
  if (databaseUrl) return use(databaseUrl);
  const embedded = await openEmbedded(await openDataDir(dataDir), mode);
  return use(embedded.connectionString).finally(() => embedded.close());
};

// The driver's message may quote the connection string.
const unreachable = (error: unknown): StoreError =>
  new StoreError(`PostgreSQL: cannot connect${codeOf(error) ? ` (${codeOf(error)})` : ''}. Check DATABASE_URL.`);

/** One connection, without a time-out; beside a running server too. */
export const withConnection = <T>(config: Named, use: (db: Client) => Promise<T>): Promise<T> =>
  withConnectionString(config, 'share', async (connectionString) => {
    const db = new Client({ connectionString, connectionTimeoutMillis: 5_000 });
    db.on('error', () => {});
    await db.connect().catch((error: unknown) => {
      throw unreachable(error);
    });
    return use(db).finally(() => db.end());
  });

/** As many as are needed, with an embedded database for this process alone: a running server refuses it. */
export const withPool = <T>(config: Named, use: (pool: Pool) => Promise<T>): Promise<T> =>
  withConnectionString(config, 'serve', async (connectionString) => {
    const pool = new Pool({ connectionString, max: 4, connectionTimeoutMillis: 5_000 });
    pool.on('error', () => {});
    try {
      await pool.query('SELECT 1').catch((error: unknown) => {
        throw unreachable(error);
      });
      return await use(pool);
    } finally {
      await pool.end();
    }
  });
