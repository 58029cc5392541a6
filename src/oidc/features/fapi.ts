import { type Client, type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider';
import { isLoopbackHost } from '../loopback.ts';
import { isUnverified } from './clients.ts';

/** FAPI 2.0 Security Profile §5.4.1 */
export const FAPI_ALGORITHMS: readonly string[] = ['PS256', 'ES256', 'EdDSA', 'Ed25519'];

/** §5.3.2.1: ten seconds are a clock that is off, and more than a minute is a lie. The engine lets `iat` be anything where there is an `exp`. */
export const isOfTheFuture = ({ iat, nbf }: { iat?: unknown; nbf?: unknown }): boolean =>
  [iat, nbf].some((time) => time !== undefined && !(Number(time) <= Date.now() / 1000 + 60));

const PROFILES: readonly unknown[] = ['fapi2', 'fapi2-message-signing'];
const AUTHENTICATION: readonly unknown[] = ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'];
const JWT_MODES = ['jwt', 'query.jwt', 'fragment.jwt', 'form_post.jwt'];

/** Whether this client is held to FAPI 2.0. */
export const isFapi = (client: Client | undefined): boolean => PROFILES.includes(client?.profile);

const invalid = (why: string): never => {
  throw new errors.InvalidClientMetadata(why);
};

type Metadata = Record<string, unknown>;

/** What is not said is filled in as the profile wants it; what says otherwise is refused. */
const must = (metadata: Metadata, name: string, value: unknown): void => {
  metadata[name] ??= value;
  if (metadata[name] !== value) invalid(`${name} must be ${value} for this profile`);
};

const mustBeSound = (metadata: Metadata, name: string, fallback: string | undefined): void => {
  metadata[name] ??= fallback;
  if (metadata[name] === undefined) delete metadata[name];
  else if (!FAPI_ALGORITHMS.includes(String(metadata[name])))
    invalid(`${name} must be ${FAPI_ALGORITHMS.join(' or ')} for this profile`);
};

/** Bits of its modulus: as many as the number has, without leading zeros. */
const bitsOf = (jwk: Metadata): number => {
  const bytes = Buffer.from(String(jwk.n), 'base64url');
  const first = bytes.findIndex((byte) => byte > 0);
  return first < 0 ? 0 : (bytes.length - first) * 8 - (Math.clz32(bytes[first] ?? 0) - 24);
};

/**
 * RFC 7518 §3.3, §4.3: an RSA key has 2048 bits or more. A smaller one is taken nowhere later on.
 *
 * @throws the engine's error.
 */
export const refuseSmallKeys = (metadata: Metadata): void => {
  const keys = [(metadata.jwks as { keys?: unknown } | undefined)?.keys ?? []].flat() as unknown[];
  if (keys.some((key) => Object(key).kty === 'RSA' && bitsOf(Object(key)) < 2048))
    invalid('jwks: an RSA key needs 2048 bits or more');
};

const redirectUris = ({ redirect_uris, application_type }: Metadata): void => {
  for (const uri of [redirect_uris ?? []].flat()) {
    const url = URL.parse(String(uri));
    const local = application_type === 'native' && url?.protocol === 'http:' && isLoopbackHost(url.hostname);
    if (url?.protocol !== 'https:' && !local) invalid('redirect_uris must be https for this profile');
  }
};

const senderConstrained = (metadata: Metadata): void => {
  const mtls = 'tls_client_certificate_bound_access_tokens';
  const dpop = 'dpop_bound_access_tokens';
  if (metadata[mtls] === undefined && metadata[dpop] === undefined)
    metadata[String(metadata.token_endpoint_auth_method).includes('tls') ? mtls : dpop] = true;
  if (metadata[mtls] !== true && metadata[dpop] !== true) invalid(`${dpop} or ${mtls} must be true for this profile`);
};

/** FAPI 2.0 Message Signing §5.3 and §5.4: requests and answers are signed; introspection is, where it is asked for as a JWT. */
const messageSigning = (metadata: Metadata): void => {
  must(metadata, 'require_signed_request_object', true);
  metadata.response_modes ??= JWT_MODES;
  if (![metadata.response_modes].flat().every((mode) => JWT_MODES.includes(String(mode))))
    invalid(`response_modes must be of ${JWT_MODES.join(', ')} for this profile`);
};

/** What a client of the profile may register, and what follows from it (FAPI 2.0 Security Profile §5.3.2, §5.4). */
const registration = (metadata: Metadata): void => {
  if (!AUTHENTICATION.includes(metadata.token_endpoint_auth_method))
    invalid('token_endpoint_auth_method must be private_key_jwt or by mutual TLS for this profile');
  if ([metadata.response_types ?? ['code']].flat().some((type) => type !== 'code'))
    invalid('response_types must be code for this profile');
  must(metadata, 'require_pushed_authorization_requests', true);
  redirectUris(metadata);
  senderConstrained(metadata);
  for (const name of ['id_token', 'authorization', 'introspection'])
    mustBeSound(metadata, `${name}_signed_response_alg`, 'PS256');
  for (const name of ['token_endpoint_auth_signing_alg', 'request_object_signing_alg', 'userinfo_signed_response_alg'])
    mustBeSound(metadata, name, undefined);
  refuseSmallKeys(metadata);
  if (metadata.profile === 'fapi2-message-signing') messageSigning(metadata);
};

/**
 * Holds a client to the profile that its metadata name, and no other client: at registration, which stores what is filled in here, and again
 * whenever the client is read.
 *
 * @throws the engine's error, naming the member.
 */
export const holdToProfile = (metadata: Metadata): void => {
  if (metadata.profile === undefined) return;
  if (!PROFILES.includes(metadata.profile)) invalid(`profile must be ${PROFILES.join(' or ')}`);
  registration(metadata);
};

/** FAPI 2.0 Security Profile, for the clients whose metadata say so. What they may register is in `holdToProfile`. */
export const fapi = {
  features: { fapi: { enabled: true, profile: (_ctx, client) => (isFapi(client) ? '2.0' : undefined) } },
  // §5.3.2.1: no rotation, which a retry would turn against an honest client; the token is bound to its key already.
  rotateRefreshToken: (ctx: KoaContextWithOIDC) => !isFapi(ctx.oidc.client),
  // RFC 9700 §2.1.1: required where there is no secret, where the client registered so, by the profile, and of whom nobody knows; checked
  // wherever a client sends it. OpenID Connect has clients with a secret do without.
  pkce: {
    required: (_ctx, client) =>
      client.clientAuthMethod === 'none' || client.require_pkce === true || isFapi(client) || isUnverified(client),
  },
} satisfies Pick<Configuration, 'features' | 'rotateRefreshToken' | 'pkce'>;
