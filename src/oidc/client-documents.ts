import { AsyncLocalStorage } from 'node:async_hooks';
import { errors } from 'oidc-provider';
import { DomainError } from '../domain/errors.ts';
import type { Throttle } from '../domain/throttles.ts';
import type { ClientDocument, ClientDocuments } from '../storage/client-documents.ts';
import type { ClientMetadata } from '../storage/clients.ts';
import { documentMetadata } from './client-document-rules.ts';
import type { Outbound } from './outbound.ts';

const LONGEST_ADDRESS = 512;
/** The draft advises 5 KB; keys need more. */
const MAX_BYTES = 20 * 1024;
const MAX_AT_ONCE = 16;
const MIN_FRESH_SECONDS = 60;
const USUAL_FRESH_SECONDS = 300;
const MAX_FRESH_SECONDS = 86_400;
/** A document that cannot be reached for this long at most stays what it was. */
const STALE_MS = 7 * 86_400_000;
/** One that could not be had is not asked for again for so long. */
const FAILED_MS = 10_000;
const REMEMBERED = 500;
/** What the store keeps at most. */
export const MOST_DOCUMENTS = 10_000;

/** The document is not there, or not now. */
class Unreachable extends Error {}

/**
 * Whether a client_id is an address that metadata may be read at: https, a path, spelled as it is compared, nothing secret in it.
 *
 * @param reachLoopback While developing: this machine by plain http as well.
 * @see [draft-ietf-oauth-client-id-metadata-document §3](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/)
 */
export const isDocumentAddress = (clientId: string, reachLoopback = false): boolean => {
  if (!/^https?:\/\//.test(clientId) || clientId.length > LONGEST_ADDRESS) return false;
  const url = URL.parse(clientId);
  // Another spelling of an address is not that address: no dot segments, default ports or capitals in the host.
  if (!url || url.href !== clientId || clientId.includes('#')) return false;
  if (url.username !== '' || url.password !== '' || url.pathname === '/') return false;
  const here = reachLoopback && ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  return url.protocol === 'https:' || here;
};

/** RFC 9111 §5.2.2.1, within bounds; what must not be stored is kept for the shortest time all the same. */
const freshSecondsOf = (headers: Headers): number => {
  const cacheControl = headers.get('cache-control') ?? '';
  if (/\bno-(store|cache)\b/i.test(cacheControl)) return MIN_FRESH_SECONDS;
  const [, maxAge] = /(?:^|,)\s*max-age\s*=\s*"?(\d{1,9})/i.exec(cacheControl) ?? [];
  const asked = maxAge === undefined ? USUAL_FRESH_SECONDS : Number(maxAge);
  return Math.max(MIN_FRESH_SECONDS, Math.min(MAX_FRESH_SECONDS, asked));
};

const refused = (why: string): Error => new errors.InvalidClient(`client_id metadata document: ${why}`, why);

const busy = (status: 429 | 503, why: string): Error => {
  const error = new errors.CustomOIDCProviderError('temporarily_unavailable', why);
  error.status = status;
  error.statusCode = status;
  return error;
};

/** Whether this means that there is no such client now, for reasons that are the client's. */
export const isClientFault = (error: unknown): boolean =>
  error instanceof errors.InvalidClient || error instanceof errors.InvalidClientMetadata;

export type ClientDocumentReader = ReturnType<typeof createClientDocumentReader>;

/**
 * Clients whose client_id is the address of their metadata (Client ID Metadata Documents). A document is kept in the store for as long
 * as it is fresh, so that every process knows what one has read, and goes on while its host is away.
 *
 * @param fetches Charged with every document that is fetched, by network: anybody can name addresses.
 */
export const createClientDocumentReader = (
  store: ClientDocuments,
  outbound: Outbound,
  reachLoopback: boolean,
  fetches: Throttle,
) => {
  const caller = new AsyncLocalStorage<string>();
  const pending = new Map<string, Promise<ClientDocument>>();
  const failed = new Map<string, { error: Error; until: number }>();

  const download = async (clientId: string): Promise<ClientDocument> => {
    const fetchedAt = new Date();
    let response: Response;
    try {
      response = await outbound.fetch(clientId, { headers: { accept: 'application/json' }, redirect: 'manual' });
    } catch {
      // Why is not told: it would say what is there behind addresses that the caller cannot reach.
      throw new Unreachable('it cannot be fetched');
    }
    const { status, headers } = response;
    if (status === 429 || status >= 500) throw new Unreachable(`its host answered ${status}`);
    if (status !== 200) throw refused(`its host answered ${status}; redirects are not followed`);
    if (!/^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(headers.get('content-type') ?? ''))
      throw refused('it must be application/json');
    const body = await response.text();
    if (Buffer.byteLength(body) > MAX_BYTES) throw refused(`it is larger than ${MAX_BYTES} bytes`);
    let json: unknown;
    try {
      json = JSON.parse(body);
    } catch {
      throw refused('it is not JSON');
    }
    const freshUntil = new Date(fetchedAt.getTime() + freshSecondsOf(headers) * 1000);
    const document = { metadata: documentMetadata(clientId, json), fetchedAt, freshUntil };
    await store.put(document);
    return document;
  };

  const fetched = async (clientId: string): Promise<ClientDocument> => {
    const under = pending.get(clientId);
    if (under) return under;
    const lately = failed.get(clientId);
    if (lately && lately.until > Date.now()) throw lately.error;
    const ip = caller.getStore();
    try {
      if (ip !== undefined) await fetches.spend(ip);
    } catch (error) {
      throw error instanceof DomainError ? busy(429, 'too many client_id metadata documents to fetch') : error;
    }
    if (pending.size >= MAX_AT_ONCE) throw busy(503, 'too many client_id metadata documents to fetch at once');
    const fresh = pending.get(clientId) ?? download(clientId);
    pending.set(clientId, fresh);
    try {
      return await fresh;
    } catch (error) {
      if (failed.size >= REMEMBERED) failed.clear();
      if (error instanceof Unreachable || isClientFault(error))
        failed.set(clientId, { error: error as Error, until: Date.now() + FAILED_MS });
      throw error;
    } finally {
      pending.delete(clientId);
    }
  };

  return {
    isAddress: (clientId: string): boolean => isDocumentAddress(clientId, reachLoopback),

    /** @throws the engine's error, saying what is wrong with the document. */
    async read(clientId: string): Promise<ClientMetadata> {
      const kept = await store.find(clientId);
      if (kept && kept.freshUntil.getTime() > Date.now()) return kept.metadata;
      try {
        return (await fetched(clientId)).metadata;
      } catch (error) {
        if (isClientFault(error)) throw error;
        // Nobody is signed out because a host is away, or because too much is being asked.
        const stands = error instanceof Unreachable || error instanceof errors.OIDCProviderError;
        if (stands && kept && kept.fetchedAt.getTime() + STALE_MS > Date.now()) return kept.metadata;
        throw error instanceof Unreachable ? refused(error.message) : error;
      }
    },

    /** Runs a request of somebody at this address, whose fetches are charged to it. */
    askedFrom: <T>(ip: string, work: () => Promise<T>): Promise<T> => caller.run(ip, work),

    sweep: (): Promise<void> => store.sweep(MOST_DOCUMENTS),
  };
};
