import type { Secrets } from '../domain/secrets.ts';
import type { Clients } from '../storage/clients.ts';
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

/** Clients as they are stored. The engine asks for one on every request, so a read is kept for a second. */
export const createKnownClients = (clients: Clients, secrets: Secrets) => {
  const cache = new Map<string, { known: KnownClient; until: number }>();

  const find = async (clientId: string): Promise<KnownClient | undefined> => {
    const cached = cache.get(clientId);
    if (cached && cached.until > Date.now()) return cached.known;
    cache.delete(clientId);
    // Counted from before the read: what it does not see yet happened later than this.
    const until = Date.now() + FRESH_MS;
    const record = await clients.find(clientId);
    if (!record) return undefined;
    const { metadata, secret, firstParty, previousSecret, createdAt } = record;
    const former = previousSecret && previousSecret.expiresAt.getTime() > Date.now() ? previousSecret : undefined;
    const known = {
      metadata: {
        ...metadata,
        client_secret:
          secret === null
            ? undefined
            : (openClientSecret(secrets, clientId, secret.sealed) ?? secrets.keyedHash('no-client-secret', clientId)),
        first_party: firstParty || undefined,
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
    // The oldest entry goes first: a Map keeps the order of insertion.
    if (cache.size >= SIZE) for (const oldest of cache.keys()) if (cache.delete(oldest)) break;
    cache.set(clientId, { known, until });
    return known;
  };

  return {
    find,

    /** The client's generation; undefined where there is no such client. */
    generationOf: async (clientId: string): Promise<string | undefined> =>
      clientId === FIRST_PARTY_CLIENT_ID ? '' : (await find(clientId))?.generation,

    /** After a change by this very process. */
    forget: (clientId: string): void => {
      cache.delete(clientId);
    },
  };
};
