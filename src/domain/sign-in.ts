import type { Mail } from '../mail/outbox.ts';
import type { Budget, RateLimits } from '../storage/rate-limits.ts';
import { type Accounts, keyOf, recipientOf, type User } from './accounts.ts';
import type { Audit } from './audit.ts';
import type { Deletion } from './deletion.ts';
import { DomainError } from './errors.ts';
import { randomSecret, type Secrets, sha256 } from './secrets.ts';
import { type AttemptThrottle, type Throttles, tooMany } from './throttles.ts';
import { isBanned } from './user-status.ts';

/** What a failure costs, against the one point that an attempt holds while it is under way: so many may be at once. */
const FAILURE_POINTS = 5;
/** The first wait; each further one within a day is twice as long, up to the window. */
const FIRST_WAIT_SECONDS = 30;
const DAY_SECONDS = 86_400;
/** Waits of a day that a mail tells of: later ones are no longer, and no news. */
const MAILED_WAITS = 6;

/** Where an attempt comes from. */
export type Origin = {
  ip: string;
  /** What `deviceMark` gave this browser when it last signed in, if it ever did. */
  device?: string | undefined;
  /** The app that the sign-in is for. */
  client?: string | undefined;
  /** Whether this user will do, by their id; anybody where absent. */
  accepts?: ((userId: string) => boolean) | undefined;
  /** Told what is left of the budget that is nearest to its end, for the answer's headers. */
  report?: ((budget: Budget) => void) | undefined;
};

export type SignIn = ReturnType<typeof createSignIn>;

/**
 * Signing in with a password, against guessing: by account and by network, each with a budget of its own. A browser the
 * account has signed in from before keeps its own, so that strangers who guess cannot lock the owner out.
 *
 * @see [NIST SP 800-63B-4 §3.2.2](https://pages.nist.gov/800-63-4/sp800-63b.html) (rate limiting)
 */
