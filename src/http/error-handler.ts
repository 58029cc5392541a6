import { STATUS_CODES } from 'node:http';
import type { Context, Middleware } from 'koa';
import type { Logger } from 'pino';
import { DomainError, type ErrorCode } from '../domain/errors.ts';
import { FRESH_SECONDS } from '../domain/identities.ts';
import { DPOP_ALGORITHMS } from '../oidc/dpop-proofs.ts';
import { InteractionGone } from '../oidc/interactions.ts';
import { resourceMetadataOf } from '../oidc/own-resource.ts';
import { CsrfError } from './csrf.ts';
import { Overdue } from './deadline.ts';
import type { Pages } from './pages.ts';
import { InsufficientScope, Unauthorized } from './require-user.ts';
import { storeDown } from './store-down.ts';
import { BodyError, ValidationError } from './validate.ts';

/** A stable code and words that give nothing of the inside away. */
type Told = {
  status: number;
  code: string;
  detail: string;
  errors?: { path: string; message: string }[] | undefined;
  /** RFC 6750 §3, for a 401 or 403. */
  challenge?: string;
  /** Of the detail, what a page may show to whoever made the request. */
  description?: string;
  retryAfterSeconds?: number | undefined;
};

/** The status of every failure of the domain: a code without one does not compile. */
const STATUS = {
  invalid_email: 422,
  invalid_username: 422,
  invalid_role: 422,
  email_taken: 409,
  username_taken: 409,
  password_too_short: 422,
  password_too_long: 422,
  unknown_user: 404,
  invalid_credentials: 401,
  too_many_attempts: 429,
  invalid_refresh_token: 401,
  too_many_api_keys: 409,
  unknown_api_key: 404,
  client_exists: 409,
  resource_exists: 409,
  unknown_resource: 404,
  invalid_resource: 422,
  invalid_client_metadata: 422,
  invalid_one_time_token: 422,
  last_admin: 409,
  own_account: 409,
  user_banned: 409,
  beyond_own_role: 403,
  unknown_client: 404,
  built_in_client: 409,
  client_without_secret: 409,
  password_too_common: 422,
  unknown_session: 404,
  unknown_approval: 404,
  unknown_app: 404,
  too_busy: 503,
  unknown_provider: 404,
  invalid_return_to: 422,
  invalid_code_challenge: 422,
  account_exists: 409,
  wrong_account: 409,
  stale_sign_in: 401,
  identity_without_email: 422,
  identity_taken: 409,
  email_not_verified: 409,
  unknown_identity: 404,
  last_way_in: 409,
  password_not_set: 409,
  unknown_initial_access_token: 404,
  too_many_initial_access_tokens: 409,
} satisfies Record<ErrorCode, number>;

/** What a 401 asks for beyond a token. */
const CHALLENGES: Partial<Record<ErrorCode, string>> = {
  // RFC 9470 §3
  stale_sign_in: `Bearer error="insufficient_user_authentication", max_age="${FRESH_SECONDS}"`,
};

/** The field that a rule of the domain is about, where it is one and the same everywhere. */
const FIELD: Partial<Record<ErrorCode, string>> = {
  invalid_email: 'email',
  invalid_username: 'username',
  invalid_role: 'role',
  email_taken: 'email',
  username_taken: 'username',
  password_too_short: 'password',
  password_too_long: 'password',
  password_too_common: 'password',
  invalid_one_time_token: 'token',
  invalid_refresh_token: 'refresh_token',
};

/** The names of the same field where it is another's: of these, what the request has is meant. */
const OTHER_NAMES: Record<string, readonly string[]> = { password: ['new_password'], token: ['code'] };

/** What is wrong with a client is said by the engine, mostly, whose words begin with the field. */
const fieldOfClient = (message: string): string | undefined =>
  /^(?:jwks|scope|contacts|[a-z]+(?:_[a-z0-9]+)+)(?=[ :]|$)/.exec(message)?.[0];

const fieldOf = ({ code, message }: DomainError, body: unknown): string | undefined => {
  if (code === 'invalid_client_metadata') return fieldOfClient(message);
  const field = FIELD[code];
  return field && (OTHER_NAMES[field]?.find((name) => Object.hasOwn(Object(body), name)) ?? field);
};

const faultsOf = (error: DomainError, body: unknown): Told['errors'] => {
  const faults = [error, ...error.others].flatMap((one) => {
    const path = fieldOf(one, body);
    return path ? [{ path, message: one.message }] : [];
  });
  return faults.length > 0 ? faults : undefined;
};

const RETRY_SECONDS = '5';

/** What may be said of a failure that is the client's: words of a parser could quote what was sent. */
const wordsOf = (error: Error, status: number): string => {
  if (error instanceof BodyError) return error.message;
  if (error instanceof SyntaxError) return 'The body is not JSON.';
  return status === 413 ? 'The body is too large.' : (STATUS_CODES[status] ?? '');
};

