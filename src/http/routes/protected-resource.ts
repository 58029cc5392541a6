import { Router } from '@koa/router';
import { DPOP_ALGORITHMS } from '../../oidc/dpop-proofs.ts';
import { FIRST_PARTY_SCOPE, PROTECTED_RESOURCE_METADATA } from '../../oidc/own-resource.ts';

/**
 * What our own API says of itself, so that whoever is refused by it finds out where tokens come from.
 *
 * @param certificates Whether clients can show certificates here at all.
 * @see [RFC 9728 §2](https://www.rfc-editor.org/rfc/rfc9728.html#section-2)
 */
export const protectedResourceRoutes = (issuer: string, certificates: boolean) => {
  const metadata = {
    resource: issuer,
    authorization_servers: [issuer],
    resource_name: 'User Auth',
    resource_documentation: `${issuer}/docs`,
    // What an app can be granted; the rest is for the platform's own apps and API keys, which ask nobody.
    scopes_supported: FIRST_PARTY_SCOPE.split(' '),
    bearer_methods_supported: ['header'],
    dpop_signing_alg_values_supported: DPOP_ALGORITHMS,
    dpop_bound_access_tokens_required: false,
    tls_client_certificate_bound_access_tokens: certificates,
  };
  return new Router().get(PROTECTED_RESOURCE_METADATA, (ctx) => {
    ctx.set('Cache-Control', 'public, max-age=3600');
    ctx.body = metadata;
  });
};
