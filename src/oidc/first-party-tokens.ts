import { createSecretKey, type KeyObject } from 'node:crypto';
import type { JWTVerifyGetKey } from 'jose';
import { errors, type Grant, type Provider } from 'oidc-provider';
import { z } from 'zod';
import type { Accounts, User } from '../domain/accounts.ts';
import type { Alerts } from '../domain/alerts.ts';
import { isPermission, KEY_SCOPES } from '../domain/claims.ts';
import { DomainError } from '../domain/errors.ts';
import type { Secrets } from '../domain/secrets.ts';
import { asOf } from '../domain/standings.ts';
import type { Stores } from '../storage/stores.ts';
import { type AccessJwts, isJwt } from './access-jwts.ts';
import type { DpopProofs } from './dpop-proofs.ts';
import { successorOf } from './engine-internals.ts';
import { newGrantId } from './grant-ids.ts';
import type { Authentication } from './interactions.ts';
import { FIRST_PARTY_CLIENT_ID, holders, type JwtSettings, ownResourceServer, signInTimes } from './own-resource.ts';
import { renew } from './renewals.ts';
import { type Bound, holdsKey, type Presentation } from './sender-constraints.ts';

/** What /auth/login answers: RFC 6749 §5.1, in the predecessor's spelling of the type. */
export type TokenPair = { access_token: string; refresh_token: string; token_type: 'bearer'; expires_in: number };

/** A pair, and the grant that it lives and dies with. */
export type Issued = { grantId: string; tokens: TokenPair };

/** Who a bearer token stands for. */
export type Bearer = {
  user: User;
  scopes: ReadonlySet<string>;
  clientId: string;
  grantId: string;
  /** When they signed in, in epoch seconds, where the token says so. */
  authTime?: number | undefined;
};

/** A first-party JWT that verifies, whose grant lives, and that was not revoked by itself. */
export type LiveJwt = z.infer<typeof Claims>;

// RFC 9068 §2.2, and the grant that the token lives and dies with.
const Claims = z.looseObject({
  sub: z.string(),
  client_id: z.string(),
  scope: z.string().default(''),
  grant_id: z.string(),
  jti: z.string(),
  iat: z.number(),
  auth_time: z.number().optional(),
  exp: z.number(),
  /** RFC 7800: the key that the token is bound to. */
  cnf: z.looseObject({ jkt: z.string().optional(), 'x5t#S256': z.string().optional() }).optional(),
});

export type FirstPartyTokens = ReturnType<typeof createFirstPartyTokens>;

