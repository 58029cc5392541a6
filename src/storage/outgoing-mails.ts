import type { PrismaClient } from './prisma.ts';
import type { Units } from './units.ts';

/** A mail that waits, or in development one that was kept. What is in it, only its writer can open. */
export type OutgoingMail = { id: string; sealed: string; attempts: number; createdAt: Date };

type Claimed = Pick<OutgoingMail, 'id' | 'sealed' | 'attempts'>;

/** How long a mail that was given up stays, for an operator to see. */
const GIVEN_UP_DAYS = 30;

export type OutgoingMails = ReturnType<typeof createOutgoingMails>;

/**
 * Times are the database's: processes may disagree about them. They are stored in milliseconds; what is due now is cut to them,
 * for rounded up it would be due a moment later, and be missed.
 */
export const createOutgoingMails = (prisma: PrismaClient, { afterwards }: Pick<Units, 'afterwards'>) => ({
  /** Calls back once what was added can be claimed. */
  added: afterwards,

  /** @param due Whether it is to be sent; otherwise it is kept. */
  async add(id: string, sealed: string, due: boolean): Promise<void> {
    await prisma.$executeRaw`INSERT INTO outgoing_mails (id, sealed, next_attempt_at)
      VALUES (${id}::uuid, ${sealed}, CASE WHEN ${due} THEN date_trunc('milliseconds', now()) END)`;
  },

  /** Takes the one that has been due for longest, counts the attempt, and is alone with it for `leaseSeconds`. */
  async claim(leaseSeconds: number): Promise<Claimed | undefined> {
    const rows = await prisma.$queryRaw<Claimed[]>`UPDATE outgoing_mails
      SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => ${leaseSeconds}::int)
      WHERE id = (
        SELECT id FROM outgoing_mails WHERE next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
      )
      RETURNING id, sealed, attempts`;
    return rows[0];
  },

  // Each claim counts an attempt, so that the number of attempts tells whether the claim is still ours.

  /** Once it is delivered. */
  async remove({ id, attempts }: Claimed): Promise<void> {
    await prisma.outgoingMail.deleteMany({ where: { id, attempts } });
  },

  /** As if it had not been claimed. */
  async release({ id, attempts }: Claimed): Promise<void> {
    await prisma.$executeRaw`UPDATE outgoing_mails SET attempts = attempts - 1, next_attempt_at = date_trunc('milliseconds', now())
      WHERE id = ${id}::uuid AND attempts = ${attempts}`;
  },

  /** Lets it lie for people to read. */
  async keep({ id, attempts }: Claimed): Promise<void> {
    await prisma.outgoingMail.updateMany({ where: { id, attempts }, data: { nextAttemptAt: null, lastError: null } });
  },

  /**
   * Notes why it failed, and when to try again: never later than `giveUpAfterSeconds` after it was handed in.
   *
   * @param retrySeconds Null gives it up now.
   * @returns Whether it is given up.
   */
  async fail(
    { id, attempts }: Claimed,
    why: string,
    retrySeconds: number | null,
    giveUpAfterSeconds: number,
  ): Promise<boolean> {
    const rows = await prisma.$queryRaw<{ givenUp: boolean }[]>`UPDATE outgoing_mails SET
        last_error = ${why},
        next_attempt_at = CASE WHEN ${retrySeconds}::int IS NOT NULL AND created_at + make_interval(secs => ${giveUpAfterSeconds}::int) > now()
          THEN LEAST(now() + make_interval(secs => ${retrySeconds}::int), created_at + make_interval(secs => ${giveUpAfterSeconds}::int))
        END
      WHERE id = ${id}::uuid AND attempts = ${attempts}
      RETURNING next_attempt_at IS NULL AS "givenUp"`;
    const givenUp = rows[0]?.givenUp ?? false;
    if (givenUp)
      await prisma.$executeRaw`DELETE FROM outgoing_mails WHERE next_attempt_at IS NULL AND last_error IS NOT NULL
        AND created_at < now() - make_interval(days => ${GIVEN_UP_DAYS}::int)`;
    return givenUp;
  },

  /** Those that are neither waiting nor given up, newest first. */
  kept: (limit: number): Promise<OutgoingMail[]> =>
    prisma.outgoingMail.findMany({
      where: { nextAttemptAt: null, lastError: null },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: limit,
    }),

  /** Deletes what is kept beyond the newest `limit`. */
  async prune(limit: number): Promise<void> {
    await prisma.$executeRaw`DELETE FROM outgoing_mails WHERE id IN (
      SELECT id FROM outgoing_mails WHERE next_attempt_at IS NULL AND last_error IS NULL
      ORDER BY created_at DESC, id DESC OFFSET ${limit}::int
    )`;
  },
});
