import { once } from 'node:events';
import { request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import Koa, { type Middleware } from 'koa';
import { pino } from 'pino';
import { PROVIDER_MS } from '../../src/federation/providers.ts';
import { ANSWER_MS, deadline, PROVIDER_MORE_MS } from '../../src/http/deadline.ts';
import { errorHandler } from '../../src/http/error-handler.ts';
import { createPages } from '../../src/http/pages.ts';

const ISSUER = 'http://localhost';
const pages = createPages({ issuer: ISSUER, cache: true });
const log = pino({ level: 'silent' });

const listening = async (t: ExecutionContext, route: Middleware, ms = 100): Promise<string> => {
  const app = new Koa();
  app.silent = true;
  app.use((ctx, next) => {
    ctx.state.requestId = 'a-request';
    return next();
  });
  app.use(errorHandler(ISSUER, pages, log));
  app.use(deadline(log, ms));
  app.use(route);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

/** As a store that never answers. */
const never = () => new Promise<never>(() => {});

test('an answer that does not come in time is a 503 that says when to try again', async (t) => {
  const origin = await listening(t, never);
  const answer = await fetch(`${origin}/users/me`);
  t.is(answer.status, 503);
  t.is(answer.headers.get('retry-after'), '5');
  t.is(answer.headers.get('content-type'), 'application/problem+json');
  t.like(await answer.json(), { status: 503, code: 'temporarily_unavailable', request_id: 'a-request' });
});

test('at an OAuth endpoint it has the form of RFC 6749 §5.2, and for people it is a page', async (t) => {
  const origin = await listening(t, never);
  const asked = await fetch(`${origin}/oauth/token`, { method: 'POST' });
  t.is(asked.status, 503);
  t.like(await asked.json(), { error: 'temporarily_unavailable' });
  const page = await fetch(`${origin}/oauth/acme/callback`, { headers: { accept: 'text/html' } });
  t.is(page.status, 503);
  t.regex(await page.text(), /<h1/);
});

test('one that comes in time is left alone, and so is a refusal', async (t) => {
  const origin = await listening(t, async (ctx) => {
    await sleep(10);
    if (ctx.path !== '/') ctx.throw(404);
    ctx.body = 'well';
  });
  t.is(await (await fetch(origin)).text(), 'well');
  t.is((await fetch(`${origin}/elsewhere`)).status, 404);
});

test('ways to another provider and back may take longer: as long as it may, and still less than five seconds', async (t) => {
  const origin = await listening(
    t,
    async (ctx) => {
      await sleep(250);
      ctx.body = 'in time';
    },
    50,
  );
  for (const path of [
    '/oauth/acme/login',
    '/oauth/acme-staff/callback?state=x',
    '/oauth/acme/callback/',
    '/interaction/an-uid/with/acme',
    '/account/link/acme',
  ])
    t.is((await fetch(`${origin}${path}`)).status, 200, path);
  for (const path of ['/oauth/token', '/interaction/an-uid/signed-in', '/account/unlink/acme', '/users/me'])
    t.is((await fetch(`${origin}${path}`)).status, 503, path);
  t.true(PROVIDER_MS + 200 <= ANSWER_MS + PROVIDER_MORE_MS, 'the page that says so comes before');
  t.true(ANSWER_MS + PROVIDER_MORE_MS <= 4_500, 'a process with much to do is late');
});

test('the time counts from when all of the request is there', async (t) => {
  const origin = await listening(t, async (ctx) => {
    ctx.body = await text(ctx.req);
  });
  const sent = request(`${origin}/`, { method: 'POST' });
  const answered = once(sent, 'response');
  sent.write('slow');
  await sleep(300);
  sent.end(' and steady');
  const [answer] = await answered;
  t.is(answer.statusCode, 200);
  t.is(await text(answer), 'slow and steady');
});

test('a request that is there, and is not answered by who has read it, is given up', async (t) => {
  const origin = await listening(t, async (ctx) => {
    await text(ctx.req);
    await never();
  });
  t.is((await fetch(origin, { method: 'POST', body: 'all of it' })).status, 503);
});

test('an import takes as long as it takes', async (t) => {
  const origin = await listening(
    t,
    async (ctx) => {
      await sleep(150);
      ctx.body = 'done';
    },
    50,
  );
  t.is(await (await fetch(`${origin}/admin/users/import`, { method: 'POST' })).text(), 'done');
});

test('what fails after its answer ends nothing', async (t) => {
  const origin = await listening(
    t,
    async (ctx) => {
      await sleep(60);
      ctx.cookies.set('late', 'too');
      throw new Error('hunter2');
    },
    20,
  );
  const answer = await fetch(origin);
  t.is(answer.status, 503);
  t.notRegex(await answer.text(), /hunter2/);
  await sleep(80);
  t.is((await fetch(origin)).status, 503, 'it still answers');
});
