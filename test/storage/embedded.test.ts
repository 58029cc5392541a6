// Child processes stand in for the other servers and scripts on a data directory, so that they can be killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { Client, Pool } from 'pg';
import { DataDirError } from '../../src/storage/data-dir.ts';
import { EmbeddedInUseError, openEmbedded } from '../../src/storage/embedded.ts';

const root = await mkdtemp(join(tmpdir(), 'ua-emb-'));
/** An initialised database that nobody has open. */
const pristine = join(root, 'pristine');
const children = new Set<ChildProcess>();

test.before('a first start creates the database', async (t) => {
  const { close, owner } = await openEmbedded(pristine, 'serve');
  t.true(owner);
  await close();
});
test.after.always(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

const newDir = async (): Promise<string> => {
  const dir = await mkdtemp(join(root, 'd-'));
  await cp(pristine, dir, { recursive: true });
  return dir;
};

/** Runs a module; each line it prints is JSON. `lines` ends when it does. */
const run = (program: string) => {
  const prelude = `
    import { openEmbedded } from ${JSON.stringify(import.meta.resolve('../../src/storage/embedded.ts'))};
    import pg from 'pg';
    const say = (value) => console.log(JSON.stringify(value));\n`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', prelude + program], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  const exited = once(child, 'exit').then(([code, signal]) => {
    children.delete(child);
    return code ?? signal;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid,
    exited,
    async next() {
      const { value, done } = await lines.next();
      return done ? undefined : JSON.parse(value);
    },
    async kill() {
      child.kill('SIGKILL');
      await exited;
    },
  };
};
const serving = async (dir: string, mode = 'serve') => {
  const child = run(`
    const { owner } = await openEmbedded(${JSON.stringify(dir)}, ${JSON.stringify(mode)});
    say({ owner });
    setInterval(() => {}, 1000);`);
  return { ...child, opened: await child.next() };
};

// ---------------------------------------------------------------------------------------------------------------------
// Connections
// ---------------------------------------------------------------------------------------------------------------------

test.serial('it serves pg on a unix socket that only this user reaches, and leaves nothing open behind', async (t) => {
  const dir = await newDir();
  const database = await openEmbedded(dir, 'serve');
  t.true(database.owner);
  const client = new Client({ connectionString: database.connectionString });
  await client.connect();
  t.regex((await client.query('SELECT version()')).rows[0].version, /PGlite/);
  await client.end();
  for (const [name, mode] of [
    ['', 0o700],
    ['postgres', 0o700],
    ['.s.PGSQL.5432', 0o600],
  ] as const)
    t.is((await stat(join(dir, name))).mode & 0o777, mode, name);
  await database.close();
  await database.close();
  t.deepEqual(await readdir(dir), ['postgres']);
  await (await openEmbedded(dir, 'serve')).close();
});

test.serial('a path with blanks, percent signs and letters beyond ASCII serves too', async (t) => {
  const dir = join(await mkdtemp(join(root, 'd-')), 'a b%20é&c?d');
  await cp(pristine, dir, { recursive: true });
  const database = await openEmbedded(dir, 'serve');
  const client = new Client({ connectionString: database.connectionString });
  await client.connect();
  t.is((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  await client.end();
  await database.close();
});

test.serial('queries of many connections at the same time each get their own answer', async (t) => {
  const database = await openEmbedded(await newDir(), 'serve');
  const pool = new Pool({ connectionString: database.connectionString, max: 20 });
  const inTransaction = async (n: number) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query('SELECT $1::int AS n', [n]);
      await client.query(n % 2 ? 'COMMIT' : 'ROLLBACK');
      return rows[0].n;
    } finally {
      client.release();
    }
  };
  const kinds = [
    async (n: number) => (await pool.query('SELECT $1::int AS n', [n])).rows[0].n,
    async (n: number) => Number((await pool.query('SELECT $1::text AS a, $2::text AS b', ['x', n])).rows[0].b),
    async (n: number) => (await pool.query('SELECT $1::int / 0', [n]).catch(() => ({ rows: [{ n }] }))).rows[0].n,
    inTransaction,
  ];
  const numbers = Array.from({ length: 600 }, (_, n) => n);
  t.deepEqual(await Promise.all(numbers.map((n) => kinds[n % kinds.length]?.(n))), numbers);
  await pool.end();
  await database.close();
});

