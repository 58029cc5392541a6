import { connect } from 'node:net';
import test from 'ava';
import { hash as bcrypt } from 'bcryptjs';
import { PASSWORD_COST } from '../../src/domain/passwords.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let rest: ReturnType<typeof createRest>;
let admin: { id: string; auth: Record<string, string> };

const signedIn = async (name: string, role: string) => {
  const email = `${name}@example.com`;
  const { id } = await server.accounts.create({ email, password: 'secret1' });
  await server.database.pool.query('UPDATE users SET role = $2 WHERE id = $1', [id, role]);
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' });
  return { id, auth: bearer(body.access_token) };
};

test.before(async () => {
  // What an imported hash is replaced by is at the cost that holds everywhere.
  server = await startServer({ passwordCost: PASSWORD_COST });
  rest = createRest(server.origin);
  await server.database.pool.query(
    `INSERT INTO roles VALUES ('clerk', ARRAY['read:profile', 'write:profile', 'read:users', 'write:users'])`,
  );
  admin = await signedIn('admin', 'admin');
});
test.after.always(() => server?.close());

type Summary = {
  created: number;
  skipped: number;
  failed: number;
  errors: { line: number; code: string; path: string; message: string }[];
  errors_truncated: boolean;
};

const NDJSON = { 'content-type': 'application/x-ndjson' };

