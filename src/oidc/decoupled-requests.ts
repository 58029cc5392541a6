import type { Middleware } from 'koa';
import type { KoaContextWithOIDC, Provider } from 'oidc-provider';
import { DomainError } from '../domain/errors.ts';
import type { Throttles } from '../domain/throttles.ts';
import { tooMany } from './throttle-clients.ts';

const DEVICE = '/device';

type Guard = (ctx: KoaContextWithOIDC, next: () => Promise<void>) => Promise<void>;

/** What the engine leaves to others around the device flow and CIBA: polling too fast, guessing codes, asking for too many. */
export const guardDecoupled = (provider: Provider, throttles: Throttles): Middleware => {
  /** RFC 8628 §3.5 and CIBA Core §11: who polls sooner than told is told to slow down, and to wait for longer from then on. */
  const slowDown: Guard = async (ctx, next) => {
    await next();
    const { error } = Object(ctx.body) as { error?: unknown };
    const { device_code: deviceCode, auth_req_id: authReqId } = ctx.oidc?.params ?? {};
    const what = deviceCode ?? authReqId;
    if (error !== 'authorization_pending' || typeof what !== 'string' || !(await throttles.pollsTooSoon(what))) return;
    ctx.body = { error: 'slow_down', error_description: 'polling too often: wait five seconds longer from now on' };
  };

  const countDevices: Guard = async (ctx, next) => {
    try {
      await throttles.deviceCodes.spend(ctx.ip);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      const { error: code, error_description, status } = tooMany(ctx, error, 'too many codes for devices');
      ctx.status = status;
      ctx.set('Cache-Control', 'no-store');
      ctx.body = { error: code, error_description };
      return;
    }
    await next();
  };

  const codePage: Guard = async (ctx, next) => {
    if (ctx.method === 'POST') {
      if (ctx.cookies.get(provider.cookieName('session'), { signed: false }) === undefined) {
        // No page of ours was before this. The engine fails where it has no session to put the next form's token into.
        ctx.status = 303;
        ctx.redirect(`${DEVICE}?fault=csrf`);
        return;
      }
      await throttles.userCodes.spend(ctx.ip);
      await next();
      // Set by the page that says so; whatever else came of it was no guess.
      if (ctx.state.wrongUserCode !== true) await throttles.userCodes.giveBack(ctx.ip);
      return;
    }
    // The engine would answer an address with the code in it (RFC 8628 §3.3.1) by a page that sends itself by JavaScript.
    if (typeof ctx.query.user_code === 'string') ctx.state.userCode = ctx.query.user_code;
    const { fault } = ctx.query;
    if (fault === 'csrf' || fault === 'session_expired') ctx.state.deviceFault = fault;
    ctx.query = {};
    await next();
  };

  /** The engine says of itself that it can, which is for who configures it to say. */
  const discovery: Guard = async (ctx, next) => {
    await next();
    const body = ctx.body as Record<string, unknown> | undefined;
    if (ctx.oidc?.route === 'discovery' && body) body.backchannel_user_code_parameter_supported = false;
  };

  return (context, next) => {
    const ctx = context as unknown as KoaContextWithOIDC;
    const { method, path } = ctx;
    if (path === '/oauth/token' && method === 'POST') return slowDown(ctx, next);
    if (path === '/oauth/device_authorization' && method === 'POST') return countDevices(ctx, next);
    if (path === DEVICE) return codePage(ctx, next);
    if (path.startsWith('/.well-known/')) return discovery(ctx, next);
    return next();
  };
};
