import { setTimeout } from 'node:timers/promises';
import { DomainError } from './errors.ts';

/** Runs work in its turn. @throws {DomainError} `too_busy` when too many wait already. */
export type Turns = (<T>(work: () => Promise<T>) => Promise<T>) & {
  /**
   * For who would only come to be refused: before anything else is done for them. Where there is no room they wait a moment for some:
   * who asks again the instant they are refused would otherwise keep the process busy with nothing but refusing them.
   *
   * @throws {DomainError} `too_busy`
   */
  room(): Promise<void>;
};

/**
 * Lets so much work run at once, and so much wait for it, first come, first served. What would wait longer than anybody stays is
 * refused: a flood then slows down nobody but itself.
 *
 * @param retryAfterSeconds What who is refused is told.
 * @param patienceMs How long `room` waits for room, on average: between half of it and half more.
 */
export const createTurns = (
  atOnce: number,
  waitingAtMost: number,
  retryAfterSeconds: number,
  patienceMs: number,
): Turns => {
  const waiting: (() => void)[] = [];
  let running = 0;

  const full = (): boolean => running >= atOnce && waiting.length >= waitingAtMost;

  const refuseWhenFull = (): void => {
    if (full()) throw new DomainError('too_busy', 'Too much to do just now. Please try again.', retryAfterSeconds);
  };

  const room = async (): Promise<void> => {
    // Some longer, some shorter: who was refused together would else come back together, for ever.
    if (full()) await setTimeout(patienceMs * (0.5 + Math.random()));
    refuseWhenFull();
  };

  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    refuseWhenFull();
    if (running >= atOnce) {
      // Whoever ends hands their turn over: `running` stays as it is.
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
  return Object.assign(inTurn, { room });
};
