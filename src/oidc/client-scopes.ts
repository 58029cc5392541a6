import { SCOPES } from '../domain/claims.ts';

/** The scopes that are not this service's own: of resource servers, or of nobody. */
export const foreignScopes = (scope: unknown): string[] =>
  typeof scope === 'string' ? scope.split(' ').filter((one) => one !== '' && !Object.hasOwn(SCOPES, one)) : [];

/**
 * What the engine takes for a client's scopes: this service's own, to which it holds the client. Those of resource servers it grants with
 * the resource; that a client names them beforehand (RFC 7591 §2) is told and holds it to nothing, since what it needs may grow.
 */
export const engineScope = (scope: unknown): unknown => {
  if (typeof scope !== 'string' || foreignScopes(scope).length === 0) return scope;
  return (
    scope
      .split(' ')
      .filter((one) => Object.hasOwn(SCOPES, one))
      .join(' ') || undefined
  );
};
