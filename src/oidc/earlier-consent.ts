import type { Consents } from '../storage/consents.ts';

/** Scopes by the resource that they are of. */
export type ScopesByResource = Record<string, string[]>;

/** What is allowed now, and what was before at the same resources, in whichever browser. */
export const withEarlierConsent = async (
  consents: Consents,
  userId: string,
  clientId: string,
  resources: ScopesByResource,
): Promise<ScopesByResource> => {
  const earlier = ((await consents.find(userId, clientId))?.resources ?? {}) as ScopesByResource;
  return Object.fromEntries(
    Object.entries(resources).map(([resource, scopes]) => [
      resource,
      [...new Set([...(earlier[resource] ?? []), ...scopes])],
    ]),
  );
};
