import type { Message, Recipient } from './messages.ts';
import type { Rendered } from './render.ts';
import { DeliveryError, type Transport } from './transport.ts';

/** A mail that this process alone may send until its lease runs out. `attempts` counts this one. */
export type ClaimedMail = { id: string; sealed: string; attempts: number };

export type DeliveryStore = {
  /** Takes one that is due, and pushes its next attempt `leaseSeconds` away: when this process dies, it is due again then. */
  claim(leaseSeconds: number): Promise<ClaimedMail | undefined>;
  /** The rest does nothing when the lease has run out and another process has claimed it since. */
  remove(mail: ClaimedMail): Promise<void>;
  release(mail: ClaimedMail): Promise<void>;
  keep(mail: ClaimedMail): Promise<void>;
  /**
   * Notes why it failed, and when to try again: never later than `giveUpAfterSeconds` after it was handed in.
   *
   * @param retrySeconds Null gives it up now.
   * @returns Whether it is given up.
   */
  fail(mail: ClaimedMail, why: string, retrySeconds: number | null, giveUpAfterSeconds: number): Promise<boolean>;
};

type Write = (fields: object, message: string) => void;
export type MailLog = { debug: Write; info: Write; warn: Write; error: Write };

/** What a row holds: a mail, or nothing but the size of one. */
export type Contents = { to: Recipient; message: Message } | { decoy: string };

/** Longer than one attempt can take. */
const LEASE_SECONDS = 180;
const ATTEMPT_MS = 120_000;
const GIVE_UP_SECONDS = 3 * 86_400;
const FIRST_RETRY_SECONDS = 60;
const LAST_RETRY_SECONDS = 6 * 3_600;
/** Mails that this process sends at the same time. */
const CONCURRENCY = 5;
/** How soon a mail leaves that is due without anybody in this process knowing. */
const POLL_MS = 5_000;

/** A minute after the first attempt, then twice as long each time. */
export const retrySecondsAfter = (attempts: number): number =>
  Math.min(FIRST_RETRY_SECONDS * 2 ** (attempts - 1), LAST_RETRY_SECONDS);

/** Sends what is due. Any number of processes may do so on one database. */
export const createDelivery = (
  store: DeliveryStore,
  open: (mail: ClaimedMail) => Contents,
  render: (to: Recipient, message: Message) => Rendered,
  transport: Transport | undefined,
  log: MailLog,
  logRecipients = false,
) => {
  // Delivered, but the store could not be told: not sent again when its lease has run out.
  const delivered = new Set<string>();
  let abort = new AbortController();
  let stopping = false;
  let pass: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let again = false;

  const failed = async (
    mail: ClaimedMail,
    about: { template: string | undefined; to?: string },
    error: unknown,
  ): Promise<void> => {
    // Anything but the server's answer is a bug of ours, or a row of another version's or key's: it waits for that to be mended.
    const failure = error instanceof DeliveryError ? error : new DeliveryError('later', 'unreadable or not renderable');
    const retry = failure.kind === 'refused' ? null : retrySecondsAfter(mail.attempts);
    const givenUp = await store.fail(mail, failure.message, retry, GIVE_UP_SECONDS);
    const fields = {
      mail: mail.id,
      ...about,
      attempt: mail.attempts,
      code: failure.responseCode,
      why: failure.message,
    };
    if (givenUp) log.error(fields, 'mail given up');
    else log.warn(fields, 'mail not delivered, will be tried again');
  };

  /** @returns Whether the server can be expected to take another. */
  const attempt = async (mail: ClaimedMail): Promise<boolean> => {
    let template: string | undefined;
    let recipient: { to?: string } = {};
    let code: number;
    try {
      const contents = open(mail);
      if ('decoy' in contents || delivered.has(mail.id)) {
        await store.remove(mail);
        delivered.delete(mail.id);
        return true;
      }
      if (!transport) {
        await store.keep(mail);
        return true;
      }
      const { to, message } = contents;
      template = message.template;
      if (logRecipients) recipient = { to: to.email };
      const rendered = render(to, message);
      const signal = AbortSignal.any([abort.signal, AbortSignal.timeout(ATTEMPT_MS)]);
      log.debug({ mail: mail.id, to: to.email }, 'sending mail');
      code = await transport.deliver(mail.id, to.email, rendered, signal);
    } catch (error) {
      if (abort.signal.aborted) await store.release(mail);
      else await failed(mail, { template, ...recipient }, error);
      return !(error instanceof DeliveryError && error.kind === 'unreachable');
    }
    delivered.add(mail.id);
    log.info({ mail: mail.id, template, ...recipient, attempt: mail.attempts, code }, 'mail delivered');
    await store.remove(mail);
    delivered.delete(mail.id);
    return true;
  };

  const sendAll = async (): Promise<void> => {
    let reachable = true;
    let broken: Error | undefined;
    do {
      again = false;
      const senders: Promise<void>[] = [];
      const sendOnes = async (): Promise<void> => {
        // The others stay due: a server that is away is not knocked at once for every mail that waits.
        while (reachable && !stopping) {
          const mail = await store.claim(LEASE_SECONDS);
          if (!mail) return;
          // Where there is one there may be more.
          addSender();
          if (!(await attempt(mail))) reachable = false;
        }
      };
      const addSender = (): void => {
        if (senders.length === CONCURRENCY) return;
        const sending = sendOnes().catch((error) => {
          broken ??= error;
        });
        senders.push(sending);
      };
      addSender();
      // The list grows meanwhile.
      for (const sending of senders) await sending;
      if (broken) throw broken;
    } while (again && reachable && !stopping);
  };

  /**
   * Sends everything that is due, until nothing is or the server does not answer.
   *
   * @throws when the store does not answer.
   */
  const deliverDue = (): Promise<void> => {
    again = true;
    pass ??= sendAll().finally(() => {
      pass = undefined;
    });
    return pass;
  };

  const wake = (): void => {
    if (timer === undefined) return;
    deliverDue().catch((error) => log.warn({ code: Object(error).code }, 'mails could not be looked for'));
  };

  return {
    deliverDue,

    /** Looks for mails from now on, and at once when `wake` is called. */
    start(): void {
      timer ??= setInterval(wake, POLL_MS);
      wake();
    },

    wake,

    /** Takes no more, and gives what is being sent `graceMs` to finish; what has not by then is due again at once. */
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
