// The contract for what oidc-provider persists (sessions, codes, tokens, grants, …), kept alike by every backend:
// artifacts-postgres, artifacts-redis and, over both, artifacts-layered. Opaque here: identifiers arrive hashed, payloads sealed.

/** 'Session', 'AccessToken', 'AuthorizationCode', 'Grant', 'RefreshToken', … as oidc-provider names them; never contains a colon. */
export type ArtifactModel = string;

export type ArtifactRecord = {
  payload: string;
  /** When it was consumed, in epoch seconds by the store's clock; absent while it is unspent. */
  consumedAt?: number;
};

export type ArtifactEntry = {
  payload: string;
  /** Epoch seconds. From then on the artifact is gone for every method. */
  expiresAt: number;
  /** The grant it belongs to; a Grant's own identifier for the Grant itself. */
  grantId?: string;
  uid?: string;
  userCodeHash?: string;
  accountId?: string;
};

/** What names one artifact. */
export type ArtifactKey = { model: ArtifactModel; idHash: string };

/** Everything a store knows of an artifact: what a copy of it is made from. */
export type StoredArtifact = ArtifactEntry & ArtifactRecord;

/**
 * Every method may be called again after it failed: repeating one that went half-way completes it.
 * A store that cannot be reached rejects; nothing is reported as done that was not.
 */
export type Artifacts = {
  /** Inserts or replaces. The consumed mark survives a replace, as long as the artifact replaced has not expired. */
  upsert(model: ArtifactModel, idHash: string, entry: ArtifactEntry): Promise<void>;

  /** As `upsert`, for one that is there: what was destroyed meanwhile, or has expired, stays so. @returns whether it was there. */
  replace(model: ArtifactModel, idHash: string, entry: ArtifactEntry): Promise<boolean>;

  /** Never an expired one. */
  find(model: ArtifactModel, idHash: string): Promise<ArtifactRecord | undefined>;

  /** The one that lives longest, should several bear the uid. A uid that a replace took away finds nothing. */
  findByUid(model: ArtifactModel, uid: string): Promise<ArtifactRecord | undefined>;

  /** As `findByUid`, by the hash of a device flow's user code. */
  findByUserCode(model: ArtifactModel, userCodeHash: string): Promise<ArtifactRecord | undefined>;

  /** Every live one of this model that bears the accountId, in no order. */
  findByAccount(model: ArtifactModel, accountId: string): Promise<ArtifactRecord[]>;

  /**
   * Marks the artifact consumed, in one conditional write: of any number of concurrent calls exactly one resolves true;
   * false when it was consumed before, has expired or is unknown.
   *
   * @throws when the outcome is unknown. The artifact may then be consumed without anyone having been told true.
   * @see [RFC 6749 §4.1.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.1.2): a code MUST NOT be used more than once
   */
  consume(model: ArtifactModel, idHash: string): Promise<boolean>;

  /** Whether it was consumed less than so many seconds ago, by the store's clock alone; false while it is unspent. */
  consumedWithin(model: ArtifactModel, idHash: string, seconds: number): Promise<boolean>;

  destroy(model: ArtifactModel, idHash: string): Promise<void>;

  /** Ends the artifacts of this model, and of this model only, that belong to the grant. */
  revokeByGrantId(model: ArtifactModel, grantId: string): Promise<void>;

  /**
   * Ends everything an account holds: every artifact of every model with that accountId, and every artifact of
   * a grant that one of those belongs to, also when it does not bear the accountId itself.
   */
  destroyByAccount(accountId: string): Promise<void>;

  destroyByUid(model: ArtifactModel, uid: string): Promise<void>;

  /**
   * Deletes expired rows where the store does not expire them by itself.
   *
   * @param limit Most rows to delete in this call, 1000 by default.
   * @returns how many were deleted; `limit` of them means that there may be more.
   */
  sweep(limit?: number): Promise<number>;
};
