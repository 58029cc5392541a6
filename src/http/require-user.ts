import type { Context, Middleware } from 'koa';
import type { User } from '../domain/accounts.ts';
import type { ApiKeys } from '../domain/api-keys.ts';
import type { Certificates } from '../oidc/features/mtls.ts';
import type { FirstPartyTokens } from '../oidc/first-party-tokens.ts';
import { FIRST_PARTY_CLIENT_ID, FIRST_PARTY_SCOPE } from '../oidc/own-resource.ts';
import { ProofMissing } from '../oidc/sender-constraints.ts';
import { tellBudget } from './rate-limit.ts';

/** Who is calling, and what they may do. */
export type SignedIn = {
  user: User;
  /** Undefined for an API key, which has no grant. */
  grantId?: string;
  /** The app that the token was issued to. */
  clientId?: string;
  keyId?: string;
  /** When they signed in, in epoch seconds, where the token says so. */
  authTime?: number | undefined;
  scopes: ReadonlySet<string>;
};

/** No credentials, or none that are live. @see [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750.html#section-3) */
export class Unauthorized extends Error {
  /** Whether something was presented at all: only then has the answer an error code. */
  readonly presented: boolean;
  /** Whether what was presented is, or would have to be, proven by DPoP (RFC 9449 §7.1). */
  readonly dpop: boolean;

  constructor(presented: boolean, dpop = false) {
    super('Could not validate credentials');
    this.presented = presented;
    this.dpop = dpop;
  }
}

/** Live credentials that do not reach this far. */
export class InsufficientScope extends Error {
  readonly scope: string;

  constructor(scope: string) {
    super(`This needs the scope ${scope}.`);
    this.scope = scope;
  }
}

// RFC 6750 §2.1, RFC 9449 §7.1
const TOKEN = /^(bearer|dpop) +([A-Za-z0-9._~+/-]+=*)$/i;

export type RequireUser = ReturnType<typeof createRequireUser>;

/** Lets in who bears a first-party JWT, an OAuth access token, or an API key in `X-API-Key`. */
export const createRequireUser = (
  tokens: FirstPartyTokens,
  apiKeys: ApiKeys,
  certificates: Certificates,
): Middleware<SignedIn> => {
  const holderOfToken = async (authorization: string, ctx: Context) => {
    const [, named, token] = TOKEN.exec(authorization) ?? [];
    if (named === undefined || token === undefined) return undefined;
    const scheme = named.toLowerCase() === 'dpop' ? 'dpop' : 'bearer';
    const { method, href: url } = ctx;
    try {
      const by = { scheme, method, url, proof: ctx.get('dpop'), certificate: certificates.thumbprintOf(ctx) } as const;
      const holder = await tokens.authenticate(token, by);
      if (!holder && scheme === 'dpop') throw new Unauthorized(true, true);
      return holder;
    } catch (error) {
      throw error instanceof ProofMissing ? new Unauthorized(true, true) : error;
    }
  };

  const holderOf = async (key: string, authorization: string, ctx: Context) => {
    if (key === '') return holderOfToken(authorization, ctx);
    // Two at once would leave it open which of them was meant.
    return authorization === '' ? apiKeys.authenticate(key, ctx.ip, tellBudget(ctx)) : undefined;
  };

  return async (ctx, next) => {
    const key = ctx.get('x-api-key');
    const authorization = ctx.get('authorization');
    const holder = await holderOf(key, authorization, ctx);
    if (!holder) throw new Unauthorized(key !== '' || authorization !== '');
    Object.assign(ctx.state, holder);
    ctx.set('Cache-Control', 'no-store');
    await next();
  };
};

/** Only with this scope. */
export const requireScope =
  (scope: string): Middleware<SignedIn> =>
  async (ctx, next) => {
    if (!ctx.state.scopes.has(scope)) throw new InsufficientScope(scope);
    await next();
  };

/**
 * Only for who signed in to the platform's own apps. What opens further ways in is neither for an API key nor for a
 * third-party app: consent to change a profile is no consent to make keys that outlive it.
 */
export const requirePerson: Middleware<SignedIn> = async (ctx, next) => {
  if (ctx.state.clientId !== FIRST_PARTY_CLIENT_ID) throw new InsufficientScope(FIRST_PARTY_SCOPE);
  await next();
};

/**
 * Only with this permission, by a token of the platform's own apps or by an API key: whatever else a third-party app may be allowed,
 * it administers nothing.
 */
export const requirePermission =
  (permission: string): Middleware<SignedIn> =>
  async (ctx, next) => {
    const { keyId, clientId, scopes } = ctx.state;
    const ours = keyId !== undefined || clientId === FIRST_PARTY_CLIENT_ID;
    if (!ours || !scopes.has(permission)) throw new InsufficientScope(permission);
    await next();
  };
