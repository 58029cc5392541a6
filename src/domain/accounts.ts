import { randomUUID } from 'node:crypto';
import type { Artifacts } from '../storage/artifacts.ts';
import type { User, Users } from '../storage/users.ts';
import { DomainError } from './errors.ts';
import type { Passwords } from './passwords.ts';

export type { User };

/** What can be said of a new account; an email is required, the password is missing for federated users. */
export type NewAccount = {
  email: string;
  password?: string | undefined;
  username?: string | undefined;
  role?: 'user' | 'admin' | undefined;
  emailVerified?: boolean | undefined;
};

/** The form uniqueness goes by: the same address or name in any letter case and any Unicode composition is one. */
export const keyOf = (text: string): string => text.trim().normalize('NFKC').toLowerCase();

// Deliberately loose (RFC 5321 allows more than any pattern shows): whether it is an address, a mail to it tells.
const EMAIL = /^[^\s\p{Cc}\p{Cf}@<>()[\]\\,;:"]{1,64}@[^\s\p{Cc}\p{Cf}@<>()[\]\\,;:"]{1,255}$/u;
// No @, so that a login name cannot be taken for somebody's address.
const USERNAME = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u;

export const isEmail = (text: string): boolean => EMAIL.test(text.trim()) && text.isWellFormed();
export const isUsername = (text: string): boolean => USERNAME.test(text);

export const USERNAME_RULE =
  'a username has 1 to 64 letters, digits, dots, hyphens or underscores, and starts with a letter or digit';

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

export type Accounts = ReturnType<typeof createAccounts>;

export const createAccounts = (users: Users, artifacts: Artifacts, passwords: Passwords) => ({
  /** The account with this id, or undefined when there is none or it is banned. */
  async find(id: string): Promise<User | undefined> {
    const user = await users.findById(id);
    return user?.bannedAt ? undefined : user;
  },

  /**
   * @param login An email address or a username, in any letter case.
   * @returns the account, or undefined for unknown, banned and wrong alike, in the same time.
   */
  async authenticate(login: string, password: string): Promise<User | undefined> {
    const user = await users.findByLogin(keyOf(login));
    const matches = await passwords.verify(user?.passwordHash, password);
    if (!user || !matches || user.bannedAt) return undefined;
    if (user.passwordHash && passwords.needsRehash(user.passwordHash)) {
      // Also one that could not be chosen today: it is shorter, or commonly known, but it is theirs.
      const passwordHash = await passwords.rehash(password);
      // The hash seen is part of the condition: a password changed in the meantime stays.
      if (await users.replacePasswordHash(user.id, user.passwordHash, passwordHash)) return { ...user, passwordHash };
    }
    return user;
  },

  /**
   * @throws {DomainError} `invalid_email`, `invalid_username`, `email_taken`, `username_taken`, and the password's.
   */
  async create({ email, password, username, role = 'user', emailVerified = false }: NewAccount): Promise<User> {
    if (!isEmail(email)) throw new DomainError('invalid_email', 'the email address is not valid');
    if (username !== undefined && !isUsername(username)) throw new DomainError('invalid_username', USERNAME_RULE);
    const passwordHash = password === undefined ? null : await passwords.hash(password, { email, username });
    const created = await users.create({
      id: randomUUID(),
      email: email.trim(),
      emailKey: keyOf(email),
      emailVerified,
      username: username ?? null,
      usernameKey: username === undefined ? null : keyOf(username),
      passwordHash,
      role,
    });
    if (created === 'email_taken')
      throw new DomainError('email_taken', 'a user with this email address exists already');
    if (created === 'username_taken')
      throw new DomainError('username_taken', 'a user with this username exists already');
    return created;
  },

  /**
   * Changes what a person may change of themselves; what is absent stays, null clears.
   *
   * @throws {DomainError} `invalid_username`, `username_taken`.
   */
  async updateProfile(id: string, changes: ProfileChanges): Promise<User> {
    const { username } = changes;
    if (username !== undefined && !isUsername(username)) throw new DomainError('invalid_username', USERNAME_RULE);
    const updated = await users.update(id, {
      username,
      usernameKey: username === undefined ? undefined : keyOf(username),
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
    if (updated === 'username_taken')
      throw new DomainError('username_taken', 'a user with this username exists already');
    if (!updated) throw new DomainError('unknown_user');
    return updated;
  },

  /**
   * Replaces the password of somebody who has just shown the old one, and ends everything they are signed in with.
   *
   * @throws {DomainError} the password's; `invalid_credentials` when somebody else changed it meanwhile.
   */
  async changePassword(user: User, password: string): Promise<void> {
    if (!(await users.replacePasswordHash(user.id, user.passwordHash, await passwords.hash(password, user))))
      throw new DomainError('invalid_credentials', 'The password was changed in the meantime');
    await artifacts.destroyByAccount(user.id);
  },

  /**
   * Sets a new password, then ends every session and token of the user.
   *
   * @throws {DomainError} `unknown_user`, and the password's.
   */
  async setPassword(email: string, password: string): Promise<User> {
    const owner = await users.findByLogin(keyOf(email));
    const passwordHash = await passwords.hash(password, owner ?? { email });
    const user = await users.setPasswordHash(keyOf(email), passwordHash);
    if (!user) throw new DomainError('unknown_user', 'no user has this email address');
    await artifacts.destroyByAccount(user.id);
    return user;
  },
});
