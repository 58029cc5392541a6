import { z } from 'zod';

const text = z.string().min(1).max(2000);
const uris = z.array(text).max(100);
const words = z.array(z.string().min(1).max(200)).max(100);

/**
 * What can be said of a client: the members of RFC 7591 §2, OIDC Registration §2 and RP-Initiated Logout §3.1,
 * Back-Channel Logout §2.2 and CIBA Core §4 that this server
 * acts on or shows. Which values they take, the engine's own rules say.
 */
const members = {
  application_type: text,
  backchannel_client_notification_endpoint: text,
  backchannel_logout_session_required: z.boolean(),
  backchannel_logout_uri: text,
  backchannel_token_delivery_mode: text,
  client_name: z.string().min(1).max(200),
  client_uri: text,
  contacts: words,
  default_acr_values: words,
  default_max_age: z.int().min(0),
  grant_types: words,
  id_token_signed_response_alg: text,
  initiate_login_uri: text,
  jwks: z.looseObject({ keys: z.array(z.looseObject({})).max(100) }),
  jwks_uri: text,
  logo_uri: text,
  policy_uri: text,
  post_logout_redirect_uris: uris,
  redirect_uris: uris,
  require_auth_time: z.boolean(),
  response_modes: words,
  response_types: words,
  scope: text,
  sector_identifier_uri: text,
  software_id: z.string().min(1).max(200),
  software_version: z.string().min(1).max(200),
  subject_type: text,
  token_endpoint_auth_method: text,
  token_endpoint_auth_signing_alg: text,
  tos_uri: text,
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
