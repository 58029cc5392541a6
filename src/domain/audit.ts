// What happened that security people ask about, in a log that shows when it was tampered with.
import type { AuditFilter, AuditLog } from '../storage/audit.ts';
import type { Secrets } from './secrets.ts';

export type { AuditFilter };

/** Everything that is recorded. `noun.what_happened`. */
export type AuditType =
  | 'login.succeeded'
  | 'login.failed'
  | 'login.locked'
  | 'logout'
  | 'user.registered'
  | 'user.created'
  | 'user.imported'
  | 'user.updated'
  | 'user.banned'
  | 'user.unbanned'
  | 'user.signed_out'
  | 'user.deletion_requested'
  | 'user.restored'
  | 'user.erased'
  | 'password.changed'
  | 'password.reset_requested'
  | 'password.reset'
  | 'email.verified'
  | 'email.change_requested'
  | 'email.changed'
  | 'session.ended'
  | 'consent.given'
  | 'consent.withdrawn'
  | 'device.approved'
  | 'device.denied'
  | 'approval.requested'
  | 'approval.given'
  | 'approval.denied'
  | 'token.reused'
  | 'token.exchanged'
  | 'token.revoked'
  | 'api_key.created'
  | 'api_key.first_used'
  | 'api_key.rotated'
  | 'api_key.revoked'
  | 'client.created'
  | 'client.updated'
  | 'client.deleted'
  | 'client.secret_rotated'
  | 'initial_access_token.created'
  | 'initial_access_token.revoked'
  | 'resource.created'
  | 'resource.updated'
  | 'resource.deleted'
  | 'signing_key.created'
  | 'signing_key.removed'
  | 'signing_key.rotated'
  | 'identity.linked'
  | 'identity.refused'
  | 'identity.unlinked';

export type AuditEvent = {
  type: AuditType;
  /** Who did it: a user's id. The caller's when absent, where there is one. */
  actor?: string | undefined;
  /** Whom or what it was done to: a user's id, or another identifier for what is no user. */
  target?: string | undefined;
  /** The OAuth client it was done through. */
  client?: string | undefined;
  /** What else there is to know, such as the values before and after. Never a secret, never a password, never a token. */
  details?: Record<string, unknown> | undefined;
};

/** What is known of the request in which something happens. */
export type RequestFacts = {
  requestId: string;
  ip: string;
  userAgent: string;
  /** Who is calling, once that is known. */
  actor?: string | undefined;
  /** The API key that was used. */
  keyId?: string | undefined;
  client?: string | undefined;
};

/** An event as it is told: newest first, with its place in the log. */
export type RecordedEvent = { seq: number; time: string; type: string } & Record<string, unknown>;

/** The first place where the log is not as it was written. */
export type BrokenLink = { seq: number; reason: string };

/** Binds an event to its place in the log, and to everything before it. */
export const auditMac =
  (secrets: Secrets) =>
  (previousMac: string, seq: number, event: string): string =>
    secrets.keyedHash('audit', `${previousMac}\n${seq}\n${event}`);

export type Audit = ReturnType<typeof createAudit>;

/** @param facts Of the request under way, or undefined outside of one. */
export const createAudit = (log: AuditLog, secrets: Secrets, facts: () => RequestFacts | undefined) => {
  const told = ({ seq, event }: { seq: number; event: string }): RecordedEvent => ({ seq, ...JSON.parse(event) });
  const macOf = auditMac(secrets);

  return {
    /** Resolves when the event is on disk: what is acknowledged after this was recorded. */
    async record({ type, actor, target, client, details }: AuditEvent): Promise<void> {
      const request = facts();
      await log.append(
        JSON.stringify({
          time: new Date().toISOString(),
          type,
          actor: actor ?? request?.actor,
          target,
          client: client ?? request?.client,
          key: request?.keyId,
          ip: request?.ip,
          user_agent: request?.userAgent,
          request_id: request?.requestId,
          details,
        }),
      );
    },

    /** Newest first. @param before Only events before this place in the log. */
    list: async (filter: AuditFilter, before: number | undefined, limit: number): Promise<RecordedEvent[]> =>
      (await log.list(filter, before, limit)).map(told),

    /** What the log holds about one user, newest first. @param before Only events before this place in the log. */
    listOf: async (userId: string, limit: number, before?: number): Promise<RecordedEvent[]> =>
      (await log.listOf(userId, before, limit)).map(told),

    /**
     * Goes through the whole log. Rows removed from its end leave no trace in it: keep the head of one run to compare the next with.
     *
     * @returns how many events there are, the last one's mac, and the first row that does not fit, if any.
     */
    async verify(): Promise<{ events: number; head: string; broken?: BrokenLink }> {
      let previous = '';
      let seq = 0;
      for (;;) {
        // From whatever is there first: a row in front of the first one was put there by somebody else.
        const rows = await log.walk(seq || undefined, 1_000);
        for (const row of rows) {
          if (row.seq < 1)
            return { events: seq, head: previous, broken: { seq: row.seq, reason: 'the row is not of this log' } };
          seq += 1;
          if (row.seq !== seq) return { events: seq - 1, head: previous, broken: { seq, reason: 'a row is missing' } };
          if (macOf(previous, seq, row.event) !== row.mac)
            return { events: seq - 1, head: previous, broken: { seq, reason: 'the row was changed' } };
          previous = row.mac;
        }
        if (rows.length === 0) return { events: seq, head: previous };
      }
    },
  };
};
