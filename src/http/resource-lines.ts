import type { Detail } from '../oidc/authorization-details.ts';
import type { ResourceRegistry } from '../oidc/resource-servers.ts';
import type { DetailLine, ResourceLine } from './pages.ts';

const hostOf = (identifier: string): string => URL.parse(identifier)?.host || identifier;

/** What is asked for at other APIs, in their owners' words. */
export const resourceLines = (registry: ResourceRegistry, asked: Record<string, string[]>): Promise<ResourceLine[]> =>
  Promise.all(
    Object.entries(asked).map(async ([identifier, scopes]) => {
      const found = await registry.find(identifier);
      const described = (name: string) => found?.scopes.find((scope) => scope.name === name)?.description;
      return {
        name: found?.name ?? identifier,
        host: hostOf(identifier),
        scopes: scopes.map((name) => ({ name, description: described(name) })),
      };
    }),
  );

/** What is asked for there in detail. */
export const detailLines = (registry: ResourceRegistry, details: Detail[]): DetailLine[] =>
  registry.inWords(details).map((detail) => ({ ...detail, host: hostOf(detail.identifier) }));
