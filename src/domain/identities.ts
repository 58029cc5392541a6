import { randomInt, randomUUID } from 'node:crypto';
import type { Mail } from '../mail/outbox.ts';
import type { Identity, IdentityColumns, Identities as IdentityStore } from '../storage/identities.ts';
import type { Atomically } from '../storage/units.ts';
import type { Users } from '../storage/users.ts';
import { emailColumns, isEmail, keyOf, profileColumns, recipientOf, type User, usernameColumns } from './accounts.ts';
import type { Audit } from './audit.ts';
import type { Deletion } from './deletion.ts';
import { derivedUsername } from './derived-username.ts';
import { DomainError } from './errors.ts';
import { endedSignIn } from './standings.ts';
import type { Throttles } from './throttles.ts';
import { isBanned } from './user-status.ts';
import type { Verification } from './verification.ts';

export type { Identity };

/** Somebody whom another provider vouches for. */
export type Vouched = {
  provider: string;
  /** Whom the provider's name stands for. */
  issuer: string;
  /** Names the person at the provider. */
  subject: string;
  email?: string | undefined;
  emailVerified: boolean;
  /** Whether the provider's word on the address is enough to be let into an account that has it. */
  authoritative: boolean;
  name?: string | undefined;
  picture?: string | undefined;
  username?: string | undefined;
};

/** A provider that is set up: what it is called in the database, whom that stands for, and what people call it. */
export type NamedProvider = { id: string; issuer: string; label: string };

/** What a sign-in is for, and where it comes from. */
export type Arrival = {
  /** The app that the sign-in is for. */
  client?: string | undefined;
  /** Whether this user will do, by their id; undefined for somebody new. Anybody where absent. */
  accepts?: ((userId: string | undefined) => boolean) | undefined;
  /** Absent inside the process. */
  ip?: string | undefined;
};

/** Everything somebody else does at the same time changes what there is to do; so often it is looked at anew. */
const ATTEMPTS = 10;
/** How long ago somebody may have signed in who changes what signs in to their account. */
export const FRESH_SECONDS = 600;

const columnsOf = (vouched: Vouched): IdentityColumns => {
  const { provider, issuer, subject, email, emailVerified, name, picture, username } = vouched;
  return {
    provider,
    issuer,
    subject,
    email: email ?? null,
    emailVerified: email !== undefined && emailVerified,
    profile: { name, picture, username },
  };
};

// Look-ups take Unicode's many forms of a letter for one; mail servers need not, and then it is somebody else's mailbox.
const isSameMailbox = (a: string, b: string): boolean => {
  const plain = (address: string) => address.trim().replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return plain(a) === plain(b);
};

export type IdentityParts = {
  users: Users;
  identities: IdentityStore;
  atomically: Atomically;
  deletion: Deletion;
  verification: Verification;
  mail: Mail;
  audit: Audit;
  throttles: Pick<Throttles, 'register' | 'mayMail'>;
  providers: NamedProvider[];
};

const anybody = () => true;

/** Somebody was faster with an address or a name. */
class Taken extends Error {}

/** What people call a provider; its id where it is not set up any more. */
export const labelIn = (providers: NamedProvider[], id: string): string =>
  providers.find((provider) => provider.id === id)?.label ?? id;

export type Identities = ReturnType<typeof createIdentities>;

