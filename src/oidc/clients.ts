import type { Provider } from 'oidc-provider';
import type { Audit, AuditEvent } from '../domain/audit.ts';
import { DomainError } from '../domain/errors.ts';
import { randomSecret, type Secrets } from '../domain/secrets.ts';
import type { ClientMetadata, ClientRecord, SelfRegistration, StoredClient } from '../storage/clients.ts';
import type { Stores } from '../storage/stores.ts';
import { createClientRules, invalid, MIN_KEY_LENGTH, type RequestedClient } from './client-rules.ts';
import { isClientSecret, needsSecretAsKey, storedSecret } from './client-secrets.ts';
import type { KnownClients } from './known-clients.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

/** A client as it is told: its metadata with the defaults filled in, and never a secret or its hash. */
export type ShownClient = {
  metadata: ClientMetadata;
  firstParty: boolean;
  /** How it registered itself; null for one that an operator registered. */
  registration: SelfRegistration | null;
  createdAt: Date;
  updatedAt: Date;
  /** Until when the secret before the last rotation is taken. */
  previousSecretExpiresAt: Date | undefined;
};

/** More about a change: who made it, and what belongs to it. */
export type Change = {
  /** The client itself, where it changes its own registration. */
  client?: string;
  /** For the audit log. */
  details?: Record<string, unknown>;
  /** Written with the change, or not at all. */
  also?(clientId: string): Promise<void>;
};

/** How often a change is tried when others change the same client in between. */
const TRIES = 5;

export type BootstrapClient = { clientId: string; clientSecret: string; redirectUris: string[] };

const unknownClient = () => new DomainError('unknown_client', 'there is no such client');

export type ClientRegistry = ReturnType<typeof createClientRegistry>;

