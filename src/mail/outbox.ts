import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { type Contents, createDelivery, type DeliveryStore, type MailLog } from './delivery.ts';
import type { Message, Recipient } from './messages.ts';
import { type Rendered, render, type Sender } from './render.ts';
import type { Transport } from './transport.ts';

/** Where mails wait; storage keeps them. */
export type MailStore = DeliveryStore & {
  /** @param due Whether it is to be sent; otherwise it is kept. */
  add(id: string, sealed: string, due: boolean): Promise<void>;
  /** Calls back once what was added can be claimed. */
  added(then: () => void): void;
  /** Deletes what is kept beyond the newest `limit`. */
  prune(limit: number): Promise<void>;
  kept(limit: number): Promise<{ id: string; sealed: string; createdAt: Date }[]>;
};

/** Seals what is stored: a mail holds links that sign people in. */
export type Sealer = {
  seal(plaintext: string, context: string): string;
  open(sealed: string, context: string): string;
};

/** A mail as it was handed in. */
export type Posted = { to: Recipient; message: Message };
type Kept = { id: string; createdAt: Date };

const contextOf = (id: string) => `outgoing_mails:${id}`;

/** Mails kept where none are sent. */
const KEPT = 100;

export type Mail = ReturnType<typeof createMail>;

/**
 * Mails are stored first and sent afterwards, so that a mail server that is down loses none and delays nobody.
 *
 * @param transport Absent: mails are kept instead of sent.
 * @param asked The language that the request under way asks for: of a mail to who has chosen none.
 * @param logRecipients Whether lines above debug name whom a mail was for.
 */
export const createMail = (
  store: MailStore,
  sealer: Sealer,
  sender: Sender,
  transport: Transport | undefined,
  log: MailLog,
  asked: () => string | undefined = () => undefined,
  logRecipients = false,
) => {
  const open = ({ id, sealed }: { id: string; sealed: string }) =>
    JSON.parse(sealer.open(sealed, contextOf(id))) as Contents;
  const rendered = (to: Recipient, message: Message): Rendered => render(message, to.locale, sender);
  const delivery = createDelivery(store, open, rendered, transport, log, logRecipients);

  const put = async (contents: Contents, due: boolean): Promise<void> => {
    const id = randomUUID();
    await store.add(id, sealer.seal(JSON.stringify(contents), contextOf(id)), due);
    if (!transport) await store.prune(KEPT);
    store.added(delivery.wake);
  };

  /** Mails that were kept instead of sent, newest first. */
  const kept = async (limit = KEPT): Promise<(Posted & Kept)[]> =>
    (await store.kept(limit)).flatMap(({ id, sealed, createdAt }) => {
      const contents = open({ id, sealed });
      return 'decoy' in contents ? [] : [{ id, createdAt, ...contents }];
    });

  return {
    /** Resolves once the mail is stored. */
    send: (to: Recipient, message: Message): Promise<void> =>
      put({ to: { ...to, locale: to.locale ?? asked() ?? null }, message }, transport !== undefined),

    /** Costs what `send` costs and leads to nothing, so that time does not tell whether there was somebody to write to. */
    decoy: (): Promise<void> => put({ decoy: randomBytes(randomInt(110, 170)).toString('base64url') }, true),

    kept,

    /** What was kept, as its recipients would have read it; newest first. */
    previews: async (): Promise<(Kept & Rendered & { to: string })[]> =>
      (await kept()).map(({ id, createdAt, to, message }) => ({
        id,
        createdAt,
        to: to.email,
        ...rendered(to, message),
      })),

    deliverDue: delivery.deliverDue,
    start: delivery.start,
    stop: delivery.stop,
  };
};
