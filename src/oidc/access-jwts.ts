import { decodeProtectedHeader, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { z } from 'zod';
import { sha256 } from '../domain/secrets.ts';
import type { Stores } from '../storage/stores.ts';

/** The model under which the identifiers of revoked JWTs are kept, until they expire by themselves. */
const DENIED = 'DeniedJwt';

/** Whose key it is, whom it is for, and how it was signed: none of it does the token decide (RFC 8725 §3.1). */
export type Expected = { key: JWTVerifyGetKey; algorithms: readonly string[]; audience?: string };

export type AccessJwts = ReturnType<typeof createAccessJwts>;

/** The JWTs that we have issued as access tokens, ours and those of other APIs: they verify by themselves, unless one was revoked. */
export const createAccessJwts = ({ artifacts }: Pick<Stores, 'artifacts'>, issuer: string) => ({
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

  isDenied: async (jti: string): Promise<boolean> => (await artifacts.find(DENIED, sha256(jti))) !== undefined,

  /** Refuses this one JWT from now until it expires; its grant, and the other tokens of it, go on. */
  async deny({ jti, exp }: { jti: string; exp: number }): Promise<void> {
    await artifacts.upsert(DENIED, sha256(jti), { payload: '', expiresAt: exp });
  },
});

/** Whether this has the form of a JWT; opaque tokens have no dots. */
export const isJwt = (token: string): boolean => {
  try {
    return decodeProtectedHeader(token) !== undefined;
  } catch {
    return false;
  }
};
