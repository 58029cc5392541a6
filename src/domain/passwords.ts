import { availableParallelism } from 'node:os';
import argon2 from 'argon2';
import { isCommon } from './common-passwords.ts';
import { DomainError } from './errors.ts';
import type { ForeignHashes } from './password-hashes/foreign.ts';
import { createTurns } from './turns.ts';

/** `memoryCost` in KiB. */
export type PasswordCost = { memoryCost: number; timeCost: number };

/** OWASP Password Storage Cheat Sheet: argon2id, 19 MiB, 2 passes, 1 lane. */
export const PASSWORD_COST: PasswordCost = { memoryCost: 19_456, timeCost: 2 };

/** NIST SP 800-63B-4 §3.1.1.2: at least 64 characters must be accepted; more than this is only a way to burn CPU. */
const MAX_LENGTH = 256;

// One form for every way of typing the same characters (NIST SP 800-63B-4 §3.1.1.2: NFKC or NFKD).
const normalise = (password: string): string => password.normalize('NFKC');

export type PasswordPolicy = {
  /** Characters (code points) a new password needs. */
  minLength: number;
  /** Whether a new password is held against the list of common ones, and against what everybody knows of its owner. */
  blocklist: boolean;
  /** What this service is called, beyond its own name: say its host name. */
  serviceNames?: readonly string[];
  /** PASSWORD_COST, unless told otherwise. */
  cost?: PasswordCost | undefined;
};

/** Whose password it is to be: what is known of them is the first that others try. */
export type PasswordOwner = { email?: string | undefined; username?: string | null | undefined };

const CORES = availableParallelism();
/**
 * One hash more than there are cores: while one hands over to the next, none stands idle. On a single core, who answers fills that time.
 * libuv has four threads for what takes long.
 */
const AT_ONCE = CORES === 1 ? 1 : Math.min(4, CORES + 1);
/** About a second's worth: on a busy machine two or three, and longer nobody waits for a sign-in. */
const WAITING = 40;
const RETRY_AFTER_SECONDS = 2;
/** What a refusal takes at least: of a hundred connections that ask again at once, two hundred requests a second, not two thousand. */
const PATIENCE_MS = 500;

const OWN_NAMES = ['user auth', 'user-auth', 'user_auth', 'userauth'];

export type Passwords = ReturnType<typeof createPasswords>;

/** @param foreign Hashes that people brought along from elsewhere. */
export const createPasswords = (
  { minLength, blocklist, serviceNames = [], cost = PASSWORD_COST }: PasswordPolicy,
  foreign: ForeignHashes,
) => {
  const options = { type: argon2.argon2id, parallelism: 1, ...cost } as const;
  const ofToday = `$argon2id$v=19$m=${cost.memoryCost},p=1,t=${cost.timeCost}$`;
  // Verified against when there is no account, so that a missing account takes as long as a wrong password. A hash from
  // elsewhere has a cost of its own: until its owner first signs in here, how long the answer takes tells it from none.
  const decoy = argon2.hash('a password nobody has', options);
  const inTurn = createTurns(AT_ONCE, WAITING, RETRY_AFTER_SECONDS, PATIENCE_MS);

  const rehash = (password: string): Promise<string> => inTurn(() => argon2.hash(normalise(password), options));

  /** A hash from elsewhere is of the password as it was typed there; here it may be typed in another Unicode form. */
  const verifyForeign = async (hash: string, password: string): Promise<boolean> => {
    if (await foreign.verify(hash, password)) return true;
    const normal = normalise(password);
    return normal !== password && foreign.verify(hash, normal);
  };

  const lowerCase = (text: string): string => normalise(text).toLowerCase().trim();
  const namesOfService = new Set([...OWN_NAMES, ...serviceNames].map(lowerCase));

  /** @see [NIST SP 800-63B-4 §3.1.1.2](https://pages.nist.gov/800-63-4/sp800-63b.html): compared as a whole, not by what it contains */
  const refuseGuessable = async (password: string, { email = '', username }: PasswordOwner): Promise<void> => {
    const key = lowerCase(password);
    const own = [email, email.slice(0, Math.max(email.lastIndexOf('@'), 0)), username ?? ''].map(lowerCase);
    if (key !== '' && own.includes(key))
      throw new DomainError('password_too_common', 'the password must not be your email address or username');
    if (namesOfService.has(key))
      throw new DomainError('password_too_common', 'the password must not be the name of this service');
    if (await isCommon(normalise(password).toLowerCase()))
      throw new DomainError(
        'password_too_common',
        'this password is one of those that are tried first; choose another',
      );
  };

  const check = async (password: string, owner: PasswordOwner = {}): Promise<void> => {
    const { length } = [...normalise(password)];
    if (length < minLength)
      throw new DomainError('password_too_short', `the password needs at least ${minLength} characters`);
    if (length > MAX_LENGTH)
      throw new DomainError('password_too_long', `the password may have at most ${MAX_LENGTH} characters`);
    if (blocklist) await refuseGuessable(password, owner);
  };

  return {
    /**
     * Whether somebody may choose this password.
     *
     * @throws {DomainError} `password_too_short`, `password_too_long`, `password_too_common`.
     */
    check,

    /**
     * @returns a PHC string.
     * @throws {DomainError} those of `check`; `too_busy`.
     */
    async hash(password: string, owner: PasswordOwner = {}): Promise<string> {
      await check(password, owner);
      return rehash(password);
    },

    /** As `hash`, for a password that somebody has already: the rules are for choosing one. */
    rehash,

    /** Whether `password` belongs to `hash`; false, in the same time, when there is no hash. @throws {DomainError} `too_busy`. */
    async verify(hash: string | null | undefined, password: string): Promise<boolean> {
      // A longer one cannot have been set; it is not worth hashing, and refusing it early tells nobody anything.
      if (password.length > MAX_LENGTH * 4) return false;
      if (hash != null && foreign.isForeign(hash)) return inTurn(() => verifyForeign(hash, password));
      const known = hash ?? (await decoy);
      const matches = await inTurn(() => argon2.verify(known, normalise(password)));
      return matches && hash != null;
    },

    /** Waits a moment for room for another hash. @throws {DomainError} `too_busy` when there is none. */
    room: inTurn.room,

    /** Whether the hash was made elsewhere, or at another cost than today's. */
    needsRehash: (hash: string): boolean =>
      !hash.startsWith(ofToday) && (foreign.isForeign(hash) || argon2.needsRehash(hash, options)),
  };
};
