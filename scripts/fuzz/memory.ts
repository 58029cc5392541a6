// What the service's process keeps after its garbage is collected, asked through Node's inspector: nothing in the service is made for it.
import { setTimeout as sleep } from 'node:timers/promises';

export type Sample = { requests: number; heapMb: number; externalMb: number; rssMb: number };

const MB = 1_048_576;

/** @param url What the process wrote that its debugger listens on. */
export const createMemory = async (url: string) => {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('the inspector does not answer'));
  });
  const waiting = new Map<number, (result: { result?: { value?: unknown } }) => void>();
  let serial = 0;
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result);
    waiting.delete(id);
  };
  const call = (method: string, params: object = {}): Promise<{ result?: { value?: unknown } }> =>
    new Promise((resolve) => {
      serial += 1;
      waiting.set(serial, resolve);
      socket.send(JSON.stringify({ id: serial, method, params }));
    });
  await call('HeapProfiler.enable');

  return {
    async sample(requests: number): Promise<Sample> {
      // What is finalized in one collection frees more for the next.
      for (let i = 0; i < 3; i += 1) {
        await call('HeapProfiler.collectGarbage');
        await sleep(100);
      }
      const { result } = await call('Runtime.evaluate', {
        expression: 'JSON.stringify(process.memoryUsage())',
        returnByValue: true,
      });
      const { heapUsed, external, rss } = JSON.parse(String(result?.value));
      const inMb = (bytes: number) => Math.round((bytes / MB) * 10) / 10;
      return { requests, heapMb: inMb(heapUsed), externalMb: inMb(external), rssMb: inMb(rss) };
    },
    close: () => socket.close(),
  };
};

/** What is kept of each further request, in bytes, by the line that fits best; in the first half bounded caches fill. */
export const growthOf = (samples: readonly Sample[]): number => {
  const last = samples.at(-1)?.requests ?? 0;
  const steady = samples.filter(({ requests }) => requests >= last / 2);
  const mean = (of: (one: Sample) => number) =>
    steady.reduce((sum, one) => sum + of(one), 0) / Math.max(steady.length, 1);
  const [x, y] = [mean((one) => one.requests), mean((one) => one.heapMb)];
  const spread = steady.reduce((sum, one) => sum + (one.requests - x) ** 2, 0);
  if (spread === 0) return 0;
  const slope = steady.reduce((sum, one) => sum + (one.requests - x) * (one.heapMb - y), 0) / spread;
  return Math.round(slope * MB);
};
