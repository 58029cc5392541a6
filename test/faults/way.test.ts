import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { openWay } from './way.ts';

test('what was sent first arrives first, also when the way becomes quick in between', async (t) => {
  const echo = createServer((socket) => void socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const way = await openWay((echo.address() as AddressInfo).port);
  const socket = connect(way.port, '127.0.0.1').setEncoding('utf8').setNoDelay();
  t.teardown(async () => {
    socket.destroy();
    await way.close();
    echo.close();
  });
  await once(socket, 'connect');
  let heard = '';
  socket.on('data', (text: string) => {
    heard += text;
  });
  way.delay(100);
  for (const word of ['a', 'b', 'c']) {
    socket.write(word);
    await sleep(20);
  }
  way.mend();
  for (const word of ['d', 'e', 'f']) {
    socket.write(word);
    await sleep(20);
  }
  for (const deadline = Date.now() + 5_000; heard.length < 6 && Date.now() < deadline; ) await sleep(10);
  t.is(heard, 'abcdef');
});
