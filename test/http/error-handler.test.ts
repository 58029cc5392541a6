import type { AddressInfo } from 'node:net';
import { Writable } from 'node:stream';
import test from 'ava';
import type { Middleware } from 'koa';
import { pino } from 'pino';
import { CsrfError } from '../../src/http/csrf.ts';
import { errorHandler } from '../../src/http/error-handler.ts';
import { createPages } from '../../src/http/pages.ts';
import { createRequestContext } from '../../src/http/request-context.ts';
import { createSecurityHeaders } from '../../src/http/security-headers.ts';
import { createServer } from '../../src/http/server.ts';
import { formBody } from '../../src/http/validate.ts';
import { InteractionGone } from '../../src/oidc/interactions.ts';

const ISSUER = 'http://localhost';
const pages = createPages({ issuer: ISSUER, cache: true });

const answerTo = async (route: Middleware, init: RequestInit = {}, path = '/') => {
  let log = '';
  const sink = new Writable({
    write(chunk, _encoding, done) {
      log += chunk;
      done();
    },
  });
  const logger = pino({}, sink);
  const app = createServer(
    { issuer: ISSUER, trustProxy: 0, cookieKeys: ['key'] },
    logger,
    formBody,
    errorHandler('https://id.example.com', pages, logger),
    createRequestContext(),
    createSecurityHeaders(ISSUER),
  );
  app.use(route);
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`, init);
  const body = await response.text();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return { response, body, log };
};

const throwing = (error: unknown): Middleware => {
  return () => {
    throw error;
  };
};
const asBrowser = { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } };
const failed = (fields: object, message = 'hunter2') => Object.assign(new Error(message), fields);

const kinds: [title: string, error: unknown, status: number, code: string][] = [
  ['a form from elsewhere', new CsrfError('hunter2'), 403, 'csrf'],
  ['a sign-in that is over', new InteractionGone('hunter2'), 400, 'session_not_found'],
  ['a store that does not listen', failed({ code: 'ECONNREFUSED' }), 503, 'temporarily_unavailable'],
  ['a body that is too large', failed({ status: 413, expose: true }), 413, 'invalid_request'],
  ['a PostgreSQL that has become a standby', failed({ code: '25006' }), 503, 'temporarily_unavailable'],
  ['a lock that nobody gave back', failed({ code: '55P03' }), 503, 'temporarily_unavailable'],
  ['a Redis that reads its file', new Error('LOADING Redis is loading the dataset'), 503, 'temporarily_unavailable'],
  ['a Redis that has become a replica', new Error("READONLY You can't write"), 503, 'temporarily_unavailable'],
  ['a Redis without room', new Error('OOM command not allowed'), 503, 'temporarily_unavailable'],
  ['a status that only a bug can have', failed({ status: 200 }), 500, 'server_error'],
  ['a bug', failed({}), 500, 'server_error'],
  ['something thrown that is no error', 'hunter2', 500, 'server_error'],
  ['nothing thrown', undefined, 500, 'server_error'],
];
for (const [title, error, status, code] of kinds)
  test(`${title} is told as ${status} ${code}: to programs as a problem, to people as a page, never its message`, async (t) => {
    const problem = await answerTo(throwing(error));
    t.is(problem.response.status, status);
    t.is(problem.response.headers.get('content-type'), 'application/problem+json');
    t.is(problem.response.headers.get('cache-control'), 'no-store');
    const { type, title: named, status: told, detail, code: named2, request_id, ...more } = JSON.parse(problem.body);
    t.deepEqual([type, told, named2, more], ['about:blank', status, code, {}]);
    t.is(typeof named, 'string');
    t.regex(detail, /^[A-Z][\w ,.-]+$/);
    t.is(request_id, problem.response.headers.get('x-request-id'));

    const page = await answerTo(throwing(error), asBrowser);
    t.is(page.response.status, status);
    t.regex(page.response.headers.get('content-type') ?? '', /^text\/html/);
    t.true(page.body.includes(page.response.headers.get('x-request-id') ?? 'no id'));
    for (const { body, response } of [problem, page]) {
      t.notRegex(body, /hunter2|\bat .*:\d+:\d+|node_modules/);
      t.is(response.headers.get('retry-after'), status === 503 ? '5' : null);
      t.truthy(response.headers.get('content-security-policy'), 'the headers of every answer are there');
    }
  });

test('what went wrong is in the log under the id that the caller was told; what the caller did wrong is not', async (t) => {
  const bug = await answerTo(throwing(failed({}, 'the reason')));
  const lines = bug.log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const line = lines.find(({ msg }) => msg === 'request failed');
  t.is(line?.request_id, bug.response.headers.get('x-request-id'));
  t.is(line?.err.message, 'the reason');
  t.regex(line?.err.stack, /error-handler\.test/);
  for (const error of [new CsrfError(), new InteractionGone(), failed({ status: 413 })])
    t.notRegex((await answerTo(throwing(error))).log, /request failed/);
});

test('an address where nothing is gets a page or a problem, and a route’s own 404 stays its own', async (t) => {
  const nothing: Middleware = () => {};
  const problem = await answerTo(nothing, {}, '/nowhere');
  t.is(problem.response.status, 404);
  t.like(JSON.parse(problem.body), { status: 404, title: 'Not Found', code: 'not_found' });
  const page = await answerTo(nothing, asBrowser, '/nowhere');
  t.is(page.response.status, 404);
  t.regex(page.body, /^<!doctype html>/);
  const own = await answerTo((ctx) => {
    ctx.status = 404;
    ctx.body = { error: 'invalid_token' };
  });
  t.is(own.body, '{"error":"invalid_token"}');
});

test('a form past the limit is refused as such', async (t) => {
  const { response, body } = await answerTo(formBody, {
    method: 'POST',
    body: new URLSearchParams({ login: 'x'.repeat(20_000) }),
  });
  t.is(response.status, 413);
  t.like(JSON.parse(body), { code: 'invalid_request' });
});

test('who takes neither page nor JSON gets JSON', async (t) => {
  const { response } = await answerTo(throwing(failed({})), { headers: { accept: 'image/png' } });
  t.is(response.status, 500);
  t.is(response.headers.get('content-type'), 'application/problem+json');
});

test('whoever answers 503 by themselves says when to ask again, too', async (t) => {
  const byItself: Middleware = (ctx) => {
    ctx.status = 503;
    ctx.body = 'the other provider does not answer';
  };
  t.is((await answerTo(byItself)).response.headers.get('retry-after'), '5');
});
