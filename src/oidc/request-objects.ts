import { decodeJwt } from 'jose';
import type { KoaContextWithOIDC } from 'oidc-provider';

const isText = (value: unknown): boolean => {
  try {
    return String(value) !== undefined;
  } catch {
    return false;
  }
};

/**
 * Whether the engine failed at a request object of which a claim is nothing that can be read as a parameter: it takes each as text, and
 * `{"toString":"x"}` has none.
 *
 * @see [RFC 9101 §6.3](https://www.rfc-editor.org/rfc/rfc9101.html#section-6.3): such a request is `invalid_request_object`
 */
export const isUnreadableRequestObject = (ctx: KoaContextWithOIDC, error: Error): boolean => {
  const request = ctx.oidc?.params?.request;
  if (!(error instanceof TypeError) || typeof request !== 'string') return false;
  try {
    return !Object.values(decodeJwt(request)).every(isText);
  } catch {
    return false;
  }
};
