import { randomUUID } from 'node:crypto';
import type { Recipient } from '../mail/messages.ts';
import type { Stores } from '../storage/stores.ts';
import type { User } from '../storage/users.ts';
import { checkAll, DomainError } from './errors.ts';
import { isEmail, isUsername, keyOf, USERNAME_RULE } from './names.ts';
import type { Passwords } from './passwords.ts';
import { stillSpeaksFor } from './standings.ts';
import { isBanned, statusOf } from './user-status.ts';

export { hasUsernameForm, isEmail, isUsername, keyOf, USERNAME_RULE } from './names.ts';
export type { User };

/** What can be said of a new account; an email is required, the password is missing for federated users. */
export type NewAccount = {
  email: string;
  password?: string | undefined;
  username?: string | undefined;
  role?: string | undefined;
  emailVerified?: boolean | undefined;
  profile?: ProfileChanges | undefined;
};

/** Who a mail to this account goes to. */
export const recipientOf = ({ email, locale }: User): Recipient => ({ email, locale });

/** @throws {DomainError} `invalid_email`. */
export const checkEmail = (email: string): void => {
  if (!isEmail(email)) throw new DomainError('invalid_email', 'the email address is not valid');
};

type Text = string | null | undefined;

/** OIDC's standard claims by their own names. */
export type ProfileChanges = {
  username?: string | undefined;
  name?: Text;
  given_name?: Text;
  family_name?: Text;
  middle_name?: Text;
  nickname?: Text;
  profile?: Text;
  picture?: Text;
  website?: Text;
  gender?: Text;
  birthdate?: Text;
  zoneinfo?: Text;
  locale?: Text;
  phone_number?: Text;
  address?: Record<string, string | undefined> | null | undefined;
};

/** What an address is stored as. @throws {DomainError} `invalid_email` */
export const emailColumns = (email: string) => {
  if (!isEmail(email)) throw new DomainError('invalid_email', 'the email address is not valid');
  return { email: email.trim(), emailKey: keyOf(email) };
};

/** What a username is stored as; null is none. @throws {DomainError} `invalid_username` */
export const usernameColumns = (username: string | null) => {
  if (username !== null && !isUsername(username)) throw new DomainError('invalid_username', USERNAME_RULE);
  return { username, usernameKey: username === null ? null : keyOf(username) };
};

/** What the claims of a profile are stored as; what is absent stays, null clears. */
export const profileColumns = (changes: Omit<ProfileChanges, 'username'>) => ({
  name: changes.name,
  givenName: changes.given_name,
  familyName: changes.family_name,
  middleName: changes.middle_name,
  nickname: changes.nickname,
  profile: changes.profile,
  picture: changes.picture,
  website: changes.website,
  gender: changes.gender,
  birthdate: changes.birthdate,
  zoneinfo: changes.zoneinfo,
  locale: changes.locale,
  phoneNumber: changes.phone_number,
  // A number nobody has verified yet.
  phoneNumberVerified: changes.phone_number === undefined ? undefined : false,
  address: changes.address,
});

const taken = {
  email_taken: () => new DomainError('email_taken', 'a user with this email address exists already'),
  username_taken: () => new DomainError('username_taken', 'a user with this username exists already'),
  unknown_role: () => new DomainError('invalid_role', 'there is no such role'),
};

/** Why a user could not be stored, as an error. */
export const conflict = (why: keyof typeof taken): DomainError => taken[why]();

export type Accounts = ReturnType<typeof createAccounts>;

