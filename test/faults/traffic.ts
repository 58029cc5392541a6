// People at work, each doing one thing after the other, all of them at once.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Person, register, steps } from './person.ts';
import type { World } from './world.ts';

type Step = keyof ReturnType<typeof steps>;

/** How often each is done, of a hundred. */
const WEIGHTS: Record<Step, number> = {
  me: 12,
  refresh: 14,
  userinfo: 13,
  useKey: 12,
  refreshApp: 10,
  allow: 8,
  login: 6,
  makeKey: 4,
  endKey: 3,
  logout: 3,
  revokeJwt: 3,
  revokeApp: 3,
  changePassword: 2,
  upstream: 2,
  ban: 2,
  prove: 3,
};
const CHOICES = Object.entries(WEIGHTS).flatMap(([step, weight]) => Array<Step>(weight).fill(step as Step));
const PAUSE_MS = 150;

export const startTraffic = (world: World, size: number) => {
  let going = true;
  const present = new Map<number, Person>();

  const live = async (place: number): Promise<void> => {
    while (going) {
      const person = present.get(place) ?? (await register(world));
      if (!person) {
        await sleep(500);
        continue;
      }
      present.set(place, person);
      // What breaks while which step is under way is chance in any case: what was done is in the ledger.
      const step = CHOICES[Math.floor(Math.random() * CHOICES.length)] ?? 'me';
      const done = await steps(world, person)[step]();
      if (done === 'gone') present.delete(place);
      await sleep(PAUSE_MS);
    }
  };
  const lives = Array.from({ length: size }, (_, place) => live(place));

  return {
    /** Lets everybody finish; those who are still there. */
    async stop(): Promise<Person[]> {
      going = false;
      await Promise.all(lives);
      return [...present.values()];
    },
  };
};
