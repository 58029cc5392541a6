import { randomUUID } from 'node:crypto';
import type { Secrets } from '../domain/secrets.ts';
import type { ClaimedCall, OutgoingCalls } from '../storage/outgoing-calls.ts';
import type { Outbound } from './outbound.ts';

/** What an app's server is told. */
export type Told =
  /** OpenID Connect Back-Channel Logout §2.5 */
  | { kind: 'logout'; userId: string; sid: string }
  /** CIBA Core §10.2 */
  | { kind: 'ping'; notificationToken: string; authReqId: string };

/** A call as it is made, just now; undefined when there is nobody to call any more. */
export type ToRequest = (clientId: string, told: Told) => Promise<{ url: string; init: RequestInit } | undefined>;

type Write = (fields: object, message: string) => void;
export type CallLog = { info: Write; warn: Write };

/** Longer than one attempt can take, which outbound.ts bounds. */
const LEASE_SECONDS = 60;
/** Calls that this process makes at the same time, to all apps and to one. */
const CONCURRENCY = 10;
const PER_CLIENT = 2;
/** An app that did not answer is left alone for so long, by this process. */
const PAUSE_MS = 5_000;
const POLL_MS = 2_000;

const DAY = 86_400;
// Who is told to end a session has to hear of it, even tomorrow; an answer that nobody fetches is gone in ten minutes.
const LIFE: Record<Told['kind'], { giveUpSeconds: number; firstRetry: number; lastRetry: number }> = {
  logout: { giveUpSeconds: DAY, firstRetry: 5, lastRetry: 3_600 },
  ping: { giveUpSeconds: 600, firstRetry: 2, lastRetry: 60 },
};

/** Three times as long each time. */
export const retrySecondsAfter = (kind: Told['kind'], attempts: number): number =>
  Math.min(LIFE[kind].firstRetry * 3 ** (attempts - 1), LIFE[kind].lastRetry);

/**
 * Whether the app will say the same again. Back-Channel Logout §2.8: with 400. CIBA §10.2: an app that takes the notification for none of its
 * own is in need of its administrator; it fetches its tokens all the same.
 */
const isLastWord = (kind: Told['kind'], status: number): boolean =>
  status === 400 || (kind === 'ping' && status > 400 && status < 500 && status !== 408 && status !== 429);

const contextOf = (id: string) => `outgoing_calls:${id}`;

export type ClientCalls = ReturnType<typeof createClientCalls>;

/**
 * What is told to the servers of apps: stored first and told afterwards, by any process, so that a server that is down misses nothing and
 * one that is slow delays nobody.
 */
export const createClientCalls = (
  store: OutgoingCalls,
  secrets: Secrets,
  { fetch }: Outbound,
  toRequest: ToRequest,
  log: CallLog,
) => {
  const inFlight = new Map<string, number>();
  const pausedUntil = new Map<string, number>();
  let abort = new AbortController();
  let stopping = false;
  let timer: NodeJS.Timeout | undefined;
  let pass: Promise<void> | undefined;
  let again = false;
  let nudge = (): void => {};

  const busy = (): string[] => {
    for (const [clientId, until] of pausedUntil) if (until <= Date.now()) pausedUntil.delete(clientId);
    const full = [...inFlight].filter(([, count]) => count >= PER_CLIENT).map(([clientId]) => clientId);
    return [...full, ...pausedUntil.keys()];
  };

  const failed = async (call: ClaimedCall, kind: Told['kind'], why: string, final: boolean): Promise<void> => {
    const givenUp = await store.fail(call, why, final ? null : retrySecondsAfter(kind, call.attempts));
    // An app's server that does not answer is not our failure.
    const fields = { call: call.id, kind, client: call.clientId, attempt: call.attempts, why };
    log.warn(fields, givenUp ? 'call to an app given up' : 'call to an app failed, will be tried again');
  };

  const attempt = async (call: ClaimedCall): Promise<void> => {
    let told: Told | undefined;
    try {
      told = JSON.parse(secrets.open(call.sealed, contextOf(call.id))) as Told;
      const request = await toRequest(call.clientId, told);
      if (request) {
        const { status } = await fetch(request.url, { ...request.init, redirect: 'manual', signal: abort.signal });
        // CIBA §10.2: redirects are not followed.
        if (status !== 200 && status !== 204)
          return await failed(call, told.kind, `status ${status}`, isLastWord(told.kind, status));
        log.info({ call: call.id, kind: told.kind, client: call.clientId, attempt: call.attempts }, 'app told');
      }
      await store.remove(call);
    } catch (error) {
      if (abort.signal.aborted) return store.release(call);
      pausedUntil.set(call.clientId, Date.now() + PAUSE_MS);
      const { code, name } = Object(error) as { code?: unknown; name?: unknown };
      // Unreadable: of another key or version, and waits for that to be mended.
      await failed(call, told?.kind ?? 'logout', String(code ?? name ?? 'failed'), false);
    }
  };

  const callAll = async (): Promise<void> => {
    const callers = new Set<Promise<void>>();
    let broken: Error | undefined;
    do {
      again = false;
      while (!stopping && !broken && callers.size < CONCURRENCY) {
        const call = await store.claim(LEASE_SECONDS, busy());
        if (!call) break;
        inFlight.set(call.clientId, (inFlight.get(call.clientId) ?? 0) + 1);
        const calling = attempt(call)
          .catch((error) => {
            broken ??= error;
          })
          .finally(() => {
            const left = (inFlight.get(call.clientId) ?? 1) - 1;
            if (left > 0) inFlight.set(call.clientId, left);
            else inFlight.delete(call.clientId);
            callers.delete(calling);
            again = true;
          });
        callers.add(calling);
      }
      // One that is done leaves room for another; and who adds one need not wait for an app that is slow.
      const nudged = new Promise<void>((resolve) => {
        nudge = resolve;
      });
      if (!again && callers.size > 0) await Promise.race([nudged, ...callers]);
    } while ((again || callers.size > 0) && !stopping && !broken);
    await Promise.all(callers);
    if (broken) throw broken;
  };

  /** Makes every call that is due, until none is. @throws when the store does not answer. */
  const deliverDue = (): Promise<void> => {
    again = true;
    nudge();
    pass ??= callAll().finally(() => {
      pass = undefined;
    });
    return pass;
  };

  const wake = (): void => {
    if (timer === undefined) return;
    deliverDue().catch((error) => log.warn({ code: Object(error).code }, 'calls to apps could not be looked for'));
  };

  const put = async (clientId: string, told: Told): Promise<void> => {
    const id = randomUUID();
    const sealed = secrets.seal(JSON.stringify(told), contextOf(id));
    await store.add(id, clientId, sealed, LIFE[told.kind].giveUpSeconds);
    store.added(wake);
  };

  return {
    logout: (clientId: string, userId: string, sid: string) => put(clientId, { kind: 'logout', userId, sid }),
    ping: (clientId: string, notificationToken: string, authReqId: string) =>
      put(clientId, { kind: 'ping', notificationToken, authReqId }),

    deliverDue,

    /** Looks for calls from now on, and at once when one is put in. */
    start(): void {
      timer ??= setInterval(wake, POLL_MS);
      wake();
    },

    /** Makes no more, and gives those under way `graceMs` to finish; what has not by then is due again at once. */
    async stop(graceMs: number): Promise<void> {
      clearInterval(timer);
      timer = undefined;
      stopping = true;
      const cut = setTimeout(() => abort.abort(), graceMs);
      await pass?.catch(() => {});
      clearTimeout(cut);
      stopping = false;
      abort = new AbortController();
    },
  };
};
