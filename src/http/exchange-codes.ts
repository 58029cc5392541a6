import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import type { OneTimeValues } from '../domain/one-time-values.ts';

const MODEL = 'FederationCode';
const SECONDS = 60;
const RETURN_TO_LENGTH = 512;

/** A sign-in that one of the platform's own apps may turn into tokens. */
const Exchangeable = z.object({
  userId: z.string(),
  provider: z.string(),
  amr: z.array(z.string()),
  /** Epoch seconds. */
  authTime: z.number(),
});
type Exchangeable = z.infer<typeof Exchangeable>;

/** One more parameter in an address. */
export const withParameter = (address: string, name: string, value: string): string => {
  const url = new URL(address);
  url.searchParams.set(name, value);
  return url.href;
};

export type ExchangeCodes = ReturnType<typeof createExchangeCodes>;

/** How a sign-in gets to one of the platform's own apps without a token in any address. */
export const createExchangeCodes = (values: OneTimeValues, firstPartyOrigins: string[]) => {
  const origins = new Set(firstPartyOrigins);
  return {
    /** Where the app wants the browser back. @throws {DomainError} `invalid_return_to` */
    returnToOf(text: string): string {
      const url = URL.parse(text);
      // A blob: address has the origin of the page that made it.
      const sound =
        url &&
        /^https?:$/.test(url.protocol) &&
        text.length <= RETURN_TO_LENGTH &&
        !url.username &&
        !url.password &&
        !url.hash;
      if (!sound || !origins.has(url.origin))
        throw new DomainError(
          'invalid_return_to',
          'return_to must be an address at one of FIRST_PARTY_ORIGINS, without a fragment',
        );
      return url.href;
    },

    /** A code that works once, for a minute, and ends with everything else of its user's. */
    issue: (what: Exchangeable): Promise<string> => values.put(MODEL, what, SECONDS, what.userId),

    /** What this code stands for; undefined when it is not live, or was taken already. */
    redeem: async (code: string): Promise<Exchangeable | undefined> =>
      Exchangeable.safeParse(await values.take(MODEL, code)).data,
  };
};
