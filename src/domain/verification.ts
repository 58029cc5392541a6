import type { Mail } from '../mail/outbox.ts';
import type { OneTimeTokens } from '../storage/one-time-tokens.ts';
import type { Users } from '../storage/users.ts';
import { keyOf, type User } from './accounts.ts';
import type { Audit } from './audit.ts';
import { invalidOneTimeToken } from './password-reset.ts';
import { randomSecret, sha256 } from './secrets.ts';

const HOURS = 48;

export type Verification = ReturnType<typeof createVerification>;

/** Whether an address is its holder's: a link that was mailed there comes back. */
export const createVerification = (
  { users, oneTimeTokens }: { users: Users; oneTimeTokens: OneTimeTokens },
  mail: Mail,
  audit: Audit,
  issuer: string,
) => {
  const issue = async (user: User | undefined): Promise<string> => {
    const token = randomSecret();
    await oneTimeTokens.replace({
      tokenHash: sha256(token),
      purpose: 'verify_email',
      userId: user?.id ?? null,
      email: user?.email ?? null,
      expiresAt: new Date(Date.now() + HOURS * 3_600_000),
    });
    return `${issuer}/verify-email?token=${token}`;
  };

  const mailLink = async (user: User): Promise<void> => {
    const link = await issue(user);
    await mail.send(user, { template: 'verify_email', link, hours: HOURS });
  };

  return {
    /** Mails the user a link that proves their address; older ones end. */
    mailLink,

    /** As `mailLink`, for whoever has this address and has not proved it. Anybody else costs the same, and gets nothing. */
    async resend(email: string): Promise<void> {
      const user = await users.findByLogin(keyOf(email));
      if (user && !user.bannedAt && !user.emailVerified && email.includes('@')) return mailLink(user);
      await issue(undefined);
      await mail.decoy();
    },

    /** The address that this token proves, without spending it. */
    addressOf: async (token: string): Promise<string | undefined> =>
      (await oneTimeTokens.find(sha256(token), ['verify_email']))?.email,

    /**
     * Spends the token: the address counts as proven.
     *
     * @throws {DomainError} `invalid_one_time_token`.
     */
    async redeem(token: string): Promise<User> {
      const user = await oneTimeTokens.redeemVerification(sha256(token));
      if (!user) throw invalidOneTimeToken();
      await audit.record({ type: 'email.verified', actor: user.id, target: user.id });
      return user;
    },
  };
};
