import { z } from 'zod';
import { ExchangePolicy, MayAct } from './exchange-policy.ts';

const text = z.string().min(1).max(2000);
const uris = z.array(text).max(100);
const words = z.array(z.string().min(1).max(200)).max(100);

/**
 * What can be said of a client: the members of RFC 7591 §2, OIDC Registration §2, RP-Initiated Logout §3.1,
 * Back-Channel Logout §2.2, CIBA Core §4, RFC 8705, RFC 9101, RFC 9126,
 * RFC 9449, RFC 9701 and JARM that this server acts on or shows, and `profile`, `require_pkce`, `token_exchange` and `may_act`, which are ours. Which values they
 * take, the engine's own rules say.
 */
const members = {
  application_type: text,
  authorization_details_types: words,
  authorization_encrypted_response_alg: text,
  authorization_encrypted_response_enc: text,
  authorization_signed_response_alg: text,
  backchannel_authentication_request_signing_alg: text,
  backchannel_client_notification_endpoint: text,
  backchannel_logout_session_required: z.boolean(),
  backchannel_logout_uri: text,
  backchannel_token_delivery_mode: text,
  client_name: z.string().min(1).max(200),
  client_uri: text,
  contacts: words,
  default_acr_values: words,
  default_max_age: z.int().min(0),
  dpop_bound_access_tokens: z.boolean(),
  grant_types: words,
  id_token_encrypted_response_alg: text,
  id_token_encrypted_response_enc: text,
  id_token_signed_response_alg: text,
  initiate_login_uri: text,
  introspection_encrypted_response_alg: text,
  introspection_encrypted_response_enc: text,
  introspection_signed_response_alg: text,
  jwks: z.looseObject({ keys: z.array(z.looseObject({})).max(100) }),
  jwks_uri: text,
  logo_uri: text,
  may_act: MayAct,
  policy_uri: text,
  post_logout_redirect_uris: uris,
  profile: text,
  redirect_uris: uris,
  request_object_encryption_alg: text,
  request_object_encryption_enc: text,
  request_object_signing_alg: text,
  require_auth_time: z.boolean(),
  require_pkce: z.boolean(),
  require_pushed_authorization_requests: z.boolean(),
  require_signed_request_object: z.boolean(),
  response_modes: words,
  response_types: words,
  scope: text,
  sector_identifier_uri: text,
  software_id: z.string().min(1).max(200),
  software_version: z.string().min(1).max(200),
  subject_type: text,
  tls_client_auth_san_dns: text,
  tls_client_auth_san_email: text,
  tls_client_auth_san_ip: text,
  tls_client_auth_san_uri: text,
  tls_client_auth_subject_dn: text,
  tls_client_certificate_bound_access_tokens: z.boolean(),
  token_endpoint_auth_method: text,
  token_endpoint_auth_signing_alg: text,
  token_exchange: ExchangePolicy,
  tos_uri: text,
  userinfo_encrypted_response_alg: text,
  userinfo_encrypted_response_enc: text,
  userinfo_signed_response_alg: text,
} as const;

type Members = typeof members;

/** As it is told. */
export const TOLD_METADATA = Object.fromEntries(
  Object.entries(members).map(([name, schema]) => [name, schema.optional()]),
) as { [Name in keyof Members]: z.ZodOptional<Members[Name]> };

/** As it is asked for; null is the same as nothing (RFC 7592 §2.2). */
export const ASKED_METADATA = Object.fromEntries(
  Object.entries(members).map(([name, schema]) => [name, schema.nullish()]),
) as { [Name in keyof Members]: z.ZodOptional<z.ZodNullable<Members[Name]>> };

export const isMetadata = (name: string): boolean => Object.hasOwn(members, name);

/** Members that the engine has no use for. */
export const isInformative = (name: string): boolean => name === 'software_id' || name === 'software_version';
