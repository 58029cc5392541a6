import type { Budget, RateLimit, RateLimits } from '../storage/rate-limits.ts';
import { DomainError } from './errors.ts';
import { createFailureCounts } from './failure-counts.ts';
import { networkOf } from './networks.ts';
import { sha256 } from './secrets.ts';

export type { Budget };

/** So many points in so many seconds, counted from the first one spent. */
export type Limit = { points: number; seconds: number };

/**
 * Every limit there is, with its default. By account means by what the caller names: an email address, a client, a key; so that
 * one who guesses from many networks is slowed down too. By network is an IPv4 address or an IPv6 /64.
 */
export const DEFAULT_LIMITS = {
  /** Wrong passwords for one account; each further wait is twice as long. */
  'login-account': { points: 5, seconds: 900 },
  /** Wrong passwords from one network. */
  'login-network': { points: 100, seconds: 900 },
  'register-account': { points: 60, seconds: 3600 },
  'register-network': { points: 200, seconds: 3600 },
  /** Mails with a link, for one address: past it nothing is mailed, and the answer stays the same. */
  'mail-account': { points: 5, seconds: 3600 },
  'mail-network': { points: 50, seconds: 3600 },
  /** Links of mails that are wrong or spent. */
  'link-network': { points: 50, seconds: 900 },
  /** Ways to another provider and back, from one network. */
  'federation-network': { points: 300, seconds: 900 },
  /** Codes of sign-ins through another provider that are wrong or spent. */
  'exchange-network': { points: 50, seconds: 900 },
  /** Refresh tokens of the platform's own apps that are none: many merely expired, and one server may bring those of all its users. */
  'refresh-network': { points: 1000, seconds: 900 },
  /** Clients that anybody registers, and updates of registrations. */
  'registration-network': { points: 30, seconds: 3600 },
  /** Documents of clients that have to be fetched. */
  'document-network': { points: 60, seconds: 900 },
  /** Wrong client credentials, for one client from one network: strangers elsewhere cannot lock an app out. */
  'client-account': { points: 20, seconds: 900 },
  'client-network': { points: 100, seconds: 900 },
  /** Devices that ask for a code, by network. */
  'device-network': { points: 200, seconds: 900 },
  /** Codes of devices that are typed and are none: from one network, and from all of them together, since a code is short (RFC 8628 §5.1). */
  'user-code-network': { points: 20, seconds: 900 },
  'user-code-total': { points: 1000, seconds: 900 },
  /** Approvals that apps ask of one person: nobody is asked until they give in. */
  'approval-account': { points: 5, seconds: 600 },
  /** People whom an app asks for and who are not there, or not to be asked now. */
  'approval-client': { points: 100, seconds: 900 },
  /** Requests with one API key. */
  'key-account': { points: 6000, seconds: 60 },
  /** API keys that are not there, from one network. */
  'key-network': { points: 100, seconds: 900 },
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof DEFAULT_LIMITS;
export type Limits = Record<LimitName, Limit>;

/** How often a device, or an app that waits for an approval, may ask whether it has come. @see RFC 8628 §3.2 */
export const POLL_SECONDS = 5;
/** Who asks sooner is to wait so much longer from then on (RFC 8628 §3.5), up to a bound. */
const SLOW_DOWN_SECONDS = 5;
const MOST_SLOW_DOWNS = 12;
/** What a request may come too soon for being sent on time, and travelling faster than the one before. */
const POLL_TOLERANCE_SECONDS = 1;

const CROWDED_SECONDS = 1;

export const tooMany = (seconds: number): DomainError =>
  new DomainError('too_many_attempts', 'Too many attempts. Wait, then try again.', seconds);

export type Report = (budget: Budget) => void;

/** A budget for what is counted whether it succeeds or not. */
export type Throttle = {
  /**
   * Spends one point of the network, and one of the account where one is named.
   *
   * @param report Called with the budget that is nearer to its end, also when it is spent: for the answer's headers.
   * @throws {DomainError} `too_many_attempts`, with the seconds to wait.
   */
  spend(ip: string, account?: string, report?: Report): Promise<void>;
};

/** A budget for failures: looked at before, spent after. */
export type FailureThrottle = {
  /**
   * @param report Told what is left, also when that is nothing: for the answer's headers.
   * @throws {DomainError} `too_many_attempts`, while too many have failed.
   */
  check(ip: string, account?: string, report?: Report): Promise<void>;
  failed(ip: string, account?: string, report?: Report): Promise<void>;
};

/** A budget for failures of what takes a while: what is under way counts until it is known how it ends, so that guesses at once count. */
export type AttemptThrottle = {
  /**
   * @returns the budget, and what to call once it is known how the attempt ends; `failed` with what is left then.
   */
  begin(ip: string): Promise<{ budget: Budget; failed(): Promise<Budget>; over(): void }>;
};

/** A budget for what is guessed: spent before, so that guesses at once count, and given back for what was no wrong guess. */
export type GuessThrottle = {
  /** @throws {DomainError} `too_many_attempts`. */
  spend(ip: string): Promise<void>;
  giveBack(ip: string): Promise<void>;
};

export type Throttles = ReturnType<typeof createThrottles>;

export const createThrottles = (rateLimits: RateLimits, limits: Limits) => {
  const limit = (name: LimitName): RateLimit => rateLimits(name, limits[name].points, limits[name].seconds);

  const refuse = (budgets: (Budget | undefined)[]): void => {
    const refused = budgets.find((budget) => budget && !budget.allowed);
    if (refused) throw tooMany(refused.resetSeconds);
  };

  const counting = (byAccount: RateLimit | undefined, byNetwork: RateLimit): Throttle => ({
    async spend(ip, account, report = () => {}) {
      const budgets = await Promise.all([
        byNetwork.spend(networkOf(ip)),
        // Hashed: what people type is not kept in a store of counters.
        account === undefined ? undefined : byAccount?.spend(sha256(account)),
      ]);
      const [nearest] = budgets.filter((one) => one !== undefined).sort((a, b) => a.remaining - b.remaining);
      if (nearest) report(nearest);
      refuse(budgets);
    },
  });

  const failures = (bound: RateLimit, keyOf: (ip: string, account?: string) => string): FailureThrottle => {
    const { look, failed } = createFailureCounts(bound);
    return {
      async check(ip, account, report = () => {}) {
        const budget = await look(keyOf(ip, account), (found) => found);
        report(budget);
        refuse([budget]);
      },
      async failed(ip, account, report = () => {}) {
        report(await failed(keyOf(ip, account)));
      },
    };
  };

  const attempts = (bound: RateLimit): AttemptThrottle => {
    const { look, failed } = createFailureCounts(bound);
    const underWay = new Map<string, number>();

    /** One more under way. @returns what to call when it is no more; again, and nothing happens. */
    const add = (key: string): (() => void) => {
      underWay.set(key, (underWay.get(key) ?? 0) + 1);
      let over = false;
      return () => {
        if (over) return;
        over = true;
        const left = (underWay.get(key) ?? 1) - 1;
        if (left > 0) underWay.set(key, left);
        else underWay.delete(key);
      };
    };

    return {
      async begin(ip) {
        const key = networkOf(ip);
        return look(key, ({ remaining, ...found }) => {
          const before = underWay.get(key) ?? 0;
          const over = add(key);
          const crowded = found.allowed && before >= remaining;
          return {
            budget: {
              ...found,
              allowed: found.allowed && !crowded,
              remaining: Math.max(0, remaining - before - 1),
              // Some of those under way may turn out to be no failures.
              ...(crowded && { resetSeconds: CROWDED_SECONDS }),
            },
            failed: () => failed(key, over),
            over,
          };
        });
      },
    };
  };
  const byNetwork = (name: LimitName) => failures(limit(name), networkOf);

  /** By network, and by all networks together. */
  const guesses = (byNetwork: RateLimit, inTotal: RateLimit): GuessThrottle => ({
    async spend(ip) {
      // Not both at once: who is refused by network must not use up what is there for everybody.
      refuse([await byNetwork.spend(networkOf(ip))]);
      refuse([await inTotal.spend('all')]);
    },
    async giveBack(ip) {
      await Promise.all([byNetwork.refund(networkOf(ip)), inTotal.refund('all')]);
    },
  });

  const polls = rateLimits('poll', 1, POLL_SECONDS - POLL_TOLERANCE_SECONDS);
  const slowDowns = rateLimits('poll-slow-down', 10 * MOST_SLOW_DOWNS, 1200);

  /** Whether who asks for the outcome of this has done so too soon; and makes them wait for longer when they have. */
  const pollsTooSoon = async (what: string): Promise<boolean> => {
    const key = sha256(what);
    const tooSoon = !(await polls.spend(key)).allowed;
    const { limit, remaining } = tooSoon ? await slowDowns.spend(key) : await slowDowns.look(key);
    const times = Math.min(limit - remaining, MOST_SLOW_DOWNS);
    if (times > 0) await polls.block(key, POLL_SECONDS + times * SLOW_DOWN_SECONDS - POLL_TOLERANCE_SECONDS);
    return tooSoon;
  };

  const mails = limit('mail-account');
  const approvals = limit('approval-account');
  const strangers = limit('approval-client');
  // Anybody can come with a callback that is nobody's: the log tells that it happens, not how often.
  const oddities = rateLimits('federation-oddities', 20, 900);

  return {
    limits,
    /** Signing in with a password, by network. */
    logins: attempts(limit('login-network')),
    register: counting(limit('register-account'), limit('register-network')),
    /** Asking for mails, by network. */
    mail: counting(undefined, limit('mail-network')),
    /** Whether one more mail may go to this address. */
    mayMail: async (email: string): Promise<boolean> => (await mails.spend(sha256(email))).allowed,
    links: byNetwork('link-network'),
    federation: counting(undefined, limit('federation-network')),
    /** Whether the log has room for one more callback from there that came to nothing. */
    mayRecord: async (ip: string): Promise<boolean> => (await oddities.spend(networkOf(ip))).allowed,
    exchanges: byNetwork('exchange-network'),
    refreshTokens: byNetwork('refresh-network'),
    clientSecrets: failures(limit('client-account'), (ip, account) => sha256(`${account}\n${networkOf(ip)}`)),
    tokenEndpoints: byNetwork('client-network'),
    registrations: counting(undefined, limit('registration-network')),
    documents: counting(undefined, limit('document-network')),
    pollsTooSoon,
    deviceCodes: counting(undefined, limit('device-network')),
    userCodes: guesses(limit('user-code-network'), limit('user-code-total')),
    /** Asking a person to approve something. @throws {DomainError} `too_many_attempts`. */
    approvals: { spend: async (userId: string) => refuse([await approvals.spend(userId)]) },
    /** An app asks for people by name: those it misses are counted. @throws {DomainError} `too_many_attempts`. */
    strangers: {
      check: async (clientId: string) => refuse([await strangers.look(sha256(clientId))]),
      missed: async (clientId: string) => void (await strangers.spend(sha256(clientId))),
    },
    key: limit('key-account'),
    unknownKeys: byNetwork('key-network'),
  };
};
