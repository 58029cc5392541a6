import { createHash, randomUUID } from 'node:crypto';
import type { Stores } from '../storage/stores.ts';
import type { ImportedRow } from '../storage/user-imports.ts';
import { hasUsernameForm, isEmail, keyOf, type ProfileChanges, USERNAME_RULE } from './accounts.ts';
import type { Audit } from './audit.ts';
import { type ExportedHash, type ForeignHashes, HashError } from './password-hashes/foreign.ts';
import { toldOf } from './user-changes.ts';

/** Users written by one statement. */
const BATCH = 500;
/** Errors that are told one by one; the rest are counted. */
const MAX_ERRORS = 1000;

/** A user as another system exports them; the claims by OIDC's names. */
export type ExportedUser = Omit<ProfileChanges, 'username'> & {
  email: string;
  username?: string | undefined;
  email_verified?: boolean | undefined;
  role?: string | undefined;
  password_hash?: ExportedHash | undefined;
  phone_number_verified?: boolean | undefined;
  created_at?: string | undefined;
};

export type ImportFault = { code: string; message: string; path: string };
/** One line of the file, read; or what is wrong with it. */
export type ImportLine = { line: number } & ({ user: ExportedUser } | { faults: ImportFault[] });

export type ImportSummary = {
  dry_run: boolean;
  created: number;
  /** Whose email address was there already; they are left as they are. */
  skipped: number;
  failed: number;
  errors: ({ line: number } & ImportFault)[];
  errors_truncated: boolean;
};

const creationOf = ({ id, email, email_verified, username, role }: ImportedRow) => ({
  type: 'user.created' as const,
  target: id,
  details: {
    imported: true,
    before: null,
    after: toldOf({ email, emailVerified: email_verified, username: username ?? null, role }),
  },
});

export type UserImport = ReturnType<typeof createUserImport>;

