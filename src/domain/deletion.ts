import type { Mail } from '../mail/outbox.ts';
import type { Stores } from '../storage/stores.ts';
import { recipientOf, type User } from './accounts.ts';
import type { Audit } from './audit.ts';
import { DomainError } from './errors.ts';

const GRACE_DAYS = 14;
/** Accounts erased in one go at most. */
const BATCH = 100;

/** There must always be somebody who can administer. */
export const lastAdmin = (): DomainError =>
  new DomainError('last_admin', 'The last administrator cannot be removed: make somebody else one first');

export type Deletion = ReturnType<typeof createDeletion>;

/** An account that its holder wants deleted: locked at once, erased after a grace in which signing in restores it. */
export const createDeletion = (
  { users, artifacts, atomically }: Pick<Stores, 'users' | 'artifacts' | 'atomically'>,
  mail: Mail,
  audit: Audit,
) => ({
  /**
   * Ends every session and token, and sets the day on which the account is erased. API keys are refused until then, and go with it.
   *
   * @throws {DomainError} `last_admin`.
   */
  async schedule(user: User): Promise<void> {
    const eraseAfter = new Date(Date.now() + GRACE_DAYS * 86_400_000);
    await atomically(async () => {
      const scheduled = await users.scheduleErasure(user.id, eraseAfter);
      if (scheduled === 'last_admin') throw lastAdmin();
      // Somebody else was faster.
      if (!scheduled) return;
      await mail.send(recipientOf(user), { template: 'deletion_scheduled', date: eraseAfter.toISOString() });
      await audit.record({
        type: 'user.deletion_requested',
        target: user.id,
        details: { erase_after: eraseAfter.toISOString() },
      });
    });
    await artifacts.destroyByAccount(user.id);
  },

  /** The account as it was, for who has just shown its password. Undefined when the grace is over. */
  async restore(user: User): Promise<User | undefined> {
    // What was left where ending it failed half-way must not come back to life.
    await artifacts.destroyByAccount(user.id);
    return atomically(async () => {
      const restored = await users.cancelErasure(user.id);
      if (!restored) return undefined;
      await mail.send(recipientOf(restored), { template: 'deletion_cancelled' });
      await audit.record({ type: 'user.restored', actor: user.id, target: user.id });
      // As of when they showed it: a new password since then ends this sign-in too.
      return { ...restored, credentialsEpoch: user.credentialsEpoch };
    });
  },

  /**
   * Erases the accounts whose grace is over, with everything that belongs to them. The audit log keeps what happened, by their ids.
   *
   * @returns how many were erased.
   */
  async eraseDue(): Promise<number> {
    let erased = 0;
    for (;;) {
      const due = await users.dueForErasure(BATCH);
      for (const id of due) {
        await artifacts.destroyByAccount(id);
        const gone = await atomically(async () => {
          if (!(await users.erase(id))) return false;
          await audit.record({ type: 'user.erased', target: id });
          return true;
        });
        if (gone) erased += 1;
      }
      if (due.length < BATCH) return erased;
    }
  },
});
