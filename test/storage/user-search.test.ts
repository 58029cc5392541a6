// The list of users where it is long: every way of reading it gives what looking at everybody would.
import test from 'ava';
import { Pool } from 'pg';
import { openPrisma } from '../../src/storage/prisma.ts';
import { createUserSearch, type UserFilter, type UserOrder, type UserPage } from '../../src/storage/user-search.ts';
import { type TestDatabase, testDatabase } from '../helpers/database.ts';

// More than are counted, and than are looked at for one page.
const USERS = 22_000;

let database: TestDatabase;
let pool: Pool;
let search: ReturnType<typeof createUserSearch>;
let everybody: Record<string, unknown>[];

test.before(async () => {
  database = await testDatabase();
  pool = new Pool({ connectionString: database.connectionString, max: 5 });
  search = createUserSearch(pool, openPrisma(pool));
  await pool.query(`INSERT INTO roles VALUES ('rare', ARRAY[]::text[])`);
  // Who is banned came first, and whose address begins with z last: along some orders they are far away.
  await pool.query(
    `INSERT INTO users (id, email, email_key, username, username_key, role, email_verified, password_hash, banned_at, erase_after, created_at)
     SELECT md5(n::text)::uuid, key, key, name, name, CASE WHEN n % 2000 = 0 THEN 'rare' ELSE 'user' END, n % 2 = 0,
            CASE WHEN n % 2 = 0 THEN 'x' END, CASE WHEN n <= 6000 THEN now() END, CASE WHEN n % 500 = 7 THEN now() + interval '1 day' END,
            '2024-01-01'::timestamptz + (n / 3) * interval '1 minute'
     FROM (SELECT n, (CASE WHEN n > 15000 THEN 'z' ELSE 'b' END) || ((n::bigint * 7919) % 22003) || '@example.com' AS key,
             CASE WHEN n % 2 = 0 THEN 'u' || ((n::bigint * 104729) % 22003) END AS name FROM generate_series(1, $1) n) g`,
    [USERS],
  );
  await pool.query('ANALYZE users');
  everybody = (await pool.query('SELECT * FROM users')).rows;
});
test.after.always(async () => {
  await pool?.end();
  await database?.close();
});

const fits =
  (filter: UserFilter) =>
  (user: Record<string, unknown>): boolean => {
    const { prefix, status, role, hasPassword, emailVerified, createdFrom, createdTo } = filter;
    const is = user.banned_at ? 'banned' : user.erase_after ? 'pending_deletion' : 'active';
    const created = user.created_at as Date;
    return (
      (prefix === undefined ||
        [user.email, user.username ?? '', user.id].some((name) => `${name}`.startsWith(prefix))) &&
      (status === undefined || status === is) &&
      (role === undefined || role === user.role) &&
      (hasPassword === undefined || hasPassword === (user.password_hash !== null)) &&
      (emailVerified === undefined || emailVerified === user.email_verified) &&
      (createdFrom === undefined || created >= createdFrom) &&
      (createdTo === undefined || created < createdTo)
    );
  };

const compared = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

const expected = (filter: UserFilter, { by, descending }: UserOrder): string[] => {
  const key = (user: Record<string, unknown>) =>
    by === 'created_at' ? (user.created_at as Date).toISOString() : String(user[by] ?? '');
  const found = everybody.filter(fits(filter)).map((user) => ({ id: String(user.id), key: key(user) }));
  found.sort((a, b) => compared(a.key, b.key) || compared(a.id, b.id));
  return (descending ? found.reverse() : found).map(({ id }) => id);
};

const FILTERS: Record<string, UserFilter> = {
  'no filter': {},
  'a filter that most fit': { status: 'active' },
  'a filter that few fit': { role: 'rare' },
  'a filter that nobody fits': { role: 'none' },
  'a filter that many fit, all on one side': { status: 'banned' },
  'a prefix that many have, all on one side': { prefix: 'z' },
  'a prefix of names and ids': { prefix: 'b' },
  'a prefix of ids, dense': { prefix: '3' },
  'a prefix of an address': { prefix: 'z1@' },
  'a prefix and a filter, both dense': { prefix: 'z', emailVerified: true },
  'two filters that nobody fits together': { emailVerified: true, hasPassword: false },
  'a span of time': { createdFrom: new Date('2024-01-02T00:00:00Z'), createdTo: new Date('2024-01-04T12:00:00Z') },
  'a span of time and two filters': {
    createdFrom: new Date('2024-01-02T00:00:00Z'),
    status: 'active',
    hasPassword: true,
  },
  'rare ones among those about to be erased': { status: 'pending_deletion', emailVerified: false },
};

for (const [name, filter] of Object.entries(FILTERS))
  test(`${name}: every order, page by page, is whole`, async (t) => {
    for (const by of ['created_at', 'email', 'username'] as const)
      for (const descending of [false, true]) {
        const order = { by, descending };
        const wanted = expected(filter, order);
        const met: string[] = [];
        let page: UserPage | undefined;
        let asked = 0;
        // Enough of it to have been through every way of going on, to the end where that is near.
        do {
          page = await search.list(filter, order, page?.next, 200);
          met.push(...page.users.map(({ id }) => id));
          asked += 1;
        } while (page.next && asked < 12);
        t.deepEqual(met, page.next ? wanted.slice(0, met.length) : wanted, `${by} ${descending}`);
        if (!page.isEstimate) t.is(page.total, wanted.length);
        else t.true(page.total > 0);
      }
  });

test('totals are exact up to 10,000 where a filter alone leaves no more, and otherwise say that they are estimates', async (t) => {
  const order = { by: 'created_at', descending: true } as const;
  const total = async (filter: UserFilter) => {
    const { total: count, isEstimate } = await search.list(filter, order, undefined, 1);
    return isEstimate ? ('an estimate' as const) : count;
  };
  t.is(await total({ status: 'banned' }), 6000);
  t.is(await total({ prefix: 'z' }), 7000);
  t.is(await total({ prefix: 'z', emailVerified: true }), 3500);
  t.is(await total({ role: 'rare', status: 'banned' }), 3);
  t.is(await total({}), 'an estimate');
  t.is(await total({ emailVerified: true }), 'an estimate');
  const { total: about } = await search.list({}, order, undefined, 1);
  t.true(Math.abs(about - USERS) < USERS / 10);
});

test('a page that ends short because nobody fits for long goes on where it stopped', async (t) => {
  // 15,000 come first along this order, more than are looked at at once.
  const filter = { prefix: 'z', status: 'active' } as const;
  const first = await search.list(filter, { by: 'created_at', descending: false }, undefined, 10);
  t.deepEqual(first.users, []);
  t.truthy(first.next);
});
