// The one file that reaches into oidc-provider: each override is named with the behaviour it relies on, and
// test/oidc/engine-internals.test.ts pins that behaviour.
import { randomUUID } from 'node:crypto';
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

/**
 * Lets what the engine would tell an app's server at once be told from our outbox.
 * Relies on: the engine calls `client.backchannelLogout(accountId, sid)` for each app of a session that ends by RP-initiated logout, and
 * `client.backchannelPing(request)` from `backchannelResult`, and does not care how they do it.
 */
export const tellClientsOurselves = (
  provider: Provider,
  told: {
    logout(clientId: string, accountId: string, sid: string): Promise<void>;
    ping(clientId: string, notificationToken: string, authReqId: string): Promise<void>;
  },
): void => {
  Object.assign(provider.Client.prototype, {
    backchannelLogout(this: { clientId: string }, accountId: string, sid: string): Promise<void> {
      return told.logout(this.clientId, accountId, sid);
    },
    backchannelPing(
      this: { clientId: string },
      { jti, params }: { jti: string; params: { client_notification_token: string } },
    ): Promise<void> {
      return told.ping(this.clientId, params.client_notification_token, jti);
    },
  });
};

/**
 * A Logout Token, signed by the current key as the app's ID tokens are (OpenID Connect Back-Channel Logout §2.4).
 * Relies on: `provider.IdToken` takes claims, a mask and extra claims, and issues for `use: 'logout'`.
 */
export const logoutToken = (provider: Provider, client: Client, accountId: string, sid: string): Promise<string> => {
  const IdToken = provider.IdToken as unknown as new (
    claims: { sub: string },
    context: { client: Client; ctx: undefined },
  ) => {
    mask: Record<string, null>;
    set(name: string, value: unknown): void;
    issue(options: { use: 'logout' }): Promise<string>;
  };
  const token = new IdToken({ sub: accountId }, { client, ctx: undefined });
  token.mask = { sub: null };
  token.set('events', { 'http://schemas.openid.net/event/backchannel-logout': {} });
  token.set('jti', randomUUID());
  if (client.backchannelLogoutSessionRequired) token.set('sid', sid);
  return token.issue({ use: 'logout' });
};
