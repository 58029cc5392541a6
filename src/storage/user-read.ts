import type { Pool } from 'pg';
import { Prisma, type User } from './generated/client.ts';
import type { KeptStatement } from './postgres-pool.ts';
import type { PrismaClient } from './prisma.ts';
import type { Units } from './units.ts';

/** What names one user. */
export type UserKey = 'id' | 'emailKey' | 'usernameKey';

const columnOf = (field: string): string => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const COLUMNS = Object.keys(Prisma.UserScalarFieldEnum)
  .map((field) => `${columnOf(field)} AS "${field}"`)
  .join(', ');

const statementFor = (key: UserKey) => ({
  keptAs: `user-by-${key}`,
  text: `SELECT ${COLUMNS} FROM users WHERE ${columnOf(key)} = $1`,
});

const STATEMENTS = {
  id: statementFor('id'),
  emailKey: statementFor('emailKey'),
  usernameKey: statementFor('usernameKey'),
};

export type UserRead = (key: UserKey, value: string) => Promise<User | undefined>;

/**
 * Reads one user. Every sign-in waits for this, and Prisma takes three times as long over a row: it is asked only inside a unit of work,
 * which sees what it has written itself.
 */
export const createUserRead =
  (prisma: PrismaClient, pool: Pool, current: Units['current']): UserRead =>
  async (key, value) => {
    if (current()) return (await prisma.user.findFirst({ where: { [key]: value } })) ?? undefined;
    const statement: KeptStatement = { ...STATEMENTS[key], values: [value] };
    return (await pool.query<User>(statement)).rows[0];
  };
