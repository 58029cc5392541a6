import { createPublicKey, type KeyObject } from 'node:crypto';
import type { JWK } from 'jose';
import { ExternalSigningKey } from 'oidc-provider';

/** A signing key whose private half is elsewhere, such as in a key management service, which signs for us. */
export type ExternalKey = {
  kid: string;
  alg: string;
  publicJwk: JWK;
  /** The signature as JWS has it (RFC 7518 §3), over the bytes given. */
  sign(data: Uint8Array): Promise<Uint8Array>;
};

/** The key as oidc-provider takes it. */
export const engineKey = ({ kid, alg, publicJwk, sign }: ExternalKey): JWK => {
  const publicKey: KeyObject = createPublicKey({ key: { ...publicJwk }, format: 'jwk' });
  const Key = class extends ExternalSigningKey {
    override keyObject(): KeyObject {
      return publicKey;
    }
    override async sign(data: Uint8Array): Promise<Uint8Array> {
      return sign(data);
    }
  };
  const key = Object.assign(new Key(), { kid, alg });
  // It has the members of a JWK, as getters.
  return key as unknown as JWK;
};