export const createClientRegistry = (
  provider: Provider,
  { clients, resourceServers, atomically }: Pick<Stores, 'clients' | 'resourceServers' | 'atomically'>,
  known: KnownClients,
  secrets: Secrets,
  audit: Audit,
) => {
  const rules = createClientRules(provider, secrets, resourceServers.scopeNames);
  const { metadataOf, usesSecret, knowsScopes, understood, effective, prepare } = rules;

  const shown = async (client: StoredClient): Promise<ShownClient> => ({
    metadata: await effective(client),
    firstParty: client.firstParty,
    registration: client.registration,
    createdAt: client.createdAt,
    updatedAt: client.updatedAt,
    previousSecretExpiresAt:
      client.previousSecret && client.previousSecret.expiresAt.getTime() > Date.now()
        ? client.previousSecret.expiresAt
        : undefined,
  });

  /** What the audit log has of a client: all that was stored but the secret. */
  const audited = ({ metadata, firstParty }: ClientRecord) => ({ ...metadata, first_party: firstParty });

  /** @throws {DomainError} `unknown_client`, `built_in_client`. */
  const editable = async (clientId: string): Promise<StoredClient> => {
    if (clientId === FIRST_PARTY_CLIENT_ID)
      throw new DomainError('built_in_client', "this client is the service's own and cannot be changed");
    const client = await clients.find(clientId);
    if (!client) throw unknownClient();
    return client;
  };

  /** Changes a client that others may be changing as well. */
  const changed = async <T extends { after: StoredClient | undefined }>(
    clientId: string,
    change: (before: StoredClient) => Promise<T>,
    eventOf: (before: StoredClient, after: StoredClient) => AuditEvent,
  ): Promise<T & { after: StoredClient }> => {
    for (let attempt = 1; attempt <= TRIES; attempt += 1) {
      const before = await editable(clientId);
      const done = await atomically(async () => {
        const tried = await change(before);
        if (tried.after) await audit.record(eventOf(before, tried.after));
        return tried;
      });
      if (!done.after) continue;
      known.forget(clientId);
      return { ...done, after: done.after };
    }
    throw new Error(`client ${clientId} is being changed all the time`);
  };

  const create = async (requested: RequestedClient, firstParty: boolean, { also, details }: Change = {}) => {
    const { record, secret } = await prepare(requested, firstParty, { unknown: 'refuse' });
    const clientId = record.metadata.client_id;
    await atomically(async () => {
      if (!(await clients.create(record)))
        throw new DomainError('client_exists', `a client with client_id ${clientId} exists already`);
      await also?.(clientId);
      await audit.record({ type: 'client.created', target: clientId, details: { after: audited(record), ...details } });
    });
    known.forget(clientId);
    return { record, secret };
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
      const { record, secret } = await create(requested, firstParty);
      return {
        ...(await effective(record)),
        // RFC 7591 §3.2.1: 0 says that the secret does not expire.
        ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
      };
    },

    /** As `register`, with everything that is told of a client. */
    async add(
      requested: RequestedClient,
      firstParty: boolean,
      more?: Change,
    ): Promise<ShownClient & { secret: string | undefined }> {
      const { record, secret } = await create(requested, firstParty, more);
      return { ...(await shown(await editable(record.metadata.client_id))), secret };
    },

    /** In the order of client_ids. @param begin What the client_id or the name begins with. */
    async list(begin: string, after: string, limit: number): Promise<{ items: ShownClient[]; total: number }> {
      const { items, total } = await clients.list(begin, after, limit);
      return { items: await Promise.all(items.map(shown)), total };
    },

    /** @throws {DomainError} `unknown_client`, also for the built-in one. */
    async get(clientId: string): Promise<ShownClient> {
      if (clientId === FIRST_PARTY_CLIENT_ID) throw unknownClient();
      return shown(await editable(clientId));
    },

    /**
     * Replaces a client's metadata whole: what is left out is as if it had never been set. The secret stays, unless the client
     * had none and needs one now, or needs it as a key, of which there is only a hash: then the client sends it along, or gets another.
     *
     * @returns the client, and its secret where it was made just now.
     * @throws {DomainError} `unknown_client`, `built_in_client`, `invalid_client_metadata`.
     * @see [RFC 7592 §2.2](https://www.rfc-editor.org/rfc/rfc7592.html#section-2.2)
     */
    async replace(
      clientId: string,
      requested: RequestedClient,
      firstParty: boolean,
      { client, also }: Change = {},
    ): Promise<ShownClient & { secret: string | undefined }> {
      const change = async (before: StoredClient) => {
        if (requested.client_id !== undefined && requested.client_id !== clientId)
          throw invalid('client_id is not the one in the path');
        const { client_secret: presented } = requested;
        const metadata = metadataOf(requested, clientId, 'refuse');
        const secretive = usesSecret(metadata);
        // A client that sends its secret shows that it has it; it cannot choose another.
        const shows =
          typeof presented === 'string' &&
          before.secret !== null &&
          isClientSecret(secrets, clientId, presented, before.secret.hash);
        if (presented !== undefined && !(secretive && shows))
          throw invalid('client_secret is not the one that was issued; to have another, rotate it');
        const asKey = needsSecretAsKey(metadata);
        const stays = before.secret !== null && (!asKey || before.secret.sealed !== null);
        const secret = secretive && !stays && !shows ? randomSecret(32) : undefined;
        const value = secret ?? (shows ? String(presented) : undefined);
        if (asKey && value !== undefined && value.length < MIN_KEY_LENGTH)
          throw invalid(`client_secret has fewer than ${MIN_KEY_LENGTH} characters: rotate it before it becomes a key`);
        const kept = value === undefined ? before.secret : storedSecret(secrets, clientId, value, asKey);
        const stored = kept && { hash: kept.hash, sealed: asKey ? kept.sealed : null };
        const record = { metadata, secret: secretive ? stored : null, firstParty };
        await knowsScopes(metadata);
        await understood(record);
        const after = await clients.replace(before, record);
        if (after) await also?.(clientId);
        return { after, secret };
      };
      const { after, secret } = await changed(clientId, change, (before, now) => ({
        type: 'client.updated',
        target: clientId,
        client,
        details: { before: audited(before), after: audited(now) },
      }));
      return { ...(await shown(after)), secret };
    },

    /**
     * Removes a client, with what people agreed to for it. Its grants and tokens end with it, also should another client of
     * this client_id come: see adapter.ts.
     *
     * @throws {DomainError} `unknown_client`, `built_in_client`.
     */
    async remove(clientId: string, { client }: Change = {}): Promise<void> {
      await editable(clientId);
      await atomically(async () => {
        const before = await clients.remove(clientId);
        if (!before) throw unknownClient();
        await audit.record({ type: 'client.deleted', target: clientId, client, details: { before: audited(before) } });
      });
      known.forget(clientId);
    },

    /**
     * A new secret; the one before it is taken for `overlapSeconds` more, so that an app can be changed over. One that was in
     * its overlap already ends now.
     *
     * @returns the client with its secret, which cannot be shown again.
     * @throws {DomainError} `unknown_client`, `built_in_client`, `client_without_secret`.
     */
    async rotateSecret(clientId: string, overlapSeconds: number): Promise<ShownClient & { secret: string }> {
      const secret = randomSecret(32);
      const until = overlapSeconds > 0 ? new Date(Date.now() + overlapSeconds * 1000) : undefined;
      const rotate = async (before: StoredClient) => {
        if (before.secret === null)
          throw new DomainError('client_without_secret', 'this client has no secret: it authenticates otherwise');
        const stored = storedSecret(secrets, clientId, secret, needsSecretAsKey(before.metadata));
        return { after: await clients.rotateSecret(before, stored, until) };
      };
      const { after } = await changed(clientId, rotate, () => ({
        type: 'client.secret_rotated',
        target: clientId,
        details: { previous_secret_expires_at: (until ?? new Date()).toISOString() },
      }));
      return { ...(await shown(after)), secret };
    },

    /** Makes the stored client be as given: for clients that this service itself brings along, at every start. */
    async ensure(requested: RequestedClient & { client_id: string }): Promise<void> {
      const { record } = await prepare(requested, false, { unknown: 'drop' });
      await clients.put(record);
    },

    /**
     * The one client that configuration names, as the predecessor's did: its secret is as configured, and what was
     * registered for it since stays.
     */
    async ensureBootstrap({ clientId, clientSecret, redirectUris }: BootstrapClient): Promise<void> {
      const existing = await clients.find(clientId);
      const { record } = await prepare(
        {
          ...(existing?.metadata ?? { client_name: clientId, redirect_uris: [], response_types: [] }),
          ...(redirectUris.length > 0 && { redirect_uris: redirectUris, response_types: ['code'] }),
          grant_types: existing?.metadata.grant_types ?? [
            ...(redirectUris.length > 0 ? ['authorization_code', 'refresh_token'] : []),
            'client_credentials',
          ],
          client_id: clientId,
          client_secret: clientSecret,
        },
        existing?.firstParty ?? false,
        // How strong it must be is the configuration's to say.
        { unknown: 'drop', minSecretLength: 1 },
      );
      await clients.put(record);
    },
  };
};
