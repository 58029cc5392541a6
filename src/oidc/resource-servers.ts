import type { ResourceServer } from 'oidc-provider';
import type { Audit } from '../domain/audit.ts';
import { SCOPES } from '../domain/claims.ts';
import { DomainError } from '../domain/errors.ts';
import type { ResourceScope, ResourceServerRecord, StoredResourceServer } from '../storage/resource-servers.ts';
import type { Stores } from '../storage/stores.ts';
import {
  type Detail,
  type DetailInWords,
  type DetailType,
  type DetailTypes,
  detailTypesOf,
  inWords,
} from './authorization-details.ts';

export type { ResourceScope, ResourceServerRecord, StoredResourceServer };

/** How long a process may go on with what it has read, in milliseconds: a change is seen everywhere within this. */
const FRESH_MS = 1_000;
/** Identifiers remembered at once, those that nobody has registered among them. */
const SIZE = 1_000;

/** As URLs are compared (RFC 3986 §6.2): one resource has one spelling. */
const identifierKey = (identifier: string): string => URL.parse(identifier)?.href ?? identifier;

const unknownResource = () => new DomainError('unknown_resource', 'there is no such resource');

const faultOf = ({ identifier, scopes, defaultScopes, signingAlg, tokenFormat }: ResourceServerRecord) => {
  // RFC 8707 §2: an absolute URI without fragment. One with user information would put a secret into every token.
  const url = URL.parse(identifier);
  if (!url || identifier.includes('#') || url.username !== '' || url.password !== '')
    return 'identifier must be an absolute URI without fragment and user information';
  const names = scopes.map(({ name }) => name);
  const taken = names.find((name) => Object.hasOwn(SCOPES, name));
  if (taken) return `the scope ${taken} is this service's own`;
  if (new Set(names).size < names.length) return 'a scope is there twice';
  const stray = defaultScopes.find((name) => !names.includes(name));
  if (stray !== undefined) return `the default scope ${stray} is not among scopes`;
  if (signingAlg !== null && tokenFormat !== 'jwt') return 'signing_alg is for JWTs alone';
  return undefined;
};

export type ResourceRegistry = ReturnType<typeof createResourceRegistry>;

/**
 * The APIs that tokens are for, besides our own.
 *
 * @param issuer Our own API's identifier, which is nobody else's.
 * @see [RFC 8707](https://www.rfc-editor.org/rfc/rfc8707.html)
 */
