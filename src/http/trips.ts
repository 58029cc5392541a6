import type { Context } from 'koa';
import { z } from 'zod';
import type { Secrets } from '../domain/secrets.ts';

/** What a trip to a provider is for. */
export type Errand =
  /** Answers an app's authorization request. */
  | { interaction: string }
  /** Hands one of the platform's own apps a code. */
  | { returnTo: string }
  /** Adds a way to sign in to the account of this user. */
  | { link: string };

/** A trip to a provider that this browser is on. */
export type BrowserTrip = {
  state: string;
  verifier: string;
  nonce: string;
  /** Epoch seconds. */
  startedAt: number;
  /** The app wants the person to have signed in within so many seconds. */
  maxAgeSeconds?: number | undefined;
  errand: Errand;
};

const StoredTrips = z.array(
  z.object({
    state: z.string(),
    verifier: z.string(),
    nonce: z.string(),
    startedAt: z.number(),
    maxAgeSeconds: z.number().optional(),
    errand: z.union([
      z.strictObject({ interaction: z.string() }),
      z.strictObject({ returnTo: z.string() }),
      z.strictObject({ link: z.string() }),
    ]),
  }),
);

export const TRIP_SECONDS = 600;
/** Tabs that may be on their way to one provider at once: a browser keeps 4 KiB. */
const MOST_TRIPS = 3;
const MOST_BYTES = 2_800;

export type Trips = ReturnType<typeof createTrips>;

/**
 * What a browser takes along to a provider, so that it alone can come back from there: a cookie that is sealed, which nobody else can
 * read, make or alter, for the paths of that provider.
 */
export const createTrips = (secrets: Secrets, issuer: string) => {
  // RFC 6265bis prefix: only https sets such a cookie.
  const cookie = issuer.startsWith('https:') ? '__Secure-federation' : 'federation';
  const contextOf = (provider: string) => `federation-cookie:${provider}`;

  const read = (ctx: Context, provider: string): BrowserTrip[] => {
    try {
      const sealed = ctx.cookies.get(cookie, { signed: false }) ?? '';
      const trips = StoredTrips.parse(JSON.parse(secrets.open(sealed, contextOf(provider))));
      return trips.filter(({ startedAt }) => startedAt + TRIP_SECONDS > Date.now() / 1000);
    } catch {
      // None, or one that is not ours.
      return [];
    }
  };

  const write = (ctx: Context, provider: string, trips: BrowserTrip[]): void => {
    const value = trips.length === 0 ? null : secrets.seal(JSON.stringify(trips), contextOf(provider));
    ctx.cookies.set(cookie, value, {
      // Sealed with authentication: a signature beside it would say the same again.
      signed: false,
      httpOnly: true,
      sameSite: 'lax',
      secure: issuer.startsWith('https:'),
      path: `/oauth/${provider}`,
      maxAge: TRIP_SECONDS * 1000,
    });
  };

  return {
    /** The browser sets out. */
    start(ctx: Context, provider: string, trip: BrowserTrip): void {
      const trips = [...read(ctx, provider), trip].slice(-MOST_TRIPS);
      while (trips.length > 1 && JSON.stringify(trips).length > MOST_BYTES) trips.shift();
      write(ctx, provider, trips);
    },

    /**
     * The browser is back: the trip that has this state, which it forgets; and whether or not there is one, what it set out for last.
     */
    end(
      ctx: Context,
      provider: string,
      state: string | null,
    ): { trip?: BrowserTrip | undefined; last?: Errand | undefined } {
      const trips = read(ctx, provider);
      const trip = trips.find((one) => one.state === state);
      if (trip)
        write(
          ctx,
          provider,
          trips.filter((one) => one !== trip),
        );
      return { trip, last: trip?.errand ?? trips.at(-1)?.errand };
    },
  };
};
