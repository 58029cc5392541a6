// The other end of bcrypt-thread.ts.
import { parentPort } from 'node:worker_threads';
import { hashSync } from 'bcryptjs';

parentPort?.on('message', ({ id, password, setting }: { id: number; password: string; setting: string }) => {
  try {
    parentPort?.postMessage({ id, hash: hashSync(password, setting) });
  } catch (error) {
    parentPort?.postMessage({ id, error: String(error) });
  }
});
