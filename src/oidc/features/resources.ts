import { type Client, type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { DEFAULT_SCOPE, SCOPES } from '../../domain/claims.ts';
import type { RequestParams } from '../engine-internals.ts';
import { TOKEN_EXCHANGE } from '../exchange-policy.ts';
import { FIRST_PARTY_CLIENT_ID, type JwtSettings, ownResourceServer } from '../own-resource.ts';
import { engineResource, type ResourceRegistry } from '../resource-servers.ts';

/** Where scopes are asked for. */
const ASKING: ReadonlySet<string> = new Set([
  'authorization',
  'pushed_authorization_request',
  'device_authorization',
  'backchannel_authentication',
]);

const asks = ({ oidc }: KoaContextWithOIDC): boolean =>
  ASKING.has(oidc.route) || (oidc.route === 'token' && oidc.params?.grant_type === 'client_credentials');

/** RFC 6749 §3.3: a request without scope is read as one for the default scope, within what the client may have. */
const assumeScope = (ctx: KoaContextWithOIDC, scope: string): void => {
  if (ctx.oidc.params && !ctx.oidc.params.scope && scope !== '' && asks(ctx)) ctx.oidc.params.scope = scope;
};

/**
 * RFC 6749 §5.2: where nothing of what is asked for can be had, the app is told, and not the person at the end of a sign-in. Beside scopes
 * that there are, others are passed over (OIDC Core §3.1.2.1).
 */
const refuseStrayScope = (ctx: KoaContextWithOIDC): void => {
  const { scope } = ctx.oidc.params ?? {};
  if (typeof scope !== 'string' || !asks(ctx) || scope.split(' ').some((one) => Object.hasOwn(SCOPES, one))) return;
  throw new errors.InvalidScope(
    'there is no such scope here; those of a resource server need its resource parameter',
    scope,
  );
};

const asked = ({ oidc }: KoaContextWithOIDC): string[] => String(oidc.params?.scope ?? '').split(' ');

/** Nobody agrees to what a service does for itself: one that is registered for scopes of resource servers has those alone. */
const mayHave = ({ oidc }: KoaContextWithOIDC, { resource_scopes: registered }: Client, scope: string): boolean =>
  oidc.params?.grant_type !== 'client_credentials' || !Array.isArray(registered) || registered.includes(scope);

/** Who is nobody's app: what they get without a resource is not for our API. */
const NOBODYS: ReadonlySet<unknown> = new Set(['client_credentials', TOKEN_EXCHANGE]);
const namedOurs = new WeakSet<object>();
const hrefOf = (uri: unknown): string | undefined => URL.parse(String(uri))?.href;

/**
 * The resources of a request: each in one spelling, so that another one at the token endpoint is the same; without our own API, which is what a
 * token is for that names no resource. Who names it, since its metadata (RFC 9728) say how it is called, means that token.
 */
export const requestedResources =
  (issuer: string) =>
  (resource: unknown, params: RequestParams): unknown => {
    if (resource === undefined || NOBODYS.has(params.grant_type)) return resource;
    const named = [resource].flat().map((one) => hrefOf(one) ?? one);
    const others = named.filter((one) => one !== hrefOf(issuer));
    if (others.length < named.length) namedOurs.add(params);
    return others.length > 1 ? others : others[0];
  };

/**
 * Tokens are for one resource, which the client names.
 *
 * @see [RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707.html#section-2)
 */
export const resourceIndicators = (
  settings: JwtSettings,
  registry: ResourceRegistry,
): NonNullable<NonNullable<Configuration['features']>['resourceIndicators']> => {
  const ownResource = ownResourceServer(settings);
  return {
    enabled: true,
    // Asked where no resource is named; what it answers is the resource, and there is no default one.
    defaultResource: async (ctx, client: Client, oneOf) => {
      if (oneOf) return oneOf;
      refuseStrayScope(ctx);
      // Offline access is asked for by name, with a prompt (OIDC Core §11).
      if (ctx.oidc.route !== 'token')
        assumeScope(ctx, (client.scope ?? DEFAULT_SCOPE).replace(/\boffline_access\b/, '').trim());
      return undefined as unknown as string;
    },
    getResourceServerInfo: async (ctx, identifier, client) => {
      if (identifier === settings.issuer && client.clientId === FIRST_PARTY_CLIENT_ID) return ownResource;
      const found = await registry.find(identifier);
      if (!found) throw new errors.InvalidTarget('unknown resource');
      assumeScope(ctx, found.defaultScopes.filter((name) => mayHave(ctx, client, name)).join(' '));
      const stray = found.scopes.find(({ name }) => asked(ctx).includes(name) && !mayHave(ctx, client, name));
      if (stray) throw new errors.InvalidScope('the client is not registered for this scope', stray.name);
      return engineResource(found);
    },
    // A code that was asked for with a resource is for that resource, unless it is a sign-in as well: its token is for userinfo then.
    useGrantedResource: async (ctx, model) => {
      if ('scopes' in model && model.scopes.has('openid')) return false;
      const { resource } = model as { resource?: unknown };
      // Asked for a token for our own API, with what was granted for others alone (RFC 8707 §2.2).
      if (
        namedOurs.has(Object(ctx.oidc.params)) &&
        [resource].flat().some((one) => hrefOf(one) !== hrefOf(settings.issuer))
      )
        throw new errors.InvalidTarget('this was not granted for our own API');
      return true;
    },
  };
};
