import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose';
import { z } from 'zod';
import { sha256 } from '../domain/secrets.ts';
import { algorithms } from './features/algorithms.ts';
import type { Replays } from './replays.ts';

/** RFC 9449 §4.2 */
const Proof = z.looseObject({
  jti: z.string().min(1).max(500),
  htm: z.string(),
  htu: z.string(),
  iat: z.number(),
  ath: z.string(),
});

/** How far a client's clock may be off, and so how long a proof is remembered; as long as the engine gives them. */
const WINDOW_SECONDS = 300;

export const DPOP_ALGORITHMS: readonly string[] = algorithms.enabledJWA.dPoPSigningAlgValues;

/** Where a token was presented, and with what. */
export type Presented = { method: string; url: string; proof: string };

const withoutQuery = (uri: string): string | undefined => {
  const url = URL.parse(uri);
  if (!url) return undefined;
  url.search = '';
  url.hash = '';
  return url.href;
};

/**
 * Proofs at our own resource routes; at the engine's endpoints the engine checks them.
 *
 * @see [RFC 9449 §4.3](https://www.rfc-editor.org/rfc/rfc9449.html#section-4.3)
 */
export const createDpopProofs = (replays: Replays) => ({
  /** The thumbprint of the key that has signed a proof for this request and this token; undefined when there is none that is good. */
  async thumbprint(token: string, { method, url, proof }: Presented, clientId: string): Promise<string | undefined> {
    try {
      const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
        algorithms: [...DPOP_ALGORITHMS],
        typ: 'dpop+jwt',
      });
      const { jti, htm, htu, iat, ath } = Proof.parse(payload);
      const now = Date.now() / 1000;
      if (htm !== method || withoutQuery(htu) !== withoutQuery(url) || ath !== sha256(token)) return undefined;
      if (Math.abs(now - iat) > WINDOW_SECONDS || !protectedHeader.jwk) return undefined;
      if (!(await replays.unique(clientId, jti, now + 2 * WINDOW_SECONDS))) return undefined;
      return await calculateJwkThumbprint(protectedHeader.jwk);
    } catch (error) {
      // A store that is away is no bad proof.
      if (
        error instanceof z.ZodError ||
        (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_J'))
      )
        return undefined;
      throw error;
    }
  },
});

export type DpopProofs = ReturnType<typeof createDpopProofs>;