/** Who people are at other providers, and which account that signs in to. */
export const createIdentities = (parts: IdentityParts) => {
  const { users, identities, atomically, deletion, verification, mail, audit, throttles, providers } = parts;
  const labelOf = (id: string): string => labelIn(providers, id);

  const linked = async (user: User, { provider, email, username, subject }: Vouched): Promise<void> => {
    const name = email ?? username ?? subject;
    await mail.send(recipientOf(user), { template: 'sign_in_method_added', provider: labelOf(provider), name });
    await audit.record({ type: 'identity.linked', actor: user.id, target: user.id, details: { provider } });
  };

  /** Puts on record that somebody was not signed in; no more than that has happened by then. */
  const refused = async (
    { provider }: Pick<Vouched, 'provider'>,
    reason: string,
    target: string | undefined,
    client: string | undefined,
  ) => audit.record({ type: 'login.failed', target, client, details: { method: provider, reason } });

  /** The account, if its holder may sign in; one that waits to be erased is restored. */
  const admitted = async (user: User, vouched: Vouched, { client, accepts = anybody }: Arrival): Promise<User> => {
    const refuse = async (reason: string, error: DomainError): Promise<never> => {
      await refused(vouched, reason, user.id, client);
      throw error;
    };
    if (isBanned(user)) await refuse('banned', new DomainError('user_banned', 'this account cannot be signed in to'));
    if (!accepts(user.id))
      await refuse('wrong_account', new DomainError('wrong_account', 'the app asked for another account'));
    if (!user.eraseAfter) return user;
    const restored = user.eraseAfter.getTime() > Date.now() ? await deletion.restore(user) : undefined;
    return restored ?? refuse('being_erased', new DomainError('unknown_user', 'this account is being erased'));
  };

  const signUp = async (vouched: Vouched, email: string, attempt: number): Promise<User | undefined> => {
    const base = derivedUsername(vouched);
    const username = attempt === 0 ? base : `${base}-${randomInt(10 ** (attempt + 2))}`;
    const columns = emailColumns(email);
    const mails = !vouched.emailVerified && (await throttles.mayMail(columns.emailKey));
    try {
      return await atomically(async () => {
        const created = await identities.signUp(
          {
            ...profileColumns({ name: vouched.name, picture: vouched.picture }),
            ...columns,
            ...usernameColumns(username),
            id: randomUUID(),
            emailVerified: vouched.emailVerified,
            // A provider that is not to be believed for this address may have let in anybody: its owner is asked when they come.
            holderProven: vouched.emailVerified && vouched.authoritative,
            passwordHash: null,
            role: 'user',
          },
          columnsOf(vouched),
        );
        // The transaction is over with what violated a constraint of its.
        if (typeof created === 'string') throw new Taken();
        const details = { method: vouched.provider };
        await audit.record({ type: 'user.registered', actor: created.id, target: created.id, details });
        if (mails) await verification.mailLink(created);
        return created;
      });
    } catch (error) {
      if (error instanceof Taken) return undefined;
      throw error;
    }
  };

  const linkTo = (user: User, vouched: Vouched, by: { emailKey?: string; proves?: string | undefined }) =>
    atomically(async () => {
      const outcome = await identities.link(user, columnsOf(vouched), by);
      if (outcome === 'linked') await linked(user, vouched);
      return outcome;
    });

  return {
    /**
     * The account of somebody whom a provider vouches for. Who was never here gets one. An account that has the same address is
     * theirs only when the provider is to be believed for that address, and who signs in to the account has proven it too: an address
     * that nobody has verified may be anybody's, and an account may have been made by somebody who waits for its owner.
     * Nothing has changed when it throws.
     *
     * @throws {DomainError} `identity_without_email`; `account_exists` when they must sign in to it first; `user_banned`;
     *   `unknown_user` when it is being erased; `wrong_account`; `too_many_attempts` for too many new accounts.
     * @see [Pre-hijacked accounts](https://arxiv.org/abs/2205.10174)
     */
    async signIn(vouched: Vouched, arrival: Arrival = {}): Promise<User> {
      const { client, accepts = anybody, ip } = arrival;
      const email = vouched.email !== undefined && isEmail(vouched.email) ? vouched.email.trim() : undefined;
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const known = await identities.find(vouched);
        if (known) {
          const user = await admitted(known.user, vouched, arrival);
          // Gone by now: whatever took it out of the account has raised the account's epoch before this, or will after it.
          if (!(await identities.used(known.id, columnsOf(vouched)))) continue;
          return user;
        }
        if (email === undefined) {
          await refused(vouched, 'no_email', undefined, client);
          throw new DomainError(
            'identity_without_email',
            'the provider gives no email address, which an account needs',
          );
        }

        const holder = await users.findByLogin(keyOf(email));
        if (!holder) {
          if (!accepts(undefined)) {
            await refused(vouched, 'wrong_account', undefined, client);
            throw new DomainError('wrong_account', 'the app asked for another account');
          }
          if (attempt === 0 && ip !== undefined) await throttles.register.spend(ip, keyOf(email));
          const created = await signUp(vouched, email, attempt);
          if (created) return created;
          continue;
        }
        const there = vouched.emailVerified && vouched.authoritative;
        const here = holder.emailVerified && holder.holderProven && isSameMailbox(holder.email, email);
        const mustSignIn = async (): Promise<never> => {
          await refused(vouched, 'account_exists', holder.id, client);
          throw new DomainError('account_exists', 'there is an account with this address: sign in to it first');
        };
        if (!there || !here || (await identities.wasRemoved(holder.id, vouched))) await mustSignIn();
        const user = await admitted(holder, vouched, arrival);
        const outcome = await linkTo(user, vouched, { emailKey: keyOf(email) });
        if (outcome === 'linked') return user;
        if (outcome === 'removed') await mustSignIn();
      }
      throw new Error('the account changed each time it was looked at');
    },

    /** Puts on record that a provider's answer was not believed, before anybody knew whose it was. */
    refused: (provider: string, reason: string, client: string | undefined): Promise<void> =>
      refused({ provider }, reason, undefined, client),

    /** Puts on record that somebody signed in. */
    signedIn: (user: User, provider: string, client: string | undefined): Promise<void> =>
      audit.record({
        type: 'login.succeeded',
        actor: user.id,
        target: user.id,
        client,
        details: { method: provider },
      }),

    /** First linked first. */
    list: (userId: string): Promise<Identity[]> => identities.list(userId),

    /** What was taken off, and does not come back by itself. */
    removed: (userId: string) => identities.listRemoved(userId),

    /**
     * Lets a provider sign in to the account of somebody who is signed in. Only once the account's address is proven: until then it
     * may be somebody else's, who would find a stranger's way in when they come.
     *
     * @param user As they were read when they showed who they are.
     * @throws {DomainError} `email_not_verified`; `identity_taken` when it signs in to another account; `stale_sign_in` when their
     *   sign-ins were ended since.
     */
    async link(user: User, vouched: Vouched): Promise<Identity> {
      // A provider that is to be believed for the account's own address, added by who signs in to the account: the two are one.
      const proves =
        vouched.emailVerified && vouched.authoritative && isSameMailbox(user.email, vouched.email ?? '')
          ? user.emailKey
          : undefined;
      const outcome = await linkTo(user, vouched, { proves });
      const found = outcome === 'linked' || outcome === 'linked_before' ? await identities.find(vouched) : undefined;
      if (found) return found;
      await audit.record({
        type: 'identity.refused',
        actor: user.id,
        target: user.id,
        details: { provider: vouched.provider, reason: outcome },
      });
      if (outcome === 'identity_taken')
        throw new DomainError('identity_taken', 'this sign-in belongs to another account already');
      if (outcome === 'unproven')
        throw new DomainError('email_not_verified', 'the address of the account must be confirmed first');
      // Linked, and taken off again by now.
      throw endedSignIn();
    },

    /**
     * Takes a sign-in off the account, and ends everything that anybody is signed in by: who had that way in may have used it. It comes
     * back only when it is added anew.
     *
     * @param user As they were read when they showed who they are.
     * @param id A uuid.
     * @returns the user as they are now, as whom the one who asked for it may go on.
     * @throws {DomainError} `unknown_identity` also for somebody else's; `last_way_in`; `stale_sign_in` when their sign-ins were ended.
     */
    unlink: (user: User, id: string): Promise<User> =>
      atomically(async () => {
        const outcome = await identities.unlink(user, id, providers);
        if (outcome === 'over') throw endedSignIn();
        if (outcome === 'last_way_in')
          throw new DomainError('last_way_in', 'nothing would be left to sign in with: set a password first');
        if (!outcome) throw new DomainError('unknown_identity', 'there is no such identity');
        const { provider } = outcome;
        await mail.send(recipientOf(user), { template: 'sign_in_method_removed', provider: labelOf(provider) });
        await audit.record({ type: 'identity.unlinked', actor: user.id, target: user.id, details: { provider } });
        return { ...user, credentialsEpoch: user.credentialsEpoch + 1 };
      }),

    labelOf,
  };
};
