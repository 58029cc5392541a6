import type { RateLimits } from '../storage/rate-limits.ts';
import { type Accounts, keyOf, type User } from './accounts.ts';
import { type Secrets, sha256 } from './secrets.ts';
import { type Limits, networkOf, tooMany } from './throttles.ts';

/** What a failure costs, against the one point that an attempt holds while it is under way: so many may be at once. */
const FAILURE_POINTS = 5;
/** The first wait; each further one within a day is twice as long, up to the window. */
const FIRST_WAIT_SECONDS = 30;
const DAY_SECONDS = 86_400;

/** Where an attempt comes from. */
export type Origin = {
  ip: string;
  /** What `deviceMark` gave this browser when it last signed in, if it ever did. */
  device?: string | undefined;
};

export type SignIn = ReturnType<typeof createSignIn>;

/**
 * Signing in with a password, against guessing: by account and by network, each with a budget of its own. A browser the
 * account has signed in from before keeps its own, so that strangers who guess cannot lock the owner out.
 *
 * @see [NIST SP 800-63B-4 §3.2.2](https://pages.nist.gov/800-63-4/sp800-63b.html) (rate limiting)
 */
export const createSignIn = (accounts: Accounts, rateLimits: RateLimits, limits: Limits, secrets: Secrets) => {
  const { points, seconds: windowSeconds } = limits['login-account'];
  const byAccount = rateLimits('login-account', points * FAILURE_POINTS, windowSeconds);
  const byNetwork = rateLimits('login-network', limits['login-network'].points, limits['login-network'].seconds);
  const waits = rateLimits('login-waits', Number.MAX_SAFE_INTEGER, DAY_SECONDS);

  return {
    /** What a browser keeps, to be known again by `login`; nothing can be read from it. */
    deviceMark: (login: string): string => secrets.keyedHash('device', keyOf(login)),

    /**
     * @param login An email address or a username, in any letter case.
     * @returns the account, or undefined for unknown, banned and wrong alike, in the same time.
     * @throws {DomainError} `too_many_attempts`, with the seconds to wait.
     */
    async withPassword(login: string, password: string, { ip, device }: Origin): Promise<User | undefined> {
      const known = device !== undefined && secrets.matches('device', keyOf(login), device);
      // Hashed: what people type is not kept in a store of counters.
      const account = known ? `device:${device}` : sha256(keyOf(login));
      const network = networkOf(ip);

      // A point before the password is looked at, so that parallel guesses are bounded as well; several people or
      // services signing in to one account at once, all rightly, are not in each other's way.
      const [ofNetwork, ofAccount] = await Promise.all([byNetwork.spend(network), byAccount.spend(account)]);
      if (!ofNetwork.allowed) throw tooMany(ofNetwork.resetSeconds);
      if (!ofAccount.allowed) throw tooMany(ofAccount.resetSeconds);

      const user = await accounts.authenticate(login, password);
      if (user) {
        await Promise.all([byAccount.clear(account), waits.clear(account), byNetwork.refund(network)]);
        return user;
      }
      if ((await byAccount.spend(account, FAILURE_POINTS - 1)).remaining === 0) {
        const earlier = Number.MAX_SAFE_INTEGER - (await waits.spend(account)).remaining - 1;
        await byAccount.block(account, Math.min(FIRST_WAIT_SECONDS * 2 ** earlier, windowSeconds));
      }
      return undefined;
    },
  };
};
