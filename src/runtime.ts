import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';

/** Of a thread that hashes, a third of the time that one which answers gets where both want it (nice(2)). */
const NICE = 5;
const THREADS = '/proc/self/task';

/**
 * V8 may come to allocate in the old generation what it saw live long while the service started. Objects of requests that land there
 * keep all they point to from the young generation's collections, in some processes and not in others: those spent a third of their
 * time on copying what was dead.
 */
setFlagsFromString('--no-allocation-site-pretenuring');

/**
 * Lets the threads of libuv's pool stand back behind the one that answers requests: they hash passwords, for tens of milliseconds on
 * end. Where there are fewer cores than both want, a flood of sign-ins would otherwise make everybody wait for them.
 * To be called once the pool is there. Does nothing where the system has no threads to name (all but Linux).
 */
export const lowerThreadPool = (): void => {
  try {
    for (const thread of readdirSync(THREADS))
      if (readFileSync(`${THREADS}/${thread}/comm`, 'utf8').startsWith('libuv-worker'))
        setPriority(Number(thread), NICE);
  } catch {
    // Sooner or later is all that this decides.
  }
};
