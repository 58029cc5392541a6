import { randomUUID } from 'node:crypto';
import type { Audit } from '../domain/audit.ts';
import { DomainError } from '../domain/errors.ts';
import { type Secrets, sha256 } from '../domain/secrets.ts';
import type { SignIn } from '../storage/sign-ins.ts';
import type { Stores } from '../storage/stores.ts';
import { artifactsOfAccount } from './adapter.ts';
import type { KnownClients } from './known-clients.ts';

const DAY_MS = 86_400_000;
const USER_AGENT_LENGTH = 300;

/** Where a request comes from, for people to know their own sign-ins by. */
export type Caller = { ip: string; userAgent: string };

/** A sign-in that is live. */
export type LiveSignIn = {
  id: string;
  kind: 'browser' | 'app';
  ip: string;
  userAgent: string;
  createdAt: Date;
  lastUsedAt: Date;
  /** It is the one that asks. */
  current: boolean;
};

type SessionPayload = {
  uid: string;
  authorizations?: Record<string, { grantId?: string; persistsLogout?: boolean }>;
};

export type SignInList = ReturnType<typeof createSignInList>;

/**
 * Where a person is signed in. Whether a sign-in still lives, its session or grant alone says; the rows only tell what it looks like.
 *
 * @param lifetimeSeconds Of the longest-lived sign-in that is not used.
 */
export const createSignInList = (
  { artifacts, signIns, atomically }: Stores,
  known: KnownClients,
  secrets: Secrets,
  endGrant: (grantId: string) => Promise<void>,
  audit: Audit,
  lifetimeSeconds: number,
) => {
  const newSignIn = (userId: string, { ip, userAgent }: Caller) => ({
    id: randomUUID(),
    userId,
    ip,
    userAgent: userAgent.slice(0, USER_AGENT_LENGTH),
    deadBefore: new Date(Date.now() - lifetimeSeconds * 1000 - DAY_MS),
  });

  const sessionsOf = async (userId: string): Promise<Map<string, SessionPayload>> => {
    const payloads = await artifactsOfAccount(artifacts, known, secrets, 'Session', userId);
    return new Map(payloads.map((payload) => [sha256(String(payload.uid)), payload as SessionPayload]));
  };

  const grantsOf = async (userId: string): Promise<Set<string>> =>
    new Set((await artifactsOfAccount(artifacts, known, secrets, 'Grant', userId)).map(({ jti }) => String(jti)));

  return {
    /** A browser signed in, or was recognised by its session. */
    noteBrowser: (userId: string, sessionUid: string, caller: Caller): Promise<void> =>
      signIns.noteBrowser({ ...newSignIn(userId, caller), sessionHash: sha256(sessionUid) }),

    /** One of the platform's own apps signed in. */
    noteApp: (userId: string, grantId: string, caller: Caller): Promise<void> =>
      signIns.noteApp({ ...newSignIn(userId, caller), grantId }),

    /** An app's sign-in came to nothing. */
    forgetApp: (grantId: string): Promise<void> => signIns.removeByGrant(grantId),

    /** One of the platform's own apps goes on. */
    used: (grantId: string): Promise<void> => signIns.used(grantId),

    /** Last used first. What has ended otherwise is forgotten. */
    async list(userId: string, currentGrantId?: string): Promise<LiveSignIn[]> {
      // The rows first: what is signed in after that is not taken for dead.
      const rows = await signIns.list(userId);
      const [sessions, grants] = await Promise.all([sessionsOf(userId), grantsOf(userId)]);
      const lives = ({ sessionHash, grantId }: SignIn) =>
        sessionHash === null ? grants.has(String(grantId)) : sessions.has(sessionHash);
      await signIns.removeDead(rows.filter((row) => !lives(row)).map(({ id }) => id));
      return rows.filter(lives).map(({ id, sessionHash, grantId, ip, userAgent, createdAt, lastUsedAt }) => ({
        id,
        kind: sessionHash === null ? 'app' : 'browser',
        ip,
        userAgent,
        createdAt,
        lastUsedAt,
        current: grantId !== null && grantId === currentGrantId,
      }));
    },

    /**
     * Ends one sign-in: a grant with its tokens; or a browser's session, with the grants that do not outlast it.
     *
     * @throws {DomainError} `unknown_session` also for somebody else's.
     */
    async end(userId: string, id: string): Promise<void> {
      const row = await signIns.find(userId, id);
      const session = row?.sessionHash ? (await sessionsOf(userId)).get(row.sessionHash) : undefined;
      const grantLives = row?.grantId ? (await grantsOf(userId)).has(row.grantId) : false;
      if (!row || !(session || grantLives)) {
        await signIns.remove(row ? [row.id] : []);
        throw new DomainError('unknown_session', 'there is no such session');
      }
      if (session) {
        // The session goes last: only it leads to its grants, so a second call needs it.
        const grants = Object.values(session.authorizations ?? {});
        await Promise.all(grants.map(({ grantId, persistsLogout }) => grantId && !persistsLogout && endGrant(grantId)));
        await artifacts.destroyByUid('Session', session.uid);
      } else if (row.grantId) await endGrant(row.grantId);
      await atomically(async () => {
        await signIns.remove([row.id]);
        await audit.record({
          type: 'session.ended',
          target: userId,
          details: { session: row.id, kind: session ? 'browser' : 'app' },
        });
      });
    },
  };
};
