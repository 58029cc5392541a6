import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Client, errors, type Interaction, type InteractionResults, type Provider } from 'oidc-provider';
import type { Audit } from '../domain/audit.ts';
import { SCOPES } from '../domain/claims.ts';
import { asOf, stillSpeaksFor } from '../domain/standings.ts';
import type { ResourceScopes } from '../storage/consents.ts';
import type { Stores } from '../storage/stores.ts';
import type { User } from '../storage/users.ts';
import type { Detail } from './authorization-details.ts';
import { withEarlierConsent } from './earlier-consent.ts';
import type { SubjectOf } from './features/pairwise.ts';
import { findClient } from './find-client.ts';
import { ACR_PASSWORD } from './interaction-policy.ts';
import { renew } from './renewals.ts';

/** What a page has to ask, and for whom. */
export type PendingInteraction = {
  uid: string;
  prompt: 'login' | 'select_account' | 'consent';
  client: Client;
  redirectUri: string | undefined;
  /** The app runs on another device, which waits for the answer. */
  onDevice: boolean;
  uiLocales: string | undefined;
  loginHint: string | undefined;
  /** Who is signed in in this browser already, if anybody. */
  accountId: string | undefined;
  /** The app insists that the person has signed in within so many seconds; 0 for anew in any case. */
  maxAgeSeconds: number | undefined;
  /** Whether the app would have this account: false for all but one where it insists on a user (id_token_hint or claims.id_token.sub). */
  accepts(accountId: string | undefined): boolean;
  /** Asked for and not granted yet. */
  scopes: string[];
  /** Single claims asked for by name, and not granted yet. */
  claims: string[];
  /** What is asked for in detail (RFC 9396): each time anew. */
  details: Detail[];
  /** Identifier of a resource → scopes asked for there, and not granted yet. */
  resources: ResourceScopes;
  /** Everything that is asked for, granted or not. */
  asked: { scope: unknown; resource: unknown };
  /** Asked for again: granted before. */
  grantedScopes: string[];
};

/** How somebody has shown who they are (RFC 8176), and when, in epoch seconds: now when absent. */
export type Authentication = { amr: string[]; authTime?: number | undefined };

/** What the engine's consent prompt says is not granted yet. */
type Missing = {
  missingOIDCScope?: string[];
  missingOIDCClaims?: string[];
  missingResourceScopes?: Record<string, string[]>;
  rar?: Detail[];
};

// The engine has verified the hint before it asks us: only its content is of interest here.
const hintedSubject = (idToken: unknown): string | undefined => {
  if (typeof idToken !== 'string') return undefined;
  const { sub } = JSON.parse(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString());
  return typeof sub === 'string' ? sub : undefined;
};

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** OIDC Core §3.1.2.1: prompt=login, and max_age. */
const maxAgeOf = ({ prompt, max_age }: Interaction['params']): number | undefined => {
  if (text(prompt)?.split(' ').includes('login')) return 0;
  return max_age === undefined || max_age === null ? undefined : Number(max_age);
};

/** Reasons no sign-in of ours can cure: asking again and again would trap the person in a loop. */
const unmetAcr = ({ prompt }: Interaction): boolean => {
  const acr = prompt.details.acr as { value?: string; values?: string[] } | undefined;
  const asked = acr?.values ?? (acr?.value === undefined ? undefined : [acr.value]);
  return asked !== undefined && !asked.includes(ACR_PASSWORD);
};

/** The interaction is over, was never here, or belongs to another browser. */
export class InteractionGone extends Error {}

export type Interactions = ReturnType<typeof createInteractions>;