/** Tokens outside the engine's own endpoints: one machinery with it, since they are its artifacts under its rules. */
export const createFirstPartyTokens = (
  provider: Provider,
  { roles }: Pick<Stores, 'roles'>,
  secrets: Secrets,
  accounts: Accounts,
  alerts: Alerts,
  jwts: AccessJwts,
  publicKey: JWTVerifyGetKey,
  settings: JwtSettings,
  proofs: DpopProofs,
) => {
  const { issuer, jwtAlgorithm, accessTokenTtlSeconds, refreshTokenTtlSeconds } = settings;
  const secret: KeyObject = createSecretKey(Buffer.from(settings.jwtSecretKey));
  const signedByUs = {
    key: jwtAlgorithm === 'HS256' ? async () => secret : publicKey,
    algorithms: [jwtAlgorithm],
    audience: issuer,
  };
  const ownResource = ownResourceServer(settings);

  const client = async () => {
    const found = await provider.Client.find(FIRST_PARTY_CLIENT_ID);
    if (!found) throw new Error('the built-in client is missing');
    return found;
  };

  type Lineage = {
    user: User;
    grantId: string;
    scope: string;
    authTime: number;
    rotations: number;
    amr: string[];
    /** The refresh token's identifier; a random one when absent. */
    jti?: string;
    iiat?: number;
  };

  const pair = async ({ user, ...lineage }: Lineage): Promise<TokenPair> => {
    const { grantId, scope } = lineage;
    const common = { client: await client(), accountId: user.id, grantId, gty: 'password', scope };
    const accessToken = new provider.AccessToken(common);
    accessToken.resourceServer = new provider.ResourceServer(issuer, ownResource);
    holders.set(accessToken, user);
    signInTimes.set(accessToken, lineage.authTime);
    const refreshToken = new provider.RefreshToken({ ...common, ...lineage, resource: issuer });
    const [access_token, refresh_token] = await Promise.all([accessToken.save(), refreshToken.save()]);
    return { access_token, refresh_token, token_type: 'bearer', expires_in: accessTokenTtlSeconds };
  };

  const end = async (grantId: string): Promise<void> => {
    // The grant first: without it none of its tokens is worth anything, whatever happens next.
    await provider.Grant.adapter.destroy(grantId);
    await Promise.all([provider.AccessToken.revokeByGrantId(grantId), provider.RefreshToken.revokeByGrantId(grantId)]);
  };

  const liveGrant = async (grantId: string, accountId: string, clientId: string): Promise<Grant | undefined> => {
    const grant = await provider.Grant.find(grantId);
    return grant?.accountId === accountId && grant.clientId === clientId ? grant : undefined;
  };

  /** Keeps a grant alive for as long as a refresh token issued now will be; written once in a refresh token's lifetime. */
  const outlive = async (grant: Grant): Promise<void> => {
    const isNew = grant.exp === undefined;
    if (!isNew && grant.remainingTTL > refreshTokenTtlSeconds) return;
    grant.exp = Math.floor(Date.now() / 1000) + 2 * refreshTokenTtlSeconds;
    await (isNew ? grant.save() : renew(grant));
  };

  /** What of `scopes` the user's role permits today. */
  const permitted = async (scopes: Iterable<string>, { role }: User): Promise<Set<string>> => {
    const permissions = await roles.permissionsOf(role);
    return new Set([...scopes].filter((scope) => !isPermission(scope) || permissions.includes(scope)));
  };
  const firstPartyScope = async (user: User): Promise<string> => [...(await permitted(KEY_SCOPES, user))].join(' ');

  /** The claims of a live first-party JWT; undefined for anything else that looks like one. */
  const verified = async (token: string): Promise<LiveJwt | undefined> => {
    const claims = await jwts.verify(token, Claims, signedByUs);
    if (!claims) return undefined;
    const [lives, denied] = await Promise.all([
      liveGrant(claims.grant_id, claims.sub, claims.client_id),
      jwts.isDenied(claims),
    ]);
    return lives && !denied ? claims : undefined;
  };

  const bearerOf = async (token: string): Promise<(Omit<Bearer, 'user'> & Bound & { sub: string }) | undefined> => {
    if (isJwt(token)) {
      const claims = await verified(token);
      return (
        claims && {
          jkt: claims.cnf?.jkt,
          x5t: claims.cnf?.['x5t#S256'],
          sub: claims.sub,
          clientId: claims.client_id,
          grantId: claims.grant_id,
          authTime: claims.auth_time,
          scopes: new Set(claims.scope.split(' ').filter(Boolean)),
        }
      );
    }
    const found = await provider.AccessToken.find(token);
    // A token for another audience is not for us.
    if (!found?.isValid || !found.accountId || !found.grantId || !found.clientId || found.aud) return undefined;
    const { accountId: sub, clientId, grantId, scopes, jkt, 'x5t#S256': x5t } = found;
    return (await liveGrant(grantId, sub, clientId)) ? { sub, clientId, grantId, scopes, jkt, x5t } : undefined;
  };

  return {
    /**
     * A fresh grant of the platform's own apps, and its first pair of tokens.
     *
     * @param user As they were read when they proved who they are.
     * @param how `grantId` where the grant has a name already.
     * @param along What is written along with it.
     */
    async issue(user: User, how: Authentication & { grantId?: string }, along: () => Promise<void>): Promise<Issued> {
      // Named beforehand, and all that is to be known is asked beforehand, so that the grant and what hangs on it are written in one go.
      const { amr, authTime, grantId = newGrantId() } = how;
      const grant = new provider.Grant({ accountId: user.id, clientId: FIRST_PARTY_CLIENT_ID });
      grant.jti = grantId;
      grant.addResourceScope(issuer, KEY_SCOPES.join(' '));
      const [scope] = await Promise.all([firstPartyScope(user), client()]);
      const [tokens] = await Promise.all([
        pair({ user, grantId, scope, authTime: authTime ?? Math.floor(Date.now() / 1000), rotations: 0, amr }),
        asOf(user, () => outlive(grant)),
        along(),
      ]);
      return { grantId, tokens };
    },

    /**
     * Exchanges a first-party refresh token for a new pair; the old token is spent.
     * A spent token presented again gives the same successor for a short while, in which the answer may have been lost; past
     * that, or once the successor was used, it ends its family: two parties hold it, one a thief.
     *
     * @throws {DomainError} `invalid_refresh_token` when unknown, expired, spent, of another client, or the user is banned.
     * @see [RFC 9700 §4.14.2](https://www.rfc-editor.org/rfc/rfc9700.html#section-4.14.2)
     */
    async refresh(value: string): Promise<Issued> {
      const refused = new DomainError('invalid_refresh_token', 'Could not validate credentials');
      const token = await provider.RefreshToken.find(value);
      if (!token || token.clientId !== FIRST_PARTY_CLIENT_ID || !token.accountId || !token.grantId) throw refused;
      const { accountId, grantId, rotations = 0, iiat } = token;
      if (token.consumed) {
        await end(grantId);
        await alerts.tokenReused(
          accountId,
          FIRST_PARTY_CLIENT_ID,
          (await client()).clientName ?? FIRST_PARTY_CLIENT_ID,
        );
        throw refused;
      }
      const grant = await liveGrant(grantId, accountId, FIRST_PARTY_CLIENT_ID);
      const user = grant && (await accounts.find(accountId));
      if (!user) throw refused;
      try {
        await token.consume();
      } catch (error) {
        if (error instanceof errors.InvalidGrant) throw refused;
        throw error;
      }
      await outlive(grant);
      const tokens = await pair({
        user,
        grantId,
        scope: await firstPartyScope(user),
        authTime: token.authTime ?? 0,
        rotations: rotations + 1,
        amr: token.amr ?? [],
        iiat,
        jti: successorOf(secrets, token.jti),
      });
      return { grantId, tokens };
    },

    /** Ends a grant with all its tokens. */
    end,

    /** As `keeper` of a browser's session, for one grant. */
    async keeper(grantId: string): Promise<(user: User) => Promise<void>> {
      const grant = await provider.Grant.find(grantId);
      return async (user) => {
        // One that somebody has ended since stays so.
        if (grant?.accountId === user.id) await asOf(user, () => renew(grant));
      };
    },

    /**
     * Who an access token stands for: a first-party JWT, or an opaque token of the engine's.
     *
     * @returns undefined for anything that is not live: forged, expired, revoked, of a user who is gone or banned.
     * @throws {ProofMissing} when it is bound to a key that the caller has not shown to hold.
     */
    async authenticate(token: string, by: Presentation): Promise<Bearer | undefined> {
      const claimed = await bearerOf(token);
      if (!claimed) return undefined;
      const { sub, jkt, x5t, ...bearer } = claimed;
      if (!(await holdsKey(proofs, token, { jkt, x5t }, bearer.clientId, by))) return undefined;
      const user = await accounts.find(sub);
      return user && { ...bearer, scopes: await permitted(bearer.scopes, user), user };
    },

    /** As RFC 7662 asks: the claims of a first-party JWT that is live, its user included. */
    async introspect(token: string): Promise<LiveJwt | undefined> {
      const claims = await verified(token);
      const user = claims && (await accounts.find(claims.sub));
      return (
        user && {
          ...claims,
          email: user.email,
          role: user.role,
          scope: [...(await permitted(claims.scope.split(' '), user))].join(' '),
        }
      );
    },
  };
};
