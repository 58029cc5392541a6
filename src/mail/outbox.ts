import { randomUUID } from 'node:crypto';
import type { Message, Recipient } from './messages.ts';

/** Where mails wait; storage keeps them. */
export type MailStore = {
  add(id: string, sealed: string, nextAttemptAt: Date | null): Promise<void>;
  kept(limit: number): Promise<{ id: string; sealed: string; createdAt: Date }[]>;
};

/** Seals what is stored: a mail holds links that sign people in. */
export type Sealer = {
  seal(plaintext: string, context: string): string;
  open(sealed: string, context: string): string;
};

/** A mail as it was handed in. */
export type Posted = { to: Recipient; message: Message };

const contextOf = (id: string) => `outgoing_mails:${id}`;

export type Mail = ReturnType<typeof createMail>;

/** Mails are stored first and sent afterwards, so that a mail server that is down loses none and delays nobody. */
export const createMail = (store: MailStore, sealer: Sealer) => ({
  /** Resolves once the mail is stored. */
  async send(to: Recipient, message: Message): Promise<void> {
    const id = randomUUID();
    await store.add(id, sealer.seal(JSON.stringify({ to, message } satisfies Posted), contextOf(id)), null);
  },

  /** Costs as much as `send` and leads to nothing: for who must not learn whether there was anybody to write to. */
  async decoy(): Promise<void> {
    const id = randomUUID();
    await store.add(id, sealer.seal(JSON.stringify({ decoy: '-'.repeat(300) }), contextOf(id)), null);
  },

  /** Mails that were kept instead of sent, newest first. */
  async kept(limit = 100): Promise<(Posted & { id: string; createdAt: Date })[]> {
    return (await store.kept(limit)).flatMap(({ id, sealed, createdAt }) => {
      const posted = JSON.parse(sealer.open(sealed, contextOf(id))) as Posted | { decoy: string };
      return 'decoy' in posted ? [] : [{ id, createdAt, ...posted }];
    });
  },
});
