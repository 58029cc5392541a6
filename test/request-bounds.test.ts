// A request may take its time to arrive, but not for ever: a stream for as long as something of it comes, any other in all.
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { listen } from '../src/listen.ts';

const BOUNDS = { totalMs: 400, idleMs: 400, answeredMs: 200 };

const readAll: RequestListener = async (request, response) => {
  let bytes = 0;
  try {
    for await (const chunk of request) bytes += chunk.length;
    response.end(String(bytes));
  } catch {
    // Cut off: there is nobody to answer.
  }
};

const served = async (t: { teardown(fn: () => Promise<void>): void }, app: RequestListener = readAll) => {
  const listener = await listen(app, 0, '127.0.0.1', undefined, BOUNDS);
  t.teardown(() => listener.close(0));
  const open = async (path: string) => {
    const socket = connect(listener.port, '127.0.0.1');
    await once(socket, 'connect');
    let answer = '';
    socket.setEncoding('utf8').on('data', (text) => {
      answer += text;
    });
    socket.on('error', () => {});
    // A reset is an end as well: `once` would reject on it.
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const drip = async (times: number, everyMs: number) => {
      for (let i = 0; i < times && socket.writable; i += 1) {
        await sleep(everyMs);
        if (socket.writable) socket.write('1\r\nx\r\n');
      }
    };
    return { drip, end: () => socket.write('0\r\n\r\n'), closed, answer: () => answer, socket };
  };
  return { open };
};

test('an import that keeps sending goes on past what any other request may take', async (t) => {
  const { open } = await served(t);
  const { drip, end, answer, socket } = await open('/admin/users/import?dry_run=true');
  await drip(10, 100);
  end();
  while (!answer().endsWith('10')) await sleep(10);
  t.regex(answer(), /^HTTP\/1\.1 200/);
  socket.destroy();
});

test('an import of which nothing comes any more is ended', async (t) => {
  const { open } = await served(t);
  const { drip, closed, answer } = await open('/admin/users/import');
  await drip(2, 50);
  await closed;
  t.regex(answer(), /^HTTP\/1\.1 408/);
});

test('an import that waits for the server to read it is not ended', async (t) => {
  const slow: RequestListener = async (request: IncomingMessage, response) => {
    await sleep(1_000);
    await readAll(request, response);
  };
  const { open } = await served(t, slow);
  const { end, answer, socket } = await open('/admin/users/import');
  socket.write(`400\r\n${'x'.repeat(1024)}\r\n`);
  await sleep(100);
  end();
  while (!answer().endsWith('1024')) await sleep(10);
  t.regex(answer(), /^HTTP\/1\.1 200/);
  socket.destroy();
});

test('any other request has to be there in time, however steadily it comes', async (t) => {
  const { open } = await served(t);
  const { drip, closed, answer } = await open('/auth/login');
  const began = Date.now();
  await drip(20, 50);
  await closed;
  t.true(Date.now() - began < 1_500);
  t.regex(answer(), /^HTTP\/1\.1 408/);
});

test('an answer may take longer than the request it is to', async (t) => {
  const late: RequestListener = async (request, response) => {
    request.resume();
    await sleep(800);
    response.end('late');
  };
  const { open } = await served(t, late);
  const { end, answer, socket } = await open('/users/me/export');
  end();
  while (!answer().endsWith('late')) await sleep(10);
  t.regex(answer(), /^HTTP\/1\.1 200/);
  socket.destroy();
});

test('who is answered early and goes on sending is cut off', async (t) => {
  const { open } = await served(t, (_, response) => void response.writeHead(401).end('no'));
  const { drip, closed, answer } = await open('/admin/users/import');
  const began = Date.now();
  await drip(30, 50);
  await closed;
  t.true(Date.now() - began < 1_500);
  t.regex(answer(), /^HTTP\/1\.1 401/);
});
