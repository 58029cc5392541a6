import type { PrismaClient } from './prisma.ts';

/** How long a change of a role may take to be seen. */
const FRESH_MS = 1_000;

export type Roles = ReturnType<typeof createRoles>;

/** Roles and what they permit. A handful of rows that every request is held against: kept in memory for a second. */
export const createRoles = (prisma: PrismaClient) => {
  let kept: { permissions: Promise<Map<string, string[]>>; at: number } | undefined;

  const all = (): Promise<Map<string, string[]>> => {
    if (!kept || Date.now() - kept.at > FRESH_MS) {
      const permissions = prisma.role
        .findMany()
        .then((rows) => new Map(rows.map(({ name, permissions }) => [name, permissions])));
      // A failure is not kept.
      permissions.catch(() => {
        kept = undefined;
      });
      kept = { permissions, at: Date.now() };
    }
    return kept.permissions;
  };

  return {
    /** The scopes that a role permits; none for a role that there is not. */
    async permissionsOf(role: string): Promise<readonly string[]> {
      return (await all()).get(role) ?? [];
    },

    names: async (): Promise<string[]> => [...(await all()).keys()],
  };
};
