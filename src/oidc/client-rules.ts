import { errors, type Provider } from 'oidc-provider';
import { DomainError } from '../domain/errors.ts';
import { randomSecret, type Secrets } from '../domain/secrets.ts';
import type { ClientMetadata, ClientRecord } from '../storage/clients.ts';
import { isInformative, isMetadata } from './client-metadata.ts';
import { clientSecretHash, understoodMetadata } from './engine-internals.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

/** Client metadata as it was asked for: RFC 7591 §2; client_id and client_secret are made up when absent. */
export type RequestedClient = Record<string, unknown> & { client_id?: unknown; client_secret?: unknown };

/** The methods that need no secret. One that the engine does not know counts as needing it, so that the engine names what is wrong. */
const SECRETLESS: readonly unknown[] = ['private_key_jwt', 'none'];

const CIBA_GRANT = 'urn:openid:params:grant-type:ciba';

/** A secret somebody chose: it must at least not be guessed at the token endpoint. */
const MIN_SECRET_LENGTH = 16;

export const invalid = (message: string) => new DomainError('invalid_client_metadata', message);

/** What a client may be: our rules on top of the engine's. All of them throw `invalid_client_metadata`, naming the field. */
export const createClientRules = (provider: Provider, secrets: Secrets) => {
  /** @param unknown What becomes of members that nobody here knows. */
  const metadataOf = (requested: RequestedClient, clientId: string, unknown: 'refuse' | 'drop'): ClientMetadata => {
    const { client_id: _, client_secret: __, first_party: ___, ...asked } = requested;
    // RFC 7592 §2.2: null is the same as leaving it out.
    const given = Object.entries(asked).filter(([, value]) => value !== null && value !== undefined);
    const strange = given.flatMap(([name]) => (isMetadata(name) ? [] : [name]));
    if (unknown === 'refuse' && strange.length > 0)
      throw invalid(`not known here: ${strange.join(', ').slice(0, 500)}`);
    const metadata = Object.fromEntries(given.filter(([name]) => isMetadata(name)));
    // PostgreSQL's jsonb holds neither NUL nor half a surrogate pair.
    if (/\\u(0000|d[89a-f])/.test(JSON.stringify(metadata)))
      throw invalid('a value has a character that cannot be stored');
    for (const [name, value] of given)
      if (isInformative(name) && typeof value !== 'string') throw invalid(`${name} must be a string`);
    // RFC 6749 §4.4: only a client that can authenticate may act for itself.
    if (metadata.token_endpoint_auth_method === 'none' && [metadata.grant_types].flat().includes('client_credentials'))
      throw invalid('grant_types: client_credentials needs client authentication');
    // CIBA Core §4: whoever knows a client_id could otherwise ask people for approvals.
    if (metadata.token_endpoint_auth_method === 'none' && [metadata.grant_types].flat().includes(CIBA_GRANT))
      throw invalid(`grant_types: ${CIBA_GRANT} needs client authentication`);
    return { ...metadata, client_id: clientId };
  };

  const usesSecret = (metadata: ClientMetadata): boolean => !SECRETLESS.includes(metadata.token_endpoint_auth_method);

  const understood = async ({ metadata, secretHash }: ClientRecord): Promise<Record<string, unknown>> => {
    try {
      // The engine's own rules decide (RFC 7591 §2, OIDC Registration §2), the same that hold when the client is used.
      return await understoodMetadata(provider, {
        ...metadata,
        ...(secretHash !== null && { client_secret: secretHash }),
      });
    } catch (error) {
      if (!(error instanceof errors.OIDCProviderError)) throw error;
      throw invalid(error.error_description ?? error.message);
    }
  };

  /** The metadata with its defaults; as it was stored, should the rules have changed since. */
  const effective = async (record: ClientRecord): Promise<ClientMetadata> => {
    const filled = await understood(record).catch((error) => {
      if (error instanceof DomainError) return {};
      throw error;
    });
    const told = Object.entries({ ...record.metadata, ...filled }).filter(([name]) => isMetadata(name));
    return { client_id: record.metadata.client_id, ...Object.fromEntries(told) };
  };

  const prepare = async (
    requested: RequestedClient,
    firstParty: boolean,
    { unknown, minSecretLength = MIN_SECRET_LENGTH }: { unknown: 'refuse' | 'drop'; minSecretLength?: number },
  ): Promise<{ record: ClientRecord; secret: string | undefined }> => {
    const { client_secret: askedSecret, client_id: askedId } = requested;
    if (askedId !== undefined && (typeof askedId !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(askedId)))
      throw invalid('client_id must be 1 to 200 printable ASCII characters');
    const clientId = askedId ?? randomSecret(16);
    if (clientId === FIRST_PARTY_CLIENT_ID)
      throw new DomainError('client_exists', `the client_id ${clientId} is this service's own`);
    const metadata = metadataOf(requested, clientId, unknown);
    const secretive = usesSecret(metadata);
    if (askedSecret !== undefined && (!secretive || typeof askedSecret !== 'string'))
      throw invalid('client_secret does not fit token_endpoint_auth_method');
    if (typeof askedSecret === 'string' && askedSecret.length < minSecretLength)
      throw invalid(`client_secret needs ${minSecretLength} characters or more`);
    const secret = secretive ? (askedSecret ?? randomSecret(32)) : undefined;
    const secretHash = secret === undefined ? null : clientSecretHash(secrets, clientId, secret);
    const record = { metadata, secretHash, firstParty };
    await understood(record);
    return { record, secret };
  };

  return { metadataOf, usesSecret, understood, effective, prepare };
};