const challengeOf = ({ presented, dpop }: Unauthorized): string => {
  if (dpop) return `DPoP error="invalid_token", algs="${DPOP_ALGORITHMS.join(' ')}"`;
  return presented ? 'Bearer error="invalid_token"' : 'Bearer';
};

const told = (error: Error & { status?: unknown }, body: unknown): Told => {
  if (error instanceof DomainError)
    return {
      status: STATUS[error.code],
      code: error.code,
      detail: error.message,
      errors: faultsOf(error, body),
      ...(STATUS[error.code] === 401 && { challenge: CHALLENGES[error.code] ?? 'Bearer' }),
      retryAfterSeconds: error.retryAfterSeconds,
    };
  if (error instanceof ValidationError)
    return {
      status: error.status,
      code: 'invalid_request',
      detail: error.message,
      errors: [...error.errors, ...((error.rest && faultsOf(error.rest, body)) ?? [])],
    };
  if (error instanceof Unauthorized)
    return {
      status: 401,
      code: 'invalid_token',
      detail: error.message,
      challenge: challengeOf(error),
    };
  if (error instanceof InsufficientScope)
    return {
      status: 403,
      code: 'insufficient_scope',
      detail: error.message,
      challenge: `Bearer error="insufficient_scope", scope="${error.scope}"`,
    };
  if (error instanceof CsrfError)
    return { status: 403, code: 'csrf', detail: 'The form was not sent from this site, or it is too old.' };
  if (error instanceof InteractionGone)
    return { status: 400, code: 'session_not_found', detail: 'This sign-in has ended or expired.' };
  if (error instanceof Overdue || storeDown(error))
    return { status: 503, code: 'temporarily_unavailable', detail: 'A store is not available. Please try again.' };
  // koa-body and koa mark what the client did wrong; 501 is a method that nothing here is ever asked by.
  if (typeof error.status === 'number' && ((error.status >= 400 && error.status < 500) || error.status === 501))
    return {
      status: error.status,
      code: 'invalid_request',
      detail: wordsOf(error, error.status),
      ...(error instanceof BodyError && { description: error.message }),
    };
  return { status: 500, code: 'server_error', detail: 'Something went wrong on our side.' };
};

/** Where nobody but programs call, some of which ask for HTML first, as Java's own client does. */
const REST = /^\/(?:auth|users|admin)(?:\/|$)/;

/** Whether the caller is a browser that wants a page; anything else gets JSON. */
const wantsPage = (ctx: Context): boolean => !REST.test(ctx.path) && ctx.accepts('json', 'html') === 'html';

/**
 * The one place where a failure becomes an answer: a page for people, RFC 9457 problem details for programs, both with
 * the request's id, neither with a stack trace.
 *
 * @see [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457.html)
 */
export const errorHandler = (issuer: string, pages: Pages, log: Logger): Middleware => {
  // RFC 9728 §5.1: every challenge says where to read which tokens are good here, and who issues them.
  const metadata = resourceMetadataOf(issuer);
  const withMetadata = (challenge: string) => `${challenge}${challenge.includes(' ') ? ',' : ''} ${metadata}`;

  const answer = (
    ctx: Context,
    { status, code, detail, errors, challenge, description, retryAfterSeconds }: Told,
  ): void => {
    const requestId: string = ctx.state.requestId;
    ctx.status = status;
    if (status === 503) ctx.set('Retry-After', RETRY_SECONDS);
    if (retryAfterSeconds !== undefined) ctx.set('Retry-After', String(retryAfterSeconds));
    if (challenge) ctx.set('WWW-Authenticate', withMetadata(challenge));
    if (wantsPage(ctx)) {
      pages.render(ctx, 'error', { code, requestId, ...(description !== undefined && { description }) });
      return;
    }
    if (status === 503 && ctx.path.startsWith('/oauth/')) {
      // As the engine says it of what fails inside of it (RFC 6749 §5.2's form).
      ctx.set('Cache-Control', 'no-store');
      ctx.body = { error: 'temporarily_unavailable', error_description: detail };
      return;
    }
    ctx.type = 'application/problem+json';
    ctx.set('Cache-Control', 'no-store');
    ctx.body = {
      type: 'about:blank',
      title: STATUS_CODES[status],
      status,
      detail,
      code,
      request_id: requestId,
      errors,
    };
  };

  return async (ctx, next) => {
    try {
      await next();
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      const answered = told(error, ctx.request.body);
      // A flood of refusals is not a flood of errors.
      if (answered.status >= 500 && answered.status !== 501 && !(error instanceof DomainError))
        log.error({ request_id: ctx.state.requestId, err: error }, 'request failed');
      answer(ctx, answered);
      return;
    }
    // Whoever says so, and on whatever page: it is worth asking again.
    if (ctx.status === 503 && !ctx.response.get('Retry-After')) ctx.set('Retry-After', RETRY_SECONDS);
    if (ctx.status === 404 && ctx.body == null) {
      answer(ctx, { status: 404, code: 'not_found', detail: 'There is nothing here.' });
    }
  };
};
