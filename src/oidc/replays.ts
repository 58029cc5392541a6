import { sha256 } from '../domain/secrets.ts';
import type { Replays as Remembered } from '../storage/replays.ts';

export type Replays = ReturnType<typeof createReplays>;

/**
 * Longer than whoever asks has to know of it. The engine counts from now how long a proof is good, and takes one that is dated so far
 * ahead (RFC 9449 §11.1 wants it remembered for as long as it would be accepted); clocks of processes differ, too.
 */
const LONGER_SECONDS = 330;

/** What may be presented once, remembered until it expires by itself: the identifiers of proofs and assertions. */
export const createReplays = (remembered: Remembered) => ({
  /** Whether nobody has presented this before, in whatever process. @param exp Until when it has to be remembered, in epoch seconds. */
  unique: (iss: string, jti: string, exp: number): Promise<boolean> =>
    // The length tells where one ends and the other begins.
    remembered.claim(sha256(`${iss.length}:${iss}${jti}`), Math.ceil(exp) + LONGER_SECONDS),
});
