import { randomBytes, randomUUID } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { crc32 } from 'node:zlib';
import type { ApiKey, ApiKeyHolder } from '../storage/api-keys.ts';
import type { Stores } from '../storage/stores.ts';
import type { User } from '../storage/users.ts';
import type { Audit } from './audit.ts';
import { DomainError } from './errors.ts';
import { sha256 } from './secrets.ts';
import { endedSignIn, epochFor } from './standings.ts';
import { type Budget, type Throttles, tooMany } from './throttles.ts';
import { statusOf } from './user-status.ts';

/** Live keys a user may have at once. */
const MAX_KEYS = 50;
/** With the ones that were rotated and go on for a while. */
const MAX_KEYS_WITH_OVERLAPS = 2 * MAX_KEYS;
/** How much of a key is kept in the clear, to tell it by: `uak_` and six characters, 36 of its 256 bits. */
const PREFIX_LENGTH = 10;
/** A use is noted once a minute at most. */
const TOUCH_MS = 60_000;

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const FORM = /^(uak_[0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;

const base62 = (value: bigint, length: number): string => {
  let digits = '';
  for (let rest = value; digits.length < length; rest /= 62n) digits = DIGITS[Number(rest % 62n)] + digits;
  return digits;
};

// As `base62`, for numbers that need no BigInt: every request with a key has its checksum computed.
const checksum = (text: string): string => {
  let digits = '';
  for (let rest = crc32(text); digits.length < 6; rest = Math.floor(rest / 62)) digits = DIGITS[rest % 62] + digits;
  return digits;
};

/** `uak_`, 256 random bits in base62, and a CRC32: leak scanners know one by sight, and a typo by arithmetic. */
export const newApiKey = (): string => {
  const body = `uak_${base62(BigInt(`0x${randomBytes(32).toString('hex')}`), 43)}`;
  return body + checksum(body);
};

/** Whether this can be a key at all; no store is asked about what cannot. */
export const isApiKey = (text: string): boolean => {
  const [, body = '', sum] = FORM.exec(text) ?? [];
  return sum !== undefined && checksum(body) === sum;
};

/** IPv4 in IPv6's clothes (RFC 4291 §2.5.5.2): a caller from there is held against IPv4 networks. */
const MAPPED = new BlockList();
MAPPED.addSubnet('::ffff:0:0', 96, 'ipv6');

/** Whether `text` is an IPv4 or IPv6 network, such as 192.0.2.0/24, that a caller can be in. */
export const isNetwork = (text: string): boolean => {
  const [address = '', bits = '', ...rest] = text.split('/');
  const family = isIP(address);
  // A zone is of one machine: it says nothing about where a caller is.
  return (
    rest.length === 0 &&
    family > 0 &&
    !address.includes('%') &&
    /^\d{1,3}$/.test(bits) &&
    Number(bits) <= (family === 4 ? 32 : 128) &&
    !(family === 6 && Number(bits) >= 96 && MAPPED.check(address, 'ipv6'))
  );
};

const within = (networks: readonly string[], ip: string): boolean => {
  const plain = ip.replace(/^::ffff:(?=\d+\.)/, '');
  const family = isIP(plain);
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', bits] = network.split('/');
    // Of the caller's family only: a list holds IPv4 addresses against IPv6 networks as well, in their mapped form.
    if (isIP(address) === family) list.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
  }
  return family > 0 && list.check(plain, family === 4 ? 'ipv4' : 'ipv6');
};

export type NewKey = {
  name: string;
  scopes: string[];
  expiresAt?: Date | undefined;
  allowedNetworks?: string[] | undefined;
};

/** A key as its owner sees it: never the key itself. */
export type ShownKey = Omit<ApiKey, 'keyHash' | 'userId'>;

const shown = ({ keyHash: _, userId: __, ...key }: ApiKey): ShownKey => key;

export type ApiKeys = ReturnType<typeof createApiKeys>;

export const createApiKeys = (
  { apiKeys: store, roles, atomically }: Pick<Stores, 'apiKeys' | 'roles' | 'atomically'>,
  throttles: Throttles,
  audit: Audit,
) => {
  const fresh = () => {
    const secret = newApiKey();
    return { secret, columns: { id: randomUUID(), prefix: secret.slice(0, PREFIX_LENGTH), keyHash: sha256(secret) } };
  };

  const kept = new WeakMap<ApiKey, { permissions: readonly string[]; scopes: ReadonlySet<string> }>();
  /** What of a key's scopes these permissions cover; found once for as long as both are the same copies. */
  const permitted = (key: ApiKey, permissions: readonly string[]): ReadonlySet<string> => {
    const known = kept.get(key);
    if (known?.permissions === permissions) return known.scopes;
    const scopes = new Set(key.scopes.filter((scope) => permissions.includes(scope)));
    kept.set(key, { permissions, scopes });
    return scopes;
  };

  const isGood = ({ key, user }: ApiKeyHolder, ip: string): boolean =>
    statusOf(user) === 'active' &&
    (key.expiresAt === null || key.expiresAt.getTime() > Date.now()) &&
    (key.allowedNetworks.length === 0 || within(key.allowedNetworks, ip));

  const isNoted = ({ lastUsedAt }: ApiKey): boolean =>
    lastUsedAt !== null && Date.now() - lastUsedAt.getTime() <= TOUCH_MS;

  /** Notes that a key is in use, beside the request, which is not about that. */
  const used = async (key: ApiKey): Promise<void> => {
    const last = key.lastUsedAt;
    // On the copy that the next request will see as well.
    key.lastUsedAt = new Date();
    if (last) {
      store.touch(key.id).catch(() => {});
      return;
    }
    try {
      await atomically(async () => {
        if ((await store.touch(key.id)) !== 'first') return;
        const details = { owner: key.userId };
        await audit.record({ type: 'api_key.first_used', actor: key.userId, target: key.id, details });
      });
    } catch (error) {
      // Not on record yet: the next one tries again.
      key.lastUsedAt = null;
      throw error;
    }
  };

  return {
    /**
     * @returns the key with its secret, which cannot be shown again.
     * @throws {DomainError} `too_many_api_keys`; `stale_sign_in` where the sign-in that asks for it was ended meanwhile.
     */
    async create(
      userId: string,
      { name, scopes, expiresAt, allowedNetworks = [] }: NewKey,
    ): Promise<ShownKey & { key: string }> {
      const { secret, columns } = fresh();
      const row = { ...columns, userId, name, scopes, allowedNetworks, expiresAt: expiresAt ?? null };
      return atomically(async () => {
        const created = await store.create(row, epochFor(userId), MAX_KEYS);
        if (created === 'over') throw endedSignIn();
        if (created === 'too_many')
          throw new DomainError('too_many_api_keys', `at most ${MAX_KEYS} keys; delete one that is not used`);
        const { prefix } = created;
        const details = {
          owner: userId,
          name,
          prefix,
          scopes,
          allowed_networks: allowedNetworks,
          expires_at: expiresAt,
        };
        await audit.record({ type: 'api_key.created', target: created.id, details });
        return { ...shown(created), key: secret };
      });
    },

    list: async (userId: string): Promise<ShownKey[]> => (await store.list(userId)).map(shown),

    /** @throws {DomainError} `unknown_api_key` also for somebody else's. */
    remove: (userId: string, id: string): Promise<void> =>
      atomically(async () => {
        if (!(await store.remove(userId, id))) throw new DomainError('unknown_api_key', 'there is no such key');
        await audit.record({ type: 'api_key.revoked', target: id, details: { owner: userId } });
      }),

    /**
     * A new secret for a key; the old one goes on for `overlapSeconds`, so that a service can be changed over.
     *
     * @throws {DomainError} `unknown_api_key`, `too_many_api_keys`.
     */
    async rotate(userId: string, id: string, overlapSeconds: number): Promise<ShownKey & { key: string }> {
      const { secret, columns } = fresh();
      const overlapEnds = new Date(Date.now() + overlapSeconds * 1000);
      return atomically(async () => {
        const rotated = await store.rotate(userId, id, columns, overlapEnds, MAX_KEYS_WITH_OVERLAPS);
        if (rotated === 'too_many')
          throw new DomainError('too_many_api_keys', 'too many keys are in their overlap already');
        if (!rotated) throw new DomainError('unknown_api_key', 'there is no such key');
        const { id: successor, prefix } = rotated;
        const details = { owner: userId, successor, prefix, overlap_seconds: overlapSeconds };
        await audit.record({ type: 'api_key.rotated', target: id, details });
        return { ...shown(rotated), key: secret };
      });
    },

    /**
     * Whose key this is, where everything is at hand: nobody has to be asked, and there is nothing to note. Otherwise undefined, and
     * nothing is spent: `authenticate` says what there is to say.
     */
    atOnce(secret: string, ip: string): { user: User; budget: Budget } | undefined {
      const keyHash = isApiKey(secret) ? sha256(secret) : undefined;
      const holder = keyHash && store.atHand(keyHash);
      if (!holder || !isGood(holder, ip) || !isNoted(holder.key)) return undefined;
      const budget = throttles.key.spendTaken(keyHash);
      return budget?.allowed ? { user: holder.user, budget } : undefined;
    },

    /**
     * Whose key this is, and what it may do now: its scopes within what its owner's role permits today.
     *
     * @param ip The caller's address, held against the key's networks.
     * @param report What is left of the key's budget, for the answer's headers.
     * @returns undefined for a key that is unknown, expired, used from elsewhere, or whose owner is banned or has asked to be erased.
     * @throws {DomainError} `too_many_attempts`, past the key's rate limit, or for a network that tries keys out.
     */
    async authenticate(
      secret: string,
      ip: string,
      report: (budget: Budget) => void = () => {},
    ): Promise<{ user: User; scopes: ReadonlySet<string>; keyId: string } | undefined> {
      if (!isApiKey(secret)) return undefined;
      const keyHash = sha256(secret);
      if (!store.knows(keyHash)) {
        // Before the database is asked: whoever tries keys out costs it nothing once they are found out.
        await throttles.unknownKeys.check(ip, undefined, report);
        if (!(await store.findByHash(keyHash))) {
          await throttles.unknownKeys.failed(ip, undefined, report);
          return undefined;
        }
      }
      // Both at once are one round trip at most. The budget goes by the hash: the key's id is not known yet.
      const spent = throttles.key.spendAhead(keyHash);
      const found = store.findByHash(keyHash);
      // Mostly nobody has to be asked, and then nothing is waited for: a turn of the event loop has hundreds of these.
      const both = [spent, found] as const;
      const [budget, holder] =
        spent instanceof Promise || found instanceof Promise ? await Promise.all(both) : [spent, found];
      if (!holder) return undefined;
      if (!isGood(holder, ip)) return undefined;
      const { key, user } = holder;
      report(budget);
      if (!budget.allowed) throw tooMany(budget.resetSeconds);
      if (!isNoted(key)) await used(key);
      const permissions = roles.permissionsOf(user.role);
      return {
        user,
        keyId: key.id,
        scopes: permitted(key, permissions instanceof Promise ? await permissions : permissions),
      };
    },
  };
};
