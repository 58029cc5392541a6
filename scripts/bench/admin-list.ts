// How fast the list of users is with very many of them: node scripts/bench/admin-list.ts [--users 1000000] [--requests 100]
// Fills the database that DATABASE_URL names, which should be one of its own, starts a server on it (PORT, REDIS_URL and all other
// settings as ever), and prints the times of GET /admin/users through HTTP.
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { loadConfig } from '../../src/config.ts';
import { argumentsOf, script, UsageError, withApp } from '../with-app.ts';
import { serve } from './served.ts';

const USAGE = '[--users 1000000] [--requests 100]';
const PAGE = 50;

// Spread over three years; one in 50 banned, one in 1,000 leaving, one in 10,000 an administrator; names repeat as names do.
const FILL = `
  INSERT INTO users (id, email, email_key, email_verified, username, username_key, password_hash, role,
                     banned_at, banned_until, ban_reason, erase_after, created_at, updated_at)
  SELECT gen_random_uuid(), email, email, n % 10 < 7, username, username, CASE WHEN n % 5 > 0 THEN 'not a hash' || repeat('x', 87) END,
         CASE WHEN n % 10000 = 7 THEN 'admin' ELSE 'user' END, CASE WHEN n % 50 = 3 THEN made END,
         CASE WHEN n % 500 = 3 THEN now() + interval '30 days' END, CASE WHEN n % 50 = 3 THEN 'spam' END,
         CASE WHEN n % 1000 = 11 THEN now() + interval '7 days' END, made, made
  FROM (
    SELECT n, now() - interval '3 years' + n * (interval '3 years' / $1::int) AS made,
           given || '.' || family || ((n::bigint * 7919) % 1000003) || '@bench.example' AS email,
           CASE WHEN n % 3 > 0 THEN given || '_' || ((n::bigint * 104729) % 1000003) END AS username
    FROM generate_series($2::int + 1, $1::int) n,
         LATERAL (SELECT (ARRAY['ada','grace','alan','edsger','barbara','donald','frances','john','margaret','niklaus','radia','tony','ken','dennis','leslie','jean',
                                'karen','shafi','silvio','butler','edgar','fernando','vint','robert','adele','kristen','dana','michael','ole','peter','andrew','juris'])
                         [1 + (hashint4(n) & 1023) % 32] AS given,
                         (ARRAY['lovelace','hopper','turing','dijkstra','liskov','knuth','allen','backus','hamilton','wirth','perlman','hoare'])
                         [1 + (hashint4(n + 7) & 1023) % 12] AS family) names
  ) generated`;

const fill = async (databaseUrl: string, users: number): Promise<string[]> => {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query(
      `SELECT count(*)::int AS there, count(*) FILTER (WHERE email_key NOT LIKE '%bench.example')::int AS others FROM users`,
    );
    // A demo user or two come with every installation in development.
    if (rows[0].others > 10) throw new UsageError('this database has users of its own: name another by DATABASE_URL');
    if (rows[0].there < users) {
      process.stderr.write(`making users up to ${users}\n`);
      await client.query(FILL, [users, Math.max(0, rows[0].there - rows[0].others)]);
      await client.query('VACUUM ANALYZE users');
    }
    const some = await client.query('SELECT id FROM users ORDER BY random() LIMIT 200');
    return some.rows.map(({ id }) => String(id));
  } finally {
    await client.end();
  }
};

type Measured = { query: string; requests: number; p50_ms: number; p95_ms: number; max_ms: number; items: number };

const at = (sorted: number[], share: number): number =>
  Math.round((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0) * 10) / 10;

