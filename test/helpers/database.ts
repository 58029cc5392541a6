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

const asAdmin = async <T>(server: string, work: (admin: Client) => Promise<T>): Promise<T> => {
  const admin = new Client({ connectionString: server });
  await admin.connect();
  return work(admin).finally(() => admin.end());
};

/** A new database on this server: empty, or a copy. */
export const createDatabase = async (server: string, template = 'template1') => {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await asAdmin(server, (admin) => admin.query(`CREATE DATABASE ${name} TEMPLATE ${template}`));
  return {
    url: onSameServer(server, name),
    async close() {
      await asAdmin(server, (admin) => admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`));
    },
  };
};

const onSameServer = (server: string, name: string): string => {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
};

/** The name of a migrated database to copy, which stays on the server. Whoever comes first makes it; nobody sees it before it is done. */
const serverTemplate = async (server: string): Promise<string> => {
  const name = `test_template_${await templateKey()}`;
  const draft = `${name}_draft`;
  await asAdmin(server, async (admin) => {
    const exists = async () => (await admin.query('SELECT FROM pg_database WHERE datname = $1', [name])).rowCount !== 0;
    if (await exists()) return;
    // Ends with the connection.
    await admin.query('SELECT pg_advisory_lock(hashtext($1))', [name]);
    if (await exists()) return;
    await admin.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await admin.query(`CREATE DATABASE ${draft}`);
    const pool = openPool(onSameServer(server, draft));
    await migrate(pool).finally(() => pool.end());
    await admin.query(`ALTER DATABASE ${draft} WITH ALLOW_CONNECTIONS false`);
    await admin.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
  });
  return name;
};

const onServer = async (server: string): Promise<TestDatabase> => {
  const database = await createDatabase(server, await serverTemplate(server));
  const pool = openPool(database.url);
  return {
    connectionString: database.url,
    pool,
    async close() {
      await pool.end();
      await database.close();
    },
  };
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
