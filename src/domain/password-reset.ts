import type { Mail } from '../mail/outbox.ts';
import type { Redeemed } from '../storage/one-time-tokens.ts';
import type { Stores } from '../storage/stores.ts';
import { keyOf, recipientOf, type User } from './accounts.ts';
import type { Audit } from './audit.ts';
import { DomainError } from './errors.ts';
import type { Passwords } from './passwords.ts';
import { randomSecret, sha256 } from './secrets.ts';
import { isBanned } from './user-status.ts';

/** NIST SP 800-63B-4 §4.2.2: a recovery code sent by mail is good for a day at most; ours is a link, and gone sooner. */
const RESET_MINUTES = 30;
/** Somebody who did not ask for it reads their mail later. */
const INVITATION_HOURS = 7 * 24;

/** One wording for unknown, expired and spent: there is nothing to learn from the difference. */
export const invalidOneTimeToken = (): DomainError =>
  new DomainError('invalid_one_time_token', 'This link or token is not valid: it is too old, or was used already');

export type PasswordReset = ReturnType<typeof createPasswordReset>;

/** A new password for who can read the account's mail. */
export const createPasswordReset = (
  { users, oneTimeTokens, artifacts, atomically }: Pick<Stores, 'users' | 'oneTimeTokens' | 'artifacts' | 'atomically'>,
  passwords: Passwords,
  mail: Mail,
  audit: Audit,
  mayMail: (email: string) => Promise<boolean>,
  issuer: string,
  labelOf: (provider: string) => string,
) => {
  const issue = async (user: User | undefined, milliseconds: number): Promise<string> => {
    const token = randomSecret();
    await oneTimeTokens.replace({
      tokenHash: sha256(token),
      purpose: 'reset_password',
      userId: user?.id ?? null,
      email: user?.email ?? null,
      expiresAt: new Date(Date.now() + milliseconds),
    });
    return `${issuer}/reset-password?token=${token}`;
  };

  const mailLink = (user: User): Promise<void> =>
    atomically(async () => {
      const link = await issue(user, RESET_MINUTES * 60_000);
      await mail.send(recipientOf(user), { template: 'reset_password', link, minutes: RESET_MINUTES });
      await audit.record({ type: 'password.reset_requested', target: user.id });
    });

  /** What went out of an account with the first proof of its address is told and recorded as if it had been taken out by hand. */
  const tellCleared = async ({ user, providers, keys }: Redeemed): Promise<void> => {
    const reason = 'first_proof';
    for (const provider of providers) {
      await mail.send(recipientOf(user), { template: 'sign_in_method_removed', provider: labelOf(provider) });
      const details = { provider, reason };
      await audit.record({ type: 'identity.unlinked', actor: user.id, target: user.id, details });
    }
    for (const key of keys)
      await audit.record({ type: 'api_key.revoked', actor: user.id, target: key, details: { owner: user.id, reason } });
  };

  return {
    /** Mails the user a link to choose a new password; older links of theirs end. */
    mailLink,

    /** Mails the holder of an account that somebody else has made a link to choose their first password. */
    invite: (user: User): Promise<void> =>
      atomically(async () => {
        const link = await issue(user, INVITATION_HOURS * 3_600_000);
        await mail.send(recipientOf(user), { template: 'invitation', link, hours: INVITATION_HOURS });
      }),

    /** As `mailLink`, for whoever has this address. Nobody, or somebody banned, costs the same, and nothing comes of it. */
    async request(email: string): Promise<void> {
      // Too many for one address: nothing is mailed, and nothing shows it.
      const [user, allowed] = await Promise.all([users.findByLogin(keyOf(email)), mayMail(keyOf(email))]);
      if (allowed && user && !isBanned(user) && email.includes('@')) return mailLink(user);
      await atomically(async () => {
        await issue(undefined, RESET_MINUTES * 60_000);
        await mail.decoy();
        await audit.record({ type: 'password.reset_requested' });
      });
    },

    /** Whose password this token resets, without spending it. */
    holderOf: async (token: string): Promise<User | undefined> =>
      (await oneTimeTokens.find(sha256(token), ['reset_password']))?.user,

    /**
     * Spends the token for a new password, and ends every session and token of the user. API keys and identities go on where who signs in had proven the address
     * before: they are no sign-in, and services would stop. A password that is not good enough leaves the token as it is.
     *
     * @throws {DomainError} `invalid_one_time_token`, and the password's.
     */
    async reset(token: string, password: string): Promise<User> {
      const tokenHash = sha256(token);
      const holder = (await oneTimeTokens.find(tokenHash, ['reset_password']))?.user;
      if (!holder) throw invalidOneTimeToken();
      const passwordHash = await passwords.hash(password, holder);
      // Before as well as after: with a store down the token is still good, and who signs in meanwhile is signed out again.
      await artifacts.destroyByAccount(holder.id);
      const { user } = await atomically(async () => {
        const redeemed = await oneTimeTokens.redeemReset(tokenHash, passwordHash);
        if (!redeemed) throw invalidOneTimeToken();
        await mail.send(recipientOf(redeemed.user), { template: 'password_changed' });
        await tellCleared(redeemed);
        await audit.record({ type: 'password.reset', actor: redeemed.user.id, target: redeemed.user.id });
        return redeemed;
      });
      await artifacts.destroyByAccount(user.id);
      return user;
    },
  };
};
