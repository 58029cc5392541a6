import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import Koa, { type Middleware } from 'koa';
import { pino } from 'pino';
import { requestLog } from '../../src/http/request-log.ts';

type Line = Record<string, unknown>;

const ok: Middleware = (ctx) => {
  ctx.body = 'ok';
};

const listening = async (t: ExecutionContext, answer = ok, withAddress = false) => {
  const lines: Line[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(JSON.parse(String(chunk)));
      done();
    },
  });
  const app = new Koa();
  app.silent = true;
  app.use(requestLog(pino({ level: 'debug', base: null, timestamp: false }, sink), withAddress));
  app.use(answer);
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    get: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init),
    /** The lines written so far, of which there must be as many. */
    async lines(count: number): Promise<Line[]> {
      for (const deadline = Date.now() + 5_000; lines.length < count && Date.now() < deadline; ) await sleep(5);
      t.is(lines.length, count);
      return lines;
    },
  };
};

test('a request is one line: what was asked, what came of it, how long it took, and its id', async (t) => {
  const { get, lines } = await listening(t);
  const response = await get('/oauth/jwks');
  const [line] = await lines(1);
  t.like(line, { level: 30, method: 'GET', path: '/oauth/jwks', status: 200, msg: 'request' });
  t.is(line?.request_id, response.headers.get('x-request-id'));
  t.is(typeof line?.ms, 'number');
  t.deepEqual(Object.keys(line ?? {}).sort(), ['level', 'method', 'ms', 'msg', 'path', 'request_id', 'status']);
});

test('no query, header, cookie, body or token gets into the log', async (t) => {
  const { get, lines } = await listening(t);
  await get('/oauth/authorize?code=hunter2&state=hunter2', {
    method: 'POST',
    body: new URLSearchParams({ password: 'hunter2' }),
    headers: {
      authorization: 'Bearer hunter2',
      cookie: 'session=hunter2',
      referer: 'https://hunter2/',
      'user-agent': 'hunter2',
    },
  });
  t.notRegex(JSON.stringify(await lines(1)), /hunter2/);
});

test('LOG_PII: the line names the client’s address where it is said to, and only there', async (t) => {
  const named = await listening(t, ok, true);
  await named.get('/');
  t.regex(String((await named.lines(1))[0]?.ip), /^(::ffff:)?127\.0\.0\.1$/);
  const nameless = await listening(t);
  await nameless.get('/');
  t.false('ip' in ((await nameless.lines(1))[0] ?? {}));
});

test('an interaction’s id, half of what resumes a sign-in, stays out of the log', async (t) => {
  const { get, lines } = await listening(t);
  for (const path of [
    '/interaction/hunter2',
    '/interaction/hunter2/login',
    '/oauth/authorize/hunter2',
    '/interaction//hunter2',
  ])
    await get(path);
  const written = await lines(4);
  t.deepEqual(
    written.slice(0, 3).map(({ path }) => path),
    ['/interaction/:uid', '/interaction/:uid/login', '/oauth/authorize/:uid'],
  );
});

test('an id that a proxy gave is kept', async (t) => {
  const { get, lines } = await listening(t);
  for (const id of ['01ARZ3NDEKTSV4RRFFQ69G5FAV', 'e7f9c2d4-1b2a-4c3d-9e8f-0a1b2c3d4e5f', 'a.b_c-d.']) {
    const response = await get('/', { headers: { 'x-request-id': id } });
    t.is(response.headers.get('x-request-id'), id);
  }
  t.is((await lines(3))[2]?.request_id, 'a.b_c-d.');
});

test('an id that is forged to be something else is replaced', async (t) => {
  const { get, lines } = await listening(t);
  const forged = [
    '',
    'short',
    'x'.repeat(65),
    '<script>alert(1)</script>',
    '"}{"level":60',
    'two words',
    'a,b,c,d,e,f',
    '../../../../etc',
  ];
  for (const id of forged) {
    const response = await get('/', { headers: { 'x-request-id': id } });
    t.regex(response.headers.get('x-request-id') ?? '', /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/);
  }
  for (const { request_id } of await lines(forged.length)) t.false(forged.includes(String(request_id)));
});

test('two requests have two ids', async (t) => {
  const { get } = await listening(t);
  const ids = await Promise.all([get('/'), get('/')]);
  t.not(ids[0]?.headers.get('x-request-id'), ids[1]?.headers.get('x-request-id'));
});

test('being asked for its health every few seconds does not fill the log', async (t) => {
  const { get, lines } = await listening(t);
  await get('/health');
  t.is((await lines(1))[0]?.level, 20);
});

test('a failed request has its line too, and one whose caller went away says so', async (t) => {
  const failing = await listening(t, (ctx) => ctx.throw(503, 'hunter2'));
  await failing.get('/');
  const [failed] = await failing.lines(1);
  t.is(failed?.status, 503);
  t.notRegex(JSON.stringify(failed), /hunter2/);

  const slow = await listening(t, async (ctx) => {
    await sleep(200);
    ctx.body = 'too late';
  });
  const socket = connect(slow.port, '127.0.0.1', () => socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n'));
  await sleep(50);
  socket.destroy();
  t.like((await slow.lines(1))[0], { path: '/slow', status: 499 });
});
