import type { Mail } from '../mail/outbox.ts';
import type { Stores } from '../storage/stores.ts';
import { type Accounts, recipientOf, type User } from './accounts.ts';
import type { Audit } from './audit.ts';

export type Alerts = ReturnType<typeof createAlerts>;

/** What the holder of an account should hear of at once, in case it was not them; and the log as well. */
export const createAlerts = (
  { atomically }: Pick<Stores, 'atomically'>,
  accounts: Accounts,
  mail: Mail,
  audit: Audit,
  issuer: string,
) => ({
  async passwordChanged(user: User): Promise<void> {
    await mail.send(recipientOf(user), { template: 'password_changed' });
    await audit.record({ type: 'password.changed', actor: user.id, target: user.id });
  },

  /**
   * A spent refresh token was presented, and the sign-in that it belonged to was ended: two parties held it, one a thief.
   *
   * @param app As people know it.
   * @see [RFC 9700 §4.14.2](https://www.rfc-editor.org/rfc/rfc9700.html#section-4.14.2)
   */
  async tokenReused(userId: string, clientId: string, app: string): Promise<void> {
    await atomically(async () => {
      await audit.record({ type: 'token.reused', target: userId, client: clientId });
      const user = await accounts.find(userId);
      if (user) await mail.send(recipientOf(user), { template: 'token_reused', app });
    });
  },

  /**
   * An app asks somebody to approve something. The mail leads to where they decide, and decides nothing; it does not repeat what the app
   * says, and goes to proven addresses alone, since apps could otherwise write to anybody.
   *
   * @param app As people know it.
   */
  async approvalRequested(user: User, clientId: string, app: string, scopes: string[], minutes: number): Promise<void> {
    await atomically(async () => {
      await audit.record({ type: 'approval.requested', target: user.id, client: clientId, details: { scopes } });
      if (!user.emailVerified) return;
      // Signs in who is not signed in yet, and ends on the account page.
      const link = `${issuer}/login`;
      await mail.send(recipientOf(user), { template: 'approval_requested', app, link, minutes });
    });
  },
});
