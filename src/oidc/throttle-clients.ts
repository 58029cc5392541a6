import type { Middleware } from 'koa';
import { errors, type KoaContextWithOIDC, Provider } from 'oidc-provider';
import { DomainError } from '../domain/errors.ts';
import type { Budget, FailureThrottle } from '../domain/throttles.ts';
import type { SecretGuard } from './engine-internals.ts';

const ENDPOINTS = new Set([
  '/oauth/token',
  '/oauth/introspect',
  '/oauth/revoke',
  '/oauth/par',
  '/oauth/device_authorization',
  '/oauth/backchannel',
]);

/** As the REST API tells it: see http/rate-limit.ts. */
const tellBudget =
  (ctx: KoaContextWithOIDC) =>
  ({ limit, remaining, resetSeconds }: Budget): void => {
    ctx.set('RateLimit-Limit', String(limit));
    ctx.set('RateLimit-Remaining', String(remaining));
    ctx.set('RateLimit-Reset', String(resetSeconds));
  };

/** As the engine renders its own errors: RFC 6749 §5.2's form, under RFC 6585's status. */
export const tooMany = (
  ctx: Pick<KoaContextWithOIDC, 'set'>,
  { retryAfterSeconds }: DomainError,
  why = 'too many failed attempts',
): errors.OIDCProviderError => {
  ctx.set('Retry-After', String(retryAfterSeconds));
  const error = new errors.CustomOIDCProviderError('temporarily_unavailable', why);
  error.status = 429;
  error.statusCode = 429;
  return error;
};

/**
 * Slows down whoever guesses client credentials from one network; who does not fail is never refused. Codes and tokens that are no good
 * are not counted: they have 256 random bits, and an app's own server brings many that have merely expired.
 */
export const throttleTokenEndpoints =
  (failures: FailureThrottle): Middleware =>
  async (context, next) => {
    const ctx = context as unknown as KoaContextWithOIDC;
    if (!ENDPOINTS.has(ctx.path) || ctx.method !== 'POST') return next();
    try {
      await failures.check(ctx.ip, undefined, tellBudget(ctx));
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      const { error: code, error_description, status } = tooMany(ctx, error);
      ctx.status = status;
      ctx.set('Cache-Control', 'no-store');
      ctx.body = { error: code, error_description };
      return;
    }
    await next();
    if ((ctx.body as { error?: unknown } | undefined)?.error === 'invalid_client')
      await failures.failed(ctx.ip, undefined, tellBudget(ctx));
  };

/** Slows down whoever guesses one client's secret: by client and network, so that strangers elsewhere cannot lock an app out. */
export const guardSecrets =
  (failures: FailureThrottle): SecretGuard =>
  async (clientId, matches) => {
    const ctx = Provider.ctx as KoaContextWithOIDC;
    try {
      await failures.check(ctx.ip, clientId);
    } catch (error) {
      throw error instanceof DomainError ? tooMany(ctx, error) : error;
    }
    const right = matches();
    if (!right) await failures.failed(ctx.ip, clientId);
    return right;
  };