/** Takes over users with the passwords they have, from whatever system they come. */
export const createUserImport = (
  { userImports: imports, roles, atomically }: Pick<Stores, 'userImports' | 'roles' | 'atomically'>,
  hashes: ForeignHashes,
  audit: Audit,
) => {
  /** The row, or everything that is wrong. */
  const rowOf = (user: ExportedUser, mayGive: ReadonlySet<string>): ImportedRow | ImportFault[] => {
    const { email, username, role = 'user', password_hash, email_verified, phone_number_verified, ...rest } = user;
    const faults: ImportFault[] = [];
    if (!isEmail(email))
      faults.push({ code: 'invalid_email', message: 'the email address is not valid', path: 'email' });
    if (username !== undefined && !hasUsernameForm(username))
      faults.push({ code: 'invalid_username', message: USERNAME_RULE, path: 'username' });
    if (!mayGive.has(role))
      faults.push({ code: 'invalid_role', message: 'is no role that you may give', path: 'role' });
    let hash: string | undefined;
    try {
      hash = password_hash === undefined ? undefined : hashes.accept(password_hash);
    } catch (error) {
      if (!(error instanceof HashError)) throw error;
      faults.push({ code: error.code, message: error.message, path: 'password_hash' });
    }
    if (faults.length > 0) return faults;
    return {
      ...rest,
      id: randomUUID(),
      email: email.trim(),
      email_key: keyOf(email),
      email_verified: email_verified ?? false,
      username,
      username_key: username === undefined ? undefined : keyOf(username),
      password_hash: hash,
      role,
      phone_number_verified: (phone_number_verified ?? false) && rest.phone_number != null,
    };
  };

  /** Nobody makes somebody who may do more than they may themselves. */
  const rolesWithin = async (own: string): Promise<ReadonlySet<string>> => {
    const permitted = await roles.permissionsOf(own);
    const all = await Promise.all(
      (await roles.names()).map(async (name) => [name, await roles.permissionsOf(name)] as const),
    );
    return new Set(all.flatMap(([name, needed]) => (needed.every((scope) => permitted.includes(scope)) ? [name] : [])));
  };

  return {
    /**
     * Imports line by line as they come, in batches that are written whole or not at all. What is wrong with one line stops
     * no other. An email address that is there already is skipped, so that the same file can be sent again.
     *
     * @param lines Read only as fast as they are written. When they end in an error, the batches before it stay.
     * @param options.role The caller's.
     */
    async run(
      lines: AsyncIterable<ImportLine>,
      { dryRun, role }: { dryRun: boolean; role: string },
    ): Promise<ImportSummary> {
      const mayGive = await rolesWithin(role);
      const counts = { created: 0, skipped: 0, failed: 0 };
      const errors: ImportSummary['errors'] = [];
      let truncated = false;
      const fail = (line: number, faults: ImportFault[]) => {
        counts.failed += 1;
        const room = MAX_ERRORS - errors.length;
        errors.push(...faults.slice(0, room).map((fault) => ({ line, ...fault })));
        truncated ||= faults.length > room;
      };
      const [emails, usernames] = [createSeen(), createSeen()];
      let batch: { line: number; row: ImportedRow }[] = [];

      const flush = async () => {
        const given = batch;
        batch = [];
        const taken = await imports.taken(
          given.map(({ row }) => row.email_key),
          given.flatMap(({ row }) => row.username_key ?? []),
        );
        const usernameTaken = (line: number) =>
          fail(line, [{ code: 'username_taken', message: 'another user has this username', path: 'username' }]);
        const fresh = given.filter(({ line, row }) => {
          if (taken.emails.has(row.email_key)) counts.skipped += 1;
          else if (
            row.username_key !== undefined &&
            (taken.usernames.has(row.username_key) || !usernames.add(row.username_key))
          )
            usernameTaken(line);
          else return true;
          return false;
        });
        if (dryRun) counts.created += fresh.length;
        if (dryRun || fresh.length === 0) return;
        const inserted = await atomically(async () => {
          const keys = await imports.insert(fresh.map(({ row }) => row));
          // One by one, as if each had been made by hand: whoever asks for one of them in the log finds how they came.
          for (const { row } of fresh) if (keys.has(row.email_key)) await audit.record(creationOf(row));
          return keys;
        });
        counts.created += inserted.size;
        const beaten = fresh.filter(({ row }) => !inserted.has(row.email_key));
        if (beaten.length === 0) return;
        // Somebody registered in between: by this address, or with this username.
        const now = await imports.taken(
          beaten.map(({ row }) => row.email_key),
          [],
        );
        for (const { line, row } of beaten) {
          if (now.emails.has(row.email_key)) counts.skipped += 1;
          else usernameTaken(line);
        }
      };

      let complete = false;
      try {
        for await (const item of lines) {
          const row = 'faults' in item ? item.faults : rowOf(item.user, mayGive);
          if (Array.isArray(row)) fail(item.line, row);
          else if (!emails.add(row.email_key))
            fail(item.line, [{ code: 'duplicate_email', message: 'an earlier line has this address', path: 'email' }]);
          else batch.push({ line: item.line, row });
          if (batch.length >= BATCH) await flush();
        }
        if (batch.length > 0) await flush();
        complete = true;
      } finally {
        if (counts.created > 0 && !dryRun) await imports.analyse();
        if (!dryRun) await audit.record({ type: 'user.imported', details: { ...counts, complete } });
      }
      errors.sort((one, other) => one.line - other.line);
      return { dry_run: dryRun, ...counts, errors, errors_truncated: truncated };
    },
  };
};

/**
 * The keys that came by: 64 bits of a hash for each, in a table that doubles. A million take 16 MB, where the texts
 * themselves would take ten times as much.
 */
const createSeen = () => {
  let slots = new BigUint64Array(1024);
  let used = 0;
  const put = (value: bigint): boolean => {
    let at = Number(value & BigInt(slots.length - 1));
    while (slots[at] !== 0n) {
      if (slots[at] === value) return false;
      at = (at + 1) % slots.length;
    }
    slots[at] = value;
    return true;
  };

  return {
    /** False when it was there. */
    add(key: string): boolean {
      if (used * 2 >= slots.length) {
        const former = slots;
        slots = new BigUint64Array(former.length * 2);
        for (const value of former) if (value !== 0n) put(value);
      }
      const hash = createHash('sha256').update(key).digest().readBigUInt64LE();
      const added = put(hash === 0n ? 1n : hash);
      if (added) used += 1;
      return added;
    },
  };
};
