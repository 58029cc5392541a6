import { decodeProtectedHeader, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { z } from 'zod';
import { sha256 } from '../domain/secrets.ts';
import type { Stores } from '../storage/stores.ts';

/** Whose key it is, whom it is for, and how it was signed: none of it does the token decide (RFC 8725 §3.1). */
export type Expected = { key: JWTVerifyGetKey; algorithms: readonly string[]; audience?: string };

export type AccessJwts = ReturnType<typeof createAccessJwts>;

/** The JWTs that we have issued as access tokens, ours and those of other APIs: they verify by themselves, unless one was revoked. */
export const createAccessJwts = ({ denials }: Pick<Stores, 'denials'>, issuer: string) => ({
  /** @returns undefined for what we have not signed so, what has expired, and what does not say what `Claims` wants. */
  async verify<T extends z.ZodType>(token: string, Claims: T, expected: Expected): Promise<z.infer<T> | undefined> {
    const { key, algorithms, audience } = expected;
    try {
      // RFC 8725 §3.11: one type, so that no other JWT of ours passes for one.
      const options = {
        issuer,
        typ: 'at+jwt',
        algorithms: [...algorithms],
        ...(audience !== undefined && { audience }),
      };
      return Claims.parse((await jwtVerify(token, key, options)).payload);
    } catch {
      return undefined;
    }
  },

  /** Whether this one was revoked by itself. */
  isDenied: ({ jti, iat }: { jti: string; iat: number }): Promise<boolean> => denials.isDenied(sha256(jti), iat),

  /** Refuses this one JWT from now until it expires; its grant, and the other tokens of it, go on. */
  deny: ({ jti, exp }: { jti: string; exp: number }): Promise<void> => denials.deny(sha256(jti), exp),
});

/** Whether this has the form of a JWT; opaque tokens have no dots. */
export const isJwt = (token: string): boolean => {
  try {
    return decodeProtectedHeader(token) !== undefined;
  } catch {
    return false;
  }
};
