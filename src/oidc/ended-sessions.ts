import { sha256 } from '../domain/secrets.ts';
import type { Artifacts } from '../storage/artifacts.ts';

const MODEL = 'EndedSession';
/** Far longer than any request goes on that has found the session before. */
const REMEMBERED_SECONDS = 600;

/**
 * Sessions that were ended, for as long as requests that found one before may save it again: the engine does so at the end of each, which
 * would bring it back to whoever has many of them under way. A session is marked before it is destroyed, and the mark looked for after it
 * is saved: one of the two sees what the other did.
 */
export const createEndedSessions = (artifacts: Pick<Artifacts, 'upsert' | 'find'>) => ({
  mark(uid: string): Promise<void> {
    const expiresAt = Math.ceil(Date.now() / 1000) + REMEMBERED_SECONDS;
    return artifacts.upsert(MODEL, sha256(uid), { payload: '-', expiresAt });
  },

  has: async (uid: string): Promise<boolean> => (await artifacts.find(MODEL, sha256(uid))) !== undefined,
});