export const createAccounts = (
  { users, artifacts, atomically }: Pick<Stores, 'users' | 'artifacts' | 'atomically'>,
  passwords: Passwords,
) => ({
  /**
   * The account with this id, or undefined when there is none, it is banned, or about to be erased; or when what the request has shown
   * for it is of before its sign-ins were ended.
   */
  async find(id: string): Promise<User | undefined> {
    const user = await users.findById(id);
    return user && stillSpeaksFor(user) && statusOf(user) === 'active' ? user : undefined;
  },

  /** Whoever this login names, in whatever state. */
  named: (login: string): Promise<User | undefined> => users.findByLogin(keyOf(login)),

  /**
   * @param login An email address or a username, in any letter case.
   * @returns the account, also one that waits to be erased (see `eraseAfter`); undefined for unknown, banned and wrong alike, in
   *   the same time.
   */
  async authenticate(login: string, password: string): Promise<User | undefined> {
    return this.verify(await users.findByLogin(keyOf(login)), password);
  },

  /** Before a password is asked about, and anything else for its sake. @throws {DomainError} `too_busy` */
  roomForPassword: passwords.room,

  /** As `authenticate`, for whoever a login named, if anybody. */
  async verify(user: User | undefined, password: string): Promise<User | undefined> {
    const matches = await passwords.verify(user?.passwordHash, password);
    if (!user || !matches || isBanned(user)) return undefined;
    if (user.eraseAfter && user.eraseAfter.getTime() <= Date.now()) return undefined;
    if (user.passwordHash && passwords.needsRehash(user.passwordHash)) {
      // Also one that could not be chosen today: it is shorter, or commonly known, but it is theirs.
      const passwordHash = await passwords.rehash(password);
      // The hash seen is part of the condition: a password changed in the meantime stays.
      if (await users.replacePasswordHash(user.id, user.passwordHash, passwordHash)) return { ...user, passwordHash };
    }
    return user;
  },

  /** @throws {DomainError} whatever is wrong by itself with what there is of it, all at once. */
  check: ({ email, username, password }: Partial<Pick<NewAccount, 'email' | 'username' | 'password'>>): Promise<void> =>
    checkAll(
      () => email !== undefined && checkEmail(email),
      () => usernameColumns(username ?? null),
      () => password !== undefined && passwords.check(password, { email, username }),
    ),

  /**
   * @param along What is written along with it, or the account is not made either.
   * @throws {DomainError} `invalid_email`, `invalid_username`, `invalid_role`, `email_taken`, `username_taken`, and the password's.
   */
  async create(account: NewAccount, along: (created: User) => Promise<void> = async () => {}): Promise<User> {
    const { email, username, password, role = 'user', emailVerified = false, profile = {} } = account;
    await this.check(account);
    const columns = { ...emailColumns(email), ...usernameColumns(username ?? null) };
    // Both at once; the row itself decides, should somebody be faster. A name that is taken costs no hash.
    const [ofEmail, ofUsername] = await Promise.all([
      users.findByLogin(columns.emailKey),
      columns.usernameKey === null ? undefined : users.findByLogin(columns.usernameKey),
    ]);
    await checkAll(
      () => {
        if (ofEmail) throw conflict('email_taken');
      },
      () => {
        if (ofUsername) throw conflict('username_taken');
      },
    );
    const passwordHash = password === undefined ? null : await passwords.rehash(password);
    return atomically(async () => {
      const created = await users.create({
        ...profileColumns(profile),
        ...columns,
        id: randomUUID(),
        emailVerified,
        // Nobody but the operator makes an account whose address is proven already.
        holderProven: emailVerified,
        passwordHash,
        role,
      });
      if (typeof created === 'string') throw conflict(created);
      await along(created);
      return created;
    });
  },

  /**
   * Changes what a person may change of themselves; what is absent stays, null clears.
   *
   * @param along What is written along with it, or nothing is changed.
   * @throws {DomainError} `invalid_username`, `username_taken`.
   */
  async updateProfile(
    id: string,
    changes: ProfileChanges,
    along: (changed: User) => Promise<User> = async (changed) => changed,
  ): Promise<User> {
    const { username: asked, ...profile } = changes;
    // One from before a rule may be sent back as it is.
    const isOld = typeof asked === 'string' && !isUsername(asked) && (await users.findById(id))?.username === asked;
    const username = isOld ? undefined : asked;
    const columns = { ...(username !== undefined && usernameColumns(username)), ...profileColumns(profile) };
    return atomically(async () => {
      const updated = await users.update(id, columns);
      if (updated === 'username_taken') throw conflict(updated);
      if (!updated) throw new DomainError('unknown_user');
      return along(updated);
    });
  },

  /**
   * Replaces the password of somebody who has just shown the old one, and ends everything they are signed in with.
   *
   * @param along What is written along with it, or the password stays.
   * @throws {DomainError} the password's; `invalid_credentials` when somebody else changed it meanwhile.
   */
  async changePassword(user: User, password: string, along: () => Promise<void>): Promise<void> {
    const passwordHash = await passwords.hash(password, user);
    // Before as well as after: with a store down nothing is changed, and who signs in meanwhile is signed out again.
    await artifacts.destroyByAccount(user.id);
    await atomically(async () => {
      if (!(await users.choosePassword(user.id, user.passwordHash, passwordHash)))
        throw new DomainError('invalid_credentials', 'The password was changed in the meantime');
      await along();
    });
    await artifacts.destroyByAccount(user.id);
  },

  /**
   * Sets a new password, then ends every session and token of the user.
   *
   * @param along What is written along with it, or the password stays.
   * @throws {DomainError} `unknown_user`, and the password's.
   */
  async setPassword(
    email: string,
    password: string,
    along: (changed: User) => Promise<void> = async () => {},
  ): Promise<User> {
    const owner = await users.findByLogin(keyOf(email));
    const passwordHash = await passwords.hash(password, owner ?? { email });
    const user = await atomically(async () => {
      const changed = await users.setPasswordHash(keyOf(email), passwordHash);
      if (!changed) throw new DomainError('unknown_user', 'no user has this email address');
      await along(changed);
      return changed;
    });
    await artifacts.destroyByAccount(user.id);
    return user;
  },
});
