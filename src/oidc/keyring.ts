import { createLocalJWKSet, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose';
import type { Audit } from '../domain/audit.ts';
import type { KeyState, StoredSigningKey } from '../storage/signing-keys.ts';
import type { Stores } from '../storage/stores.ts';
import { type ExternalKey, engineKey } from './external-keys.ts';
import { ALGORITHMS, type Algorithm, generateKey, openKey, publicKeys, type Sealing } from './keys.ts';

/** How long others may go on with the keys they have fetched: Cache-Control of the JWKS endpoint. */
export const JWKS_MAX_AGE_SECONDS = 300;
/** From when a key is published until it signs: longer than anybody has a list without it. */
export const LEAD_SECONDS = JWKS_MAX_AGE_SECONDS + 60;
/** The longest that anything signed here is good for, unless an access token is for longer. */
const LONGEST_TOKEN_SECONDS = 86_400;
/** What clocks differ by at most, and then some. */
const SLACK_SECONDS = 300;

/** How often each process asks which keys there are. */
const FOLLOW_MS = 2_000;
/** How often each process sees to what is due. */
const TEND_MS = 3_600_000;

export type ShownKey = Pick<StoredSigningKey, 'kid' | 'alg' | 'createdAt' | 'activeFrom' | 'supersededAt'> & {
  state: Exclude<KeyState, 'gone'>;
};

/** The keys of this moment. */
export type Keys = {
  /** Private; those that sign come first, for the engine signs with the first one of an algorithm. */
  jwks: JWK[];
  public: JSONWebKeySet;
};

export type KeyringSettings = {
  /** Of access tokens, in seconds. */
  accessTokenTtlSeconds: number;
  /** How long a key signs before the next one takes over by itself; 0 for as long as nobody rotates it. */
  keyRotationDays: number;
  /** They sign in place of ours of the same algorithm, for as long as they are configured; whoever holds them rotates them. */
  externalKeys: readonly ExternalKey[];
};

const PLACE: Record<KeyState, number> = { active: 0, retiring: 1, next: 2, gone: 3 };

export type Keyring = Awaited<ReturnType<typeof createKeyring>>;

/**
 * The signing keys, one of each algorithm at a time: published, then signing, then published still until nothing that it signed is good
 * any more. They change while the service runs, in every process within seconds.
 *
 * @throws {SigningKeysError} when keys in the database do not open.
 */
export const createKeyring = async (
  { signingKeys: store, atomically }: Pick<Stores, 'signingKeys' | 'atomically'>,
  sealing: Sealing,
  audit: Audit,
  { accessTokenTtlSeconds, keyRotationDays, externalKeys }: KeyringSettings,
) => {
  const keepSeconds = Math.max(LONGEST_TOKEN_SECONDS, accessTokenTtlSeconds) + SLACK_SECONDS;
  const maxAgeSeconds = keyRotationDays * 86_400;
  const listeners: ((keys: Keys) => void)[] = [];
  const opened = new Map<string, JWK>();
  let version = '';
  let keys: Keys = { jwks: [], public: { keys: [] } };
  let find = createLocalJWKSet(keys.public);

  const alive = async (): Promise<(StoredSigningKey & { state: ShownKey['state'] })[]> => {
    const all = await store.list(keepSeconds);
    return all.flatMap((key) => (key.state === 'gone' ? [] : [{ ...key, state: key.state }]));
  };

  /** Takes up what is stored. */
  const follow = async (): Promise<StoredSigningKey[]> => {
    const records = [...(await alive())].sort((a, b) => PLACE[a.state] - PLACE[b.state]);
    const now = records.map(({ kid, state }) => `${kid} ${state}`).join('\n');
    if (now === version) return records;
    for (const record of records)
      if (!opened.has(record.kid)) opened.set(record.kid, await openKey(record, sealing, store));
    const jwks = [...externalKeys.map(engineKey), ...records.flatMap(({ kid }) => opened.get(kid) ?? [])];
    version = now;
    keys = { jwks, public: publicKeys(jwks) };
    find = createLocalJWKSet(keys.public);
    for (const listener of listeners) listener(keys);
    return records;
  };

  const announced = async (
    type: 'signing_key.created' | 'signing_key.removed',
    keys: { kid: string; alg: string }[],
  ): Promise<void> => {
    for (const { kid, alg } of keys) await audit.record({ type, target: kid, details: { alg } });
  };

  const missing = async (): Promise<void> => {
    const known = new Set((await store.list(keepSeconds)).map(({ alg }) => alg));
    const wanted = ALGORITHMS.filter((alg) => !known.has(alg));
    if (wanted.length === 0) return;
    const first = await Promise.all(wanted.map((alg) => generateKey(alg, sealing)));
    await atomically(async () => announced('signing_key.created', await store.addFirst(first)));
  };

  const next = async (algorithms: readonly Algorithm[], olderThanSeconds: number) => {
    const keys = await Promise.all(algorithms.map((alg) => generateKey(alg, sealing)));
    await atomically(async () =>
      announced('signing_key.created', await store.addNext(keys, LEAD_SECONDS, olderThanSeconds)),
    );
  };

  /** What has to happen by itself: the next key when one has signed for long enough, and the end of those nobody needs. */
  const tend = async (): Promise<void> => {
    const records = await follow();
    const old = Date.now() - maxAgeSeconds * 1000;
    const isYoung = ({ state, activeFrom }: StoredSigningKey) => state === 'next' || activeFrom.getTime() >= old;
    const due = ALGORITHMS.filter((alg) => !records.some((key) => key.alg === alg && isYoung(key)));
    if (keyRotationDays > 0 && due.length > 0) await next(due, maxAgeSeconds);
    const gone = (await store.list(keepSeconds)).filter(({ state }) => state === 'gone').map(({ kid }) => kid);
    if (gone.length > 0) await atomically(async () => announced('signing_key.removed', await store.remove(gone)));
  };

  await missing();
  await follow();
  let timer: NodeJS.Timeout | undefined;

  return {
    current: (): Keys => keys,

    /** The key that verifies what one of ours has signed. */
    publicKey: ((header, jws) => find(header, jws)) satisfies JWTVerifyGetKey as JWTVerifyGetKey,

    /** Called with the keys whenever they have changed. */
    onChange: (listener: (keys: Keys) => void): void => void listeners.push(listener),

    follow,

    list: async (): Promise<ShownKey[]> => alive(),

    /** Publishes the next key of each algorithm, which takes over once everybody can have it; one that waits already stays. */
    async rotate(): Promise<ShownKey[]> {
      await next(ALGORITHMS, 0);
      await audit.record({ type: 'signing_key.rotated' });
      await follow();
      return alive();
    },

    tend,

    /** @param failed The keys could not be looked after this time; those in use stay in use. */
    start(failed: (error: Error) => void): void {
      let tended = 0;
      let busy = false;
      timer = setInterval(async () => {
        if (busy) return;
        busy = true;
        try {
          if (Date.now() - tended < TEND_MS) await follow();
          else {
            tended = Date.now();
            await tend();
          }
        } catch (error) {
          failed(error instanceof Error ? error : new Error(String(error)));
        } finally {
          busy = false;
        }
      }, FOLLOW_MS);
      timer.unref();
    },

    stop: (): void => clearInterval(timer),
  };
};
