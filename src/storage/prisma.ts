import { PrismaPg } from '@prisma/adapter-pg';
import type { Pool } from 'pg';
import { PrismaClient } from './generated/client.ts';

export type { PrismaClient };

/** A transaction under way. */
export type Tx = Parameters<Parameters<PrismaClient['$transaction']>[0]>[0];

/**
 * How long a transaction may wait for a connection, and take, in milliseconds. Those that lock the same row wait for each other,
 * and in an embedded database all do.
 */
const WAITING = { maxWait: 5_000, timeout: 10_000 };

/** Prisma over the pool that everything else uses: one set of connections, one set of timeouts. */
export const openPrisma = (pool: Pool): PrismaClient =>
  new PrismaClient({ adapter: new PrismaPg(pool), transactionOptions: WAITING });

/**
 * Whether PostgreSQL could hold this text at all: it refuses NUL. Prisma sends look-ups of one moment as one query, so that one
 * with a NUL would fail everybody else's along with it.
 */
export const isStorable = (text: string): boolean => !text.includes('\0');

/** The column group a unique constraint was violated on (P2002), or undefined for any other error. */
export const violatedUnique = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'P2002') return undefined;
  // With a driver adapter the constraint is named in the cause, not in meta.target.
  return JSON.stringify('meta' in error ? error.meta : '');
};

/** Whether a raw statement violated a unique constraint (P2010 with PostgreSQL's 23505). */
export const isUniqueViolation = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'P2002' ||
    (error.code === 'P2010' &&
      /23505|UniqueConstraintViolation/.test(error.message + JSON.stringify('meta' in error ? error.meta : ''))));

/** Whether PostgreSQL ended the transaction because two waited for each other (P2034, or 40P01 in a raw statement). */
export const isDeadlock = (error: unknown): boolean =>
  error instanceof Error &&
  'code' in error &&
  (error.code === 'P2034' ||
    (error.code === 'P2010' && /40P01/.test(error.message + JSON.stringify('meta' in error ? error.meta : ''))));

/** Whether a row names another that is not there (P2003). */
export const violatedForeignKey = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'P2003';
