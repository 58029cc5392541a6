import { type Client, errors, type Provider } from 'oidc-provider';
import type { Audit } from '../domain/audit.ts';
import { SCOPES } from '../domain/claims.ts';
import { DomainError } from '../domain/errors.ts';
import { type Secrets, sha256 } from '../domain/secrets.ts';
import type { Stores } from '../storage/stores.ts';
import { artifactsOfAccount } from './adapter.ts';
import { askedScopes } from './asked-scopes.ts';
import { type Detail, detailsOf } from './authorization-details.ts';
import { type ScopesByResource, withEarlierConsent } from './earlier-consent.ts';
import type { Place } from './features/decoupled.ts';
import { ACR_PASSWORD } from './interaction-policy.ts';
import type { KnownClients } from './known-clients.ts';
import type { ResourceRegistry } from './resource-servers.ts';

const MODEL = 'BackchannelAuthenticationRequest';
/** More than anybody may be asked at a time; see the limit `approval-account`. */
const SHOWN = 20;

/** What an app waits for a person to approve (CIBA). */
export type Approval = {
  /** Names it to the person it is for; whoever knows it can do nothing else with it. */
  id: string;
  client: Client;
  scopes: string[];
  claims: string[];
  /** What is asked for at other APIs. */
  resources: ScopesByResource;
  /** … and in detail (RFC 9396). */
  details: Detail[];
  bindingMessage: string | undefined;
  from: Place;
  askedAt: Date;
  expiresAt: Date;
};

/** How the person who approves has signed in. */
export type ApprovedBy = { amr: string[] | undefined; at: number };

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const GIVEN: ReadonlySet<string> = new Set(Object.values(SCOPES).flat());

/** Those of the claims asked for that there are; any other names are passed over (OIDC Core §5.5). */
const claimsOf = (claims: unknown): string[] => {
  const { userinfo, id_token } = Object(claims) as { userinfo?: object; id_token?: object };
  const asked = [...Object.keys(userinfo ?? {}), ...Object.keys(id_token ?? {})];
  return [...new Set(asked)].filter((name) => GIVEN.has(name));
};

export type Approvals = ReturnType<typeof createApprovals>;

export const createApprovals = (
  provider: Provider,
  { artifacts, consents }: Pick<Stores, 'artifacts' | 'consents'>,
  known: KnownClients,
  registry: ResourceRegistry,
  secrets: Secrets,
  audit: Audit,
) => {
  const waiting = async (userId: string) =>
    (await artifactsOfAccount(artifacts, known, secrets, MODEL, userId)).filter(
      ({ grantId, error, exp = 0 }) => grantId === undefined && error === undefined && exp * 1000 > Date.now(),
    );

  /** @throws {DomainError} `unknown_approval` also for somebody else's, and for one that was decided. */
  const find = async (userId: string, id: string) => {
    const payload = (await waiting(userId)).find(({ jti }) => sha256(String(jti)) === id);
    const request = payload && (await provider.BackchannelAuthenticationRequest.find(String(payload.jti)));
    if (!request || request.accountId !== userId)
      throw new DomainError('unknown_approval', 'there is nothing to approve, or it was decided already');
    return request;
  };

  /** @param request Handed over by name: the engine takes for its own only what it has read since the keys last changed. */
  const decide = async (
    request: { jti: string },
    decision: string | errors.AccessDenied,
    how?: Parameters<Provider['backchannelResult']>[2],
  ): Promise<void> => {
    try {
      await provider.backchannelResult(request.jti, decision, how);
    } catch (error) {
      // Somebody was faster, in another window.
      if (error instanceof errors.InvalidRequest) throw new DomainError('unknown_approval', 'it was decided already');
      throw error;
    }
  };

  return {
    /** What waits for this person, newest first. */
    async list(userId: string): Promise<Approval[]> {
      const requests = (await waiting(userId)).sort((a, b) => Number(b.iat) - Number(a.iat)).slice(0, SHOWN);
      const shown = await Promise.all(
        requests.map(async ({ jti, clientId = '', scope, resource, claims, params = {}, iat = 0, exp = 0 }) => {
          const client = await provider.Client.find(clientId);
          if (!client) return [];
          const { ip, userAgent } = Object(params.requested_from) as Partial<Place>;
          return [
            {
              id: sha256(String(jti)),
              client,
              ...(await askedScopes(registry, scope, resource)),
              claims: claimsOf(claims),
              details: detailsOf(params.authorization_details),
              bindingMessage: text(params.binding_message),
              from: { ip: ip ?? '', userAgent: userAgent ?? '' },
              askedAt: new Date(Number(iat) * 1000),
              expiresAt: new Date(exp * 1000),
            },
          ];
        }),
      );
      return shown.flat();
    },

    /**
     * Gives the app what it asked for.
     *
     * @throws {DomainError} `unknown_approval`.
     */
    async approve(userId: string, id: string, { amr, at }: ApprovedBy): Promise<void> {
      const request = await find(userId, id);
      const clientId = String(request.clientId);
      const client = await provider.Client.find(clientId);
      const { scopes, resources } = await askedScopes(registry, request.scope, request.resource);
      const claims = claimsOf(request.claims);
      const rar = detailsOf(request.params?.authorization_details);
      const grant = new provider.Grant({ accountId: userId, clientId });
      grant.addOIDCScope(scopes.join(' '));
      grant.addOIDCClaims(claims);
      for (const [resource, names] of Object.entries(resources)) grant.addResourceScope(resource, names.join(' '));
      for (const detail of rar) grant.addRar(detail as never);
      await grant.save();
      const how = { acr: ACR_PASSWORD, amr, authTime: at, ...(rar.length > 0 && { rar: rar as never }) };
      await decide(request, grant.jti, how);
      // Who comes second leaves a grant that nothing leads to, and that ends by itself.
      if (!client?.first_party) {
        const everything = await withEarlierConsent(consents, userId, clientId, resources);
        await consents.give(userId, clientId, scopes, claims, everything);
      }
      await audit.record({
        type: 'approval.given',
        actor: userId,
        target: userId,
        client: clientId,
        details: {
          scopes,
          ...(claims.length > 0 && { claims }),
          ...(Object.keys(resources).length > 0 && { resources }),
          ...(rar.length > 0 && { authorization_details: rar }),
        },
      });
    },

    /** @throws {DomainError} `unknown_approval`. */
    async deny(userId: string, id: string): Promise<void> {
      const request = await find(userId, id);
      await decide(request, new errors.AccessDenied('the person declined'));
      await audit.record({ type: 'approval.denied', actor: userId, target: userId, client: request.clientId });
    },
  };
};
