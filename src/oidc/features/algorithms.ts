import type { Configuration } from 'oidc-provider';

/** What we sign with. HS256 is under the client's own secret, for clients that register it. */
const SIGNING = ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256'] as const;
/** What clients sign with, by keys that they registered. */
const VERIFYING = ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519', 'HS256'] as const;
const PROVING = ['ES256', 'EdDSA', 'Ed25519', 'PS256'] as const;

// No RSA1_5 (RFC 8725 §3.2), no password-based algorithms; of the rest one small and one large.
const KEY_ENCRYPTION = [
  'RSA-OAEP',
  'RSA-OAEP-256',
  'ECDH-ES',
  'ECDH-ES+A128KW',
  'ECDH-ES+A256KW',
  'A128KW',
  'A256KW',
  'A128GCMKW',
  'A256GCMKW',
  'dir',
] as const;
const CONTENT_ENCRYPTION = ['A128CBC-HS256', 'A256CBC-HS512', 'A128GCM', 'A256GCM'] as const;

/** JWS, JWE: which algorithms a client may register for which message (RFC 7518, RFC 8037, RFC 9701). */
export const algorithms = {
  features: {
    encryption: { enabled: true },
    jwtIntrospection: { enabled: true },
    jwtUserinfo: { enabled: true },
  },
  enabledJWA: {
    clientAuthSigningAlgValues: VERIFYING,
    requestObjectSigningAlgValues: VERIFYING,
    dPoPSigningAlgValues: PROVING,
    idTokenSigningAlgValues: SIGNING,
    userinfoSigningAlgValues: SIGNING,
    introspectionSigningAlgValues: SIGNING,
    authorizationSigningAlgValues: SIGNING,
    idTokenEncryptionAlgValues: KEY_ENCRYPTION,
    userinfoEncryptionAlgValues: KEY_ENCRYPTION,
    introspectionEncryptionAlgValues: KEY_ENCRYPTION,
    authorizationEncryptionAlgValues: KEY_ENCRYPTION,
    requestObjectEncryptionAlgValues: KEY_ENCRYPTION,
    idTokenEncryptionEncValues: CONTENT_ENCRYPTION,
    userinfoEncryptionEncValues: CONTENT_ENCRYPTION,
    introspectionEncryptionEncValues: CONTENT_ENCRYPTION,
    authorizationEncryptionEncValues: CONTENT_ENCRYPTION,
    requestObjectEncryptionEncValues: CONTENT_ENCRYPTION,
  },
} satisfies Pick<Configuration, 'features' | 'enabledJWA'>;
