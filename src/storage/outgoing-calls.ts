import type { PrismaClient } from './prisma.ts';
import type { Units } from './units.ts';

/** A call that this process alone may make until its lease runs out. `attempts` counts this one. */
export type ClaimedCall = { id: string; clientId: string; sealed: string; attempts: number };

/** How long a call that was given up stays, for an operator to see. */
const GIVEN_UP_DAYS = 30;

export type OutgoingCalls = ReturnType<typeof createOutgoingCalls>;

/** As outgoing-mails.ts: times are the database's, in milliseconds, and each claim counts an attempt, by which it is known as ours. */
export const createOutgoingCalls = (prisma: PrismaClient, { afterwards }: Pick<Units, 'afterwards'>) => ({
  /** Calls back once what was added can be claimed. */
  added: afterwards,

  async add(id: string, clientId: string, sealed: string, giveUpAfterSeconds: number): Promise<void> {
    await prisma.$executeRaw`INSERT INTO outgoing_calls (id, client_id, sealed, next_attempt_at, give_up_at)
      VALUES (${id}::uuid, ${clientId}, ${sealed}, date_trunc('milliseconds', now()), now() + make_interval(secs => ${giveUpAfterSeconds}::int))`;
  },

  /**
   * Takes the one that has been due for longest, counts the attempt, and is alone with it for `leaseSeconds`.
   *
   * @param busy Clients whose calls stay where they are.
   */
  async claim(leaseSeconds: number, busy: string[]): Promise<ClaimedCall | undefined> {
    const rows = await prisma.$queryRaw<ClaimedCall[]>`UPDATE outgoing_calls
      SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => ${leaseSeconds}::int)
      WHERE id = (
        SELECT id FROM outgoing_calls WHERE next_attempt_at <= now() AND client_id <> ALL(${busy}::text[])
        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
      )
      RETURNING id, client_id AS "clientId", sealed, attempts`;
    return rows[0];
  },

  /** Once it is made, or there is nobody to call any more. */
  async remove({ id, attempts }: ClaimedCall): Promise<void> {
    await prisma.outgoingCall.deleteMany({ where: { id, attempts } });
  },

  /** As if it had not been claimed. */
  async release({ id, attempts }: ClaimedCall): Promise<void> {
    await prisma.$executeRaw`UPDATE outgoing_calls SET attempts = attempts - 1, next_attempt_at = date_trunc('milliseconds', now())
      WHERE id = ${id}::uuid AND attempts = ${attempts}`;
  },

  /**
   * Notes why it failed, and when to try again, as long as it is not too late then.
   *
   * @param retrySeconds Null gives it up now.
   * @returns Whether it is given up.
   */
  async fail({ id, attempts }: ClaimedCall, why: string, retrySeconds: number | null): Promise<boolean> {
    const rows = await prisma.$queryRaw<{ givenUp: boolean }[]>`UPDATE outgoing_calls SET
        last_error = ${why},
        next_attempt_at = CASE WHEN ${retrySeconds}::int IS NOT NULL AND now() + make_interval(secs => ${retrySeconds}::int) < give_up_at
          THEN now() + make_interval(secs => ${retrySeconds}::int) END
      WHERE id = ${id}::uuid AND attempts = ${attempts}
      RETURNING next_attempt_at IS NULL AS "givenUp"`;
    const givenUp = rows[0]?.givenUp ?? false;
    if (givenUp)
      await prisma.$executeRaw`DELETE FROM outgoing_calls WHERE next_attempt_at IS NULL
        AND created_at < now() - make_interval(days => ${GIVEN_UP_DAYS}::int)`;
    return givenUp;
  },
});
