import type { Pool } from 'pg';
import type { PrismaClient } from './prisma.ts';
import type { User } from './users.ts';

/** A user as imported, by column. What is absent has the column's default. */
export type ImportedRow = Pick<User, 'id' | 'email' | 'role'> & {
  email_key: string;
  email_verified: boolean;
  username?: string | undefined;
  username_key?: string | undefined;
  password_hash?: string | undefined;
  name?: string | null | undefined;
  given_name?: string | null | undefined;
  family_name?: string | null | undefined;
  middle_name?: string | null | undefined;
  nickname?: string | null | undefined;
  profile?: string | null | undefined;
  picture?: string | null | undefined;
  website?: string | null | undefined;
  gender?: string | null | undefined;
  birthdate?: string | null | undefined;
  zoneinfo?: string | null | undefined;
  locale?: string | null | undefined;
  phone_number?: string | null | undefined;
  phone_number_verified: boolean;
  address?: Record<string, string | undefined> | null | undefined;
  /** ISO 8601; now when absent. */
  created_at?: string | undefined;
};

const COLUMNS = {
  id: 'uuid',
  email: 'text',
  email_key: 'text',
  email_verified: 'boolean',
  username: 'text',
  username_key: 'text',
  password_hash: 'text',
  role: 'text',
  name: 'text',
  given_name: 'text',
  family_name: 'text',
  middle_name: 'text',
  nickname: 'text',
  profile: 'text',
  picture: 'text',
  website: 'text',
  gender: 'text',
  birthdate: 'text',
  zoneinfo: 'text',
  locale: 'text',
  phone_number: 'text',
  phone_number_verified: 'boolean',
  address: 'jsonb',
} as const;

const names = Object.keys(COLUMNS).join(', ');
const typed = Object.entries(COLUMNS).map(([name, type]) => `${name} ${type}`);
const INSERT = `
  INSERT INTO users (${names}, holder_proven, created_at)
  SELECT ${names}, email_verified, coalesce(created_at, now())
  FROM jsonb_to_recordset($1::jsonb) AS new (${typed.join(', ')}, created_at timestamptz)
  ON CONFLICT DO NOTHING RETURNING email_key`;

export type UserImports = ReturnType<typeof createUserImports>;

/** Many users at once, for imports. */
export const createUserImports = (pool: Pool, prisma: PrismaClient) => ({
  /** Which of these somebody has already. */
  async taken(emailKeys: string[], usernameKeys: string[]): Promise<{ emails: Set<string>; usernames: Set<string> }> {
    const { rows } = await pool.query<{ email_key: string | null; username_key: string | null }>(
      `SELECT email_key, NULL AS username_key FROM users WHERE email_key = ANY ($1::text[])
       UNION ALL SELECT NULL, username_key FROM users WHERE username_key = ANY ($2::text[])`,
      [emailKeys, usernameKeys],
    );
    return {
      emails: new Set(rows.flatMap((row) => row.email_key ?? [])),
      usernames: new Set(rows.flatMap((row) => row.username_key ?? [])),
    };
  },

  /**
   * Inserts all of them in one statement, leaving out those whose address or username is taken.
   *
   * @returns the email keys of those that were inserted.
   */
  async insert(rows: ImportedRow[]): Promise<Set<string>> {
    const inserted = await prisma.$queryRawUnsafe<{ email_key: string }[]>(INSERT, JSON.stringify(rows));
    return new Set(inserted.map((row) => row.email_key));
  },

  /** Has PostgreSQL look at the table anew: what was planned while it was small may read all of it. As best can be. */
  async analyse(): Promise<void> {
    await pool.query('ANALYZE users').catch(() => {});
  },
});
