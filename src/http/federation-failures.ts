import type { Context } from 'koa';
import { DomainError, type ErrorCode } from '../domain/errors.ts';
import { type IdentityProvider, UpstreamError, type UpstreamFault } from '../federation/identity.ts';
import { withParameter } from './exchange-codes.ts';
import type { LoginError, Pages } from './pages.ts';
import type { Errand } from './trips.ts';

/** Why a provider did not sign somebody in, as it is said to them. */
export const FAILURES = [
  'provider_cancelled',
  'provider_refused',
  'provider_unavailable',
  'provider_mismatch',
  'provider_not_anew',
  'provider_no_email',
  'account_exists',
  'account_unavailable',
  'wrong_account',
  'too_many_attempts',
] as const satisfies readonly LoginError[];
export type Failure = (typeof FAILURES)[number];

const BY_FAULT = {
  cancelled: 'provider_cancelled',
  refused: 'provider_refused',
  unavailable: 'provider_unavailable',
} as const satisfies Record<UpstreamFault, Failure>;

/** The domain's refusals that a person can do something about. */
const BY_CODE: Partial<Record<ErrorCode, Failure>> = {
  identity_without_email: 'provider_no_email',
  account_exists: 'account_exists',
  user_banned: 'account_unavailable',
  unknown_user: 'account_unavailable',
  wrong_account: 'wrong_account',
  too_many_attempts: 'too_many_attempts',
};

/** What an app of the platform's is told, as OAuth would (RFC 6749 §4.1.2.1), or in our own words. */
const OAUTH_ERRORS: Partial<Record<Failure, string>> = {
  provider_cancelled: 'access_denied',
  provider_unavailable: 'temporarily_unavailable',
  too_many_attempts: 'temporarily_unavailable',
};

/** The failure that this error is; undefined for a bug of ours. Where waiting helps, the answer says how long. */
export const failureIn = (ctx: Context, error: unknown): Failure | undefined => {
  if (error instanceof DomainError && error.retryAfterSeconds !== undefined)
    ctx.set('Retry-After', String(error.retryAfterSeconds));
  if (error instanceof UpstreamError) return BY_FAULT[error.fault];
  return error instanceof DomainError ? BY_CODE[error.code] : undefined;
};

/** What a platform app is told in its address. */
const errorParameterOf = (failure: Failure): string => OAUTH_ERRORS[failure] ?? failure;

const STATUS: Partial<Record<LoginError, number>> = { provider_unavailable: 503, too_many_attempts: 429 };
export const statusOfFailure = (failure: LoginError): number => STATUS[failure] ?? 400;

/** What nobody else can do anything about either. */
const NO_OTHER_WAY: ReadonlySet<Failure> = new Set(['account_unavailable', 'too_many_attempts']);

/** The other providers, on a way to the app that it was. */
const otherWays = (providers: IdentityProvider[], failed: IdentityProvider, error: Failure, errand: Errand) => {
  if (!('returnTo' in errand) || NO_OTHER_WAY.has(error)) return [];
  const { returnTo, codeChallenge } = errand;
  const query = new URLSearchParams({
    return_to: returnTo,
    ...(codeChallenge !== undefined && { code_challenge: codeChallenge }),
  });
  return providers
    .filter(({ id }) => id !== failed.id)
    .map(({ id, label }) => ({ id, label, href: `/oauth/${id}/login?${query}` }));
};

/** A page of its own, where there is no sign-in form to say it on. */
export const failedPage = (
  pages: Pages,
  ctx: Context,
  providers: IdentityProvider[],
  failed: IdentityProvider,
  error: Failure,
  errand: Errand | undefined,
): void => {
  ctx.status = statusOfFailure(error);
  const toApp = errand && 'returnTo' in errand && withParameter(errand.returnTo, 'error', errorParameterOf(error));
  const backHref = toApp || (errand && 'link' in errand ? '/account' : '/login');
  const others = errand ? otherWays(providers, failed, error, errand) : [];
  pages.render(ctx, 'provider-failed', { provider: failed.label, error, backHref, providers: others });
};
