// What users are listed by, in SQL, and what the indexes of the migration user_lists know of it.

/** What a user must be like to be listed; all that are given have to hold. */
export type UserFilter = {
  /** How the email address, the username or the id begins, in the form that look-ups go by. */
  prefix?: string | undefined;
  status?: 'active' | 'banned' | 'pending_deletion' | undefined;
  role?: string | undefined;
  hasPassword?: boolean | undefined;
  /** The provider that they can sign in with. */
  provider?: string | undefined;
  /** False: with no provider at all. */
  hasProvider?: false | undefined;
  emailVerified?: boolean | undefined;
  createdFrom?: Date | undefined;
  /** Not included. */
  createdTo?: Date | undefined;
};

export type UserSortKey = 'created_at' | 'email' | 'username';

/** Adds a value to a statement; its placeholder. */
export type Param = (value: unknown) => string;

/** Something asked of a user. */
export type Condition = {
  sql(param: Param): string;
  /** The same asked of one user at a time, where the planner would else look at everybody's first. */
  probe?(param: Param): string;
  /** The ids of whom it holds for, where another table's index has them in order: counting stops in time. */
  ids?(param: Param): string;
  /** Whether an index counts whom it holds for. */
  indexed: boolean;
  /** The order in which an index gives them. */
  leads?: UserSortKey | undefined;
  /** Whether every index that gives this order knows it as well. */
  isRange?: boolean;
  /** Whether the index has the keys of every order, so that sorting takes no look at the table. */
  covers?: boolean;
};

/** What the orders go by: code points, and no username comes before any. */
export const SORT_KEYS = {
  created_at: 'created_at',
  email: 'email_key COLLATE "C"',
  username: `COALESCE(username_key, '') COLLATE "C"`,
} as const satisfies Record<UserSortKey, string>;

const NOT_BANNED = '(banned_at IS NULL OR banned_until <= now())';
/** What each status means now; see domain/user-status.ts. */
export const STATUS = {
  banned: 'banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > now())',
  pending_deletion: `erase_after IS NOT NULL AND ${NOT_BANNED}`,
  active: `erase_after IS NULL AND ${NOT_BANNED}`,
};

/** Everything but the prefix; all have to hold. */
export const conditionsOf = (filter: UserFilter): Condition[] => {
  const { status, role, hasPassword, provider, hasProvider, emailVerified, createdFrom, createdTo } = filter;
  const found: Condition[] = [];
  const add = (sql: (param: Param) => string): unknown => found.push({ sql, indexed: true, leads: 'created_at' });

  // What most users are needs no index: walking along any order meets enough of them.
  if (status === 'active') found.push({ sql: () => STATUS.active, indexed: false });
  else if (status !== undefined) add(() => STATUS[status]);
  if (role !== undefined) add((param) => `role = ${param(role)}`);
  if (hasPassword !== undefined) add(() => `password_hash IS ${hasPassword ? 'NOT NULL' : 'NULL'}`);
  // Found and counted by an index of its own, which knows no order of users.
  const identity = 'FROM identities i WHERE i.user_id = users.id';
  if (provider !== undefined)
    found.push({
      sql: (param) => `EXISTS (SELECT 1 ${identity} AND i.provider = ${param(provider)})`,
      probe: (param) => `(SELECT true ${identity} AND i.provider = ${param(provider)} LIMIT 1) IS NOT NULL`,
      ids: (param) => `SELECT DISTINCT user_id AS id FROM identities WHERE provider = ${param(provider)}`,
      indexed: true,
    });
  // Among those without a password; what is left over is not worth an index.
  if (hasProvider === false)
    found.push({
      sql: () => `NOT EXISTS (SELECT 1 ${identity})`,
      probe: () => `(SELECT true ${identity} LIMIT 1) IS NULL`,
      indexed: false,
    });
  if (emailVerified !== undefined) add(() => `email_verified = ${emailVerified}`);
  const time = (sql: (param: Param) => string) =>
    found.push({ sql, indexed: true, leads: 'created_at', isRange: true });
  if (createdFrom !== undefined && createdTo !== undefined)
    time((param) => `created_at >= ${param(createdFrom)} AND created_at < ${param(createdTo)}`);
  else if (createdFrom !== undefined) time((param) => `created_at >= ${param(createdFrom)}`);
  else if (createdTo !== undefined) time((param) => `created_at < ${param(createdTo)}`);
  return found;
};

const UUID = 'xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx';
const beginsUuid = (text: string): boolean =>
  text.length <= UUID.length && [...text].every((c, at) => (UUID[at] === '-' ? c === '-' : /[0-9a-f]/.test(c)));
const completed = (text: string, digit: string): string => text + UUID.slice(text.length).replaceAll('x', digit);

/** The ways in which a user can begin with `prefix`; one has to hold. Those that cannot are left out. */
export const beginningsOf = (prefix: string): Condition[] => {
  // ^@ is starts_with: nothing in the prefix means anything but itself.
  const found: Condition[] = [
    { sql: (param) => `${SORT_KEYS.email} ^@ ${param(prefix)}`, indexed: true, leads: 'email', covers: true },
  ];
  // No username has an @.
  if (!prefix.includes('@'))
    found.push({
      sql: (param) => `${SORT_KEYS.username} ^@ ${param(prefix)}`,
      indexed: true,
      leads: 'username',
      covers: true,
    });
  if (beginsUuid(prefix))
    found.push({
      sql: (param) => `id BETWEEN ${param(completed(prefix, '0'))}::uuid AND ${param(completed(prefix, 'f'))}::uuid`,
      indexed: true,
    });
  return found;
};

/** All of these. */
export const allOf = (conditions: Condition[], param: Param): string =>
  conditions.map(({ sql }) => `(${sql(param)})`).join(' AND ') || 'true';

/** One of these, or whatever when there are none. */
export const anyOf = (conditions: Condition[], param: Param): string =>
  conditions.map(({ sql }) => `(${sql(param)})`).join(' OR ') || 'true';
