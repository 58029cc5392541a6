// A database for one test file: on the PostgreSQL that TEST_DATABASE_URL names, or embedded in a temporary directory.
import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { access, constants, cp, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Pool } from 'pg';
import { openDataDir } from '../../src/storage/data-dir.ts';
import { openEmbedded } from '../../src/storage/embedded.ts';
import { takeLock } from '../../src/storage/embedded-lock.ts';
import { migrate } from '../../src/storage/migrator.ts';

export type TestDatabase = { connectionString: string; pool: Pool; close(): Promise<void> };

const MIGRATIONS = new URL('../../prisma/migrations/', import.meta.url);

/** A migrated, empty database, removed by `close`. */
export const testDatabase = (): Promise<TestDatabase> => {
  const server = process.env.TEST_DATABASE_URL;
  return server ? onServer(server) : embedded();
};

const openPool = (connectionString: string): Pool => {
  const pool = new Pool({ connectionString });
  // A test that ends connections on purpose must not be ended by this one's.
  pool.on('error', () => {});
  return pool;
};

const onServer = async (server: string): Promise<TestDatabase> => {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const asAdmin = async (sql: string) => {
    const admin = new Client({ connectionString: server });
    await admin.connect();
    await admin.query(sql).finally(() => admin.end());
  };
  await asAdmin(`CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const pool = openPool(url.href);
  const close = async () => {
    await pool.end();
    await asAdmin(`DROP DATABASE ${name} WITH (FORCE)`);
  };
  try {
    await migrate(pool);
  } catch (error) {
    await close();
    throw error;
  }
  return { connectionString: url.href, pool, close };
};

const embedded = async (): Promise<TestDatabase> => {
  const template = await readyTemplate();
  const dir = await mkdtemp(join(tmpdir(), 'ua-test-'));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  // Also when the tests end without closing: a directory is 40 MB.
  process.once('exit', remove);
  await cp(template, join(dir, 'postgres'), { recursive: true, mode: constants.COPYFILE_FICLONE });
  const database = await openEmbedded(dir, 'serve');
  const pool = openPool(database.connectionString);
  return {
    connectionString: database.connectionString,
    pool,
    async close() {
      await pool.end();
      await database.close();
      process.off('exit', remove);
      remove();
    },
  };
};

/** A new database takes seconds, a copy of one a tenth of a second. One for each state of the migrations and of PGlite. */
const templateKey = async (): Promise<string> => {
  const hash = createHash('sha256');
  hash.update(await readFile(new URL('../package.json', import.meta.resolve('@electric-sql/pglite'))));
  for (const name of (await readdir(MIGRATIONS, { recursive: true })).sort()) {
    if (name.endsWith('.sql')) hash.update(`${name}\n`).update(await readFile(new URL(name, MIGRATIONS)));
  }
  return hash.digest('hex').slice(0, 16);
};

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const readyTemplate = async (): Promise<string> => {
  const dir = await openDataDir(join(tmpdir(), `ua-test-templates-${process.getuid?.() ?? ''}`));
  const template = join(dir, await templateKey());
  for (;;) {
    if (await exists(template)) return template;
    const taken = await takeLock(dir, 'share');
    if ('lock' in taken) {
      try {
        // Somebody may have made it since.
        if (!(await exists(template))) await makeTemplate(dir, template);
      } finally {
        await taken.lock.release();
      }
    } else {
      taken.connection.destroy();
      await sleep(100);
    }
  }
};

const makeTemplate = async (dir: string, template: string): Promise<void> => {
  const draft = await mkdtemp(join(dir, 'new-'));
  try {
    const database = await openEmbedded(draft, 'serve');
    try {
      const pool = openPool(database.connectionString);
      await migrate(pool).finally(() => pool.end());
    } finally {
      await database.close();
    }
    await rename(join(draft, 'postgres'), template);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
};
