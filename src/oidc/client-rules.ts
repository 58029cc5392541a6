import { errors, type Provider } from 'oidc-provider';
import { DomainError } from '../domain/errors.ts';
import { randomSecret, type Secrets } from '../domain/secrets.ts';
import type { ClientMetadata, ClientRecord } from '../storage/clients.ts';
import { isInformative, isMetadata } from './client-metadata.ts';
import { engineScope, foreignScopes } from './client-scopes.ts';
import { needsSecretAsKey, storedSecret } from './client-secrets.ts';
import { understoodMetadata } from './engine-internals.ts';
import { ExchangePolicy, MayAct, TOKEN_EXCHANGE } from './exchange-policy.ts';
import { CIBA_GRANT } from './features/decoupled.ts';
import { holdToProfile, refuseSmallKeys } from './features/fapi.ts';
import { isLoopbackHost } from './loopback.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

/** Client metadata as it was asked for: RFC 7591 §2; client_id and client_secret are made up when absent. */
export type RequestedClient = Record<string, unknown> & { client_id?: unknown; client_secret?: unknown };

/** The methods that need no secret. One that the engine does not know counts as needing it, so that the engine names what is wrong. */
const SECRETLESS: readonly unknown[] = ['private_key_jwt', 'none', 'tls_client_auth', 'self_signed_tls_client_auth'];

/** A secret somebody chose: it must at least not be guessed at the token endpoint. */
const MIN_SECRET_LENGTH = 16;
/** RFC 7518 §3.2: a key of the same size as the hash output, or larger. */
export const MIN_KEY_LENGTH = 32;

export const invalid = (message: string) => new DomainError('invalid_client_metadata', message);

/** RFC 9700 §2.6: no answer travels unencrypted, other than on the person's own machine. */
const sendsNothingInTheClear = (redirectUris: unknown): void => {
  for (const uri of [redirectUris].flat()) {
    const url = URL.parse(String(uri));
    if (url?.protocol === 'http:' && !isLoopbackHost(url.hostname))
      throw invalid('redirect_uris: http is for the own machine (localhost, 127.0.0.1, [::1]) alone');
  }
};

const asDomainError = (error: unknown): unknown =>
  error instanceof errors.OIDCProviderError ? invalid(error.error_description ?? error.message) : error;

