import type { PrismaClient } from './prisma.ts';

export type PairwiseSubjects = ReturnType<typeof createPairwiseSubjects>;

/** Whom subjects mean that are of one sector alone; they are functions of an account, and no way back leads from them. */
export const createPairwiseSubjects = (prisma: PrismaClient) => ({
  async note(subjectHash: string, userId: string): Promise<void> {
    await prisma.$executeRaw`
      INSERT INTO pairwise_subjects (subject_hash, user_id)
      SELECT ${subjectHash}, id FROM users WHERE id = ${userId}::uuid ON CONFLICT DO NOTHING`;
  },

  async find(subjectHash: string): Promise<string | undefined> {
    return (await prisma.pairwiseSubject.findUnique({ where: { subjectHash } }))?.userId;
  },
});
