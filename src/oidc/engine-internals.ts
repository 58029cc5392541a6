// The one file that reaches into oidc-provider: each override is named with the behaviour it relies on, and
// test/oidc/engine-internals.test.ts pins that behaviour.
import type { Provider } from 'oidc-provider';
import type { Secrets } from '../domain/secrets.ts';

/** What `compareClientSecret` is called on: the engine's client, whose clientSecret is the stored hash. */
type ClientWithSecret = { clientId: string; clientSecret?: string };

/** The hash a client secret is stored as. */
export const clientSecretHash = (secrets: Secrets, clientId: string, secret: string): string =>
  secrets.keyedHash(`client-secret:${clientId}`, secret);

/**
 * Lets the engine compare a presented client secret with a hash.
 * Relies on: the engine awaits `client.compareClientSecret(presented)` for client_secret_basic and _post, and uses
 * `clientSecret` for nothing else as long as no symmetric algorithm is enabled (see configuration.ts).
 */
export const compareHashedClientSecrets = (provider: Provider, secrets: Secrets): void => {
  Object.assign(provider.Client.prototype, {
    async compareClientSecret(this: ClientWithSecret, presented: unknown): Promise<boolean> {
      if (typeof presented !== 'string' || !this.clientSecret) return false;
      return secrets.matches(`client-secret:${this.clientId}`, presented, this.clientSecret);
    },
  });
};
