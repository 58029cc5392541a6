import type { Context } from 'koa';
import { z } from 'zod';
import type { OneTimeValues } from '../domain/one-time-values.ts';
import { type Secrets, sha256 } from '../domain/secrets.ts';

/** What a trip to a provider is for. */
const Errand = z.union([
  /** Answers an app's authorization request. */
  z.strictObject({ interaction: z.string() }),
  /** Hands one of the platform's own apps a code, which whoever knows the challenge's verifier may exchange. */
  z.strictObject({ returnTo: z.string(), codeChallenge: z.string().optional() }),
  /** Adds a way to sign in to the account of this user. */
  z.strictObject({ link: z.string() }),
]);
export type Errand = z.infer<typeof Errand>;

/** A trip to a provider that a browser is on. */
const BrowserTrip = z.object({
  provider: z.string(),
  state: z.string(),
  verifier: z.string(),
  nonce: z.string(),
  /** Epoch seconds. */
  startedAt: z.number(),
  /** The app wants the person to have signed in within so many seconds. */
  maxAgeSeconds: z.number().optional(),
  /** It was to show that it is still the same person: coming back is the sign-in. */
  anew: z.boolean().optional(),
  errand: Errand,
});
export type BrowserTrip = z.infer<typeof BrowserTrip>;

const MODEL = 'FederationTrip';
/** As long as the interaction that it may be for (see `oidc/configuration.ts`): people look for their second factor, or have lunch. */
export const TRIP_SECONDS = 3_600;
/** Trips of one browser that are looked through for where to say that something went wrong. */
const MOST_LOOKED_AT = 10;
/** Cookies of trips that a browser may have: what it sends must not outgrow what is read. */
const MOST_TRIPS = 40;

export type Trips = ReturnType<typeof createTrips>;

/**
 * A browser on its way to a provider. Each trip has a cookie of its own, under that provider's paths, sealed, so that nobody else can
 * make or alter it: it says that this browser set out. What the trip is for stays here, and is given out once.
 */
export const createTrips = (secrets: Secrets, values: OneTimeValues, issuer: string) => {
  const secure = issuer.startsWith('https:');
  // RFC 6265bis prefix: only https sets such a cookie.
  const prefix = secure ? '__Secure-federation-' : 'federation-';
  const cookieOf = (state: string): string => `${prefix}${sha256(state).slice(0, 12)}`;
  const contextOf = (provider: string) => `federation-cookie:${provider}`;

  const options = (provider: string) => ({
    // Sealed with authentication: a signature beside it would say the same again.
    signed: false,
    httpOnly: true,
    sameSite: 'lax' as const,
    secure,
    path: `/oauth/${provider}`,
  });

  /**
   * This browser's cookies of trips to one provider by name, the newest last. Not by Koa, which keeps a pattern for every name that it was
   * ever asked for: these names anybody can make up.
   */
  const cookiesIn = (ctx: Context): Map<string, string> => {
    const found = new Map<string, string>();
    for (const pair of ctx.get('cookie').split(';')) {
      const at = pair.indexOf('=');
      const name = pair.slice(0, Math.max(at, 0)).trim();
      if (name.startsWith(prefix) && !found.has(name)) found.set(name, pair.slice(at + 1).trim());
    }
    return found;
  };

  const forget = (ctx: Context, provider: string, cookie: string): void => {
    ctx.cookies.set(cookie, null, options(provider));
  };

  /** The name under which a trip is kept, that this cookie stands for. */
  const nameIn = (provider: string, sealed: string | undefined): string | undefined => {
    try {
      return secrets.open(sealed ?? '', contextOf(provider));
    } catch {
      // None, or one that is not ours.
      return undefined;
    }
  };

  const tripNamed = (stored: unknown): BrowserTrip | undefined => BrowserTrip.safeParse(stored).data;

  return {
    /** The browser sets out. */
    async start(ctx: Context, trip: BrowserTrip): Promise<void> {
      const { provider, state } = trip;
      const earlier = cookiesIn(ctx);
      if (earlier.size >= MOST_TRIPS) for (const cookie of earlier.keys()) forget(ctx, provider, cookie);
      const name = await values.put(MODEL, trip, TRIP_SECONDS);
      ctx.cookies.set(cookieOf(state), secrets.seal(name, contextOf(provider)), {
        ...options(provider),
        maxAge: TRIP_SECONDS * 1000,
      });
    },

    /**
     * The browser is back: the trip that has this state, once; and whether or not there is one, what it set out for with this state, or
     * else last.
     */
    async end(
      ctx: Context,
      provider: string,
      state: string | null,
    ): Promise<{ trip?: BrowserTrip | undefined; last?: Errand | undefined }> {
      const all = cookiesIn(ctx);
      const own = state === null || !all.has(cookieOf(state)) ? undefined : cookieOf(state);
      if (own !== undefined || all.size > MOST_TRIPS)
        for (const cookie of all.size > MOST_TRIPS ? all.keys() : [own ?? '']) forget(ctx, provider, cookie);
      const name = own && nameIn(provider, all.get(own));
      if (name !== undefined) {
        const known = tripNamed(await values.look(MODEL, name));
        // The cookie says that it is this browser's, the store that it is the first time.
        if (known?.state !== state || known.provider !== provider) return {};
        const trip = tripNamed(await values.take(MODEL, name));
        return { trip, last: known.errand };
      }
      const others = [...all.values()].slice(-MOST_LOOKED_AT).flatMap((sealed) => nameIn(provider, sealed) ?? []);
      const trips = await Promise.all(others.map(async (one) => tripNamed(await values.look(MODEL, one))));
      const latest = trips.filter((one) => one !== undefined).sort((a, b) => b.startedAt - a.startedAt)[0];
      return { last: latest?.errand };
    },
  };
};
