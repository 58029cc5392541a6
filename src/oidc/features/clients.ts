// Clients that nobody here has registered, and the pages of those that run in browsers: their part of the engine's configuration.
import type { Client, Configuration } from 'oidc-provider';

/** Who may register clients: nobody, who has an initial access token, or anybody. */
export type RegistrationPolicy = 'off' | 'token' | 'open';

export type ClientSettings = {
  /** Who may register clients. */
  registration: RegistrationPolicy;
};

/** What is set of a client by the adapter alone. */
export const REGISTRATION_METADATA = ['registration'] as const;

/** Registered by who could just as well be anybody: by itself, or by nothing but its address. */
export const isUnverified = (client: Client): boolean =>
  client.first_party !== true && (client.registration === 'open' || client.registration === 'document');

/** A page may call the token, userinfo, revocation and PAR endpoints for a public client from where that one is sent back to. */
export const isAllowedOrigin = (origin: string, client: Client): boolean =>
  client.clientAuthMethod === 'none' &&
  (client.redirectUris ?? []).some((uri) => URL.parse(uri)?.origin === origin && origin !== 'null');

export const clientFeatures = ({ registration }: ClientSettings, issuer: string) =>
  ({
    clientBasedCORS: (_ctx, origin, client) => isAllowedOrigin(origin, client),
    discovery: {
      client_id_metadata_document_supported: true,
      ...(registration !== 'off' && { registration_endpoint: `${issuer}/oauth/register` }),
    },
  }) satisfies Configuration;
