import {
  type AccessToken,
  type Client,
  errors,
  type Grant,
  type KoaContextWithOIDC,
  type Provider,
} from 'oidc-provider';
import type { z } from 'zod';
import type { Accounts } from '../../domain/accounts.ts';
import type { Audit } from '../../domain/audit.ts';
import { isJwt } from '../access-jwts.ts';
import { ACCESS_TOKEN, type ExchangeParameters, JWT, parametersOf } from '../exchange-parameters.ts';
import { ExchangePolicy } from '../exchange-policy.ts';
import { grantIdUnder } from '../grant-ids.ts';
import { FIRST_PARTY_CLIENT_ID } from '../own-resource.ts';
import { engineResource, type ResourceRegistry, type StoredResourceServer } from '../resource-servers.ts';
import type { ResourceTokens } from '../resource-tokens.ts';
import type { SubjectOf } from './pairwise.ts';

/** Actors on behalf of actors: a chain longer than this is a loop. */
const MOST_ACTORS = 5;

/** RFC 8693 §4.1: who acts, and on whose behalf that one does. */
export type Act = { sub: string; client_id?: string; act?: Act };

/** What an exchanged token says beyond its scope and audience; from when it is made until it is signed. */
export const exchanged = new WeakMap<object, Record<string, unknown>>();

/** A token that was brought, and is live. */
type Brought = {
  accountId: string | undefined;
  clientId: string;
  audience: string | undefined;
  scopes: ReadonlySet<string>;
  grantId: string | undefined;
  expiresAt: number;
  act: Act | undefined;
  /** RFC 8693 §4.4: who alone may act. */
  mayAct: { sub?: unknown; client_id?: unknown } | undefined;
};

/** RFC 8693 §4.4: all that is said of who may act holds; what says nothing that is known here means nobody. */
const isMeant = ({ sub, client_id }: NonNullable<Brought['mayAct']>, act: Act): boolean =>
  (sub ?? client_id) !== undefined &&
  (sub === undefined || sub === act.sub) &&
  (client_id === undefined || client_id === act.client_id);

const depthOf = (act: Act | undefined): number => (act ? 1 + depthOf(act.act) : 0);

/**
 * Token exchange: a client that was called with somebody's token has one for the next API, on their behalf.
 *
 * @see [RFC 8693](https://www.rfc-editor.org/rfc/rfc8693.html)
 */
