import { SCOPES } from '../domain/claims.ts';
import type { SelfRegistration } from '../storage/clients.ts';
import { isMetadata } from './client-metadata.ts';
import { TOKEN_EXCHANGE } from './exchange-policy.ts';
import { faultOfRedirectUri } from './redirect-uris.ts';

export type RegistrationErrorCode =
  | 'invalid_redirect_uri'
  | 'invalid_client_metadata'
  | 'invalid_software_statement'
  | 'unapproved_software_statement'
  | 'invalid_request'
  | 'invalid_token';

/** A client cannot be registered like this (RFC 7591 §3.2.2, RFC 7592 §2). */
export class RegistrationError extends Error {
  readonly code: RegistrationErrorCode;

  constructor(code: RegistrationErrorCode, message: string) {
    super(message);
    this.name = 'RegistrationError';
    this.code = code;
  }
}

type Metadata = Record<string, unknown>;

const listOf = (value: unknown): unknown[] => (value === undefined || value === null ? [] : [value].flat());

/** RFC 7591 §2.3: one that is not understood must not be half believed. */
const refuseSoftwareStatement = ({ software_statement: statement }: Metadata): void => {
  if (statement === undefined || statement === null) return;
  const signed = typeof statement === 'string' && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(statement);
  if (!signed) throw new RegistrationError('invalid_software_statement', 'software_statement is not a signed JWT');
  throw new RegistrationError(
    'unapproved_software_statement',
    'software statements are not accepted here: send the metadata themselves',
  );
};

const checkRedirectUris = (metadata: Metadata, schemes: boolean): void => {
  for (const name of ['redirect_uris', 'post_logout_redirect_uris'])
    for (const uri of listOf(metadata[name])) {
      const fault = faultOfRedirectUri(String(uri), schemes);
      if (!fault) continue;
      throw new RegistrationError(
        name === 'redirect_uris' ? 'invalid_redirect_uri' : 'invalid_client_metadata',
        `${name} ${fault}`,
      );
    }
};

/** What a client may do in other people's names is the operator's to say, whoever let it in (RFC 8693 §5). */
const refuseExchange = (metadata: Metadata): void => {
  if (metadata.token_exchange != null || listOf(metadata.grant_types).includes(TOKEN_EXCHANGE))
    throw new RegistrationError(
      'invalid_client_metadata',
      'grant_types: token exchange is not for clients that register themselves',
    );
  if (metadata.may_act != null)
    throw new RegistrationError('invalid_client_metadata', 'may_act: who may act is for the operator to say');
};

/** RFC 7591 §3.2.1 lets a server replace what it does not know. */
const scopeOf = (scope: unknown, ofResources: ReadonlySet<string>): string | undefined => {
  if (typeof scope !== 'string') return undefined;
  const known = scope.split(' ').filter((one) => Object.hasOwn(SCOPES, one) || ofResources.has(one));
  return known.length > 0 ? known.join(' ') : undefined;
};

const OPEN_GRANTS: ReadonlySet<unknown> = new Set(['authorization_code', 'refresh_token']);
/** Hosts ask for every grant that they know; this one they can do without. */
const LEFT_OUT: ReadonlySet<unknown> = new Set(['urn:ietf:params:oauth:grant-type:device_code']);

/** What a client that nobody has looked at may be: one that sends people here for codes, and nothing else. */
const asAnybody = (metadata: Metadata): Metadata => {
  const grants = listOf(metadata.grant_types).filter((grant) => !LEFT_OUT.has(grant));
  const refused = grants.find((grant) => !OPEN_GRANTS.has(grant));
  if (refused !== undefined)
    throw new RegistrationError(
      'invalid_client_metadata',
      `grant_types: ${String(refused).slice(0, 100)} needs an initial access token; without one there are authorization_code and refresh_token`,
    );
  const given = metadata.grant_types !== undefined && metadata.grant_types !== null;
  if (given && !grants.includes('authorization_code'))
    throw new RegistrationError('invalid_client_metadata', 'grant_types must have authorization_code');
  if (listOf(metadata.response_types).some((type) => type !== 'code'))
    throw new RegistrationError('invalid_client_metadata', 'response_types: without an initial access token only code');
  if (listOf(metadata.redirect_uris).length === 0)
    throw new RegistrationError('invalid_redirect_uri', 'redirect_uris must contain members');
  return { ...metadata, ...(given && { grant_types: grants }) };
};

/**
 * Metadata as a client may register them itself; what nobody here knows is left out (RFC 7591 §2).
 *
 * @param ofResources The scopes of resource servers.
 * @throws {RegistrationError}
 */
export const selfRegistered = (
  requested: Metadata,
  registration: SelfRegistration,
  ofResources: ReadonlySet<string>,
): Metadata => {
  refuseSoftwareStatement(requested);
  refuseExchange(requested);
  const open = registration === 'open';
  checkRedirectUris(requested, !open);
  const known = Object.fromEntries(Object.entries(requested).filter(([name]) => isMetadata(name)));
  const metadata: Metadata = { ...known, scope: scopeOf(known.scope, ofResources) };
  return open ? asAnybody(metadata) : metadata;
};
