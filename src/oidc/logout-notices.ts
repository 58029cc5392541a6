import { sha256 } from '../domain/secrets.ts';
import type { Artifacts } from '../storage/artifacts.ts';
import type { Stores } from '../storage/stores.ts';
import type { ClientCalls } from './client-calls.ts';
import { createEndedSessions } from './ended-sessions.ts';

export type LogoutNotices = ReturnType<typeof createLogoutNotices>;

/**
 * Who is told of the end of a session (OpenID Connect Back-Channel Logout 1.0), however it ends: it is written down when an app signs somebody
 * in, for what ends it may leave nothing of it to be asked.
 */
export const createLogoutNotices = (
  { sessionClients, atomically }: Pick<Stores, 'sessionClients' | 'atomically'>,
  calls: Pick<ClientCalls, 'logout'>,
) => {
  // Taken from the one list and put on the other as a whole: nobody is told twice, and nobody forgotten.
  const tell = (take: () => ReturnType<typeof sessionClients.takeOfUser>): Promise<void> =>
    atomically(async () => {
      for (const { clientId, userId, sid } of await take()) await calls.logout(clientId, userId, sid);
    });

  return {
    /** An app has signed somebody in by this session, which lives until `expiresAt`, in epoch seconds. */
    async note(sessionUid: string, clientId: string, userId: string, sid: string, expiresAt: number): Promise<void> {
      const sessionHash = sha256(sessionUid);
      await sessionClients.note({ sessionHash, clientId, userId, sid, expiresAt: new Date(expiresAt * 1000) });
    },

    /** The session lives on until `expiresAt`, in epoch seconds. */
    extend: (sessionUid: string, expiresAt: number): Promise<void> =>
      sessionClients.extend(sha256(sessionUid), new Date(expiresAt * 1000)),

    /** One app's part of a session ends. */
    ended: (clientId: string, userId: string, sid: string): Promise<void> =>
      atomically(async () => {
        await sessionClients.forget(clientId, sid);
        await calls.logout(clientId, userId, sid);
      }),

    sessionEnded: (sessionUid: string): Promise<void> => tell(() => sessionClients.takeOfSession(sha256(sessionUid))),

    everySessionEnded: (userId: string): Promise<void> => tell(() => sessionClients.takeOfUser(userId)),
  };
};

/** The artifacts, whose end by our own hand is told. Told after it is done: what fails in between can be repeated, and tells then. */
export const announcingArtifacts = (
  artifacts: Artifacts,
  { sessionEnded, everySessionEnded }: Pick<LogoutNotices, 'sessionEnded' | 'everySessionEnded'>,
): Artifacts => {
  const announced: Pick<Artifacts, 'destroyByAccount' | 'destroyByUid'> = {
    async destroyByAccount(accountId) {
      await artifacts.destroyByAccount(accountId);
      await everySessionEnded(accountId);
    },
    async destroyByUid(model, uid) {
      if (model === 'Session') await createEndedSessions(artifacts).mark(uid);
      await artifacts.destroyByUid(model, uid);
      if (model === 'Session') await sessionEnded(uid);
    },
  };
  // On top of the store, whose every other method is its own.
  return Object.assign(Object.create(artifacts) as Artifacts, announced);
};
