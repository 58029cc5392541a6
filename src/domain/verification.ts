import type { Mail } from '../mail/outbox.ts';
import type { Stores } from '../storage/stores.ts';
import { checkEmail, keyOf, recipientOf, type User } from './accounts.ts';
import type { Audit } from './audit.ts';
import { DomainError } from './errors.ts';
import { invalidOneTimeToken } from './password-reset.ts';
import { randomSecret, sha256 } from './secrets.ts';
import { endedSignIn } from './standings.ts';
import { tooMany } from './throttles.ts';
import { isBanned } from './user-status.ts';

const HOURS = 48;
/** What who asks for too many is told to wait. */
const MAIL_PAUSE_SECONDS = 3_600;

export type Verification = ReturnType<typeof createVerification>;

/** Whether an address is its holder's: a link that was mailed there comes back. */
export const createVerification = (
  { users, oneTimeTokens, atomically }: Pick<Stores, 'users' | 'oneTimeTokens' | 'atomically'>,
  mail: Mail,
  audit: Audit,
  mayMail: (email: string) => Promise<boolean>,
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

  const mailLink = (user: User): Promise<void> =>
    atomically(async () => {
      const link = await issue(user);
      await mail.send(recipientOf(user), { template: 'verify_email', link, hours: HOURS });
    });

  return {
    /** Mails the user a link that proves their address; older ones end. */
    mailLink,

    /** As `mailLink`, for whoever has this address and has not proved it. Anybody else costs the same, and gets nothing. */
    async resend(email: string): Promise<void> {
      const [user, allowed] = await Promise.all([users.findByLogin(keyOf(email)), mayMail(keyOf(email))]);
      if (allowed && user && !isBanned(user) && !(user.emailVerified && user.holderProven) && email.includes('@'))
        return mailLink(user);
      await atomically(async () => {
        await issue(undefined);
        await mail.decoy();
      });
    },

    /** Links in mails to this user that still work: what for and until when. */
    outstanding: (userId: string) => oneTimeTokens.listOf(userId),

    /** The address that this token proves, and whose it is, without spending it. */
    subjectOf: (token: string): Promise<{ email: string; user: User } | undefined> =>
      oneTimeTokens.find(sha256(token), ['verify_email', 'change_email']),

    /**
     * Asks for another address, of somebody who has just shown their password. It takes effect when the link that is mailed to it
     * comes back; the former one is told at once. Whether somebody else has it already, only its holder learns. The address the
     * account has calls off what was asked for before.
     *
     * @param user As just written in the unit under way: until that ends, nobody else changes them.
     * @param shown As they were read when they showed their password.
     * @returns the account, with what is pending.
     * @throws {DomainError} `invalid_email`, `too_many_attempts`; `stale_sign_in` where their sign-ins were ended since.
     */
    async requestChange(user: User, newEmail: string, shown: Pick<User, 'credentialsEpoch'>): Promise<User> {
      checkEmail(newEmail);
      if (user.credentialsEpoch !== shown.credentialsEpoch) throw endedSignIn();
      const email = newEmail.trim();
      if (email === user.email) {
        await oneTimeTokens.clearPending(user.id);
        return { ...user, pendingEmail: null, pendingEmailUntil: null };
      }
      // Two mails each time, one of them to whatever address was named.
      const [toAddress, byUser] = await Promise.all([mayMail(keyOf(email)), mayMail(`change by ${user.id}`)]);
      if (!toAddress || !byUser) throw tooMany(MAIL_PAUSE_SECONDS);
      const token = randomSecret();
      const expiresAt = new Date(Date.now() + HOURS * 3_600_000);
      const holder = await users.findByLogin(keyOf(email));
      await atomically(async () => {
        await oneTimeTokens.replacePending({
          tokenHash: sha256(token),
          purpose: 'change_email',
          userId: user.id,
          email,
          expiresAt,
        });
        // Somebody else's address: the token stays unknown, and they learn that they have an account.
        if (holder && holder.id !== user.id)
          await mail.send(recipientOf(holder), { template: 'already_registered', link: `${issuer}/login` });
        else
          await mail.send(
            { email, locale: user.locale },
            { template: 'confirm_email_change', link: `${issuer}/confirm-email?token=${token}`, hours: HOURS },
          );
        await mail.send(recipientOf(user), { template: 'email_change_requested', newEmail: email });
        await audit.record({ type: 'email.change_requested', target: user.id });
      });
      return { ...user, pendingEmail: email, pendingEmailUntil: expiresAt };
    },

    /**
     * Spends the token: the address counts as proven, and where it is a new one, it is the account's from now on.
     *
     * @param byHolder Whether who brings the token has shown that they can sign in to the account. The address is theirs either way;
     *   the account, whose password or identities a stranger may have chosen, only then.
     * @throws {DomainError} `invalid_one_time_token`; `email_taken` when somebody else was faster.
     */
    redeem: (token: string, byHolder: boolean): Promise<User> =>
      atomically(async () => {
        const tokenHash = sha256(token);
        const found = await oneTimeTokens.find(tokenHash, ['verify_email', 'change_email']);
        if (found?.purpose === 'change_email') {
          const changed = await oneTimeTokens.redeemChange(tokenHash, keyOf(found.email), byHolder);
          if (changed === 'email_taken')
            throw new DomainError('email_taken', 'a user with this email address exists already');
          if (!changed) throw invalidOneTimeToken();
          const { user, formerEmail } = changed;
          await mail.send(
            { email: formerEmail, locale: user.locale },
            { template: 'email_changed', newEmail: user.email },
          );
          await audit.record({ type: 'email.changed', actor: user.id, target: user.id });
          return user;
        }
        const user = found && (await oneTimeTokens.redeemVerification(tokenHash, byHolder));
        if (!user) throw invalidOneTimeToken();
        await audit.record({ type: 'email.verified', actor: user.id, target: user.id });
        return user;
      }),
  };
};
