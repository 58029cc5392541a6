import type { Secrets } from '../domain/secrets.ts';
import type { Clients } from '../storage/clients.ts';
import type { ClientDocumentReader } from './client-documents.ts';
import { engineScope, foreignScopes } from './client-scopes.ts';
import { openClientSecret } from './client-secrets.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

/** How long a process may go on with a client it has read, in milliseconds: a change is seen everywhere within this. */
const FRESH_MS = 1_000;
const SIZE = 1_000;

/**
 * A client as the engine reads it. `client_secret` is the secret where it is needed as a key; otherwise a value that nobody knows, so that
 * nothing is ever signed or opened with it. `secret_hash` and `previous_secret` are what is compared. All of them stay inside.
 */
export type KnownClient = {
  metadata: Record<string, unknown> & { client_id: string };
  /** Tells a client from a later one of the same client_id. */
  generation: string;
};

export type KnownClients = ReturnType<typeof createKnownClients>;

/** What is given to a client that is known by its address alone goes on for as long as there is no other client of that name. */
const OF_DOCUMENTS = 'document';

/**
 * Clients as they are stored, and those whose client_id is the address of their metadata. The engine asks for one on every
 * request, so a read is kept for a second.
 */
export const createKnownClients = (clients: Clients, secrets: Secrets, documents?: ClientDocumentReader) => {
  const cache = new Map<string, { known: KnownClient; until: number }>();

  const keep = (clientId: string, known: KnownClient, until: number): KnownClient => {
    // The oldest entry goes first: a Map keeps the order of insertion.
    if (cache.size >= SIZE) for (const oldest of cache.keys()) if (cache.delete(oldest)) break;
    cache.set(clientId, { known, until });
    return known;
  };

  const find = async (clientId: string): Promise<KnownClient | undefined> => {
    const cached = cache.get(clientId);
    if (cached && cached.until > Date.now()) return cached.known;
    cache.delete(clientId);
    // Counted from before the read: what it does not see yet happened later than this.
    const until = Date.now() + FRESH_MS;
    const record = await clients.find(clientId);
    if (!record) {
      const read = documents?.isAddress(clientId) ? await documents.read(clientId) : undefined;
      return (
        read && keep(clientId, { metadata: { ...read, registration: 'document' }, generation: OF_DOCUMENTS }, until)
      );
    }
    const { metadata, secret, firstParty, previousSecret, createdAt, registration } = record;
    const ofResources = foreignScopes(metadata.scope);
    const former = previousSecret && previousSecret.expiresAt.getTime() > Date.now() ? previousSecret : undefined;
    const known = {
      metadata: {
        ...metadata,
        scope: engineScope(metadata.scope, firstParty),
        resource_scopes: ofResources.length > 0 ? ofResources : undefined,
        client_secret:
          secret === null
            ? undefined
            : (openClientSecret(secrets, clientId, secret.sealed) ?? secrets.keyedHash('no-client-secret', clientId)),
        first_party: firstParty || undefined,
        registration: registration ?? undefined,
        previous_secret: former && {
          hash: former.hash,
          expiresAt: former.expiresAt.getTime(),
          key: openClientSecret(secrets, clientId, former.sealed),
        },
        secret_hash: secret?.hash,
        stored: true,
      },
      generation: String(createdAt.getTime()),
    };
    return keep(clientId, known, until);
  };

  return {
    find,

    /** The client's generation; undefined where there is no such client. */
    async generationOf(clientId: string): Promise<string | undefined> {
      if (clientId === FIRST_PARTY_CLIENT_ID) return '';
      if (!documents?.isAddress(clientId)) return (await find(clientId))?.generation;
      // What it holds does not depend on whether its document can be read just now.
      const cached = cache.get(clientId);
      if (cached && cached.until > Date.now()) return cached.known.generation;
      const record = await clients.find(clientId);
      return record ? String(record.createdAt.getTime()) : OF_DOCUMENTS;
    },

    /** Whether this is the address of a client's metadata, read or not. */
    isAddress: (clientId: string): boolean => documents?.isAddress(clientId) ?? false,

    /** Whether the client registered itself, by RFC 7591. */
    async isSelfRegistered(clientId: string): Promise<boolean> {
      if (clientId === FIRST_PARTY_CLIENT_ID || documents?.isAddress(clientId)) return false;
      return (await find(clientId))?.metadata.registration !== undefined;
    },

    /** Runs a request of somebody at this address: whose clients' documents have to be fetched for it, they are charged with. */
    askedFrom: <T>(ip: string, work: () => Promise<T>): Promise<T> => documents?.askedFrom(ip, work) ?? work(),

    /** After a change by this very process. */
    forget: (clientId: string): void => {
      cache.delete(clientId);
    },
  };
};
