import { DomainError } from './errors.ts';

/** Runs work in its turn. @throws {DomainError} `too_busy` when too many wait already. */
export type Turns = (<T>(work: () => Promise<T>) => Promise<T>) & {
  /** For who would only come to be refused: before anything else is done for them. @throws {DomainError} `too_busy` */
  refuseWhenFull(): void;
};

/**
 * Lets so much work run at once, and so much wait for it, first come, first served. What would wait longer than anybody stays is
 * refused at once: a flood then slows down nobody but itself.
 *
 * @param retryAfterSeconds What who is refused is told.
 */
export const createTurns = (atOnce: number, waitingAtMost: number, retryAfterSeconds: number): Turns => {
  const waiting: (() => void)[] = [];
  let running = 0;

  const refuseWhenFull = (): void => {
    if (running >= atOnce && waiting.length >= waitingAtMost)
      throw new DomainError('too_busy', 'Too much to do just now. Please try again.', retryAfterSeconds);
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
  return Object.assign(inTurn, { refuseWhenFull });
};
