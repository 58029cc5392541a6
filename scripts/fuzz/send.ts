// One request over HTTP, and what came of it.
import { Agent, request as httpRequest } from 'node:http';
import type { Filled } from './request.ts';

/** Nothing takes as long as this; what does, hangs. */
export const HANG_MS = 5_000;

export type Answer = {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** By names as they came, each as a line. */
  rawHeaders: string[];
  body: string;
  ms: number;
};
/** In place of an answer: the connection ended, or nothing came. */
export type Silence = { failed: string; ms: number; expected?: boolean };

/** What Node reads of a request's head; past it the connection is closed, perhaps before the answer (431) is read. */
const MOST_OF_A_HEAD = 15_000;

export const createSender = (origin: string) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(origin);
  return {
    send: ({ method, target, headers, body }: Filled, requestId: string): Promise<Answer | Silence> =>
      new Promise((resolve) => {
        const began = performance.now();
        const ms = () => performance.now() - began;
        // What comes twice is sent twice.
        const byName: Record<string, string | string[]> = { 'x-request-id': requestId };
        for (const [name, value] of headers) {
          const earlier = byName[name];
          const once = name === 'x-request-id' || name === 'content-type' || earlier === undefined;
          byName[name] = once ? value : [earlier, value].flat();
        }
        if (body) byName['content-length'] = String(body.length);
        const outgoing = httpRequest({ agent, hostname, port, method, path: target, headers: byName }, (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', () => {});
          incoming.on('close', () => {
            clearTimeout(overdue);
            if (!incoming.complete) return resolve({ failed: 'the answer broke off', ms: ms() });
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              rawHeaders: incoming.rawHeaders,
              body: Buffer.concat(chunks).toString(),
              ms: ms(),
            });
          });
        });
        const overdue = setTimeout(() => {
          resolve({ failed: 'hangs', ms: ms() });
          outgoing.destroy();
        }, HANG_MS);
        outgoing.on('error', (error: NodeJS.ErrnoException) => {
          clearTimeout(overdue);
          const head = target.length + headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
          const expected = head > MOST_OF_A_HEAD && ['ECONNRESET', 'EPIPE'].includes(error.code ?? '');
          resolve({ failed: expected ? 'cut off' : (error.code ?? error.message), ms: ms(), expected });
        });
        outgoing.end(body);
      }),
    close: () => agent.destroy(),
  };
};
