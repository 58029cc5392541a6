// The one file that reaches into oidc-provider: each override is named with the behaviour it relies on, and
// test/oidc/engine-internals.test.ts pins that behaviour.
import { randomUUID } from 'node:crypto';
import { decodeProtectedHeader } from 'jose';
import { type Client, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import type { Secrets } from '../domain/secrets.ts';
import { isClientSecret } from './client-secrets.ts';
import { ENCRYPTED_HINT, isEncrypted } from './refusals.ts';
import type { Replays } from './replays.ts';

/** What known-clients.ts adds to the engine's client. */
type ClientWithSecret = {
  clientId: string;
  /** The hash that a presented secret is compared with. */
  secret_hash?: string;
  /** The secret before the last rotation; `expiresAt` in epoch milliseconds, `key` where it is one. */
  previous_secret?: { hash: string; expiresAt: number; key?: string };
};

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

/**
 * Introspection takes a token for an access token first, unless it is told otherwise: most are, and those are found without the database,
 * where refresh tokens are.
 * Relies on: introspection asks `AccessToken.find` and `RefreshToken.find` at once for what it was given no hint about, and takes a token
 * that is none of the latter to be absent there.
 */
export const introspectAccessTokensFirst = (provider: Provider): void => {
  const { AccessToken, RefreshToken } = provider;
  const find = RefreshToken.find.bind(RefreshToken);
  Object.assign(RefreshToken, {
    async find(...asked: Parameters<typeof find>) {
      const { oidc } = Provider.ctx ?? {};
      const isOpen = oidc?.route === 'introspection' && oidc.params?.token_type_hint === undefined;
      return isOpen && (await AccessToken.find(asked[0])) ? undefined : find(...asked);
    },
  });
};

/**
 * Ends the grant of a token before the token itself, when it is revoked: without its grant nothing is worth anything, and until
 * then the token is there for who asks again because a store failed half-way. (The engine deletes the token first: asked again it finds
 * nothing to revoke and says that all is done, while the grant's other tokens live on.)
 * Relies on: the engine calls `destroy()` on the token that revocation found, and then ends what belongs to its grant.
 */
export const revokeGrantsFirst = (provider: Provider): void => {
  const first = (prototype: { destroy(): Promise<unknown> }, end: (grantId: string) => Promise<unknown>): void => {
    const { destroy } = prototype;
    Object.assign(prototype, {
      async destroy(this: { grantId?: string; destroy(): Promise<unknown> }): Promise<void> {
        const isRevoked = Provider.ctx?.oidc?.route === 'revocation';
        if (isRevoked && this.grantId !== undefined) await end(this.grantId);
        await destroy.call(this);
      },
    });
  };
  first(provider.RefreshToken.prototype, (grantId) => provider.Grant.adapter.destroy(grantId));
  // What the browser's session was allowed goes on; what the app could get anew with does not.
  first(provider.AccessToken.prototype, (grantId) => provider.RefreshToken.revokeByGrantId(grantId));
};

/**
 * Has a session that ends by a sign-out marked before it does.
 * Relies on: the engine ends a session by `session.destroy()`, and forgets its former identifiers by the adapter alone.
 */
export const markEndedSessions = (provider: Provider, mark: (uid: string) => Promise<void>): void => {
  const { destroy } = provider.Session.prototype;
  Object.assign(provider.Session.prototype, {
    async destroy(this: InstanceType<Provider['Session']>): Promise<void> {
      await mark(this.uid);
      await destroy.call(this);
    },
  });
};

/** Decides whether a secret is compared at all, and learns how it went. @throws the engine's error that refuses it. */
export type SecretGuard = (clientId: string, matches: () => boolean) => Promise<boolean>;

/**
 * Lets the engine compare a presented client secret with a hash.
 * Relies on: the engine awaits `client.compareClientSecret(presented)` for client_secret_basic and _post, and looks at
 * `clientSecret` otherwise only to make keys of it.
 */
export const compareHashedClientSecrets = (
  provider: Provider,
  secrets: Secrets,
  guard: SecretGuard = async (_clientId, matches) => matches(),
): void => {
  Object.assign(provider.Client.prototype, {
    async compareClientSecret(this: ClientWithSecret, presented: unknown): Promise<boolean> {
      const { clientId, secret_hash: current, previous_secret: previous } = this;
      if (typeof presented !== 'string' || !current) return false;
      const matches = (hash: string) => isClientSecret(secrets, clientId, presented, hash);
      return guard(clientId, () => {
        // Always two comparisons, so that the time tells neither which of them held nor whether there is a former secret.
        const isCurrent = matches(current);
        const isPrevious = matches(previous?.hash ?? current);
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

type KeyStore = Iterable<object> & { add(key: object): void };
type ClientWithKeys = ClientWithSecret & { symmetricKeyStore: KeyStore; metadata(): Record<string, unknown> };
const withFormerKeys = new WeakSet<object>();

/**
 * While a secret is being rotated, what a client signs or encrypts with the former one is taken too; we sign with the current one.
 * Relies on: `new Client(metadata)` makes `symmetricKeyStore` of `client_secret`; the store yields its keys, tries each that fits, and
 * signs and encrypts with the first. Past its time the former secret is no longer in what known-clients.ts gives, which makes another client.
 */
export const takeFormerKeys = (provider: Provider): void => {
  const EngineClient = provider.Client as unknown as {
    new (metadata: Record<string, unknown>): ClientWithKeys;
    find(id: string): Promise<ClientWithKeys | undefined>;
  };
  const find = EngineClient.find;
  EngineClient.find = async function (id) {
    const client = await find.call(this, id);
    const former = client?.previous_secret?.key;
    if (client && former !== undefined && !withFormerKeys.has(client)) {
      withFormerKeys.add(client);
      const { symmetricKeyStore } = new EngineClient({ ...client.metadata(), client_secret: former });
      for (const key of symmetricKeyStore) client.symmetricKeyStore.add(key);
    }
    return client;
  };
};

/**
 * Makes a proof or assertion good for one use among all processes: of two that bring the same at once, one is told true.
 * Relies on: the engine asks `ReplayDetection.unique(iss, jti, exp)` once for each and refuses on false. (Its own looks first and writes
 * then, so that two at once both find nothing.)
 */
export const detectReplays = (provider: Provider, unique: Replays['unique']): void => {
  Object.assign(provider.ReplayDetection, { unique });
};

/**
 * Takes nothing but an ID token for one: what else we sign for a client, such as a logout token, says what it is by its type, and is no
 * hint (RFC 8725 §3.11). Says of one that is encrypted what is wrong with it (OIDC Core §3.1.2.1: who has it decrypts it first): it was
 * encrypted to a key that only the client has.
 * Relies on: the engine reads an id_token_hint by `IdToken.validate(jwt, client)`, hands on errors of its own kind, and types an ID token as JWT and nothing else as that
 * which has a subject, but userinfo.
 */
export const takeIdTokensAlone = (provider: Provider): void => {
  const IdToken = provider.IdToken as unknown as { validate(jwt: string, client: Client): Promise<unknown> };
  const { validate } = IdToken;
  Object.assign(IdToken, {
    async validate(jwt: string, client: Client): Promise<unknown> {
      if (isEncrypted(jwt)) throw new errors.InvalidRequest(ENCRYPTED_HINT);
      const verified = await validate.call(IdToken, jwt, client);
      const { typ = 'JWT' } = decodeProtectedHeader(jwt);
      if (typ !== 'JWT') throw new Error('not an ID token');
      return verified;
    },
  });
};

/**
 * What introspection tells, as a JWT signed, and encrypted, as the client registered.
 * Relies on: `new IdToken({}, { ctx })` takes `extra` as its claims, and `issue({ use: 'introspection' })` does what the engine does at its
 * own introspection.
 */
export const introspectionJwt = (ctx: KoaContextWithOIDC, told: Record<string, unknown>): Promise<string> => {
  const { IdToken } = ctx.oidc.provider as unknown as {
    IdToken: new (
      available: object,
      by: { ctx: KoaContextWithOIDC },
    ) => { extra: object; issue(how: { use: 'introspection' }): Promise<string> };
  };
  const token = new IdToken({}, { ctx });
  token.extra = { token_introspection: told, aud: told.aud };
  return token.issue({ use: 'introspection' });
};

/**
 * Refuses a response_type that a client is not registered for as RFC 6749 §4.1.2.1 has it: the client may not ask this way.
 * Relies on: the engine asks `client.responseTypeAllowed(type)` of each request, and hands on errors of its own kind.
 */
export const refuseResponseTypes = (provider: Provider): void => {
  const { responseTypeAllowed } = provider.Client.prototype;
  Object.assign(provider.Client.prototype, {
    responseTypeAllowed(this: Client, type: Parameters<typeof responseTypeAllowed>[0]): boolean {
      if (responseTypeAllowed.call(this, type)) return true;
      throw new errors.UnauthorizedClient('requested response_type is not allowed for this client');
    },
  });
};

/** A request's parameters, as the engine has them. */
export type RequestParams = { resource?: unknown; grant_type?: unknown };

/**
 * Lets `read` say which resources a request names, however they come: in the address, in a form, pushed, or in a signed request.
 * Relies on: the engine assigns `ctx.oidc.params` as a whole, and writes what a request object says on that.
 */
export const readResources = (
  provider: Provider,
  read: (resource: unknown, params: RequestParams) => unknown,
): void => {
  const assigned = new WeakMap<object, RequestParams>();
  const { OIDCContext } = provider as unknown as { OIDCContext: { prototype: object } };
  Object.defineProperty(OIDCContext.prototype, 'params', {
    get(this: object) {
      return assigned.get(this);
    },
    set(this: object, params: RequestParams) {
      assigned.set(this, params);
      if (!('resource' in params)) return;
      let resource = read(params.resource, params);
      const set = (value: unknown): void => {
        resource = read(value, params);
      };
      Object.defineProperty(params, 'resource', { get: () => resource, set, enumerable: true, configurable: true });
    },
  });
};
