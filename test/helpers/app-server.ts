// An app's server, which the service under test calls: with what it was sent, and an answer that a test can change.
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOCALHOST } from './certificates.ts';

export type Call = { path: string; headers: IncomingMessage['headers']; body: string };

export const startAppServer = async (protocol: 'http' | 'https' = 'http') => {
  const calls: Call[] = [];
  let answer: (call: Call, res: ServerResponse) => void = (_call, res) => res.writeHead(204).end();
  const listener = async (req: IncomingMessage, res: ServerResponse) => {
    const call = { path: req.url ?? '', headers: req.headers, body: await text(req) };
    calls.push(call);
    answer(call, res);
  };
  const server = protocol === 'https' ? createHttpsServer(LOCALHOST, listener) : createHttpServer(listener);
  server.listen(0, 'localhost');
  await once(server, 'listening');
  return {
    origin: `${protocol}://localhost:${(server.address() as AddressInfo).port}`,
    calls,
    answerBy: (by: typeof answer) => {
      answer = by;
    },
    /** Waits until it was called so often. */
    async called(times: number, withinMs = 15_000): Promise<Call[]> {
      for (const deadline = Date.now() + withinMs; calls.length < times; await sleep(20))
        if (Date.now() > deadline) throw new Error(`called ${calls.length} times, not ${times}`);
      return calls;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

export type AppServer = Awaited<ReturnType<typeof startAppServer>>;
