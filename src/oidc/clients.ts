import { errors, type Provider } from 'oidc-provider';
import { DomainError } from '../domain/errors.ts';
import { randomSecret, type Secrets } from '../domain/secrets.ts';
import type { ClientMetadata, Clients } from '../storage/clients.ts';
import { clientSecretHash } from './engine-internals.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

/** Client metadata as it was asked for: RFC 7591 §2; client_id and client_secret are made up when absent. */
export type RequestedClient = Record<string, unknown> & { client_id?: unknown; client_secret?: unknown };

/** The methods that need no secret. One that the engine does not know counts as needing it, so that the engine names what is wrong. */
const SECRETLESS: readonly unknown[] = ['private_key_jwt', 'none'];

/** A secret somebody chose: it must at least not be guessed at the token endpoint. */
const MIN_SECRET_LENGTH = 16;

export type BootstrapClient = { clientId: string; clientSecret: string; redirectUris: string[] };

export type ClientRegistry = ReturnType<typeof createClientRegistry>;

export const createClientRegistry = (provider: Provider, clients: Clients, secrets: Secrets) => {
  const prepare = async (requested: RequestedClient, firstParty: boolean, minSecretLength = MIN_SECRET_LENGTH) => {
    const { client_secret: askedSecret, client_id: askedId, first_party: _, ...rest } = requested;
    if (askedId !== undefined && (typeof askedId !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(askedId)))
      throw new DomainError('invalid_client_metadata', 'client_id must be 1 to 200 printable ASCII characters');
    const clientId = askedId ?? randomSecret(16);
    if (clientId === FIRST_PARTY_CLIENT_ID)
      throw new DomainError('client_exists', `the client_id ${clientId} is this service's own`);
    // PostgreSQL's jsonb holds neither NUL nor half a surrogate pair.
    if (/\\u(0000|d[89a-f])/.test(JSON.stringify(rest)))
      throw new DomainError('invalid_client_metadata', 'a value has a character that cannot be stored');
    // RFC 6749 §4.4: only a client that can authenticate may act for itself.
    if (rest.token_endpoint_auth_method === 'none' && [rest.grant_types].flat().includes('client_credentials'))
      throw new DomainError('invalid_client_metadata', 'grant_types: client_credentials needs client authentication');
    const metadata: ClientMetadata = { ...rest, client_id: clientId };
    const usesSecret = !SECRETLESS.includes(metadata.token_endpoint_auth_method);
    if (askedSecret !== undefined && (!usesSecret || typeof askedSecret !== 'string'))
      throw new DomainError('invalid_client_metadata', 'client_secret does not fit token_endpoint_auth_method');
    if (typeof askedSecret === 'string' && askedSecret.length < minSecretLength)
      throw new DomainError('invalid_client_metadata', `client_secret needs ${minSecretLength} characters or more`);
    const secret = usesSecret ? (askedSecret ?? randomSecret(32)) : undefined;
    const secretHash = secret === undefined ? null : clientSecretHash(secrets, clientId, secret);

    try {
      // The engine's own rules decide (RFC 7591 §2, OIDC Registration §2), the same that hold when the client is used.
      await provider.Client.validate({ ...metadata, ...(secretHash !== null && { client_secret: secretHash }) });
    } catch (error) {
      if (!(error instanceof errors.OIDCProviderError)) throw error;
      throw new DomainError('invalid_client_metadata', error.error_description ?? error.message);
    }
    return {
      record: { metadata, secretHash, firstParty },
      response: {
        ...metadata,
        // RFC 7591 §3.2.1: 0 says that the secret does not expire.
        ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
      },
    };
  };

  return {
    /**
     * Registers a client.
     *
     * @returns its metadata with the secret, which is stored hashed and cannot be shown again.
     * @throws {DomainError} `invalid_client_metadata` naming the field, `client_exists`.
     * @see [RFC 7591 §3.2.1](https://www.rfc-editor.org/rfc/rfc7591.html#section-3.2.1)
     */
    async register(
      requested: RequestedClient,
      firstParty = false,
    ): Promise<ClientMetadata & { client_secret?: string }> {
      const { record, response } = await prepare(requested, firstParty);
      if (!(await clients.create(record)))
        throw new DomainError('client_exists', `a client with client_id ${record.metadata.client_id} exists already`);
      return response;
    },

    /** Makes the stored client be as given: for clients that this service itself brings along, at every start. */
    async ensure(requested: RequestedClient & { client_id: string }): Promise<void> {
      const { record } = await prepare(requested, false);
      await clients.put(record);
    },

    /**
     * The one client that configuration names, as the predecessor's did: its secret is as configured, and what was
     * registered for it since stays.
     */
    async ensureBootstrap({ clientId, clientSecret, redirectUris }: BootstrapClient): Promise<void> {
      const known = await clients.find(clientId);
      const { record } = await prepare(
        {
          ...(known?.metadata ?? { client_name: clientId, redirect_uris: [], response_types: [] }),
          ...(redirectUris.length > 0 && { redirect_uris: redirectUris, response_types: ['code'] }),
          grant_types: known?.metadata.grant_types ?? [
            ...(redirectUris.length > 0 ? ['authorization_code', 'refresh_token'] : []),
            'client_credentials',
          ],
          client_id: clientId,
          client_secret: clientSecret,
        },
        known?.firstParty ?? false,
        // How strong it must be is the configuration's to say.
        1,
      );
      await clients.put(record);
    },
  };
};
