import { createHash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import type { OneTimeValues } from '../domain/one-time-values.ts';
import { newGrantId } from '../oidc/grant-ids.ts';

const MODEL = 'FederationCode';
const SECONDS = 60;
const RETURN_TO_LENGTH = 512;
const ANSWERS = ['code', 'error'];

/** A sign-in that one of the platform's own apps may turn into tokens. */
const Exchangeable = z.object({
  /** What it becomes: known beforehand, for a second exchange to end. (One of an earlier release's has none.) */
  grantId: z.string().default(newGrantId),
  userId: z.string(),
  /** The user's epoch when they signed in. */
  epoch: z.number(),
  provider: z.string(),
  amr: z.array(z.string()),
  /** Epoch seconds. */
  authTime: z.number(),
  /** Who comes for it must know what this is the SHA-256 of. */
  codeChallenge: z.string().optional(),
});
type Exchangeable = z.infer<typeof Exchangeable>;

/** One more parameter in an address. */
export const withParameter = (address: string, name: string, value: string): string => {
  const url = new URL(address);
  url.searchParams.set(name, value);
  return url.href;
};

type Query = { [name: string]: string | string[] | undefined };
const CHALLENGE = /^[A-Za-z0-9_-]{43}$/;

const isVerifiedBy = (challenge: string | undefined, verifier: string | undefined): boolean => {
  // RFC 9700 §2.1.1: a verifier for a code that was asked for without a challenge is a downgrade.
  if (challenge === undefined || verifier === undefined) return challenge === verifier;
  const [a, b] = [challenge, createHash('sha256').update(verifier).digest('base64url')].map((one) => Buffer.from(one));
  return a !== undefined && b !== undefined && a.length === b.length && timingSafeEqual(a, b);
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
        !url.hash &&
        // What we answer with: an app must not be shown one that came from somewhere else.
        !ANSWERS.some((name) => url.searchParams.has(name));
      if (!sound || !origins.has(url.origin))
        throw new DomainError(
          'invalid_return_to',
          'return_to must be an address at one of FIRST_PARTY_ORIGINS, without a fragment, and without code or error of its own',
        );
      return url.href;
    },

    /**
     * What the app asks its code to be bound to, if anything.
     *
     * @throws {DomainError} `invalid_code_challenge`
     * @see [RFC 7636 §4.2](https://www.rfc-editor.org/rfc/rfc7636.html#section-4.2)
     */
    challengeOf({ code_challenge: challenge, code_challenge_method: method = 'S256' }: Query): string | undefined {
      if (challenge === undefined && method === 'S256') return undefined;
      if (typeof challenge === 'string' && CHALLENGE.test(challenge) && method === 'S256') return challenge;
      throw new DomainError(
        'invalid_code_challenge',
        'code_challenge must be the SHA-256 of the verifier in base64url, 43 characters, and its method S256',
      );
    },

    /** A code that works once, for a minute, and ends with everything else of its user's. */
    issue: (what: Omit<Exchangeable, 'grantId'>): Promise<string> =>
      values.put(MODEL, { ...what, grantId: newGrantId() }, SECONDS, what.userId),

    /**
     * What this code stands for; undefined when it is not live, was taken already, or is bound to another verifier. A wrong verifier
     * spends the code: it was stolen, or the app has lost its own.
     *
     * @param end Ends what a code became that is brought a second time, by somebody who could have been the first.
     * @see [RFC 6749 §4.1.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.1.2)
     */
    async redeem(
      code: string,
      verifier: string | undefined,
      end: (grantId: string) => Promise<void>,
    ): Promise<Exchangeable | undefined> {
      const taken = Exchangeable.safeParse(await values.take(MODEL, code)).data;
      if (taken) return isVerifiedBy(taken.codeChallenge, verifier) ? taken : undefined;
      const former = Exchangeable.safeParse(await values.look(MODEL, code)).data;
      if (former && isVerifiedBy(former.codeChallenge, verifier)) {
        // Said before it is ended: whoever was first may not have got it yet, and asks afterwards.
        await values.cameAgain(MODEL, code, SECONDS);
        await end(former.grantId);
      }
      return undefined;
    },

    /** Whether the code was brought a second time, while it was being exchanged perhaps. */
    cameAgain: (code: string): Promise<boolean> => values.hasComeAgain(MODEL, code),
  };
};
