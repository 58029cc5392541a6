import type { PrismaClient } from './prisma.ts';

/** How long a change of a role may take to be seen. */
const FRESH_MS = 1_000;
/** From then on they are read again beside the request that asks, so that under load nobody waits for it. */
const AGEING_MS = 500;

const NONE: readonly string[] = [];

export type Roles = ReturnType<typeof createRoles>;

/** Roles and what they permit. A handful of rows that every request is held against: kept in memory for a second. */
export const createRoles = (prisma: PrismaClient) => {
  let kept: { permissions: Map<string, string[]>; at: number } | undefined;
  let reading: Promise<Map<string, string[]>> | undefined;

  const read = async (): Promise<Map<string, string[]>> => {
    const at = Date.now();
    try {
      const permissions = new Map((await prisma.role.findMany()).map((role) => [role.name, role.permissions]));
      kept = { permissions, at };
      return permissions;
    } finally {
      reading = undefined;
    }
  };

  const all = (): Map<string, string[]> | Promise<Map<string, string[]>> => {
    const age = Date.now() - (kept?.at ?? 0);
    if (kept && age <= FRESH_MS) {
      // Should this fail, whoever asks after the second is over hears of it.
      if (age > AGEING_MS && !reading) {
        reading = read();
        reading.catch(() => {});
      }
      return kept.permissions;
    }
    reading ??= read();
    return reading;
  };

  return {
    /** The scopes that a role permits; none for a role that there is not. At once, while they are in memory. */
    permissionsOf(role: string): readonly string[] | Promise<readonly string[]> {
      const permissions = all();
      if (permissions instanceof Map) return permissions.get(role) ?? NONE;
      return permissions.then((read) => read.get(role) ?? NONE);
    },

    names: async (): Promise<string[]> => [...(await all()).keys()],
  };
};
