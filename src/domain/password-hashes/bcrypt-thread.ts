import { Worker } from 'node:worker_threads';

// bcryptjs is JavaScript: on the thread that answers requests, one look at a hash of cost 12 would hold up everybody else for
// a quarter of a second. One thread of its own also bounds what all such sign-ins together can cost.
let thread: Worker | undefined;
let last = 0;
const waiting = new Map<number, { resolve(hash: string): void; reject(error: Error): void }>();

const start = (): Worker => {
  const worker = new Worker(new URL('./bcrypt-worker.ts', import.meta.url));
  worker.on('message', ({ id, hash, error }: { id: number; hash?: string; error?: string }) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    // Idle, it keeps no process from ending.
    if (waiting.size === 0) worker.unref();
    if (hash !== undefined) asked?.resolve(hash);
    else asked?.reject(new Error(error));
  });
  worker.on('error', (error: Error) => {
    thread = undefined;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  });
  return worker;
};

/** @param setting `$2b$`, the cost, `$` and the salt. @returns the whole hash. */
export const bcryptHash = (password: string, setting: string): Promise<string> =>
  new Promise((resolve, reject) => {
    thread ??= start();
    last += 1;
    waiting.set(last, { resolve, reject });
    thread.ref();
    thread.postMessage({ id: last, password, setting });
  });
