import type { PrismaClient } from './prisma.ts';

/** A mail that waits, or in development one that was kept. What is in it, only its writer can open. */
export type OutgoingMail = { id: string; sealed: string; attempts: number; createdAt: Date };

export type OutgoingMails = ReturnType<typeof createOutgoingMails>;

export const createOutgoingMails = (prisma: PrismaClient) => ({
  /** @param nextAttemptAt Null for a mail that is kept and not sent. */
  async add(id: string, sealed: string, nextAttemptAt: Date | null): Promise<void> {
    await prisma.outgoingMail.create({ data: { id, sealed, nextAttemptAt } });
  },

  /** Newest first. */
  kept: (limit: number): Promise<OutgoingMail[]> =>
    prisma.outgoingMail.findMany({
      where: { nextAttemptAt: null },
      orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
      take: limit,
    }),
});
