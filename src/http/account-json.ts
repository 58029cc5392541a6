import type { User } from '../domain/accounts.ts';
import type { ShownKey } from '../domain/api-keys.ts';
import { claimsOf } from '../domain/claims.ts';
import type { Identity } from '../domain/identities.ts';
import { isBanned, statusOf } from '../domain/user-status.ts';
import type { ConnectedApp } from '../oidc/connected-apps.ts';
import type { LiveSignIn } from '../oidc/sign-ins.ts';

// A row is never changed in place, and the one that an API key keeps is told over and over.
const profiles = new WeakMap<User, Record<string, unknown>>();
const profileOf = (user: User): Record<string, unknown> => {
  const known = profiles.get(user);
  if (known) return known;
  const { sub: _, preferred_username: __, updated_at: ___, ...claims } = claimsOf(user);
  profiles.set(user, claims);
  return claims;
};

/** A user as the REST API gives them: the predecessor's fields, then OIDC's standard claims. */
export const accountJson = (user: User) => {
  return {
    id: user.id,
    email: user.email,
    username: user.username,
    role: user.role,
    is_active: statusOf(user) === 'active',
    ...profileOf(user),
    ...(user.pendingEmail !== null &&
      user.pendingEmailUntil &&
      user.pendingEmailUntil.getTime() > Date.now() && { pending_email: user.pendingEmail }),
    created_at: user.createdAt.toISOString(),
    updated_at: user.updatedAt.toISOString(),
  };
};

const texts = new WeakMap<User, string>();

/** As `accountJson`, as JSON already: for the one question that services ask all day, of a row that is kept. */
export const accountText = (user: User): string => {
  // An address that waits to be confirmed goes by itself.
  if (user.pendingEmail !== null) return JSON.stringify(accountJson(user));
  const known = texts.get(user);
  if (known !== undefined) return known;
  const text = JSON.stringify(accountJson(user));
  texts.set(user, text);
  return text;
};

/** A user as administrators see them: with what is not the person's own to know or change. */
export const administeredJson = (user: User) => {
  const banned = isBanned(user);
  return {
    ...accountJson(user),
    email_verified: user.emailVerified,
    status: statusOf(user),
    banned_at: banned ? (user.bannedAt?.toISOString() ?? null) : null,
    banned_until: banned ? (user.bannedUntil?.toISOString() ?? null) : null,
    ban_reason: banned ? user.banReason : null,
    erase_after: user.eraseAfter?.toISOString() ?? null,
    has_password: user.passwordHash !== null,
  };
};

/** A key as its owner sees it; `key` is there only in the answer that made it. */
export const apiKeyJson = ({ key, ...shown }: ShownKey & { key?: string }) => ({
  id: shown.id,
  name: shown.name,
  ...(key !== undefined && { key }),
  prefix: shown.prefix,
  scopes: shown.scopes,
  allowed_networks: shown.allowedNetworks,
  created_at: shown.createdAt.toISOString(),
  expires_at: shown.expiresAt?.toISOString() ?? null,
  last_used_at: shown.lastUsedAt?.toISOString() ?? null,
});

/** A sign-in as its owner sees it. */
export const sessionJson = ({ id, kind, ip, userAgent, createdAt, lastUsedAt, current }: LiveSignIn) => ({
  id,
  kind,
  ip,
  user_agent: userAgent,
  created_at: createdAt.toISOString(),
  last_used_at: lastUsedAt.toISOString(),
  current,
});

/** An app as the person sees it who let it in. */
export const appJson = ({ clientId, name, logoUri, scopes, resources, createdAt, lastUsedAt }: ConnectedApp) => ({
  client_id: clientId,
  name,
  logo_uri: logoUri ?? null,
  scopes,
  resources: Object.entries(resources).map(([identifier, there]) => ({ identifier, scopes: there })),
  created_at: createdAt.toISOString(),
  last_used_at: lastUsedAt.toISOString(),
});

/** Who the person is at another provider, as they see it. */
export const identityJson = ({
  id,
  provider,
  issuer,
  subject,
  email,
  emailVerified,
  profile,
  linkedAt,
  lastUsedAt,
}: Identity) => ({
  id,
  provider,
  issuer,
  subject,
  email,
  email_verified: emailVerified,
  ...(profile as { name?: string; picture?: string; username?: string }),
  linked_at: linkedAt.toISOString(),
  last_used_at: lastUsedAt.toISOString(),
});
