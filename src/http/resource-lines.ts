import type { ResourceRegistry } from '../oidc/resource-servers.ts';
import type { ResourceLine } from './pages.ts';

/** What is asked for at other APIs, in their owners' words. */
export const resourceLines = (registry: ResourceRegistry, asked: Record<string, string[]>): Promise<ResourceLine[]> =>
  Promise.all(
    Object.entries(asked).map(async ([identifier, scopes]) => {
      const found = await registry.find(identifier);
      const described = (name: string) => found?.scopes.find((scope) => scope.name === name)?.description;
      return {
        name: found?.name ?? identifier,
        host: URL.parse(identifier)?.host || identifier,
        scopes: scopes.map((name) => ({ name, description: described(name) })),
      };
    }),
  );
