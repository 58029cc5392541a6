import { SCOPES } from '../domain/claims.ts';

/** The scopes that are not this service's own: of resource servers, or of nobody. */
export const foreignScopes = (scope: unknown): string[] =>
  typeof scope === 'string' ? scope.split(' ').filter((one) => one !== '' && !Object.hasOwn(SCOPES, one)) : [];

/**
 * What the engine takes for a client's scopes: this service's own, to which it holds the client. Those of resource servers are granted with
 * the resource. That a client names them beforehand (RFC 7591 §2) holds it to them where it acts for itself; a person is asked for what is new.
 */
export const engineScope = (scope: unknown, firstParty = false): unknown => {
  if (typeof scope !== 'string' || foreignScopes(scope).length === 0) return scope;
  return (
    scope
      .split(' ')
      .filter((one) => Object.hasOwn(SCOPES, one))
      // Nothing would hold it to nothing, and nobody is asked what the platform's own app may have.
      .join(' ') || (firstParty ? 'openid' : undefined)
  );
};