export const createSignIn = (
  accounts: Accounts,
  deletion: Deletion,
  rateLimits: RateLimits,
  throttles: Throttles,
  secrets: Secrets,
  mail: Mail,
  audit: Audit,
) => {
  const { points, seconds: windowSeconds } = throttles.limits['login-account'];
  const byAccount = rateLimits('login-account', points * FAILURE_POINTS, windowSeconds);
  const waits = rateLimits('login-waits', Number.MAX_SAFE_INTEGER, DAY_SECONDS);
  // A lock lasts as long as this window at least: what ends up here in between are attempts that were under way.
  const locks = rateLimits('login-locks', 1, FIRST_WAIT_SECONDS);

  /** Budgets as attempts: what one costs is our own affair. */
  const told = ({ limit: _, remaining, ...budget }: Budget): Budget => ({
    ...budget,
    limit: points,
    remaining: Math.floor(remaining / FAILURE_POINTS),
  });

  /** Puts what happened on record, in the same steps for an account and for none. */
  const refused = async (user: User | undefined, account: string, client: string | undefined): Promise<Budget> => {
    const target = user?.id;
    const reason = !user ? 'unknown' : isBanned(user) ? 'banned' : 'wrong_password';
    await audit.record({ type: 'login.failed', target, client, details: { reason } });
    const left = await byAccount.spend(account, FAILURE_POINTS - 1);
    if (left.remaining > 0) return left;

    const earlier = Number.MAX_SAFE_INTEGER - (await waits.spend(account)).remaining - 1;
    const seconds = Math.min(FIRST_WAIT_SECONDS * 2 ** earlier, windowSeconds);
    await byAccount.block(account, seconds);
    const blocked = { ...left, resetSeconds: seconds };
    if (!(await locks.spend(account)).allowed) return blocked;
    await audit.record({ type: 'login.locked', target, client, details: { seconds } });
    if (earlier >= MAILED_WAITS) return blocked;
    if (user && !isBanned(user)) await mail.send(recipientOf(user), { template: 'sign_in_locked' });
    else await mail.decoy();
    return blocked;
  };

  /** What makes a device's mark good: the account, and the password it has; so that a new one ends every mark. */
  const markedFor = ({ id, passwordHash }: User, device: string): string => `${device}\n${id}\n${passwordHash}`;

  /** The device's own name, if `mark` is one of this account. */
  const knownDevice = (user: User | undefined, mark = ''): string | undefined => {
    const [device = '', proof = ''] = mark.split('.');
    return user && secrets.matches('device', markedFor(user, device), proof) ? device : undefined;
  };

  /** An attempt of a network that has not used up its budget. */
  const attemptFrom = async <T>(
    network: Awaited<ReturnType<AttemptThrottle['begin']>>,
    login: string,
    password: string,
    { device: mark, client, report = () => {} }: Origin,
    record: (user: User) => Promise<T>,
  ): Promise<T | undefined> => {
    const named = await accounts.named(login);
    const device = knownDevice(named, mark);
    // By the account, whichever of its names is used; by the name where there is none. Hashed: what people type is not kept in a
    // store of counters.
    const account = device ? `device:${device}` : sha256(named ? `account:${named.id}` : `name:${keyOf(login)}`);

    // A point before the password is looked at, so that parallel guesses are bounded as well; several people or
    // services signing in to one account at once, all rightly, are not in each other's way.
    const ofAccount = await byAccount.spend(account);
    report(told(ofAccount));
    if (!ofAccount.allowed) throw tooMany(ofAccount.resetSeconds);

    let user: User | undefined;
    try {
      user = await accounts.verify(named, password);
    } catch (error) {
      // Nobody's failure: the password was not looked at.
      await byAccount.refund(account);
      throw error;
    }
    if (!user) {
      const [ofNetwork, left] = await Promise.all([network.failed(), refused(named, account, client).then(told)]);
      report(ofNetwork.remaining < left.remaining ? ofNetwork : left);
      return undefined;
    }
    report({ ...told(ofAccount), remaining: points });
    const [recorded] = await Promise.all([
      record(user),
      ...[byAccount, waits, locks].map((limit) => limit.clear(account)),
    ]);
    return recorded;
  };

  /**
   * @param record Puts it on record who it is, while their budget is made whole again.
   * @throws {DomainError} `too_many_attempts`, with the seconds to wait.
   */
  const attempt = async <T>(
    login: string,
    password: string,
    origin: Origin,
    record: (user: User) => Promise<T>,
  ): Promise<T | undefined> => {
    // A flood costs as little as can be: who signs in with it is refused, who does not hardly feels it.
    await accounts.roomForPassword();
    const network = await throttles.logins.begin(origin.ip);
    try {
      if (!network.budget.allowed) {
        origin.report?.(network.budget);
        throw tooMany(network.budget.resetSeconds);
      }
      return await attemptFrom(network, login, password, origin, record);
    } finally {
      network.over();
    }
  };

  return {
    /**
     * What a browser keeps, to be known again by the account that has just signed in; until its password is another one.
     *
     * @param presented What it had; a mark that is good stays, with what was counted for it.
     */
    deviceMark(user: User, presented?: string): string {
      const device = knownDevice(user, presented) ?? randomSecret(16);
      return `${device}.${secrets.keyedHash('device', markedFor(user, device))}`;
    },

    /**
     * Signs in. An account that waits to be erased is restored by it.
     *
     * @param login An email address or a username, in any letter case.
     * @returns the account, or undefined for unknown, banned and wrong alike, in the same time.
     * @throws {DomainError} `too_many_attempts`, with the seconds to wait; `wrong_account`, and nothing has changed.
     */
    withPassword: (login: string, password: string, origin: Origin): Promise<User | undefined> =>
      attempt(login, password, origin, async (found) => {
        const { client, accepts = () => true } = origin;
        if (!accepts(found.id)) {
          const details = { method: 'password', reason: 'wrong_account' };
          await audit.record({ type: 'login.failed', target: found.id, client, details });
          throw new DomainError('wrong_account', 'the app asked for another account');
        }
        const user = found.eraseAfter ? await deletion.restore(found) : found;
        if (user)
          await audit.record({
            type: 'login.succeeded',
            actor: user.id,
            target: user.id,
            client,
            details: { method: 'password' },
          });
        return user;
      }),

    /**
     * The account of somebody who is signed in, when they show its password again. The same budget as for signing in: a
     * stolen token is no way to guess the password.
     *
     * @throws {DomainError} `password_not_set` for somebody who only signs in through another provider; `invalid_credentials`,
     *   `too_many_attempts`.
     */
    async confirm(user: User, password: string, origin: Origin): Promise<User> {
      if (user.passwordHash === null)
        throw new DomainError(
          'password_not_set',
          'This account has no password yet: set one by a link in a mail first',
        );
      const confirmed = await attempt(user.email, password, origin, async (found) => found);
      if (confirmed?.id !== user.id) throw new DomainError('invalid_credentials', 'The current password is not right');
      return confirmed;
    },
  };
};
