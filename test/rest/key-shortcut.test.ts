// GET /users/me with an API key is answered before the pipeline, where the answer is yes and at hand: as the pipeline would answer it.
import { request as httpRequest } from 'node:http';
import test from 'ava';
import { DEFAULT_LIMITS } from '../../src/domain/throttles.ts';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
let proxied: TestServer;
test.before(async () => {
  server = await startServer();
  proxied = await startServer({ trustProxy: 1 }, server);
});
test.after.always(async () => {
  await proxied?.close();
  await server?.close();
});

type Asked = { status: number | undefined; headers: string[][]; body: string; byPipeline: boolean };

/** Asks on a connection of its own, and tells whether the pipeline had anything to do with it. */
const ask = async (at: TestServer, headers: Record<string, string>, path = '/users/me', method = 'GET') => {
  // Koa hands every request of its own to this.
  const { app } = at as unknown as { app: { handleRequest(ctx: { req: object }, fn: unknown): unknown } };
  const original = app.handleRequest;
  let byPipeline = false;
  const mark = `test-${crypto.randomUUID()}`;
  app.handleRequest = function (this: unknown, ctx, fn) {
    const { headers: asked } = ctx.req as { headers: Record<string, string> };
    if (asked['x-test'] === mark) byPipeline = true;
    return original.call(this as typeof app, ctx, fn);
  };
  try {
    return await new Promise<Asked>((resolve, reject) => {
      const sent = httpRequest(
        at.origin + path,
        { method, headers: { ...headers, 'x-test': mark }, agent: false },
        (response) => {
          let body = '';
          response.on('data', (chunk) => {
            body += chunk;
          });
          response.on('end', () => {
            const raw = response.rawHeaders;
            const pairs = raw.flatMap((name, at) => (at % 2 === 0 ? [[name, String(raw[at + 1])]] : []));
            resolve({ status: response.statusCode, headers: pairs, body, byPipeline });
          });
        },
      );
      sent.on('error', reject);
      sent.end();
    });
  } finally {
    app.handleRequest = original;
  }
};

/** As `ask`, when the answer is at hand: one of its own a server looks up again every second, whenever that has begun. */
const askAtHand = async (at: TestServer, headers: Record<string, string>): Promise<Asked> => {
  for (const deadline = Date.now() + 10_000; ; ) {
    const answer = await ask(at, headers);
    if (!answer.byPipeline) return answer;
    if (Date.now() > deadline) throw new Error('it is never answered before the pipeline');
  }
};

let count = 0;
const person = async (at: TestServer = server) => {
  const email = `short${++count}@example.com`;
  const user = await at.accounts.create({ email, password: 'secret1' });
  const rest = createRest(at.origin);
  const { body } = await rest.post('/auth/login', { email, password: 'secret1' });
  const auth = bearer(body.access_token);
  const newKey = async (more = {}) =>
    (await rest.post('/users/api-keys', { name: 'a service', scopes: [], ...more }, auth)).body as {
      id: string;
      key: string;
    };
  return { user, rest, auth, newKey };
};

test.serial('both ways answer alike, header by header', async (t) => {
  const { rest, auth, newKey } = await person();
  await rest.put('/users/me', { name: 'Ünïcödé', address: { country: 'CH' } }, auth);
  const { key } = await newKey();
  const headers = { 'x-api-key': key, 'x-request-id': 'given-by-a-proxy' };
  t.true((await ask(server, headers)).byPipeline, 'the first time the key has to be looked up');
  const [short, long] = [await askAtHand(server, headers), await ask(server, headers, '/users/me?x')];
  t.true(long.byPipeline);
  t.is(short.status, 200);
  t.is(short.body, long.body);
  const left = ({ headers: all }: Asked) => Number(all.find(([name]) => name === 'RateLimit-Remaining')?.[1]);
  t.is(left(long), left(short) - 1, 'both spend of the same budget');
  const comparable = ({ headers: all }: Asked) =>
    all.map(([name, value]) => [name, /^(date|ratelimit-re)/i.test(String(name)) ? 'differs' : value]);
  t.deepEqual(comparable(short), comparable(long));
  t.deepEqual(short.headers[0], ['X-Request-Id', 'given-by-a-proxy']);
});