/** What a client may be: our rules on top of the engine's. All of them throw `invalid_client_metadata`, naming the field. */
export const createClientRules = (
  provider: Provider,
  secrets: Secrets,
  scopeNames: () => Promise<ReadonlySet<string>>,
) => {
  /** @param unknown What becomes of members that nobody here knows. */
  const metadataOf = (requested: RequestedClient, clientId: string, unknown: 'refuse' | 'drop'): ClientMetadata => {
    const { client_id: _, client_secret: __, first_party: ___, ...asked } = requested;
    // RFC 7592 §2.2: null is the same as leaving it out.
    const given = Object.entries(asked).filter(([, value]) => value !== null && value !== undefined);
    // RFC 7591 §2.3: one that is not understood must not be half believed.
    if (given.some(([name]) => name === 'software_statement'))
      throw invalid('software_statement: software statements are not accepted here; send the metadata itself');
    const strange = given.flatMap(([name]) => (isMetadata(name) ? [] : [name]));
    if (unknown === 'refuse' && strange.length > 0)
      throw invalid(`not known here: ${strange.join(', ').slice(0, 500)}`);
    const metadata = Object.fromEntries(given.filter(([name]) => isMetadata(name)));
    // What the operator configures is the operator's to answer for.
    if (unknown === 'refuse') sendsNothingInTheClear(metadata.redirect_uris);
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
    if (metadata.token_endpoint_auth_method === 'none' && needsSecretAsKey({ ...metadata, client_id: clientId }))
      throw invalid('a client that does not authenticate has no secret: choose asymmetric algorithms');
    // What a client may have on others' behalf, and how: bound tokens are not exchanged, and nobody exchanges without proof of who they are.
    const exchanges = [metadata.grant_types].flat().includes(TOKEN_EXCHANGE);
    if (exchanges !== (metadata.token_exchange !== undefined))
      throw invalid(`token_exchange and the grant type ${TOKEN_EXCHANGE} come together`);
    if (exchanges && !ExchangePolicy.safeParse(metadata.token_exchange).success)
      throw invalid('token_exchange must be { resources: [identifier, …], impersonation?: boolean }');
    if (metadata.may_act !== undefined && !MayAct.safeParse(metadata.may_act).success)
      throw invalid('may_act must be { sub?: string, client_id?: string }, of which one at least');
    const bound = metadata.dpop_bound_access_tokens || metadata.tls_client_certificate_bound_access_tokens;
    if (exchanges && (metadata.token_endpoint_auth_method === 'none' || bound || metadata.profile !== undefined))
      throw invalid('token_exchange: for clients that authenticate, and whose tokens are not bound');
    try {
      // What was taken before the rule is not put right by the start.
      if (unknown === 'refuse') refuseSmallKeys(metadata);
      holdToProfile(metadata);
    } catch (error) {
      throw asDomainError(error);
    }
    return { ...metadata, client_id: clientId };
  };

  /** Every scope is somebody's: this service's own, or a resource server's. */
  const knowsScopes = async ({ scope }: ClientMetadata): Promise<void> => {
    const foreign = foreignScopes(scope);
    const known = foreign.length > 0 ? await scopeNames() : new Set<string>();
    const stray = foreign.find((one) => !known.has(one));
    if (stray !== undefined) throw invalid(`scope: there is no ${stray.slice(0, 100)} here, nor at a resource server`);
  };

  const usesSecret = (metadata: ClientMetadata): boolean =>
    !SECRETLESS.includes(metadata.token_endpoint_auth_method) || needsSecretAsKey(metadata);

  const understood = async ({ metadata, secret }: ClientRecord): Promise<Record<string, unknown>> => {
    try {
      // The engine's own rules decide (RFC 7591 §2, OIDC Registration §2), the same that hold when the client is used.
      const kept = await understoodMetadata(provider, {
        ...metadata,
        scope: engineScope(metadata.scope),
        // Whether there is one is all that the rules look at.
        ...(secret !== null && { client_secret: 'kept apart' }),
      });
      // The engine drops what it is not configured for; a client that relies on its certificate must not believe that we do.
      const dropped = Object.keys(metadata).find((name) => name.startsWith('tls_') && !(name in kept));
      if (dropped !== undefined) throw invalid(`${dropped}: mutual TLS is not available here, or not for this client`);
      return kept;
    } catch (error) {
      throw asDomainError(error);
    }
  };

  /** The metadata with its defaults; as it was stored, should the rules have changed since. */
  const effective = async (record: ClientRecord): Promise<ClientMetadata> => {
    const filled = await understood(record).catch((error) => {
      if (error instanceof DomainError) return {};
      throw error;
    });
    const { scope } = record.metadata;
    const told = Object.entries({ ...record.metadata, ...filled, ...(scope !== undefined && { scope }) }).filter(
      ([name]) => isMetadata(name),
    );
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
    const asKey = needsSecretAsKey(metadata);
    const least = asKey ? Math.max(MIN_KEY_LENGTH, minSecretLength) : minSecretLength;
    if (typeof askedSecret === 'string' && askedSecret.length < least)
      throw invalid(`client_secret needs ${least} characters or more`);
    const secret = secretive ? (askedSecret ?? randomSecret(32)) : undefined;
    const stored = secret === undefined ? null : storedSecret(secrets, clientId, secret, asKey);
    const record = { metadata, secret: stored, firstParty };
    await knowsScopes(metadata);
    await understood(record);
    return { record, secret };
  };

  return { metadataOf, usesSecret, knowsScopes, understood, effective, prepare };
};
