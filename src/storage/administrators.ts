import { Prisma } from './generated/client.ts';
import type { Tx } from './prisma.ts';
import { STATUS } from './user-filter.ts';

/** The role that administers, of which somebody must be left. */
export const ADMIN = 'admin';

/**
 * Lets changes that may take an administrator away go one after the other, so that of the last two each sees whether the other still is
 * one. To be called before any user is locked. Not FOR UPDATE: that would stand in the way of whoever gives somebody the role.
 */
export const lockAdmins = (tx: Tx) => tx.$queryRaw`SELECT 1 FROM roles WHERE name = ${ADMIN} FOR NO KEY UPDATE`;

/** Whether there is an administrator, as this transaction has made it, who is neither banned nor about to be erased. */
export const anyAdmin = async (tx: Tx): Promise<boolean> =>
  (await tx.$queryRaw<unknown[]>`SELECT 1 FROM users WHERE role = ${ADMIN} AND ${Prisma.raw(STATUS.active)} LIMIT 1`)
    .length > 0;