/** What is asked: the n-th request's parameters, or the pages of one list, each by the cursor of the one before. */
const queries = (ids: string[]): [name: string, query: (n: number) => Record<string, string>, paged?: boolean][] => {
  const day = (n: number) => new Date(Date.now() - ((n * 7919) % 1000) * 86_400_000);
  const sorts = ['created_at', '-created_at', 'email', '-email', 'username', '-username'];
  const filters: Record<string, Record<string, string>> = {
    'status=active': { status: 'active' },
    'status=banned': { status: 'banned' },
    'status=pending_deletion': { status: 'pending_deletion' },
    'role=admin': { role: 'admin' },
    'role=user': { role: 'user' },
    'provider=password': { provider: 'password' },
    'provider=none': { provider: 'none' },
    'email_verified=true': { email_verified: 'true' },
    'email_verified=false': { email_verified: 'false' },
    'role=admin, status=banned': { role: 'admin', status: 'banned' },
    'email_verified=false, provider=none (nobody)': { email_verified: 'false', provider: 'none' },
  };
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  return [
    ['no filter', () => ({})],
    ...sorts.map((sort): ReturnType<typeof queries>[number] => [`pages by ${sort}`, () => ({ sort }), true]),
    ...Object.entries(filters).flatMap(([name, filter]) =>
      sorts.map((sort): ReturnType<typeof queries>[number] => [`${name} by ${sort}`, () => ({ ...filter, sort })]),
    ),
    [
      'created on one day',
      (n) => ({
        created_from: day(n).toISOString(),
        created_to: new Date(day(n).getTime() + 86_400_000).toISOString(),
      }),
    ],
    ['created since, by email', (n) => ({ created_from: day(n).toISOString(), sort: 'email' })],
    ['q: a whole address', (n) => ({ q: `ada.lovelace${(n * 7919) % 1000003}@bench.example` })],
    ['q: a given name', (n) => ({ q: ['ada', 'grace', 'alan', 'radia'][n % 4] ?? '' })],
    ['q: a given name by email', (n) => ({ q: ['ada', 'grace', 'alan', 'radia'][n % 4] ?? '', sort: 'email' })],
    ['q: a full name', (n) => ({ q: ['ada.hopper', 'alan.turing', 'tony.wirth', 'john.knuth'][n % 4] ?? '' })],
    ['q: a full name and two digits', (n) => ({ q: `grace.hopper${10 + (n % 90)}` })],
    ['q: a username', (n) => ({ q: `ada_${1000 + n * 37}` })],
    ['q: a letter', (n) => ({ q: letters[n % 26] ?? '' })],
    ['q: an id', (n) => ({ q: ids[n % ids.length] ?? '' })],
    ['q: the first block of an id', (n) => ({ q: (ids[n % ids.length] ?? '').slice(0, 8) })],
    ['q: two digits of an id', (n) => ({ q: (ids[n % ids.length] ?? '').slice(0, 2) })],
    ['q: a given name, banned', (n) => ({ q: ['ada', 'grace'][n % 2] ?? '', status: 'banned' })],
  ];
};

const measure = async (origin: string, authorization: string, ids: string[], requests: number): Promise<Measured[]> => {
  const results: Measured[] = [];
  for (const [name, query, paged] of queries(ids)) {
    const times: number[] = [];
    let items = 0;
    let cursor: string | null = null;
    for (let n = 0; n < requests; n += 1) {
      const parameters = new URLSearchParams({ limit: String(PAGE), ...query(n), ...(paged && cursor && { cursor }) });
      const start = performance.now();
      const response = await fetch(`${origin}/admin/users?${parameters}`, { headers: { authorization } });
      const page = (await response.json()) as { items: unknown[]; next_cursor: string | null };
      times.push(performance.now() - start);
      if (!response.ok) throw new Error(`${name}: ${response.status}`);
      items = page.items.length;
      cursor = page.next_cursor;
    }
    times.sort((a, b) => a - b);
    results.push({
      query: name,
      requests,
      p50_ms: at(times, 0.5),
      p95_ms: at(times, 0.95),
      max_ms: at(times, 1),
      items,
    });
  }
  return results;
};

const signIn = async (origin: string): Promise<string> => {
  const email = `admin-${randomBytes(6).toString('hex')}@bench.example`;
  const password = randomBytes(18).toString('base64url');
  await withApp(({ accounts }) => accounts.create({ email, password, role: 'admin' }));
  const response = await fetch(`${origin}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email, password }),
  });
  return `Bearer ${((await response.json()) as { access_token: string }).access_token}`;
};

await script(async () => {
  const given = argumentsOf({ users: { type: 'string' }, requests: { type: 'string' } }, USAGE);
  const [users, requests] = [Number(given.users ?? 1_000_000), Number(given.requests ?? 100)];
  if (!Number.isSafeInteger(users) || !Number.isSafeInteger(requests)) throw new UsageError(`usage: ${USAGE}`);
  const { config } = loadConfig();
  if (!config.databaseUrl) throw new UsageError('name a database of its own by DATABASE_URL');
  // Migrates what is not migrated yet.
  await withApp(async () => {});
  const ids = await fill(config.databaseUrl, users);

  const server = await serve('../../src/main.ts', config.port, '/health');
  try {
    const results = await measure(server.origin, await signIn(server.origin), ids, requests);
    return { users, slowest_p95_ms: Math.max(...results.map(({ p95_ms }) => p95_ms)), results };
  } finally {
    await server.stop();
  }
});