test.serial('an identifier that is none is not kept, and each request has its line in the log', async (t) => {
  const { newKey } = await person();
  const { key } = await newKey();
  const odd = { 'x-api-key': key, 'x-request-id': 'with "quotes"' };
  const { headers } = await askAtHand(server, odd);
  const [, id = ''] = headers[0] ?? [];
  t.regex(id, /^[\da-f-]{36}$/);
  for (const deadline = Date.now() + 5_000; !server.log().includes(id); ) {
    if (Date.now() > deadline) return t.fail('no line in the log');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const [line = ''] = server
    .log()
    .split('\n')
    .filter((one) => one.includes(id));
  const { request_id, method, path, status, ms, ip, msg } = JSON.parse(line);
  t.deepEqual(
    { request_id, method, path, status, ip, msg },
    {
      request_id: id,
      method: 'GET',
      path: '/users/me',
      status: 200,
      ip: undefined,
      msg: 'request',
    },
  );
  t.true(ms >= 0);
  t.false(line.includes(key));
});

test.serial('whatever is not a plain yes is left to the pipeline', async (t) => {
  const { rest, auth, newKey } = await person();
  const { key } = await newKey();
  const good = { 'x-api-key': key };
  await askAtHand(server, good);
  const typo = key.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a'));
  const others: [number, Record<string, string>, string?, string?][] = [
    [401, { 'x-api-key': typo }],
    [401, { 'x-api-key': '' }],
    [401, { 'x-api-key': `${key}, ${key}` }],
    [401, { ...good, ...auth }],
    [401, { ...good, authorization: '' }],
    [401, {}],
    [200, auth as Record<string, string>],
    [200, good, '/users/me/'],
    [200, good, '/users/me', 'HEAD'],
    [405, good, '/users/me', 'POST'],
    [403, good, '/users/api-keys'],
  ];
  for (const [status, headers, path, method] of others) {
    const { status: answered, byPipeline } = await ask(server, headers, path, method);
    // An empty header is none, and what is left is the key.
    const expected = headers.authorization === '' ? 200 : status;
    t.deepEqual([answered, byPipeline], [expected, true], JSON.stringify([status, headers, path, method]));
  }
  t.is((await rest.get('/users/me', good)).status, 200);
});

test.serial('a key that is revoked, and one whose owner is banned, are refused at once', async (t) => {
  const { rest, auth, newKey, user } = await person();
  const [first, second] = [await newKey(), await newKey()];
  for (const { key } of [first, second]) await askAtHand(server, { 'x-api-key': key });
  t.is((await rest.delete(`/users/api-keys/${first.id}`, undefined, auth)).status, 204);
  t.is((await ask(server, { 'x-api-key': first.key })).status, 401);
  t.is((await askAtHand(server, { 'x-api-key': second.key })).status, 200);

  const admin = await server.accounts.create({
    email: `admin${count}@example.com`,
    password: 'secret1',
    role: 'admin',
  });
  const { body } = await rest.post('/auth/login', { email: admin.email, password: 'secret1' });
  const banned = await rest.post(`/admin/users/${user.id}/ban`, { reason: 'for a test' }, bearer(body.access_token));
  t.is(banned.status, 200);
  t.is((await ask(server, { 'x-api-key': second.key })).status, 401);
});

test.serial('a key that is revoked in another process is refused within a second', async (t) => {
  const beside = await startServer({}, server);
  t.teardown(() => beside.close());
  const { rest, auth, newKey } = await person();
  const { id, key } = await newKey();
  t.is((await askAtHand(beside, { 'x-api-key': key })).status, 200);
  await rest.delete(`/users/api-keys/${id}`, undefined, auth);
  const revokedAt = Date.now();
  for (;;) {
    const asked = Date.now();
    if ((await ask(beside, { 'x-api-key': key })).status !== 200) break;
    if (asked - revokedAt > 1_000) return t.fail('still answered');
  }
  t.is((await ask(beside, { 'x-api-key': key })).status, 401);
});

test.serial('a key that expires in the middle of being used is refused from then on', async (t) => {
  const { newKey } = await person();
  const expiry = Date.now() + 3_000;
  const { key } = await newKey({ expires_at: new Date(expiry).toISOString() });
  t.is((await askAtHand(server, { 'x-api-key': key })).status, 200);
  for (;;) {
    const asked = Date.now();
    if ((await ask(server, { 'x-api-key': key })).status === 401) break;
    if (asked > expiry) return t.fail('still answered');
  }
});

test.serial('a key in constant use has its last use noted, once a minute', async (t) => {
  const { rest, auth, newKey } = await person();
  const { id, key } = await newKey();
  await askAtHand(server, { 'x-api-key': key });
  const lastUsed = async () => {
    const { rows } = await server.database.pool.query('SELECT last_used_at FROM api_keys WHERE id = $1', [id]);
    return rows[0].last_used_at.getTime();
  };
  await server.database.pool.query("UPDATE api_keys SET last_used_at = now() - interval '2 minutes' WHERE id = $1", [
    id,
  ]);
  // Another stamp: the copy is read anew, with its last use as it is there.
  await rest.put('/users/me', { name: 'somebody else' }, auth);
  await ask(server, { 'x-api-key': key });
  for (const deadline = Date.now() + 5_000; Date.now() - (await lastUsed()) > 60_000; )
    if (Date.now() > deadline) return t.fail('not noted');
  t.is((await askAtHand(server, { 'x-api-key': key })).status, 200);
});

test.serial('a change of the account is told by the next answer', async (t) => {
  const { rest, auth, newKey } = await person();
  const { key } = await newKey();
  for (const name of ['first', 'second', 'third']) {
    await rest.put('/users/me', { name }, auth);
    for (let time = 0; time < 2; time += 1) t.is(JSON.parse((await ask(server, { 'x-api-key': key })).body).name, name);
  }
});

test.serial('past its rate limit a key gets 429, and not a request more', async (t) => {
  const limited = await startServer(
    { rateLimits: { ...DEFAULT_LIMITS, 'key-account': { points: 200, seconds: 60 } } },
    server,
  );
  t.teardown(() => limited.close());
  const { newKey } = await person(limited);
  const { key } = await newKey();
  const statuses: (number | undefined)[] = [];
  let short = 0;
  for (let one = 0; one < 205; one += 1) {
    const { status, byPipeline } = await ask(limited, { 'x-api-key': key });
    statuses.push(status);
    if (!byPipeline) short += 1;
  }
  t.is(statuses.filter((status) => status === 200).length, 200);
  t.deepEqual(statuses.slice(200), [429, 429, 429, 429, 429]);
  t.true(short >= 90, `${short} of them`);
});

test.serial('behind a proxy the address is the one that it names', async (t) => {
  const { newKey } = await person(proxied);
  const { key } = await newKey({ allowed_networks: ['192.0.2.0/24'] });
  const from = (address: string) => ({ 'x-api-key': key, 'x-forwarded-for': address });
  t.is((await askAtHand(proxied, from('198.51.100.1, 192.0.2.8'))).status, 200);
  t.is((await ask(proxied, from('192.0.2.8, 198.51.100.1'))).status, 401);
  t.is((await ask(proxied, { 'x-api-key': key })).status, 401);
});
