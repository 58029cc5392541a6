import { type Adapter, type AdapterFactory, type AdapterPayload, errors } from 'oidc-provider';
import { type Secrets, sha256 } from '../domain/secrets.ts';
import { epochFor, goesOn, isOver, shows } from '../domain/standings.ts';
import type { ArtifactRecord, Artifacts } from '../storage/artifacts.ts';
import { createEndedSessions } from './ended-sessions.ts';
import { successorOf } from './engine-internals.ts';
import { parentHashOf } from './grant-ids.ts';
import type { KnownClients } from './known-clients.ts';
import { isRenewal } from './renewals.ts';
import { lastsUntil } from './session-age.ts';

const refuse = async (): Promise<never> => {
  throw new Error('clients are not written through the engine');
};

const clientAdapter = (known: KnownClients): Adapter => ({
  find: async (clientId) => (await known.find(clientId))?.metadata as AdapterPayload | undefined,
  upsert: refuse,
  destroy: refuse,
  consume: refuse,
  revokeByGrantId: refuse,
  findByUid: refuse,
  findByUserCode: refuse,
});

/** Whom an interaction's result signs in. */
const signedInOf = (result: unknown): string | undefined => {
  const { login } = Object(result) as { login?: { accountId?: unknown } };
  return typeof login?.accountId === 'string' ? login.accountId : undefined;
};

/**
 * What a person decides, on another device than the one that asks. It is kept for a while after it has expired, for who asks then is to be
 * told so (RFC 8628 §3.5, CIBA Core §11: expired_token).
 */
const DECIDED: Record<string, (payload: AdapterPayload) => boolean> = {
  DeviceCode: ({ accountId, error }) => accountId !== undefined || error !== undefined,
  BackchannelAuthenticationRequest: ({ grantId, error }) => grantId !== undefined || error !== undefined,
};
const EXPIRED_FOR_SECONDS = 600;

/**
 * What bears the epoch of its account: what a person is signed in by, and what every code and token hangs on, since the engine asks for
 * the grant whenever one of those is used.
 */
const OF_AN_EPOCH: ReadonlySet<string> = new Set(['Session', 'Grant', 'Interaction']);

/** Whose an artifact is. What a sign-in that is done is about comes before who was signed in until then. */
const holderOf = (payload: AdapterPayload): string | undefined =>
  signedInOf(payload.result) ?? payload.accountId ?? payload.session?.accountId;

const PUSHED = 'PushedAuthorizationRequest';

/** What a client turns into tokens. */
const REDEEMED: ReadonlySet<string> = new Set(['AuthorizationCode', ...Object.keys(DECIDED)]);

const contextOf = (model: string): string => `oauth_tokens:${model}`;

// The identifier is sealed along with the payload: a row given another row's content does not open.
const opener =
  (secrets: Secrets, known: KnownClients, context: string) =>
  async (
    record: ArtifactRecord | undefined,
    id?: string,
    lives: (payload: AdapterPayload, epoch: number) => boolean = () => true,
  ): Promise<AdapterPayload | undefined> => {
    if (!record) return undefined;
    let sealedId: unknown;
    let payload: AdapterPayload;
    let generation: string | null | undefined;
    let epoch: number | null | undefined;
    try {
      [sealedId, payload, generation, epoch] = JSON.parse(secrets.open(record.payload, context));
    } catch {
      // Sealed under a key that is gone: as good as absent.
      return undefined;
    }
    if (id !== undefined && sealedId !== id) return undefined;
    // What a client was given goes with the client, and does not come back with another one of the same client_id.
    if (payload.clientId !== undefined) {
      const living = await known.generationOf(payload.clientId);
      if (living === undefined || (generation != null && generation !== living)) return undefined;
    }
    // Without one it is of the epoch that every account begins with.
    if (!lives(payload, epoch ?? 0)) return undefined;
    return record.consumedAt === undefined ? payload : { ...payload, consumed: record.consumedAt };
  };

