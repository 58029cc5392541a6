// What administrators do with other people's accounts.
import type { Mail } from '../mail/outbox.ts';
import type { AdministeredColumns, AdministrationStore, Ended, Unchanged } from '../storage/administration.ts';
import type { Artifacts } from '../storage/artifacts.ts';
import type { Roles } from '../storage/roles.ts';
import type { Stores } from '../storage/stores.ts';
import type { UserFilter, UserOrder, UserPage, UserPosition, UserSearch } from '../storage/user-search.ts';
import type { User, Users } from '../storage/users.ts';
import {
  type Accounts,
  conflict,
  emailColumns,
  keyOf,
  type NewAccount,
  type ProfileChanges,
  profileColumns,
  recipientOf,
  usernameColumns,
} from './accounts.ts';
import type { Audit } from './audit.ts';
import { isAdministrative } from './claims.ts';
import { checkAll, DomainError } from './errors.ts';
import type { PasswordReset } from './password-reset.ts';
import { banOf, changesOf, toldOf } from './user-changes.ts';
import { isBanned } from './user-status.ts';

export type { UserOrder, UserPosition };

export type ListedBy = Omit<UserFilter, 'prefix' | 'hasPassword' | 'hasProvider'> & {
  /** How the email address, the username or the id begins, in any letter case. */
  search?: string | undefined;
  /** What they can sign in with: 'password', another provider, or 'none' for nothing at all. */
  provider?: string | undefined;
};

/** Users by what they can sign in with. */
const signingInWith = (provider: string | undefined): Pick<UserFilter, 'hasPassword' | 'hasProvider' | 'provider'> =>
  provider === 'password'
    ? { hasPassword: true }
    : provider === 'none'
      ? { hasPassword: false, hasProvider: false }
      : { provider };

/** What an administrator changes; what is absent stays, null clears. */
export type AdministeredChanges = Omit<ProfileChanges, 'username'> & {
  email?: string | undefined;
  email_verified?: boolean | undefined;
  username?: string | null | undefined;
  role?: string | undefined;
};

export type BanTerms = {
  reason: string;
  /** In the future; until further notice when absent. */
  until?: Date | undefined;
};

export type AdministrationParts = {
  users: Users;
  search: UserSearch;
  store: AdministrationStore;
  roles: Roles;
  artifacts: Artifacts;
  atomically: Stores['atomically'];
  accounts: Accounts;
  passwordReset: PasswordReset;
  mail: Mail;
  audit: Audit;
};

const lastAdmin = () => new DomainError('last_admin', 'this is the last administrator there is');

export type Administration = ReturnType<typeof createAdministration>;

