// The scopes this service knows and the claims they give: the one registry that discovery, consent and userinfo read.
import type { User } from '../storage/users.ts';

/** Scope → claims. OIDC Core §5.4; the last two are this service's own and carry no claims. */
export const SCOPES = {
  openid: ['sub'],
  profile: [
    'name',
    'family_name',
    'given_name',
    'middle_name',
    'nickname',
    'preferred_username',
    'profile',
    'picture',
    'website',
    'gender',
    'birthdate',
    'zoneinfo',
    'locale',
    'updated_at',
  ],
  email: ['email', 'email_verified'],
  address: ['address'],
  phone: ['phone_number', 'phone_number_verified'],
  offline_access: [],
  'read:profile': [],
  'write:profile': [],
} as const satisfies Record<string, readonly string[]>;

export type Scope = keyof typeof SCOPES;

/** The permissions there are, which are what an API key can be made for. A key never does more than its owner's role permits at the time. */
export const KEY_SCOPES = [
  'read:profile',
  'write:profile',
  'read:users',
  'write:users',
  'read:clients',
  'write:clients',
  'read:audit',
  'read:resources',
  'write:resources',
  'read:keys',
  'write:keys',
] as const;

/** Whether a role has a say in this scope: the others are between the person and the app. */
export const isPermission = (scope: string): boolean => (KEY_SCOPES as readonly string[]).includes(scope);

/** Whether this permission reaches beyond one's own account. */
export const isAdministrative = (scope: string): boolean => scope !== 'read:profile' && scope !== 'write:profile';

/** What a request that names no scope is understood to ask for (RFC 6749 §3.3). */
export const DEFAULT_SCOPE: Scope = 'read:profile';

/**
 * A user's OIDC standard claims; those that are not known are absent.
 *
 * @see [OIDC Core §5.1](https://openid.net/specs/openid-connect-core-1_0.html#StandardClaims)
 */
export const claimsOf = (user: User): Record<string, unknown> & { sub: string } => {
  const claims = {
    name: user.name,
    given_name: user.givenName,
    family_name: user.familyName,
    middle_name: user.middleName,
    nickname: user.nickname,
    preferred_username: user.username,
    profile: user.profile,
    picture: user.picture,
    website: user.website,
    gender: user.gender,
    birthdate: user.birthdate,
    zoneinfo: user.zoneinfo,
    locale: user.locale,
    updated_at: Math.floor(user.updatedAt.getTime() / 1000),
    email: user.email,
    email_verified: user.emailVerified,
    phone_number: user.phoneNumber,
    phone_number_verified: user.phoneNumber === null ? null : user.phoneNumberVerified,
    address: user.address,
  };
  return { ...Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null)), sub: user.id };
};