/** What an account holds of one model, as the engine stored it. */
export const artifactsOfAccount = async (
  artifacts: Artifacts,
  known: KnownClients,
  secrets: Secrets,
  model: string,
  accountId: string,
): Promise<AdapterPayload[]> => {
  const open = opener(secrets, known, contextOf(model));
  const lives = (_: AdapterPayload, epoch: number) => !OF_AN_EPOCH.has(model) || !isOver(accountId, epoch);
  const found = await artifacts.findByAccount(model, accountId);
  const payloads = await Promise.all(found.map((record) => open(record, undefined, lives)));
  return payloads.filter((payload) => payload !== undefined);
};

const artifactAdapter = (
  model: string,
  artifacts: Artifacts,
  known: KnownClients,
  secrets: Secrets,
  retrySeconds: number,
  sessionMaxSeconds: number,
): Adapter => {
  const context = contextOf(model);
  const ended = createEndedSessions(artifacts);
  const opened = opener(secrets, known, context);

  /** Whether what the request shows is not over yet; from here on it speaks for the account by that. */
  const isShown = (payload: AdapterPayload, epoch: number): boolean => {
    if (model === 'Session' && lastsUntil(payload, sessionMaxSeconds) <= Date.now() / 1000) return false;
    const accountId = OF_AN_EPOCH.has(model) ? holderOf(payload) : undefined;
    if (accountId === undefined) return true;
    if (model !== 'Interaction') return shows(accountId, epoch);
    // It is there in any case: its person may sign in anew.
    goesOn(accountId, epoch, signedInOf(payload.result) !== undefined);
    return true;
  };
  const open = (record: ArtifactRecord | undefined, id?: string) => opened(record, id, isShown);

  /**
   * Whether presenting this spent refresh token is the retry of a request whose answer was lost: shortly after, and with
   * its successor never used, since using it proves that it was received. Anything later is reuse (RFC 9700 §4.14.2).
   */
  const isRetry = async (id: string, { consumedAt }: ArtifactRecord): Promise<boolean> => {
    if (model !== 'RefreshToken' || consumedAt === undefined) return false;
    // By the clock that made the mark: this process's own may be wrong.
    if (!(await artifacts.consumedWithin(model, sha256(id), retrySeconds))) return false;
    const successor = await artifacts.find(model, sha256(successorOf(secrets, id)));
    // None yet: the process ended between the two writes, or is between them now.
    return successor?.consumedAt === undefined;
  };

  /** Whether the grant that a grant was made of lives still, and the one that was made of, and so on. */
  const stands = async (grantId: string): Promise<boolean> => {
    const hash = parentHashOf(grantId);
    if (hash === undefined) return true;
    const parent = await open(await artifacts.find('Grant', hash));
    return parent?.jti !== undefined && stands(parent.jti);
  };

  const find = async (id: string) => {
    if (model === 'Grant' && !(await stands(id))) return undefined;
    const record = await artifacts.find(model, sha256(id));
    if (record && (await isRetry(id, record))) return open({ payload: record.payload }, id);
    return open(record, id);
  };

  const isDecided = DECIDED[model];
  // Short: a person types it. Under a key that is not in the store, it cannot be found there by trying all there are.
  const userCodeHash = (userCode: string) => secrets.keyedHash('user-code', userCode);

  /** Lets one decision through, of however many at once in whatever process; and nothing that was read before it afterwards. */
  const decideOnce = async (
    id: string,
    { accountId, ...payload }: AdapterPayload,
    expiresAt: number,
  ): Promise<void> => {
    const decided = isDecided?.({ accountId, ...payload });
    const mark = [`${model}Decision`, sha256(id)] as const;
    if (decided) {
      if (!(await artifacts.consume(...mark))) throw new errors.InvalidRequest('this was decided already');
    } else if ((await artifacts.find(...mark))?.consumedAt !== undefined)
      throw new errors.InvalidRequest('this was decided already');
    else await artifacts.upsert(...mark, { payload: '-', expiresAt, ...(accountId !== undefined && { accountId }) });
  };

  /**
   * A pushed request is spent when its authorization is complete, which may be later than it is good for: it is remembered for as long as
   * an interaction that began with it, so that of two that began in time one gets through. (The engine takes none up past its own time.)
   */
  const outlive = async (parJti: string, expiresAt: number): Promise<void> => {
    const pushed = await artifacts.find(PUSHED, sha256(parJti));
    // One that has expired in between does not come back: nobody would know any more whether it was spent.
    if (pushed) await artifacts.replace(PUSHED, sha256(parJti), { payload: pushed.payload, expiresAt });
  };

  return {
    async upsert(id, payload, expiresIn) {
      const generation =
        payload.clientId === undefined ? null : ((await known.generationOf(payload.clientId)) ?? 'of none');
      const accountId = holderOf(payload);
      const epoch = accountId === undefined || !OF_AN_EPOCH.has(model) ? null : epochFor(accountId);
      const goodUntil = payload.exp ?? Math.floor(Date.now() / 1000) + (expiresIn ?? 0);
      const expiresAt = goodUntil + (isDecided ? EXPIRED_FOR_SECONDS : 0);
      if (isDecided) await decideOnce(id, payload, expiresAt);
      if (typeof payload.parJti === 'string') await outlive(payload.parJti, expiresAt);
      const write = model === 'Grant' && isRenewal() ? artifacts.replace : artifacts.upsert;
      await write(model, sha256(id), {
        payload: secrets.seal(JSON.stringify([id, payload, generation, epoch]), context),
        expiresAt,
        grantId: model === 'Grant' ? id : payload.grantId,
        uid: payload.uid,
        userCodeHash: payload.userCode === undefined ? undefined : userCodeHash(payload.userCode),
        // A sign-in that is done, and whose browser has not gone on yet, is its person's too: a ban or a new password ends it.
        accountId,
      });
      if (model === 'Session' && payload.uid !== undefined && (await ended.has(payload.uid)))
        await artifacts.destroy(model, sha256(id));
    },

    find,
    findByUid: async (uid) => open(await artifacts.findByUid(model, uid)),
    findByUserCode: async (userCode) => open(await artifacts.findByUserCode(model, userCodeHash(userCode))),

    async consume(id) {
      if (await artifacts.consume(model, sha256(id))) return;
      const record = model === 'RefreshToken' ? await artifacts.find(model, sha256(id)) : undefined;
      if (record && (await isRetry(id, record))) return;
      if (model === PUSHED) throw new errors.InvalidRequestUri('request_uri was already used');
      if (REDEEMED.has(model)) {
        // RFC 6749 §4.1.2: a code used twice ends what its first use got. The engine sees to that when it finds the
        // code spent; here two redemptions found it unspent at once, and this one lost.
        const grantId = (await find(id))?.grantId;
        if (grantId !== undefined) {
          await artifacts.destroy('Grant', sha256(grantId));
          await artifacts.revokeByGrantId('AccessToken', grantId);
          await artifacts.revokeByGrantId('RefreshToken', grantId);
        }
      }
      throw new errors.InvalidGrant('already used');
    },

    destroy: (id) => artifacts.destroy(model, sha256(id)),
    revokeByGrantId: (grantId) => artifacts.revokeByGrantId(model, grantId),
  };
};

/**
 * What oidc-provider persists, hashed and sealed, in the stores given.
 *
 * @param retrySeconds How long after its use a refresh token gives its successor again.
 * @param sessionMaxSeconds How long a session lasts, however much it is used.
 */
export const createAdapterFactory =
  (
    artifacts: Artifacts,
    known: KnownClients,
    secrets: Secrets,
    retrySeconds: number,
    sessionMaxSeconds: number,
  ): AdapterFactory =>
  (model) =>
    model === 'Client'
      ? clientAdapter(known)
      : artifactAdapter(model, artifacts, known, secrets, retrySeconds, sessionMaxSeconds);