test.serial('a connection that breaks off anywhere is rolled back, and the others go on', async (t) => {
  const dir = await newDir();
  const database = await openEmbedded(dir, 'serve');
  const pool = new Pool({ connectionString: database.connectionString, query_timeout: 5_000 });
  await pool.query('CREATE TABLE kept (n int)');

  // Messages of PostgreSQL's protocol: a type, a length that counts itself, the text.
  const message = (type: string, text: string) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(text.length + 4);
    return Buffer.concat([Buffer.from(type), length, Buffer.from(text, 'latin1')]);
  };
  const query = (sql: string) => message('Q', `${sql}\0`);
  const parse = (sql: string) => message('P', `\0${sql}\0\0\0`);
  const insert = query('BEGIN; INSERT INTO kept VALUES (1)');
  const cases: [what: string, sent: Buffer[], answersAwaited: boolean][] = [
    ['in a transaction', [insert], true],
    ['as a transaction begins', [insert], false],
    ['in a slow query of a transaction', [insert, query('SELECT pg_sleep(0.2)')], false],
    ['in a transaction that has failed', [insert, query('nonsense')], true],
    ['between the messages of a query', [parse('SELECT 1')], true],
    ['after an error between the messages of a query', [parse('nonsense')], true],
    ['after an error between the messages of a query in a transaction', [insert, parse('nonsense')], true],
    ['in the middle of a message', [insert, query('SELECT 1').subarray(0, 7)], true],
  ];
  for (const [what, sent, answersAwaited] of cases) {
    const socket = connect(join(dir, '.s.PGSQL.5432'));
    socket.on('error', () => {});
    socket.write(message('', '\0\x03\0\0user\0postgres\0\0'));
    await once(socket, 'data');
    for (const each of sent) socket.write(each);
    if (answersAwaited) await sleep(50);
    socket.destroy();
    t.is((await pool.query('SELECT count(*)::int AS n FROM kept WHERE n > $1', [0])).rows[0].n, 0, what);
  }
  await pool.end();
  await database.close();
});

test.serial('closing rolls back what is open and ends the connections', async (t) => {
  const dir = await newDir();
  const first = await openEmbedded(dir, 'serve');
  const client = new Client({ connectionString: first.connectionString });
  const ended = new Promise((resolve) => client.once('error', resolve));
  await client.connect();
  await client.query('CREATE TABLE kept (n int)');
  await client.query('BEGIN');
  await client.query('INSERT INTO kept VALUES (1)');
  await first.close();
  await ended;

  const second = await openEmbedded(dir, 'serve');
  const pool = new Pool({ connectionString: second.connectionString });
  t.deepEqual((await pool.query('SELECT n FROM kept')).rows, []);
  await pool.end();
  await second.close();
});

test.serial('a process that has closed the database ends by itself', async (t) => {
  const dir = await newDir();
  for (const mode of ['serve', 'share']) {
    const child = run(`
      const database = await openEmbedded(${JSON.stringify(dir)}, ${JSON.stringify(mode)});
      const pool = new pg.Pool({ connectionString: database.connectionString });
      say((await pool.query('SELECT 1 AS one')).rows[0]);
      await pool.end();
      await database.close();`);
    t.deepEqual(await child.next(), { one: 1 });
    t.is(await Promise.race([child.exited, sleep(5_000, 'still running', { ref: false })]), 0);
  }
});

// ---------------------------------------------------------------------------------------------------------------------
// Killed
// ---------------------------------------------------------------------------------------------------------------------

