// The one file that reaches into oidc-provider: each override is named with the behaviour it relies on, and
// test/oidc/engine-internals.test.ts pins that behaviour.
import { type Client, Provider } from 'oidc-provider';
import type { Secrets } from '../domain/secrets.ts';

/** What `compareClientSecret` is called on: the engine's client, whose clientSecret is the stored hash. */
type ClientWithSecret = {
  clientId: string;
  clientSecret?: string;
  /** The secret before the last rotation; `expiresAt` in epoch milliseconds. */
  previous_secret?: { hash: string; expiresAt: number };
};

/** The hash a client secret is stored as. */
export const clientSecretHash = (secrets: Secrets, clientId: string, secret: string): string =>
  secrets.keyedHash(`client-secret:${clientId}`, secret);

/**
 * The identifier of the refresh token that follows `predecessor`: a function of it, under a key that is in no store. So a
 * refresh that is tried again, at once, later, or by another process, gives the same successor, with no lock and no memory.
 */
export const successorOf = (secrets: Secrets, predecessor: string): string =>
  secrets.keyedHash('refresh-successor', predecessor);

/**
 * Gives a refresh token that takes another's place its identifier by `successorOf`.
 * Relies on: the engine sets `entities.RotatedRefreshToken` before it saves the successor, and asks `generateTokenId`
 * for the identifier of a token that has none.
 */
export const deriveSuccessors = (provider: Provider, secrets: Secrets): void => {
  const { generateTokenId } = provider.RefreshToken.prototype as unknown as { generateTokenId(): string };
  Object.assign(provider.RefreshToken.prototype, {
    generateTokenId(this: unknown): string {
      const rotated = Provider.ctx?.oidc?.entities.RotatedRefreshToken;
      return rotated ? successorOf(secrets, rotated.jti) : generateTokenId.call(this);
    },
  });
};

/** Decides whether a secret is compared at all, and learns how it went. @throws the engine's error that refuses it. */
export type SecretGuard = (clientId: string, matches: () => boolean) => Promise<boolean>;

/**
 * Lets the engine compare a presented client secret with a hash.
 * Relies on: the engine awaits `client.compareClientSecret(presented)` for client_secret_basic and _post, and uses
 * `clientSecret` for nothing else as long as no symmetric algorithm is enabled (see configuration.ts).
 */
export const compareHashedClientSecrets = (
  provider: Provider,
  secrets: Secrets,
  guard: SecretGuard = async (_clientId, matches) => matches(),
): void => {
  Object.assign(provider.Client.prototype, {
    async compareClientSecret(this: ClientWithSecret, presented: unknown): Promise<boolean> {
      if (typeof presented !== 'string' || !this.clientSecret) return false;
      const { clientId, clientSecret, previous_secret: previous } = this;
      const matches = (hash: string) => secrets.matches(`client-secret:${clientId}`, presented, hash);
      return guard(clientId, () => {
        // Always two comparisons, so that the time tells neither which of them held nor whether there is a former secret.
        const isCurrent = matches(clientSecret);
        const isPrevious = matches(previous?.hash ?? clientSecret);
        return isCurrent || (isPrevious && previous !== undefined && Date.now() < previous.expiresAt);
      });
    },
  });
};

/**
 * Lets `isRegistered` allow redirect URIs beyond those that the engine allows.
 * Relies on: the engine asks `client.redirectUriAllowed(uri)` wherever it holds a redirect URI against those registered.
 */
export const allowRedirectUris = (provider: Provider, isRegistered: (client: Client, uri: string) => boolean): void => {
  const { redirectUriAllowed } = provider.Client.prototype;
  Object.assign(provider.Client.prototype, {
    redirectUriAllowed(this: Client, uri: string): boolean {
      return redirectUriAllowed.call(this, uri) || (typeof uri === 'string' && isRegistered(this, uri));
    },
  });
};

/**
 * Metadata as the engine understands it: checked by the rules that hold when the client is used, its defaults filled in.
 * Relies on: `new provider.Client(metadata)` checks as `Client.find` does, and `metadata()` gives back what was kept.
 *
 * @throws the engine's error, whose description names the field.
 */
export const understoodMetadata = async (
  provider: Provider,
  metadata: Record<string, unknown> & { client_id: string },
): Promise<Record<string, unknown>> => {
  await provider.Client.validate(metadata);
  const EngineClient = provider.Client as unknown as new (
    metadata: Record<string, unknown>,
  ) => { metadata(): Record<string, unknown> };
  return new EngineClient(metadata).metadata();
};
