import type { Configuration } from 'oidc-provider';
import type { Secrets } from '../../domain/secrets.ts';

/**
 * DPoP (RFC 9449). Nonces are a function of the time under a key that all processes derive alike.
 *
 * @param requireNonce Whether a proof without a nonce of ours is refused (§8); otherwise one is offered, and checked where it comes.
 */
export const dpop = (secrets: Secrets, requireNonce: boolean) =>
  ({
    features: { dPoP: { enabled: true, nonceSecret: secrets.key('dpop-nonces'), requireNonce: () => requireNonce } },
  }) satisfies Pick<Configuration, 'features'>;
