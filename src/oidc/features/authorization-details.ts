import { errors, type KoaContextWithOIDC } from 'oidc-provider';
import { type Detail, detailsOf } from '../authorization-details.ts';
import type { ResourceRegistry } from '../resource-servers.ts';

const sourceOf = ({ oidc }: KoaContextWithOIDC) =>
  oidc.entities.AuthorizationCode ??
  oidc.entities.RefreshToken ??
  oidc.entities.DeviceCode ??
  oidc.entities.BackchannelAuthenticationRequest;

/** The order of an object's members means nothing. */
const key = (value: unknown): string =>
  JSON.stringify(value, (_, one) =>
    one && typeof one === 'object' && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );

/**
 * Rich authorization requests: an app asks for one payment, not for all payments. People are asked each time.
 *
 * @see [RFC 9396](https://www.rfc-editor.org/rfc/rfc9396.html)
 */
export const authorizationDetails = (registry: ResourceRegistry) => ({
  enabled: true as const,
  types: registry.detailTypes() as never,
  // What the person has just agreed to; of a grant that is drawn on again, what it holds.
  authorizationDetailsForGrantSource: async (ctx: KoaContextWithOIDC, source: { rar?: unknown }) => {
    if (ctx.oidc.route !== 'token') return detailsOf(ctx.oidc.params?.authorization_details) as never;
    return (sourceOf(ctx)?.rar ?? source.rar) as never;
  },
  authorizationDetailsForAccessToken: async (
    ctx: KoaContextWithOIDC,
    token: object,
    source: { rar?: unknown } | undefined,
  ) => {
    // RFC 9396 §6: narrowed to some of what was granted, and never widened.
    const asked = ctx.oidc.params?.authorization_details;
    if (!source) throw new errors.InvalidAuthorizationDetails('a person has to agree to authorization_details');
    const granted = (source.rar ?? []) as Detail[];
    let details = granted;
    if (asked !== undefined) {
      try {
        details = detailsOf(asked);
      } catch {
        throw new errors.InvalidAuthorizationDetails('authorization_details is not JSON');
      }
      const known = new Set(granted.map(key));
      if (!Array.isArray(details) || !details.every((detail) => known.has(key(detail))))
        throw new errors.InvalidAuthorizationDetails('more than was granted');
    }
    // A token tells an API what concerns it.
    const { aud } = token as { aud?: unknown };
    return details.filter(({ type }) => registry.resourceOfType(type) === aud) as never;
  },
  authorizationDetailsForIntrospection: async (_ctx: KoaContextWithOIDC, token: object) =>
    (token as { rar?: unknown }).rar as never,
});
