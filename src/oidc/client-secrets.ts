import type { Secrets } from '../domain/secrets.ts';
import type { ClientMetadata, StoredSecret } from '../storage/clients.ts';

const purposeOf = (clientId: string): string => `client-secret:${clientId}`;

/** The hash a client secret is stored as. */
export const clientSecretHash = (secrets: Secrets, clientId: string, secret: string): string =>
  secrets.keyedHash(purposeOf(clientId), secret);

/** Whether this is the secret of which the hash is stored. */
export const isClientSecret = (secrets: Secrets, clientId: string, presented: string, hash: string): boolean =>
  secrets.matches(purposeOf(clientId), presented, hash);

/** What is stored of a secret: see decision 0021. */
export const storedSecret = (secrets: Secrets, clientId: string, secret: string, asKey: boolean): StoredSecret => ({
  hash: clientSecretHash(secrets, clientId, secret),
  sealed: asKey ? secrets.seal(secret, purposeOf(clientId)) : null,
});

/** A sealed secret; undefined where there is none, or where it was sealed under a key that is gone. */
export const openClientSecret = (secrets: Secrets, clientId: string, sealed: string | null): string | undefined => {
  if (sealed === null) return undefined;
  try {
    return secrets.open(sealed, purposeOf(clientId));
  } catch {
    return undefined;
  }
};

/** What the client signs or we sign by HMAC, or encrypt under the secret (RFC 7518 §3.2, §4.4 to §4.7; OIDC Core §10.2). */
const SYMMETRIC = /^(HS\d|A\d|dir$)/;

/** Whether this client's secret is a key, and not only compared. */
export const needsSecretAsKey = (metadata: ClientMetadata): boolean =>
  metadata.token_endpoint_auth_method === 'client_secret_jwt' ||
  Object.entries(metadata).some(
    ([name, value]) => name.endsWith('_alg') && typeof value === 'string' && SYMMETRIC.test(value),
  );