/** The person's side of an authorization request: what is asked, and what follows from the answer. */
export const createInteractions = (
  provider: Provider,
  { artifacts, consents }: Stores,
  audit: Audit,
  subjectOf: SubjectOf,
) => {
  const finish = (req: IncomingMessage, res: ServerResponse, result: InteractionResults): Promise<string> =>
    provider.interactionResult(req, res, result, { mergeWithLastSubmission: result.error === undefined });

  const current = async (req: IncomingMessage, res: ServerResponse): Promise<Interaction> => {
    try {
      return await provider.interactionDetails(req, res);
    } catch (error) {
      throw error instanceof errors.SessionNotFound ? new InteractionGone(error.message, { cause: error }) : error;
    }
  };

  return {
    /**
     * The interaction this browser is in, or the URL to go on to when there is nothing a person could do.
     *
     * @throws {InteractionGone}
     */
    async pending(req: IncomingMessage, res: ServerResponse): Promise<PendingInteraction | { continueTo: string }> {
      const interaction = await current(req, res);
      const { uid, prompt, params, session } = interaction;
      const client = await findClient(provider, String(params.client_id));
      if (!client) return { continueTo: await finish(req, res, { error: 'invalid_client' }) };

      if (prompt.name === 'login' && unmetAcr(interaction))
        return {
          continueTo: await finish(req, res, {
            error: 'unmet_authentication_requirements',
            error_description: 'the requested authentication context class is not available here',
          }),
        };
      // Nobody is signed in, so there is nobody to choose: the sign-in form is the choice.
      const name = prompt.name === 'select_account' && !session?.accountId ? 'login' : prompt.name;
      const requested = JSON.parse(text(params.claims) ?? '{}');
      const requiredSub = hintedSubject(params.id_token_hint) ?? text(requested.id_token?.sub?.value);
      const { missingOIDCScope = [], missingOIDCClaims = [], missingResourceScopes = {} } = prompt.details as Missing;
      return {
        uid,
        prompt: name as PendingInteraction['prompt'],
        client,
        redirectUri: text(params.redirect_uri),
        onDevice: interaction.deviceCode !== undefined,
        uiLocales: text(params.ui_locales),
        loginHint: text(params.login_hint),
        accountId: session?.accountId,
        maxAgeSeconds: maxAgeOf(params),
        accepts: (accountId) =>
          requiredSub === undefined || (accountId !== undefined && requiredSub === subjectOf(accountId, client)),
        scopes: missingOIDCScope,
        claims: missingOIDCClaims,
        resources: missingResourceScopes,
        asked: { scope: params.scope, resource: params.resource },
        details: (prompt.details as Missing).rar ?? [],
        grantedScopes: (text(params.scope)?.split(' ') ?? []).filter(
          (scope) => Object.hasOwn(SCOPES, scope) && !missingOIDCScope.includes(scope),
        ),
      };
    },

    /**
     * Signs the user in to this browser.
     *
     * @param user As they were read when they proved who they are.
     * @returns where the browser goes on.
     */
    async login(
      req: IncomingMessage,
      res: ServerResponse,
      user: User,
      { amr, authTime }: Authentication = { amr: ['pwd'] },
    ): Promise<string> {
      const interaction = await current(req, res);
      const { session } = interaction;
      if (session?.uid && (session.accountId !== user.id || !stillSpeaksFor(user))) {
        // Somebody else was signed in here, or this user until their sign-ins were ended. That session ends before the new one begins; the
        // engine would do the same by a page that needs JavaScript, or go on with neither.
        await artifacts.destroyByUid('Session', session.uid);
        interaction.session = undefined;
        await interaction.persist();
      }
      const result = {
        login: {
          accountId: user.id,
          acr: ACR_PASSWORD,
          amr,
          ...(authTime !== undefined && { ts: Math.min(authTime, Math.floor(Date.now() / 1000)) }),
        },
        ...(interaction.prompt.name === 'select_account' && { select_account: {} }),
      };
      return asOf(user, () => finish(req, res, result));
    },

    /** Goes on with the account that is signed in. @returns where the browser goes on. */
    keepAccount: (req: IncomingMessage, res: ServerResponse): Promise<string> =>
      finish(req, res, { select_account: {} }),

    /** Grants what the app asked for, and remembers it beyond this browser session. @returns where the browser goes on. */
    async allow(req: IncomingMessage, res: ServerResponse): Promise<string> {
      const { grantId, params, prompt, session } = await current(req, res);
      if (!session?.accountId) throw new Error('consent without an account');
      const found = grantId ? await provider.Grant.find(grantId) : undefined;
      const grant = found ?? new provider.Grant({ accountId: session.accountId, clientId: String(params.client_id) });
      const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details as Missing;
      if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
      if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
      for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {}))
        grant.addResourceScope(resource, scopes.join(' '));
      const { rar = [] } = prompt.details as Missing;
      // Of this time alone: what was agreed to before is in the tokens of then, and would make the grant grow without end.
      if (rar.length > 0) grant.rar = rar as never;
      const savedId = await (found ? renew(found) : grant.save());
      const scopes = grant.getOIDCScope().split(' ').filter(Boolean);
      const claims = grant.getOIDCClaims();
      const resources = Object.fromEntries(
        Object.keys(grant.resources ?? {}).map((resource) => [resource, grant.getResourceScope(resource).split(' ')]),
      );
      const clientId = String(params.client_id);
      if (!(await findClient(provider, clientId))?.first_party)
        await consents.give(
          session.accountId,
          clientId,
          scopes,
          claims,
          await withEarlierConsent(consents, session.accountId, clientId, resources),
        );
      await audit.record({
        type: 'consent.given',
        actor: session.accountId,
        target: session.accountId,
        client: clientId,
        details: {
          scopes,
          ...(claims.length > 0 && { claims }),
          ...(Object.keys(resources).length > 0 && { resources }),
          ...(rar.length > 0 && { authorization_details: rar }),
        },
      });
      return finish(req, res, { consent: { grantId: savedId } });
    },

    /** The person said no, or turned back. @returns where the browser goes on. */
    deny: (req: IncomingMessage, res: ServerResponse): Promise<string> =>
      finish(req, res, { error: 'access_denied', error_description: 'the person declined' }),
  };
};