test.serial('three times killed with -9 under writes, every acknowledged row comes back', async (t) => {
  const dir = await newDir();
  const acknowledged = new Set<number>();
  for (const round of [1, 2, 3]) {
    const child = run(`
      const { connectionString } = await openEmbedded(${JSON.stringify(dir)}, 'serve');
      const pool = new pg.Pool({ connectionString, max: 4 });
      await pool.query('CREATE TABLE IF NOT EXISTS kept (n int PRIMARY KEY, filling text)');
      const write = async (n) => {
        await pool.query('INSERT INTO kept VALUES ($1, $2)', [n, 'x'.repeat(n % 3000)]);
        say(n);
        await write(n + 4);
      };
      for (const lane of [0, 1, 2, 3]) void write(${round} * 1_000_000 + lane);`);
    for (let rows = 0; rows < 150 * round; rows += 1) acknowledged.add(await child.next());
    await child.kill();
    // What was said before the end, and not read yet.
    for (let n = await child.next(); n !== undefined; n = await child.next()) acknowledged.add(n);

    const database = await openEmbedded(dir, 'serve');
    const pool = new Pool({ connectionString: database.connectionString });
    const { rows } = await pool.query('SELECT n, length(filling) AS length FROM kept');
    const found = new Map(rows.map(({ n, length }) => [n, length]));
    t.deepEqual(
      [...acknowledged].filter((n) => found.get(n) !== n % 3000),
      [],
      `round ${round}`,
    );
    await pool.end();
    await database.close();
  }
  t.true(acknowledged.size >= 900);
});

test.serial('a first start that was interrupted is begun again', async (t) => {
  const dir = await mkdtemp(join(root, 'd-'));
  await mkdir(join(dir, 'postgres'));
  await writeFile(join(dir, 'postgres', 'PG_VERSION'), '18\n');
  await writeFile(join(dir, 'postgres.incomplete'), '');
  const database = await openEmbedded(dir, 'serve');
  await database.close();
  t.deepEqual(await readdir(dir), ['postgres']);
});

// ---------------------------------------------------------------------------------------------------------------------
// Several processes on one directory
// ---------------------------------------------------------------------------------------------------------------------

test.serial(
  'a second server is refused, naming the first one’s process and the directory, until the first has gone',
  async (t) => {
    const dir = await newDir();
    const first = await serving(dir);
    const error = await t.throwsAsync(openEmbedded(dir, 'serve'), { instanceOf: EmbeddedInUseError });
    t.is(
      error.message,
      `DATA_DIR ${dir} is in use by another server (process ${first.pid}). Stop that process, or give this one a DATA_DIR of its own.`,
    );
    await first.kill();
    await (await openEmbedded(dir, 'serve')).close();
  },
);

test.serial('a script beside a live server uses its database and leaves it running', async (t) => {
  const dir = await newDir();
  const server = await serving(dir);
  const script = await openEmbedded(dir, 'share');
  t.false(script.owner);
  const pool = new Pool({ connectionString: script.connectionString });
  t.is((await pool.query('SELECT 1 AS one')).rows[0].one, 1);
  await script.close();
  await script.close();
  t.is((await pool.query('SELECT 2 AS two')).rows[0].two, 2);
  await pool.end();
  await t.throwsAsync(openEmbedded(dir, 'serve'), { message: new RegExp(`process ${server.pid}`) });
  await server.kill();
});

