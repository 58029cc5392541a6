import { SCOPES } from '../domain/claims.ts';
import type { ScopesByResource } from './earlier-consent.ts';
import type { ResourceRegistry } from './resource-servers.ts';

/** What is asked for, by whose it is. */
export type AskedScopes = {
  /** Of the person's account. */
  scopes: string[];
  /** At other APIs. */
  resources: ScopesByResource;
};

/** The scopes of a request, which names them all together; those that nobody named here has are not granted. */
export const askedScopes = async (
  registry: Pick<ResourceRegistry, 'find'>,
  scope: unknown,
  resource: unknown,
): Promise<AskedScopes> => {
  const asked = String(scope ?? '').split(' ');
  const identifiers = [resource ?? []].flat().map(String);
  const found = await Promise.all(identifiers.map((identifier) => registry.find(identifier)));
  const resources: ScopesByResource = Object.fromEntries(
    identifiers.map((identifier, index) => [
      identifier,
      (found[index]?.scopes ?? []).map(({ name }) => name).filter((name) => asked.includes(name)),
    ]),
  );
  return { scopes: asked.filter((name) => Object.hasOwn(SCOPES, name)), resources };
};