const send = async (body: string | Uint8Array, query = '', headers: Record<string, string> = admin.auth) => {
  const response = await fetch(`${server.origin}/admin/users/import${query}`, {
    method: 'POST',
    headers: { ...NDJSON, ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
  return { status: response.status, body: (await response.json()) as Summary & Record<string, unknown> };
};

const linesOf = (...users: unknown[]) =>
  users.map((user) => `${typeof user === 'string' ? user : JSON.stringify(user)}\n`).join('');
const counts = ({ created, skipped, failed }: Summary) => ({ created, skipped, failed });
const rowsLike = async (pattern: string) =>
  (
    await server.database.pool.query('SELECT row_to_json(u) AS row FROM users u WHERE email LIKE $1 ORDER BY email', [
      pattern,
    ])
  ).rows.map(({ row }) => row);

test.serial('imported people sign in with the passwords they had, which are argon2id from then on', async (t) => {
  const file = linesOf(
    {
      email: 'Bcrypt@import.example',
      password_hash: await bcrypt('a', 4),
      username: 'Imported.B',
      email_verified: true,
    },
    {
      email: 'firebase@import.example',
      password_hash: {
        algorithm: 'firebase-scrypt',
        hash: 'lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==',
        salt: '42xEC+ixf3L2lw==',
        signer_key: 'jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==',
        salt_separator: 'Bw==',
        rounds: 8,
        mem_cost: 14,
      },
    },
    {
      email: 'nobody@import.example',
      name: 'No Password',
      address: { country: 'UK' },
      locale: 'en-GB',
      created_at: '2019-04-01T12:00:00Z',
    },
  );
  t.deepEqual(counts((await send(file)).body), { created: 3, skipped: 0, failed: 0 });
  const before = await rowsLike('%@import.example');
  t.like(before[0], { email: 'Bcrypt@import.example', email_verified: true, username: 'Imported.B', role: 'user' });
  t.like(before[2], { name: 'No Password', address: { country: 'UK' }, locale: 'en-GB', password_hash: null });
  t.is(new Date(before[2].created_at).toISOString(), '2019-04-01T12:00:00.000Z');
  t.false(JSON.stringify(before).includes('jxspr8Ki0'), 'the signer key is sealed');

  t.is((await rest.post('/auth/login', { username: 'imported.b', password: 'b' })).status, 401);
  t.is((await rest.post('/auth/login', { username: 'imported.b', password: 'a' })).status, 200);
  t.is((await rest.post('/auth/login', { email: 'firebase@import.example', password: 'user1password' })).status, 200);
  t.is((await rest.post('/auth/login', { email: 'nobody@import.example', password: 'x' })).status, 401);
  const after = await rowsLike('%@import.example');
  for (const row of after.slice(0, 2)) t.regex(row.password_hash, /^\$argon2id\$v=19\$m=19456,p=1,t=2/);
  t.is((await rest.post('/auth/login', { username: 'imported.b', password: 'a' })).status, 200);

  t.deepEqual(counts((await send(file)).body), { created: 0, skipped: 3, failed: 0 });
  t.deepEqual(await rowsLike('%@import.example'), after, 'the second run changes nobody');
});

test.serial('what is wrong with a line is told by its number and path, and stops no other line', async (t) => {
  const half = '{"email":"half@bad.example","name":"a\\ud800"}';
  const wrong: [line: string | object, code: string, path: string][] = [
    ['{"email": "x@bad.example"', 'invalid_json', ''],
    ['null', 'invalid_field', ''],
    ['[]', 'invalid_field', ''],
    [{}, 'invalid_field', 'email'],
    [{ email: 'no address' }, 'invalid_email', 'email'],
    [{ email: 'nul\0@bad.example' }, 'invalid_field', 'email'],
    ['{"email":"nul@bad.example","name":"a\\u0000b"}', 'invalid_field', 'name'],
    [half, 'invalid_field', 'name'],
    ['{"email":"\\udfff@bad.example"}', 'invalid_field', 'email'],
    ['{"email":"p@bad.example","password_hash":"\\u0000"}', 'invalid_field', 'password_hash'],
    [{ email: 'p@bad.example', password: 'plain' }, 'invalid_field', 'password'],
    [{ email: 'p@bad.example', password_hash: 'plain' }, 'unsupported_hash', 'password_hash'],
    [{ email: 'p@bad.example', password_hash: `$2b$31$${'a'.repeat(53)}` }, 'hash_too_costly', 'password_hash'],
    [{ email: 'p@bad.example', password_hash: `$2b$10$${'a'.repeat(5)}` }, 'malformed_hash', 'password_hash'],
    [{ email: 'p@bad.example', password_hash: { algorithm: 'md5', hash: 'x' } }, 'invalid_field', 'password_hash'],
    [{ email: 'p@bad.example', password_hash: '!' }, 'unsupported_hash', 'password_hash'],
    [{ email: 'r@bad.example', role: 'emperor' }, 'invalid_role', 'role'],
    [{ email: 'u@bad.example', username: 'a@b' }, 'invalid_username', 'username'],
    [{ email: 'c@bad.example', created_at: '2999-01-01T00:00:00Z' }, 'invalid_field', 'created_at'],
    [{ email: 'c@bad.example', created_at: '0000-01-01T00:00:00Z' }, 'invalid_field', 'created_at'],
    [{ email: 'z@bad.example', address: { planet: 'Mars' } }, 'invalid_field', 'address.planet'],
    [{ email: 'ADMIN@bad.example' }, 'duplicate_email', 'email'],
    [`{"email":"long@bad.example","x":"${'x'.repeat(70_000)}"}`, 'line_too_long', ''],
  ];
  const body = Buffer.concat([
    Buffer.from(linesOf({ email: 'admin@bad.example' }, ...wrong.map(([line]) => line))),
    Buffer.from('{"email":"bytes\xff@bad.example"}\n', 'latin1'),
    // An empty line, the other line ending, and none at the end.
    Buffer.from('\n{"email":"last1@bad.example"}\r\n{"email":"last2@bad.example"}'),
  ]);
  const answer = await send(body);
  t.is(answer.status, 200);
  t.deepEqual(counts(answer.body), { created: 3, skipped: 0, failed: wrong.length + 1 });
  t.deepEqual(
    answer.body.errors.map(({ line, code, path }) => [line, code, path]),
    [...wrong.map(([, code, path], index) => [index + 2, code, path]), [wrong.length + 2, 'invalid_utf8', '']],
  );
  t.deepEqual(
    (await rowsLike('%bad.example')).map(({ email }) => email),
    ['admin@bad.example', 'last1@bad.example', 'last2@bad.example'],
  );
});

test.serial(
  'a username that somebody has fails, in the file and beside it; the address decides who is there already',
  async (t) => {
    await server.accounts.create({ email: 'owner@names.example', username: 'Taken', password: 'secret1' });
    const file = linesOf(
      { email: 'one@names.example', username: 'tAKEN' },
      { email: 'two@names.example', username: 'fresh' },
      { email: 'three@names.example', username: 'FRESH' },
      { email: 'OWNER@names.example', username: 'other' },
    );
    for (const query of ['?dry_run=true', '']) {
      const { body } = await send(file, query);
      t.deepEqual(counts(body), { created: 1, skipped: 1, failed: 2 }, query);
      t.deepEqual(
        body.errors.map(({ line, code }) => [line, code]),
        [
          [1, 'username_taken'],
          [3, 'username_taken'],
        ],
      );
      if (query) t.is((await rowsLike('%@names.example')).length, 1, 'a dry run writes nothing');
    }
    t.deepEqual(
      (await rowsLike('%@names.example')).map(({ email, username }) => [email, username]),
      [
        ['owner@names.example', 'Taken'],
        ['two@names.example', 'fresh'],
      ],
    );
  },
);

test.serial('more than a batch goes in, twice at once too, and each address once', async (t) => {
  const users = Array.from({ length: 1300 }, (_, i) => ({ email: `u${i}@many.example`, username: `many${i}` }));
  const [one, two] = await Promise.all([send(linesOf(...users)), send(linesOf(...users.toReversed()))]);
  t.is(one.status, 200);
  t.is(two.status, 200);
  t.is(one.body.created + two.body.created, 1300);
  t.is(one.body.skipped + two.body.skipped, 1300);
  t.is((await rowsLike('%@many.example')).length, 1300);
});

test.serial('an address twice in one file is found however far apart', async (t) => {
  const users = Array.from({ length: 1200 }, (_, i) => ({ email: `u${i}@apart.example` }));
  for (const query of ['?dry_run=true', '', '']) {
    const { body } = await send(linesOf(...users, { email: 'U3@apart.example' }), query);
    t.deepEqual(
      body.errors.map(({ line, code }) => [line, code]),
      [[1201, 'duplicate_email']],
    );
  }
});

test.serial('a thousand errors are told, the rest counted', async (t) => {
  const { body } = await send('nonsense\n'.repeat(1500));
  t.is(body.failed, 1500);
  t.is(body.errors.length, 1000);
  t.is(body.errors_truncated, true);
});

test.serial(
  'a sender that breaks off leaves whole batches, and the log says that it did not get to its end',
  async (t) => {
    const body = linesOf(...Array.from({ length: 1200 }, (_, i) => ({ email: `u${i}@broken.example` })));
    const { port } = new URL(server.origin);
    const socket = connect(Number(port), 'localhost');
    socket.write(
      `POST /admin/users/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nAuthorization: ${admin.auth.authorization}\r\nContent-Length: ${body.length + 1000}\r\n\r\n${body}`,
    );
    const created = async () => (await rowsLike('%@broken.example')).length;
    while ((await created()) < 1000) await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    const events = async () => server.audit.list({ type: 'user.imported' }, undefined, 20);
    const broken = async () =>
      (await events()).find(({ details }) => (details as { complete: boolean }).complete === false);
    while (!(await broken())) await new Promise((resolve) => setTimeout(resolve, 20));
    t.is(await created(), 1000);
    t.like(await broken(), { actor: admin.id, details: { created: 1000, skipped: 0, failed: 0 } });
  },
);

test.serial('an import is recorded once, with its counts and no addresses; a dry run is none', async (t) => {
  const events = async () =>
    (await server.audit.list({ type: 'user.imported' }, undefined, 200)).filter(({ details }) =>
      JSON.stringify(details).includes('"failed":7'),
    );
  const file = linesOf({ email: 'one@audit.example' }, ...Array(7).fill('x'));
  await send(file, '?dry_run=true');
  t.is((await events()).length, 0);
  await send(file);
  const [event, ...others] = await events();
  t.is(others.length, 0);
  t.like(event, { actor: admin.id, details: { created: 1, skipped: 0, failed: 7, complete: true } });
  t.false(JSON.stringify(event).includes('audit.example'));
});

test.serial('only who may write users imports, by token or by key', async (t) => {
  const file = linesOf({ email: 'one@scope.example' });
  const plain = await signedIn('plain', 'user');
  t.is((await send(file, '', {})).status, 401);
  t.is((await send(file, '', plain.auth)).status, 403);
  const keyOf = async (scopes: string[]) => {
    const { body } = await rest.post('/users/api-keys', { name: 'import', scopes }, admin.auth);
    return { 'X-API-Key': String(body.key) };
  };
  t.is((await send(file, '', await keyOf(['read:users']))).status, 403);
  t.is((await rowsLike('%@scope.example')).length, 0);
  t.deepEqual(counts((await send(file, '', await keyOf(['write:users']))).body), { created: 1, skipped: 0, failed: 0 });
});

test.serial('nobody imports somebody who may do more than they may themselves', async (t) => {
  const clerk = await signedIn('clerk', 'clerk');
  const file = linesOf({ email: 'a@clerk.example', role: 'admin' }, { email: 'c@clerk.example', role: 'clerk' });
  const { body } = await send(file, '', clerk.auth);
  t.deepEqual(counts(body), { created: 1, skipped: 0, failed: 1 });
  t.like(body.errors[0], { line: 1, code: 'invalid_role', path: 'role' });
  t.deepEqual(counts((await send(file)).body), { created: 1, skipped: 1, failed: 0 });
});

test.serial(
  'another type, a packed body, or a query that is not known is refused, and nothing is written',
  async (t) => {
    const file = linesOf({ email: 'one@type.example' });
    for (const type of ['application/json', 'text/plain', 'application/x-ndjson-not'])
      t.is((await send(file, '', { ...admin.auth, 'content-type': type })).status, 415, type);
    t.is((await send(file, '', { ...admin.auth, 'content-encoding': 'gzip' })).status, 415);
    for (const query of ['?dry_run=maybe', '?dry-run=true', '?dry_run=true&dry_run=false'])
      t.is((await send(file, query)).status, 422, query);
    t.is((await rowsLike('%@type.example')).length, 0);
    t.deepEqual(counts((await send('')).body), { created: 0, skipped: 0, failed: 0 });
  },
);

test.serial('a million lines are taken, one more is not', async (t) => {
  t.is((await send('\n'.repeat(1_000_000))).status, 200);
  const { status, body } = await send(`${'\n'.repeat(1_000_000)}{`);
  t.is(status, 413);
  t.is(body.code, 'invalid_request');
});