export const createAdministration = (parts: AdministrationParts) => {
  const { users, search, store, roles, artifacts, atomically, accounts, passwordReset, mail, audit } = parts;

  /** @throws {DomainError} `unknown_user` */
  const find = async (id: string): Promise<User> => {
    const user = await users.findById(id.toLowerCase());
    if (!user) throw new DomainError('unknown_user', 'there is no such user');
    return user;
  };

  // Who may change users could otherwise take over, or become, somebody who may do more.
  const requireReach = async (actor: User, role: string): Promise<void> => {
    const own = await roles.permissionsOf(actor.role);
    const beyond = (await roles.permissionsOf(role)).find((one) => isAdministrative(one) && !own.includes(one));
    if (beyond !== undefined)
      throw new DomainError('beyond_own_role', `the role ${role} permits ${beyond}, which yours does not`);
  };

  const findWithinReach = async (actor: User, id: string): Promise<User> => {
    const user = await find(id);
    await requireReach(actor, user.role);
    return user;
  };

  const requireRole = async (actor: User, role: string): Promise<void> => {
    if (!(await roles.names()).includes(role)) throw conflict('unknown_role');
    await requireReach(actor, role);
  };

  const done = <T extends object>(outcome: T | Unchanged | undefined): T => {
    if (outcome === undefined) throw new DomainError('unknown_user', 'there is no such user');
    if (outcome === 'last_admin') throw lastAdmin();
    if (typeof outcome === 'string') throw conflict(outcome);
    return outcome;
  };

  /** Whoever was within reach when that was looked at may have been made more by now. @throws {DomainError} `beyond_own_role` */
  const insistOnRole = (checked: User, found: User): void => {
    if (found.role !== checked.role)
      throw new DomainError('beyond_own_role', 'the role of this user was changed in the meantime');
  };

  /** @param checked As they were read when it was found that the one who changes them may. */
  const change = async (
    checked: User,
    decide: (before: User) => { columns: AdministeredColumns; ended?: Ended[] },
  ): Promise<{ before: User; after: User }> =>
    done(
      await store.change(checked.id, (before) => {
        insistOnRole(checked, before);
        return decide(before);
      }),
    );

  const check = (
    actor: User,
    { role, ...account }: Partial<Pick<NewAccount, 'email' | 'username' | 'password' | 'role'>>,
  ): Promise<void> =>
    checkAll(
      () => role !== undefined && requireRole(actor, role),
      () => accounts.check(account),
    );

  return {
    /** @throws {DomainError} whatever is wrong by itself with what there is of a new account, all at once. */
    check,

    /** @param after A place that an earlier page of the same list gave. */
    async list(by: ListedBy, order: UserOrder, after: UserPosition | undefined, limit: number): Promise<UserPage> {
      const { search: text, provider, ...filter } = by;
      const prefix = text === undefined ? undefined : keyOf(text);
      return search.list({ ...filter, ...signingInWith(provider), prefix }, order, after, limit);
    },

    /** Whatever their state. @throws {DomainError} `unknown_user` */
    find,

    /**
     * Makes an account. Without a password the person is invited, by a mail, to choose one.
     *
     * @throws {DomainError} `beyond_own_role`, and those of `accounts.create`.
     */
    async create(actor: User, account: NewAccount): Promise<User> {
      const { role = 'user', password } = account;
      await check(actor, { ...account, role });
      const invited = password === undefined;
      return accounts.create(account, async (user) => {
        await audit.record({
          type: 'user.created',
          target: user.id,
          details: { role, invited, before: null, after: toldOf(user) },
        });
        if (invited) await passwordReset.invite(user);
      });
    },

    /**
     * Changes an account. A new address takes effect at once, is told to both, and ends the links that were mailed to the old one.
     *
     * @throws {DomainError} `unknown_user`, `last_admin`, `beyond_own_role`, `invalid_email`, `invalid_username`, `invalid_role`,
     *   `email_taken`, `username_taken`.
     */
    async update(actor: User, id: string, changes: AdministeredChanges): Promise<User> {
      const { email, email_verified, username, role, ...profile } = changes;
      const user = await findWithinReach(actor, id);
      // One from before a rule may be sent back as it is.
      const renamed = username === user.username ? undefined : username;
      await check(actor, { email, username: renamed ?? undefined, role: role === user.role ? undefined : role });
      const named = {
        ...(email !== undefined && emailColumns(email)),
        ...(renamed !== undefined && usernameColumns(renamed)),
      };
      return atomically(async () => {
        const { before, after } = await change(user, (found) => {
          const moved = named.emailKey !== undefined && named.emailKey !== found.emailKey;
          return {
            columns: {
              ...profileColumns(profile),
              ...named,
              role,
              emailVerified: email_verified ?? (moved ? false : undefined),
              // The operator's word on the address is a word on its holder.
              holderProven: email_verified ?? (moved ? false : undefined),
            },
            ended: moved ? ['oneTimeTokens'] : [],
          };
        });
        const details = changesOf(before, after);
        if (details) await audit.record({ type: 'user.updated', target: user.id, details });
        if (before.emailKey !== after.emailKey && !isBanned(after))
          for (const to of [before, after])
            await mail.send(recipientOf(to), { template: 'email_changed', newEmail: after.email });
        return after;
      });
    },

    /**
     * Ends everything the user is signed in with, then erases them.
     *
     * @throws {DomainError} `unknown_user`, `last_admin`, `beyond_own_role`.
     */
    async erase(actor: User, id: string): Promise<void> {
      const user = await findWithinReach(actor, id);
      // Asked before anything ends; asked again, with nobody else changing it, by what erases.
      if (await store.isLastAdministrator(user.id)) throw lastAdmin();
      await artifacts.destroyByAccount(user.id);
      await atomically(async () => {
        const erased = done(await store.erase(user.id));
        insistOnRole(user, erased);
        await audit.record({ type: 'user.erased', target: user.id, details: { before: toldOf(erased) } });
      });
    },

    /**
     * Bans a user, or changes the terms of a ban. In one transaction it holds and everything in Postgres ends that the user gets in
     * with; what Redis has of it ends before this resolves. Should Redis fail in between, the ban holds nevertheless, since banned
     * users are refused wherever one is looked up, and may be repeated to end the rest; where Redis is away to begin with, nothing changes.
     *
     * @throws {DomainError} `unknown_user`, `own_account`, `last_admin`, `beyond_own_role`.
     */
    async ban(actor: User, id: string, { reason, until }: BanTerms): Promise<User> {
      const user = await findWithinReach(actor, id);
      if (user.id === actor.id) throw new DomainError('own_account', 'nobody can ban themselves');
      const now = new Date();
      const banned = await atomically(async () => {
        const { before, after } = await change(user, (found) => ({
          columns: {
            bannedAt: isBanned(found, now) ? found.bannedAt : now,
            bannedUntil: until ?? null,
            banReason: reason,
          },
          ended: ['artifacts', 'apiKeys', 'oneTimeTokens'],
        }));
        const details = { reason, until: until?.toISOString(), before: banOf(before), after: banOf(after) };
        await audit.record({ type: 'user.banned', target: user.id, details });
        return after;
      });
      await artifacts.destroyByAccount(user.id);
      return banned;
    },

    /** Lifts a ban, if there is one. @throws {DomainError} `unknown_user`, `beyond_own_role`. */
    async unban(actor: User, id: string): Promise<User> {
      const user = await findWithinReach(actor, id);
      if (!user.bannedAt) return user;
      // What was made in the very moment of the ban, or left behind by a Redis that failed then, must not come back to life.
      await artifacts.destroyByAccount(user.id);
      return atomically(async () => {
        const { before, after } = await change(user, () => ({
          columns: { bannedAt: null, bannedUntil: null, banReason: null },
        }));
        const details = { before: banOf(before), after: banOf(after) };
        await audit.record({ type: 'user.unbanned', target: user.id, details });
        return after;
      });
    },

    /** Ends every session and token; API keys stay. @throws {DomainError} `unknown_user`, `beyond_own_role`. */
    async signOut(actor: User, id: string): Promise<void> {
      const user = await findWithinReach(actor, id);
      // Before as well as after: with a store down nothing has changed, and who signs in meanwhile is signed out again.
      await artifacts.destroyByAccount(user.id);
      await atomically(async () => {
        await users.endSignIns(user.id);
        await audit.record({ type: 'user.signed_out', target: user.id });
      });
      await artifacts.destroyByAccount(user.id);
    },

    /** Mails a link to set a new password. @throws {DomainError} `unknown_user`, `user_banned`, `beyond_own_role`. */
    async mailPasswordReset(actor: User, id: string): Promise<void> {
      const user = await findWithinReach(actor, id);
      if (isBanned(user)) throw new DomainError('user_banned', 'banned users are sent no mail');
      await passwordReset.mailLink(user);
    },
  };
};
