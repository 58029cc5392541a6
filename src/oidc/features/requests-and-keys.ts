// What this service switches on of the engine, by subject: each file is a part of the configuration, with the rules that go with it.
import { type Configuration, errors } from 'oidc-provider';
import type { Secrets } from '../../domain/secrets.ts';
import type { Outbound } from '../outbound.ts';
import { algorithms } from './algorithms.ts';
import { clientAuthentication } from './client-authentication.ts';
import { REGISTRATION_METADATA } from './clients.ts';
import { dpop } from './dpop.ts';
import { fapi, holdToProfile } from './fapi.ts';
import { type MtlsSettings, mtls } from './mtls.ts';
import { requests } from './requests.ts';

export type RequestAndKeySettings = {
  /** Whether a DPoP proof has to bear a nonce of ours. */
  dpopRequireNonce?: boolean | undefined;
  mtls?: MtlsSettings | undefined;
};

/** How clients ask, prove who they are, and are answered: its part of the engine's configuration. */
export const requestsAndKeys = (settings: RequestAndKeySettings, secrets: Secrets, outbound: Outbound) => {
  const { methods, ...mutualTls } = mtls(settings.mtls ?? {});
  return {
    ...algorithms,
    ...clientAuthentication,
    ...fapi,
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      ...methods,
      'none',
    ],
    extraClientMetadata: {
      // All but the last three are ours, and set by the adapter alone; no answer shows them.
      properties: [
        'first_party',
        'previous_secret',
        'resource_scopes',
        'secret_hash',
        'stored',
        ...REGISTRATION_METADATA,
        'may_act',
        'profile',
        'require_pkce',
        'token_exchange',
      ],
      validator: (_ctx, key, value, metadata) => {
        if (key === 'profile') holdToProfile(metadata);
        if (key === 'require_pkce' && value !== undefined && typeof value !== 'boolean')
          throw new errors.InvalidClientMetadata('require_pkce must be a boolean');
      },
    },
    features: {
      ...algorithms.features,
      ...requests.features,
      ...dpop(secrets, settings.dpopRequireNonce ?? false).features,
      ...fapi.features,
      ...mutualTls.features,
    },
    fetch: outbound.fetch,
    // No tokens from the authorization endpoint (RFC 9700 §2.1.2): an ID token for who registers for it, and no access token.
    responseTypes: ['code', 'none', 'id_token', 'code id_token'],
  } satisfies Configuration;
};
