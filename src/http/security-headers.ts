import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Context, Middleware } from 'koa';
import helmet from 'koa-helmet';
import { isLoopbackHost } from '../oidc/loopback.ts';

// script-src has no source of its own: the engine adds the hash of its form_post script to it, and nothing else may run.
const policy = (formTargets: readonly string[]): string =>
  [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self' https: http://localhost:*",
    'script-src',
    `form-action ${["'self'", ...formTargets].join(' ')}`,
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');

/** What is never a page: the REST API. */
const DATA = /^\/(auth|users|admin)\//;
/** OWASP REST Security Cheat Sheet, "Security Headers": what has a meaning for an answer that no browser shows. */
const FOR_DATA: ReadonlySet<string> = new Set([
  'strict-transport-security',
  'x-content-type-options',
  'x-frame-options',
]);
const DATA_POLICY = "default-src 'none'; frame-ancestors 'none'";

type Header = [name: string, value: string];

export type SecurityHeaders = {
  middleware: Middleware;
  /** Those of an answer that is data; undefined in the first moment of the process, when they are not known yet. */
  forData(): readonly Header[] | undefined;
};

/** Headers every answer bears: no framing, no sniffing, no referrer to other origins, and a policy that runs nothing. */
export const createSecurityHeaders = (issuer: string): SecurityHeaders => {
  const { protocol, hostname } = new URL(issuer);
  const fixed = helmet({
    contentSecurityPolicy: false,
    crossOriginEmbedderPolicy: false,
    // An app may sign its people in in a popup, which has to find its way back to the window that opened it.
    crossOriginOpenerPolicy: false,
    // `no-referrer` would make browsers send `Origin: null` with our own forms, which the CSRF check could not tell from an attack.
    referrerPolicy: { policy: 'same-origin' },
    frameguard: { action: 'deny' },
    // JWKS, discovery and userinfo are read by pages of other origins; CORS decides there.
    crossOriginResourcePolicy: { policy: 'cross-origin' },
    // For this machine it would bind every other server on it, and browsers heed it there.
    hsts: protocol === 'https:' && !isLoopbackHost(hostname) ? { maxAge: 31_536_000, includeSubDomains: false } : false,
  }) as unknown as Middleware;
  // The same for every answer, so they are made once. A page has all of them, data only those that mean something without a page.
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  let all: Header[] = [];
  let forData: Header[] = [];
  const ready = fixed({ req: response.req, res: response } as Context, async () => {}).then(() => {
    all = Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]);
    forData = all.filter(([name]) => FOR_DATA.has(name));
    forData.push(['content-security-policy', DATA_POLICY]);
    all.push(['content-security-policy', policy([])]);
  });
  const serve: Middleware = (ctx, next) => {
    for (const [name, value] of DATA.test(ctx.path) ? forData : all) ctx.res.setHeader(name, value);
    return next();
  };
  return {
    middleware: (ctx, next) => (all.length > 0 ? serve(ctx, next) : ready.then(() => serve(ctx, next))),
    forData: () => (all.length > 0 ? forData : undefined),
  };
};

/** For a page whose address holds a secret: it is told to nobody. Its forms then come with `Origin: null`, see csrf.ts. */
export const tellNoReferrer = (ctx: Context): void => ctx.set('Referrer-Policy', 'no-referrer');

/**
 * Lets a form on this page lead to `uri` in the end. Browsers hold every redirect that follows a form post against
 * form-action, and an app often sends the browser on from its callback to another host of its own: so an https app
 * opens https, a local one its own origin, a native one its scheme.
 *
 * @see [CSP3 §6.4.1](https://www.w3.org/TR/CSP3/#directive-form-action)
 */
export const allowFormTarget = (ctx: Context, uri: string | undefined): void => {
  if (uri === undefined || !URL.canParse(uri)) return;
  const { protocol, hostname, origin } = new URL(uri);
  const targets = ['https:'];
  // Not every host can be written as a CSP host source: an IPv6 literal cannot, and the URL parser lets through
  // characters (; , *) that mean something else in a policy.
  if (protocol === 'http:') targets.push(/^[a-z0-9.-]+$/.test(hostname) ? origin : 'http:');
  else if (protocol !== 'https:') targets.push(protocol);
  if (isLoopbackHost(hostname)) targets.push('http://localhost:*', 'http://127.0.0.1:*');
  ctx.set('Content-Security-Policy', policy(targets));
};

/** Lets this page show other answers of ours in a frame. */
export const allowOwnFrames = (ctx: Context): void => {
  ctx.set('Content-Security-Policy', `${policy([])}; frame-src 'self'`);
};

/** For an answer that is somebody else's page to the browser: nothing of it runs, loads or reads, and our pages alone frame it. */
export const sandbox = (ctx: Context): void => {
  ctx.set(
    'Content-Security-Policy',
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox",
  );
  ctx.set('X-Frame-Options', 'SAMEORIGIN');
  // A sandboxed page has no origin of its own to be kept apart by, and the browser says so in its console.
  ctx.remove('Origin-Agent-Cluster');
};
