import { sha256 } from '../domain/secrets.ts';
import type { Artifacts } from '../storage/artifacts.ts';

export type Replays = ReturnType<typeof createReplays>;

/** The engine's name for it. */
const MODEL = 'ReplayDetection';

/** What may be presented once, remembered until it expires by itself: the identifiers of proofs and assertions. */
export const createReplays = (artifacts: Artifacts) => ({
  /** Whether nobody has presented this before, in whatever process. @param exp Until when it has to be remembered, in epoch seconds. */
  async unique(iss: string, jti: string, exp: number): Promise<boolean> {
    // The length tells where one ends and the other begins.
    const id = sha256(`${iss.length}:${iss}${jti}`);
    await artifacts.upsert(MODEL, id, { payload: '', expiresAt: Math.ceil(exp) });
    return artifacts.consume(MODEL, id);
  },
});
