import { errors } from 'oidc-provider';
import { z } from 'zod';
import { SCOPES } from '../domain/claims.ts';
import type { ClientMetadata } from '../storage/clients.ts';
import { ASKED_METADATA, isMetadata } from './client-metadata.ts';
import { faultOfRedirectUri } from './redirect-uris.ts';

const Document = z.looseObject({ ...ASKED_METADATA, client_id: z.string() });

const AUTH_METHODS: ReadonlySet<unknown> = new Set(['none', 'private_key_jwt']);
const GRANTS: ReadonlySet<string> = new Set(['authorization_code', 'refresh_token']);
const WEB_URIS = ['client_uri', 'logo_uri', 'policy_uri', 'tos_uri', 'jwks_uri', 'initiate_login_uri'] as const;
/** What a client cannot say of itself, what only an operator may, or would have us fetch yet another document for. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'client_id',
  'may_act',
  'sector_identifier_uri',
  'subject_type',
  'token_exchange',
]);

const refuse = (why: string): never => {
  throw new errors.InvalidClientMetadata(`client_id metadata document: ${why}`);
};

/**
 * The metadata that a document at `clientId` gives its client; what nobody here knows is left out.
 *
 * @throws the engine's error, saying what is wrong with it.
 * @see [draft-ietf-oauth-client-id-metadata-document §4](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/)
 */
export const documentMetadata = (clientId: string, json: unknown): ClientMetadata => {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return refuse('it must be a JSON object');
  const parsed = Document.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refuse(`${issue?.path.join('.')} ${issue?.message}`);
  }
  const document: Record<string, unknown> = parsed.data;
  if (document.client_id !== clientId) refuse('its client_id must be the very address it is at');
  if ('client_secret' in document || 'client_secret_expires_at' in document)
    refuse('it must not have a client_secret: everybody can read it');
  // What RFC 7591 takes for granted, a secret, there cannot be.
  const method = document.token_endpoint_auth_method ?? 'none';
  if (!AUTH_METHODS.has(method)) refuse('token_endpoint_auth_method must be none or private_key_jwt');
  for (const name of WEB_URIS)
    if (document[name] != null && URL.parse(String(document[name]))?.protocol !== 'https:')
      refuse(`${name} must be an https URL`);
  const redirectUris = [document.redirect_uris ?? []].flat();
  if (redirectUris.length === 0) refuse('redirect_uris must contain members');
  for (const uri of [...redirectUris, ...[document.post_logout_redirect_uris ?? []].flat()]) {
    const fault = faultOfRedirectUri(String(uri), false);
    if (fault) refuse(`redirect_uris ${fault}`);
  }
  const grants = [document.grant_types ?? ['authorization_code']].flat().filter((one) => GRANTS.has(String(one)));
  if (!grants.includes('authorization_code')) refuse('grant_types must have authorization_code');
  if (![document.response_types ?? ['code']].flat().includes('code')) refuse('response_types must have code');
  const scopes = String(document.scope ?? '')
    .split(' ')
    .filter((one) => Object.hasOwn(SCOPES, one));

  const told = Object.entries(document).filter(
    ([name, value]) => isMetadata(name) && !LEFT_OUT.has(name) && value !== null,
  );
  const metadata = {
    ...Object.fromEntries(told),
    scope: scopes.length > 0 ? scopes.join(' ') : undefined,
    grant_types: grants,
    response_types: ['code'],
    token_endpoint_auth_method: method,
    client_id: clientId,
  };
  // PostgreSQL's jsonb holds neither NUL nor half a surrogate pair.
  if (/\\u(0000|d[89a-f])/.test(JSON.stringify(metadata))) refuse('a value has a character that cannot be stored');
  return metadata;
};
