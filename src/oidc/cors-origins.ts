import type { Middleware } from 'koa';

/** What pages may call, for a client or, before they name one, at all. */
const FOR_CLIENTS: ReadonlySet<string> = new Set([
  '/oauth/token',
  '/oauth/userinfo',
  '/oauth/revoke',
  '/oauth/par',
  '/oauth/introspect',
]);

/** An origin once asked after is believed for so long. */
const FRESH_MS = 1_000;
const REMEMBERED = 1_000;

/**
 * Takes CORS back from pages where no public client is. A preflight names no client, and an error may come before one is found: the engine
 * answers both to anybody; only what it says to a client that it knows is held against that client's own origins.
 */
export const corsOrigins = (isOrigin: (origin: string) => Promise<boolean>): Middleware => {
  const answers = new Map<string, { known: boolean; until: number }>();
  const isKnown = async (origin: string): Promise<boolean> => {
    const remembered = answers.get(origin);
    if (remembered && remembered.until > Date.now()) return remembered.known;
    const until = Date.now() + FRESH_MS;
    const known = origin.length <= 300 && !origin.includes('\0') && (await isOrigin(origin));
    if (answers.size >= REMEMBERED) answers.clear();
    answers.set(origin, { known, until });
    return known;
  };

  return async (ctx, next) => {
    const origin = ctx.get('origin');
    if (origin === '' || !FOR_CLIENTS.has(ctx.path) || (await isKnown(origin))) return next();
    if (ctx.method === 'OPTIONS') {
      ctx.status = 204;
      ctx.vary('Origin');
      return;
    }
    try {
      await next();
    } finally {
      for (const header of Object.keys(ctx.response.headers))
        if (header.startsWith('access-control-')) ctx.remove(header);
    }
  };
};