export const createResourceRegistry = (
  { resourceServers: store, atomically }: Pick<Stores, 'resourceServers' | 'atomically'>,
  audit: Audit,
  issuer: string,
) => {
  const cache = new Map<string, { found: StoredResourceServer | undefined; until: number }>();

  /** As stored, or as it was a second ago. */
  const find = async (identifier: string): Promise<StoredResourceServer | undefined> => {
    const key = identifierKey(identifier);
    const cached = cache.get(key);
    if (cached && cached.until > Date.now()) return cached.found;
    cache.delete(key);
    const until = Date.now() + FRESH_MS;
    const found = await store.find(key);
    if (cache.size >= SIZE) for (const oldest of cache.keys()) if (cache.delete(oldest)) break;
    cache.set(key, { found, until });
    return found;
  };

  const checked = (record: ResourceServerRecord): ResourceServerRecord => {
    const fault = faultOf(record);
    if (fault !== undefined) throw new DomainError('invalid_resource', fault);
    return record;
  };

  const listeners: (() => void)[] = [];
  let definitions: [identifier: string, DetailType][] = [];
  let timer: NodeJS.Timeout | undefined;

  /** Takes up which details can be asked for. */
  const follow = async (): Promise<void> => {
    const now = await store.detailTypes();
    if (JSON.stringify(now) === JSON.stringify(definitions)) return;
    definitions = now;
    for (const changed of listeners) changed();
  };

  /** A type's name is its own among all resources: tokens bear it without saying whose it is. */
  const unique = async ({ identifier, detailTypes: types }: ResourceServerRecord): Promise<void> => {
    if (types.length === 0) return;
    // Two that give the same name at once would not see each other's.
    await store.lockDetailTypes();
    const names = types.map(({ type }) => type);
    const others = (await store.detailTypes()).filter(([owner]) => identifierKey(owner) !== identifierKey(identifier));
    const taken = names.find(
      (name, index) => names.indexOf(name) < index || others.some(([, one]) => one.type === name),
    );
    if (taken !== undefined) throw new DomainError('invalid_resource', `the type ${taken} is there already`);
  };

  /** A change as a whole; what is known here follows once it is there for everybody. */
  const changing = async <T>(identifier: string, work: () => Promise<T>): Promise<T> => {
    const result = await atomically(work);
    cache.delete(identifierKey(identifier));
    await follow();
    return result;
  };

  return {
    find,

    /** What oidc-provider holds a request's details against. */
    detailTypes: (): DetailTypes => detailTypesOf(definitions),
    /** Called when other details can be asked for. */
    onDetailTypes: (changed: () => void): void => void listeners.push(changed),
    follow,

    /** The identifier of the resource that a type belongs to. */
    resourceOfType: (type: string): string | undefined => definitions.find(([, one]) => one.type === type)?.[0],

    /** Details as people are asked for them. */
    inWords: (details: Detail[]): DetailInWords[] => inWords(details, definitions),

    /** @param failed What can be asked for could not be looked up this time; what was known stays. */
    start(failed: (error: Error) => void): void {
      timer = setInterval(() => void follow().catch(failed), FRESH_MS).unref();
    },
    stop: (): void => clearInterval(timer),

    /** By identifier. */
    list: (after: string, limit: number): Promise<StoredResourceServer[]> => store.list(after, limit),

    /** @throws {DomainError} `invalid_resource`, `resource_exists`. */
    create: (record: ResourceServerRecord): Promise<StoredResourceServer> =>
      changing(record.identifier, async () => {
        const taken = () => new DomainError('resource_exists', 'there is a resource of this identifier already');
        if (identifierKey(record.identifier) === identifierKey(issuer)) throw taken();
        await unique(record);
        const created = await store.create(checked(record), identifierKey(record.identifier));
        if (!created) throw taken();
        await audit.record({ type: 'resource.created', target: record.identifier, details: { after: record } });
        return created;
      }),

    /** @throws {DomainError} `unknown_resource`. */
    async get(identifier: string): Promise<StoredResourceServer> {
      const found = await store.find(identifierKey(identifier));
      if (!found) throw unknownResource();
      return found;
    },

    /** Replaces the whole of it. @throws {DomainError} `invalid_resource`, `unknown_resource`. */
    replace: (record: ResourceServerRecord): Promise<StoredResourceServer> =>
      changing(record.identifier, async () => {
        await unique(record);
        const replaced = await store.replace(checked(record), identifierKey(record.identifier));
        if (!replaced) throw unknownResource();
        const { before, after } = replaced;
        await audit.record({ type: 'resource.updated', target: after.identifier, details: { before, after } });
        return after;
      }),

    /** No token is issued for it any more; those that are there end by themselves. @throws {DomainError} `unknown_resource`. */
    remove: (identifier: string): Promise<void> =>
      changing(identifier, async () => {
        const before = await store.remove(identifierKey(identifier));
        if (!before) throw unknownResource();
        await audit.record({ type: 'resource.deleted', target: before.identifier, details: { before } });
      }),
  };
};

/** A resource as oidc-provider wants it. */
export const engineResource = (resource: StoredResourceServer): ResourceServer => ({
  audience: resource.identifier,
  scope: resource.scopes.map(({ name }) => name).join(' '),
  accessTokenFormat: resource.tokenFormat,
  accessTokenTTL: resource.ttlSeconds,
  ...(resource.tokenFormat === 'jwt' && { jwt: { sign: { alg: (resource.signingAlg ?? 'RS256') as 'RS256' } } }),
});
