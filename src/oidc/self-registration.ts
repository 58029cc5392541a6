import type { Audit } from '../domain/audit.ts';
import { DomainError } from '../domain/errors.ts';
import type { InitialAccessTokens } from '../domain/initial-access-tokens.ts';
import { randomSecret, type Secrets } from '../domain/secrets.ts';
import type { SelfRegistration, StoredClient } from '../storage/clients.ts';
import type { Stores } from '../storage/stores.ts';
import type { ClientRegistry, ShownClient } from './clients.ts';
import type { RegistrationPolicy } from './features/clients.ts';
import type { KnownClients } from './known-clients.ts';
import { RegistrationError, selfRegistered } from './registration-rules.ts';

/** A client as it is told of itself, with what it manages its registration with. */
export type SelfRegistered = ShownClient & { secret?: string | undefined; registrationToken: string };

const DAYS_UNUSED = 30;
const SWEEP_ROWS = 100;

const wrongToken = () => new RegistrationError('invalid_token', 'the registration access token is not valid');
const purposeOf = (clientId: string): string => `registration-token:${clientId}`;

/** The engine and the registry name the member that is wrong at the beginning of what they say. */
const asRegistrationError = (error: unknown): unknown => {
  if (!(error instanceof DomainError)) return error;
  if (error.code === 'unknown_client' || error.code === 'built_in_client') return wrongToken();
  if (error.code !== 'invalid_client_metadata') return error;
  const code = /^redirect_uris\b/.test(error.message) ? 'invalid_redirect_uri' : 'invalid_client_metadata';
  return new RegistrationError(code, error.message);
};

const told = async <T>(work: () => Promise<T>): Promise<T> => {
  try {
    return await work();
  } catch (error) {
    throw asRegistrationError(error);
  }
};

export type ClientRegistrations = ReturnType<typeof createClientRegistrations>;

/** Clients that register themselves (RFC 7591), and manage their registration (RFC 7592). */
export const createClientRegistrations = (
  policy: RegistrationPolicy,
  clients: ClientRegistry,
  known: KnownClients,
  initialTokens: InitialAccessTokens,
  { registrations, resourceServers, clients: stored, atomically }: Stores,
  secrets: Secrets,
  audit: Audit,
) => {
  const holds = (
    client: StoredClient | undefined,
    token: string,
  ): client is StoredClient & { registration: SelfRegistration; registrationTokenHash: string } =>
    client != null &&
    client.registration !== null &&
    client.registrationTokenHash !== null &&
    secrets.matches(purposeOf(client.metadata.client_id), token, client.registrationTokenHash);

  /** @throws {RegistrationError} `invalid_token`, whether the client is not there or is another's. */
  const own = async (clientId: string, token: string | undefined) => {
    const client = await stored.find(clientId);
    if (token === undefined || !holds(client, token)) throw wrongToken();
    return client;
  };

  return {
    policy,

    /**
     * Registers a client, by an initial access token where one is presented.
     *
     * @throws {RegistrationError}
     * @see [RFC 7591 §3](https://www.rfc-editor.org/rfc/rfc7591.html#section-3)
     */
    async register(requested: Record<string, unknown>, initialToken: string | undefined): Promise<SelfRegistered> {
      const missing = () => new RegistrationError('invalid_token', 'the initial access token is missing or not valid');
      if (initialToken === undefined && policy !== 'open') throw missing();
      if (initialToken !== undefined && !(await initialTokens.isLive(initialToken))) throw missing();
      const registration: SelfRegistration = initialToken === undefined ? 'open' : 'token';
      const metadata = selfRegistered(requested, registration, await resourceServers.scopeNames());
      const registrationToken = randomSecret(32);
      return told(async () => {
        const client = await clients.add(metadata, false, {
          details: { registration },
          // With the client or not at all: a use of the token, and what the client manages itself with.
          async also(clientId) {
            if (initialToken !== undefined && (await initialTokens.spend(initialToken)) === undefined) throw missing();
            const hash = secrets.keyedHash(purposeOf(clientId), registrationToken);
            await registrations.mark(clientId, registration, hash);
          },
        });
        return { ...client, registrationToken };
      });
    },

    /** @throws {RegistrationError} `invalid_token`. */
    async read(clientId: string, token: string | undefined): Promise<SelfRegistered> {
      await own(clientId, token);
      return { ...(await clients.get(clientId)), registrationToken: token ?? '' };
    },

    /**
     * Replaces the metadata whole, and the token that it is done with.
     *
     * @throws {RegistrationError}
     * @see [RFC 7592 §2.2](https://www.rfc-editor.org/rfc/rfc7592.html#section-2.2)
     */
    async update(
      clientId: string,
      token: string | undefined,
      requested: Record<string, unknown>,
    ): Promise<SelfRegistered> {
      const before = await own(clientId, token);
      for (const name of [
        'registration_access_token',
        'registration_client_uri',
        'client_secret_expires_at',
        'client_id_issued_at',
      ])
        if (requested[name] !== undefined)
          throw new RegistrationError('invalid_request', `the request must not have ${name}`);
      if (requested.client_id !== clientId)
        throw new RegistrationError('invalid_request', 'client_id must be there, and the one of this client');
      const { client_secret } = requested;
      const metadata = {
        ...selfRegistered(requested, before.registration, await resourceServers.scopeNames()),
        ...(client_secret != null && { client_secret }),
      };
      const registrationToken = randomSecret(32);
      return told(async () => {
        const client = await clients.replace(clientId, metadata, before.firstParty, {
          client: clientId,
          // Of two updates with one token, one is done.
          async also() {
            const hash = secrets.keyedHash(purposeOf(clientId), registrationToken);
            if (!(await registrations.replaceToken(clientId, before.registrationTokenHash, hash))) throw wrongToken();
          },
        });
        return { ...client, registrationToken };
      });
    },

    /** @throws {RegistrationError} `invalid_token`. */
    async remove(clientId: string, token: string | undefined): Promise<void> {
      await own(clientId, token);
      await told(() => clients.remove(clientId, { client: clientId }));
    },

    /** A client got an answer that it can use: remembered of those that registered themselves, once a day at most. */
    async used(clientId: string): Promise<void> {
      if (await known.isSelfRegistered(clientId)) await registrations.used(clientId);
    },

    /** Removes what anybody registered and nobody has used for 30 days; any number of processes may do so at once. */
    async sweep(): Promise<void> {
      for (let removed = SWEEP_ROWS; removed === SWEEP_ROWS; )
        removed = await atomically(async () => {
          const ids = await registrations.removeUnused(DAYS_UNUSED, SWEEP_ROWS);
          for (const id of ids)
            await audit.record({ type: 'client.deleted', target: id, details: { reason: 'unused' } });
          return ids.length;
        });
    },
  };
};