export const tokenExchange = (
  resources: ResourceRegistry,
  resourceTokens: ResourceTokens,
  accounts: Accounts,
  audit: Audit,
  subjectOf: SubjectOf,
) => {
  const refuse = (which: string): never => {
    // RFC 8693 §2.2.2: a token that is not valid for any reason is an invalid request. Which reason is nobody's business.
    throw new errors.InvalidRequest(`${which} is not valid`);
  };

  const fromJwt = async (token: string): Promise<Brought | undefined> => {
    const claims = await resourceTokens.introspect(token);
    return (
      claims && {
        accountId: claims.accountId,
        clientId: claims.client_id,
        audience: claims.aud,
        scopes: new Set(String(claims.scope ?? '').split(' ')),
        grantId: claims.grant_id,
        expiresAt: claims.exp,
        act: claims.act as Act | undefined,
        mayAct: claims.may_act as Brought['mayAct'],
      }
    );
  };

  const fromOpaque = async (provider: Provider, token: string): Promise<Brought | undefined> => {
    const found = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
    if (!found?.isValid || !found.clientId || !(await provider.Client.find(found.clientId))) return undefined;
    const { extra = {} } = found as { extra?: Record<string, unknown> };
    const { accountId, grantId } = found as Partial<Pick<AccessToken, 'accountId' | 'grantId'>>;
    const grant: Grant | undefined = grantId === undefined ? undefined : await provider.Grant.find(grantId);
    if (accountId !== undefined && !(grant && (await accounts.find(accountId)))) return undefined;
    return {
      accountId,
      clientId: found.clientId,
      audience: typeof found.aud === 'string' ? found.aud : undefined,
      scopes: found.scopes,
      grantId,
      expiresAt: found.exp ?? 0,
      act: extra.act as Act | undefined,
      mayAct: extra.may_act as Brought['mayAct'],
    };
  };

  const bring = (provider: Provider, token: string): Promise<Brought | undefined> =>
    isJwt(token) ? fromJwt(token) : fromOpaque(provider, token);

  const targetOf = async (asked: ExchangeParameters, policy: z.infer<typeof ExchangePolicy>) => {
    const { resource, audience } = asked;
    if (resource !== undefined && audience !== undefined && resource !== audience)
      throw new errors.InvalidTarget('one target at a time');
    const named = resource ?? audience ?? (policy.resources.length === 1 ? policy.resources[0] : undefined);
    if (named === undefined) throw new errors.InvalidTarget('resource is missing');
    const found = await resources.find(named);
    if (!found || !policy.resources.includes(found.identifier))
      throw new errors.InvalidTarget('the client may not have tokens for this resource');
    return found;
  };

  const scopeOf = ({ scope }: ExchangeParameters, subject: Brought, target: StoredResourceServer): string => {
    const known = target.scopes.map(({ name }) => name);
    const asked = scope?.split(' ').filter(Boolean);
    const stray = asked?.find((one) => !known.includes(one));
    if (stray !== undefined) throw new errors.InvalidScope('the resource has no such scope', stray);
    // Elsewhere it is the policy that says what may be had; at the same API the person did, and nobody makes more of it.
    if (target.identifier !== subject.audience) return (asked ?? target.defaultScopes).join(' ');
    const wider = asked?.find((one) => !subject.scopes.has(one));
    if (wider !== undefined) throw new errors.InvalidScope('the subject_token has no such scope', wider);
    return (asked ?? known.filter((one) => subject.scopes.has(one))).join(' ');
  };

  /** RFC 8693 §4.1: who acts, and before them, who acted for whom. */
  const actOf = (client: Client, subject: Brought, actor: Brought | undefined): Act => {
    const act: Act = {
      // As this client knows people, and its tokens name them.
      sub: (actor?.accountId && subjectOf(actor.accountId, client)) ?? actor?.clientId ?? client.clientId,
      client_id: actor?.clientId ?? client.clientId,
      ...(subject.act && { act: subject.act }),
    };
    if (depthOf(act) > MOST_ACTORS) throw new errors.InvalidRequest('too many have acted for each other already');
    return act;
  };

  return async (ctx: KoaContextWithOIDC): Promise<void> => {
    const { client, params, provider } = ctx.oidc;
    if (!client) throw new errors.InvalidClient('client is missing');
    const policy = ExchangePolicy.safeParse(client.token_exchange);
    if (!policy.success || client.clientAuthMethod === 'none')
      throw new errors.UnauthorizedClient('the client may not exchange tokens');
    const asked = parametersOf({ ...params });

    const subject = (await bring(provider, asked.subject_token)) ?? refuse('subject_token');
    if (subject.accountId === undefined || subject.grantId === undefined) return refuse('subject_token');
    // Whom a token was issued to, or whose API it is for: nobody else has come by it rightly.
    const from = subject.audience === undefined ? undefined : await resources.find(subject.audience);
    const isTheirs = subject.clientId === client.clientId || from?.introspectionClients.includes(client.clientId);
    // The platform's own apps' tokens are for us alone.
    if (!isTheirs || subject.clientId === FIRST_PARTY_CLIENT_ID) return refuse('subject_token');

    const actor = asked.actor_token === undefined ? undefined : await bring(provider, asked.actor_token);
    if (asked.actor_token !== undefined && (!actor || actor.clientId !== client.clientId)) return refuse('actor_token');
    const act = actOf(client, subject, actor);
    const { mayAct } = subject;
    if (mayAct && !isMeant(mayAct, act)) throw new errors.InvalidRequest('the subject_token lets somebody else act');
    // A chain never becomes anonymous.
    const impersonates = policy.data.impersonation && actor === undefined && subject.act === undefined;

    const target = await targetOf(asked, policy.data);
    if (asked.requested_token_type === JWT && target.tokenFormat !== 'jwt')
      throw new errors.InvalidRequest('tokens for this resource are no JWTs');
    const scope = scopeOf(asked, subject, target);
    const lifetime = Math.min(target.ttlSeconds, Math.floor(subject.expiresAt - Date.now() / 1000));
    if (lifetime <= 0) return refuse('subject_token');

    const grant = new provider.Grant({ accountId: subject.accountId, clientId: client.clientId });
    // It ends with what it was made of.
    grant.jti = grantIdUnder(subject.grantId);
    grant.addResourceScope(target.identifier, scope);
    grant.exp = Math.floor(Date.now() / 1000) + lifetime;
    const token = new provider.AccessToken({
      client,
      accountId: subject.accountId,
      grantId: await grant.save(),
      gty: 'token_exchange',
      scope,
    } as ConstructorParameters<typeof provider.AccessToken>[0]);
    token.resourceServer = new provider.ResourceServer(target.identifier, {
      ...engineResource(target),
      accessTokenTTL: lifetime,
    });
    if (!impersonates) exchanged.set(token, { act });
    const value = await token.save();
    await audit.record({
      type: 'token.exchanged',
      actor: actor?.accountId,
      target: subject.accountId,
      client: client.clientId,
      details: {
        mode: impersonates ? 'impersonation' : 'delegation',
        subject_client: subject.clientId,
        resource: target.identifier,
        scope,
        ...(!impersonates && { act }),
      },
    });
    ctx.body = {
      access_token: value,
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: lifetime,
      ...(scope !== '' && { scope }),
    };
  };
};
