import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';
import { DomainError } from '../../domain/errors.ts';
import type { Throttles } from '../../domain/throttles.ts';
import { RegistrationError } from '../../oidc/registration-rules.ts';
import type { ClientRegistrations, SelfRegistered } from '../../oidc/self-registration.ts';
import { RequestedRegistration } from '../operations/client-registration.ts';
import { tellBudget } from '../rate-limit.ts';
import { BodyError, jsonBody, jsonOf, ValidationError } from '../validate.ts';

export const REGISTRATION = '/oauth/register';

/** RFC 6750 §2.1. */
const tokenOf = (ctx: Context): string | undefined => /^Bearer +([\w.~+/=-]+) *$/i.exec(ctx.get('authorization'))?.[1];

/** RFC 6749 §5.2: the characters that may be there. What was sent may have others, as the name of a member does. */
const inWords = (text: string): string => text.replace(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, '?').slice(0, 500);

type Told = { status: number; error: string; error_description: string };

const toldOf = (error: unknown): Told | undefined => {
  if (error instanceof RegistrationError)
    return {
      status: error.code === 'invalid_token' ? 401 : 400,
      error: error.code,
      error_description: inWords(error.message),
    };
  if (error instanceof DomainError && error.code === 'too_many_attempts')
    return { status: 429, error: 'temporarily_unavailable', error_description: error.message };
  if (error instanceof ValidationError) {
    const [{ path, message } = { path: '', message: '' }] = error.errors;
    const code = /^redirect_uris\b/.test(path) ? 'invalid_redirect_uri' : 'invalid_client_metadata';
    const words = path === '' ? 'the metadata must be a JSON object' : `${path}: ${message}`;
    return { status: 400, error: code, error_description: inWords(words) };
  }
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
  if (status < 400 || status >= 500) return undefined;
  const words = error instanceof BodyError ? error.message : 'The body must be a JSON object of at most 100 KiB.';
  return { status: 400, error: 'invalid_request', error_description: words };
};

/** RFC 7591 §3.2.2 and RFC 7592 §2: OAuth's own errors, whatever is wrong. */
const oauthErrors: Middleware = async (ctx, next) => {
  // The answers hold credentials.
  ctx.set('Cache-Control', 'no-store');
  try {
    await next();
  } catch (error) {
    const told = toldOf(error);
    if (!told) throw error;
    const { status, ...body } = told;
    ctx.status = status;
    ctx.body = body;
    if (error instanceof DomainError && error.retryAfterSeconds !== undefined)
      ctx.set('Retry-After', String(error.retryAfterSeconds));
    if (status === 401)
      ctx.set('WWW-Authenticate', ctx.get('authorization') === '' ? 'Bearer' : 'Bearer error="invalid_token"');
  }
};

/** Clients that register themselves, and manage their registration. */
export const clientRegistrationRoutes = (issuer: string, registrations: ClientRegistrations, throttles: Throttles) => {
  const clientJson = ({ metadata, secret, registrationToken, createdAt }: SelfRegistered) => ({
    ...metadata,
    client_id_issued_at: Math.floor(createdAt.getTime() / 1000),
    // RFC 7591 §3.2.1: 0 says that the secret does not expire.
    ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
    registration_client_uri: `${issuer}/oauth/register/${encodeURIComponent(metadata.client_id)}`,
    registration_access_token: registrationToken,
  });

  /** Whoever guesses tokens is slowed down, as who guesses secrets is. */
  const guarded: Middleware = async (ctx, next) => {
    await throttles.tokenEndpoints.check(ctx.ip, undefined, tellBudget(ctx));
    try {
      await next();
    } catch (error) {
      if (error instanceof RegistrationError && error.code === 'invalid_token' && tokenOf(ctx) !== undefined)
        await throttles.tokenEndpoints.failed(ctx.ip, undefined, tellBudget(ctx));
      throw error;
    }
  };
  const spend = (ctx: Context) => throttles.registrations.spend(ctx.ip, undefined, tellBudget(ctx));
  const idOf = (ctx: { params: Record<string, string | undefined> }): string => String(ctx.params.clientId);

  return new Router({ prefix: REGISTRATION })
    .use(oauthErrors)
    .use(jsonBody)
    .use(guarded)
    .post('/', async (ctx) => {
      const token = tokenOf(ctx);
      // A header that is no bearer token is not the same as none.
      if (token === undefined && ctx.get('authorization') !== '')
        throw new RegistrationError('invalid_token', 'the initial access token is missing or not valid');
      if (token === undefined) await spend(ctx);
      const client = await registrations.register(jsonOf(ctx, RequestedRegistration), token);
      ctx.status = 201;
      ctx.body = clientJson(client);
    })
    .get('/:clientId', async (ctx) => {
      ctx.body = clientJson(await registrations.read(idOf(ctx), tokenOf(ctx)));
    })
    .put('/:clientId', async (ctx) => {
      await spend(ctx);
      const requested = jsonOf(ctx, RequestedRegistration);
      ctx.body = clientJson(await registrations.update(idOf(ctx), tokenOf(ctx), requested));
    })
    .delete('/:clientId', async (ctx) => {
      await registrations.remove(idOf(ctx), tokenOf(ctx));
      ctx.status = 204;
    });
};