test.serial('a script started with the server on an empty directory waits until the database is there', async (t) => {
  const dir = await mkdtemp(join(root, 'd-'));
  const server = serving(dir);
  while (!(await readdir(dir)).includes('lock.sock')) await sleep(5);
  const script = await openEmbedded(dir, 'share');
  t.false(script.owner);
  const client = new Client({ connectionString: script.connectionString });
  await client.connect();
  t.is((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  await client.end();
  await script.close();
  await (await server).kill();
});

test.serial('a script alone opens the directory itself; a server waits for it to finish', async (t) => {
  const dir = await newDir();
  const script = await openEmbedded(dir, 'share');
  t.true(script.owner);
  const server = serving(dir);
  t.is(await Promise.race([server, sleep(1_500, 'waiting')]), 'waiting');
  await script.close();
  t.deepEqual((await server).opened, { owner: true });
  await (await server).kill();
});

test.serial(
  'a script that has the directory stays until another script that uses its database has finished',
  async (t) => {
    const dir = await newDir();
    const first = await openEmbedded(dir, 'share');
    const second = await openEmbedded(dir, 'share');
    t.false(second.owner);
    const closed = first.close().then(() => 'closed');
    t.is(await Promise.race([closed, sleep(300, 'open')]), 'open');
    const client = new Client({ connectionString: second.connectionString });
    await client.connect();
    t.is((await client.query('SELECT 1 AS one')).rows[0].one, 1);
    await client.end();
    await second.close();
    t.is(await closed, 'closed');
  },
);

test.serial(
  'of twenty calls in five processes that find the lock of a killed server, exactly one gets it',
  async (t) => {
    const dir = await newDir();
    for (const mode of ['serve', 'share']) {
      await (await serving(dir)).kill();
      const racers = Array.from({ length: 5 }, () =>
        run(`
        const open = () => openEmbedded(${JSON.stringify(dir)}, ${JSON.stringify(mode)}).then(
          ({ owner }) => owner ? 'owner' : 'guest',
          (error) => error.name,
        );
        say(await Promise.all([open(), open(), open(), open()]));
        setInterval(() => {}, 1000);`),
      );
      const outcomes = (await Promise.all(racers.map((racer) => racer.next()))).flat();
      const others = mode === 'serve' ? 'EmbeddedInUseError' : 'guest';
      t.deepEqual(outcomes.sort(), [...Array(19).fill(others), 'owner'].sort());
      await Promise.all(racers.map((racer) => racer.kill()));
    }
  },
);

test.serial('a process killed while it removed a dead lock stands in nobody’s way', async (t) => {
  const dir = await newDir();
  // The lock of a dead process; the right to remove it, of a second one; and the right to remove that, of a third.
  await symlink('lock.first', join(dir, 'lock.sock'));
  await symlink('lock.second', join(dir, 'lock.first.removal'));
  await symlink('lock.third', join(dir, 'lock.second.removal'));
  await (await openEmbedded(dir, 'serve')).close();
  t.deepEqual(await readdir(dir), ['postgres']);
});

// ---------------------------------------------------------------------------------------------------------------------
// Unusable directories
// ---------------------------------------------------------------------------------------------------------------------

test.serial('a path too long for a socket serves all the same, to a second process too', async (t) => {
  const dir = join(root, 'x'.repeat(120));
  await cp(pristine, dir, { recursive: true });
  const database = await openEmbedded(dir, 'serve');
  const beside = await openEmbedded(dir, 'share');
  t.false(beside.owner);
  const client = new Client({ connectionString: beside.connectionString });
  await client.connect();
  await client.end();
  await beside.close();
  await database.close();
});

test.serial('the longest path that is allowed serves', async (t) => {
  const parent = await mkdtemp(join(root, 'd-'));
  const dir = join(parent, 'x'.repeat(100 - parent.length - '//.s.PGSQL.5432'.length));
  await cp(pristine, dir, { recursive: true });
  const database = await openEmbedded(dir, 'serve');
  const client = new Client({ connectionString: database.connectionString });
  await client.connect();
  await client.end();
  await database.close();
  t.pass();
});

for (const [what, reason, damage] of [
  ['a damaged control file', /PostgreSQL 18/, (data: string) => writeFile(join(data, 'global/pg_control'), 'x')],
  ['no version file', /no PG_VERSION/, (data: string) => rm(join(data, 'PG_VERSION'))],
  [
    'the version of another PostgreSQL',
    /written by PostgreSQL 12/,
    (data: string) => writeFile(join(data, 'PG_VERSION'), '12\n'),
  ],
  [
    'a file in its place',
    /ENOTDIR/,
    async (data: string) => {
      await rm(data, { recursive: true });
      await writeFile(data, '');
    },
  ],
] as const) {
  test.serial(`a database with ${what} is an error that names the directory, and is left as it is`, async (t) => {
    const dir = await newDir();
    const data = join(dir, 'postgres');
    await damage(data);
    const before = await readdir(dir, { recursive: true });
    const version = await readFile(join(data, 'PG_VERSION')).catch(() => undefined);
    const error = await t.throwsAsync(openEmbedded(dir, 'serve'), { instanceOf: DataDirError });
    t.true(error.message.includes(data));
    t.regex(error.message, reason);
    t.regex(error.message, /restore it from a backup, or move it away/);
    t.deepEqual(await readFile(join(data, 'PG_VERSION')).catch(() => undefined), version);
    const after = await readdir(dir, { recursive: true });
    t.deepEqual(
      before.filter((name) => !after.includes(name)),
      [],
    );
    // The lock is free again.
    t.false(after.includes('lock.sock'));
  });
}
