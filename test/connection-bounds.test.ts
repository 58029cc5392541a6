// Connections are bounded: silent ones make room for those who speak, no network has all of them, and a head that is dripped is cut off.
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import type { ConnectionBounds } from '../src/connection-bounds.ts';
import { listen } from '../src/listen.ts';

const served = async (
  t: ExecutionContext,
  bounds: Partial<ConnectionBounds>,
  app: RequestListener = (_request, response) => void response.end('there'),
) => {
  const listener = await listen(app, 0, '127.0.0.1', undefined, bounds);
  t.teardown(() => listener.close(0));
  /** @param from One of the addresses of this machine. */
  const open = async (from = '127.0.0.1') => {
    const socket: Socket = connect({ port: listener.port, host: '127.0.0.1', localAddress: from });
    let answer = '';
    const state = { socket, closed: false, answer: () => answer };
    socket.setEncoding('utf8').on('data', (text) => {
      answer += text;
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      state.closed = true;
    });
    t.teardown(() => void socket.destroy());
    await once(socket, 'connect');
    return state;
  };
  return { open, close: listener.close };
};

type Opened = { socket: Socket; closed: boolean; answer(): string };

const until = async (holds: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 10_000; !holds(); await sleep(5))
    if (Date.now() > deadline) throw new Error('it never came to that');
};

const asks = async (one: Opened): Promise<string> => {
  const before = one.answer().length;
  one.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => one.closed || one.answer().slice(before).includes('there'));
  return one.answer().slice(before, before + 12);
};

test('where there is no room, who has said nothing for longest goes, and who speaks stays', async (t) => {
  const { open } = await served(t, { most: 3 });
  const speaks = await open();
  t.is(await asks(speaks), 'HTTP/1.1 200');
  const silent = await open();
  const drips = await open();
  drips.socket.write('GET / HTTP/1.1\r\n');
  const next = await open();
  t.is(await asks(next), 'HTTP/1.1 200');
  await until(() => silent.closed);
  t.false(drips.closed);
  const another = await open();
  t.is(await asks(another), 'HTTP/1.1 200');
  await until(() => drips.closed);
  t.is(await asks(speaks), 'HTTP/1.1 200');
});

test('where everybody speaks and there is no room, nobody else gets in until one goes', async (t) => {
  const { open } = await served(t, { most: 2 });
  const [first, second] = [await open(), await open()];
  for (const one of [first, second]) t.is(await asks(one), 'HTTP/1.1 200');
  const third = await open();
  await until(() => third.closed);
  t.is(await asks(second), 'HTTP/1.1 200');
  first.socket.end();
  await until(() => first.closed);
  let late = await open();
  for (const deadline = Date.now() + 10_000; (await asks(late)) === '' && Date.now() < deadline; ) late = await open();
  t.regex(late.answer(), /^HTTP\/1\.1 200/);
});

test('one network has no more than its share, and others are not touched by that', async (t) => {
  const { open } = await served(t, { mostPerNetwork: 2 });
  const ours = [await open(), await open()];
  const third = await open();
  await until(() => third.closed);
  const elsewhere = await open('127.0.0.2');
  t.is(await asks(elsewhere), 'HTTP/1.1 200');
  for (const one of ours) t.is(await asks(one), 'HTTP/1.1 200');
});

test('a flood of silent connections does not keep out who comes after it', async (t) => {
  const { open } = await served(t, { most: 50 });
  const flood = await Promise.all(Array.from({ length: 200 }, () => open()));
  for (let i = 0; i < 5; i += 1) t.is(await asks(await open()), 'HTTP/1.1 200');
  await until(() => flood.filter(({ closed }) => closed).length >= 150);
});

test('a head that does not arrive is cut off, however steadily it comes, on a new connection and on one that was used', async (t) => {
  const { open } = await served(t, { headMs: 400 });
  const fresh = await open();
  const used = await open();
  t.is(await asks(used), 'HTTP/1.1 200');
  const drip = setInterval(() => {
    for (const { socket } of [fresh, used]) if (socket.writable) socket.write('X');
  }, 50);
  t.teardown(() => clearInterval(drip));
  for (const { socket } of [fresh, used]) socket.write('GET / HTTP/1.1\r\nX');
  await until(() => fresh.closed && used.closed);
  for (const one of [fresh, used]) t.regex(one.answer(), /HTTP\/1\.1 408/);
});

test('who asks for much and reads nothing of it is not waited for', async (t) => {
  let gone = false;
  const { open } = await served(t, { silentMs: 300 }, (request, response) => {
    request.socket.once('close', () => {
      gone = true;
    });
    response.end(Buffer.alloc(50_000_000));
  });
  const { socket } = await open();
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => gone);
  t.pass();
});

test('a server that stops answers the request that was on its way on a new connection, and hangs up where none comes', async (t) => {
  const { open, close } = await served(t, {});
  const [asking, silent] = [await open(), await open()];
  const closed = close(10_000);
  // Past the first look for connections that have no request left.
  await sleep(60);
  t.is(await asks(asking), 'HTTP/1.1 200');
  const before = Date.now();
  await closed;
  await until(() => silent.closed);
  // Not by the cut after the grace.
  t.true(Date.now() - before < 5_000);
});
