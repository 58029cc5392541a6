import type { DpopProofs, Presented } from './dpop-proofs.ts';

/** How a token came: by which scheme, and with what to show that its holder is its owner (RFC 9449 §7.1, RFC 8705 §3). */
export type Presentation = Presented & {
  scheme: 'bearer' | 'dpop';
  /** SHA-256 of the certificate that the client showed. */
  certificate: string | undefined;
};

/** A live token that is bound to a key, presented without proof of that key. */
export class ProofMissing extends Error {}

/** The thumbprints of the key and of the certificate that a token is bound to, if it is. */
export type Bound = { jkt: string | undefined; x5t: string | undefined };

/**
 * Whether the caller holds what the token is bound to.
 *
 * @throws {ProofMissing} when it is bound to a key of which there is no proof.
 */
export const holdsKey = async (
  proofs: DpopProofs,
  token: string,
  { jkt, x5t }: Bound,
  clientId: string,
  by: Presentation,
): Promise<boolean> => {
  if (x5t !== undefined && x5t !== by.certificate) return false;
  // A proof beside a token that is bound to nothing proves nothing; the engine refuses it too.
  if (jkt === undefined) return by.scheme === 'bearer';
  if (by.scheme === 'dpop' && (await proofs.thumbprint(token, by, clientId)) === jkt) return true;
  throw new ProofMissing('the token is bound to a key');
};
