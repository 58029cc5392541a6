// People who decide on another device than the one that asks: the device authorization grant (RFC 8628) and CIBA. And what is told to apps
// when a session ends (OpenID Connect Back-Channel Logout).
import { type Client, type Configuration, errors, type KoaContextWithOIDC } from 'oidc-provider';
import type { Accounts } from '../../domain/accounts.ts';
import type { Alerts } from '../../domain/alerts.ts';
import type { Audit } from '../../domain/audit.ts';
import { DomainError } from '../../domain/errors.ts';
import { POLL_SECONDS, type Throttles } from '../../domain/throttles.ts';
import { tooMany } from '../throttle-clients.ts';

/** @see [CIBA Core §4](https://openid.net/specs/openid-client-initiated-backchannel-authentication-core-1_0.html) */
export const CIBA_GRANT = 'urn:openid:params:grant-type:ciba';

/** Where a request was made: for people to tell their own from a stranger's. */
export type Place = { ip: string; userAgent: string };

/** What the page for a device's code has to say. */
export type DeviceFault = 'required' | 'not_found' | 'expired' | 'used' | 'csrf' | 'session_expired' | 'failed';

/** The pages of the device flow; http renders them. Forms post `user_code` and `xsrf` to `action`. */
export type DevicePages = {
  code(ctx: KoaContextWithOIDC, form: DeviceForm, fault: DeviceFault | undefined): void;
  confirm(
    ctx: KoaContextWithOIDC,
    form: DeviceForm,
    asked: { client: Client; scope: unknown; resource: unknown; place: Place },
  ): Promise<void>;
  done(ctx: KoaContextWithOIDC, client: Client | undefined, allowed: boolean): void;
  /** Something that is no fault of the code's. */
  error(ctx: KoaContextWithOIDC, told: { error: string; error_description?: string }, cause: Error): void;
};
export type DeviceForm = { action: string; xsrf: string; userCode: string | undefined };

const USER_AGENT_LENGTH = 300;
const TEN_MINUTES = 600;

export const placeOf = (ctx: Pick<KoaContextWithOIDC, 'ip' | 'get'>): Place => ({
  ip: ctx.ip,
  userAgent: ctx.get('user-agent').slice(0, USER_AGENT_LENGTH),
});

const FAULTS: Record<string, DeviceFault> = {
  NoCodeError: 'required',
  NotFoundError: 'not_found',
  ExpiredError: 'expired',
  AlreadyUsedError: 'used',
  SessionNotFound: 'session_expired',
};
const FAULTS_IN_WORDS: Record<string, DeviceFault> = {
  'could not find device form details': 'csrf',
  'xsrf token invalid': 'csrf',
  'this was decided already': 'used',
};

const formOf = (ctx: KoaContextWithOIDC, userCode: unknown): DeviceForm => ({
  action: '/device',
  xsrf: String(ctx.oidc.session?.state?.secret),
  userCode: typeof userCode === 'string' ? userCode.slice(0, 64) : undefined,
});

const deviceFlow = (pages: DevicePages, audit: Audit) =>
  ({
    enabled: true,
    charset: 'base-20',
    mask: '****-****',
    deviceInfo(ctx) {
      return placeOf(ctx);
    },
    async userCodeInputSource(ctx, _form, out, error) {
      const { params, entities, session } = ctx.oidc;
      if (error?.name === 'AbortedError') {
        // Declined on the page for the code, or on one that came after it.
        const clientId = entities.DeviceCode?.clientId ?? String(entities.Interaction?.params.client_id);
        await audit.record({ type: 'device.denied', actor: session?.accountId, client: clientId });
        ctx.status = 200;
        return pages.done(ctx, await ctx.oidc.provider.Client.find(clientId), false);
      }
      const words = out?.error_description ?? '';
      const fault = error && (FAULTS[error.name] ?? FAULTS_IN_WORDS[words]);
      const sessionless = error && session && session.exp === undefined;
      // There is no session to put the next form's token into, and the engine fails where it tries to.
      if (sessionless) Object.assign(session, { touched: false });
      if (error && !fault && out) return pages.error(ctx, out, error);
      if (sessionless) {
        // The page itself makes one.
        ctx.status = 303;
        ctx.redirect(`/device?fault=${fault ?? 'session_expired'}`);
        return;
      }
      if (error) ctx.status = 400;
      if (fault === 'not_found') ctx.state.wrongUserCode = true;
      pages.code(ctx, formOf(ctx, params?.user_code ?? ctx.state.userCode), fault ?? ctx.state.deviceFault);
    },
    async userCodeConfirmSource(ctx, _form, client, place, userCode) {
      const { scope, resource } = ctx.oidc.entities.DeviceCode?.params ?? {};
      await pages.confirm(ctx, formOf(ctx, userCode), { client, scope, resource, place: place as Place });
    },
    async successSource(ctx) {
      const { DeviceCode: code, Client: client } = ctx.oidc.entities;
      await audit.record({
        type: 'device.approved',
        actor: code?.accountId,
        target: code?.accountId,
        client: client?.clientId,
        details: { scopes: code?.scope?.split(' '), device: code?.deviceInfo },
      });
      pages.done(ctx, client, true);
    },
  }) satisfies NonNullable<Configuration['features']>['deviceFlow'];

/** Short enough to be read, and nothing in it that is not seen or that reorders what is around it. @see CIBA Core §7.1 */
const BINDING_MESSAGE = /^[\p{L}\p{N}\p{P}\p{S}\p{M} ]{1,64}$/u;
const UNSEEN = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]|\p{M}{3}/u;

const orTooMany = async (ctx: KoaContextWithOIDC, allowed: Promise<void>, why: string): Promise<void> => {
  try {
    await allowed;
  } catch (error) {
    throw error instanceof DomainError ? tooMany(ctx, error, why) : error;
  }
};

const ciba = (accounts: Accounts, alerts: Alerts, throttles: Throttles) => {
  /** People that an app names and that are not there are counted: it is not to find out who has an account. */
  const find = async (ctx: KoaContextWithOIDC, hint: string): Promise<string | undefined> => {
    const clientId = ctx.oidc.client?.clientId ?? '';
    await orTooMany(ctx, throttles.strangers.check(clientId), 'too many people were not found');
    const named = await accounts.named(hint);
    const user = named && (await accounts.find(named.id));
    if (!user) await throttles.strangers.missed(clientId);
    return user?.id;
  };

  return {
    enabled: true,
    deliveryModes: ['poll', 'ping'],
    processLoginHint: (ctx, hint = '') => find(ctx, hint),
    processLoginHintToken() {
      throw new errors.InvalidRequest('login_hint_token is not supported: send login_hint or id_token_hint');
    },
    async verifyUserCode(ctx, account, userCode) {
      if (userCode !== undefined) throw new errors.InvalidRequest('user_code is not supported');
      // The person is left in peace, whichever app it is that does not leave them.
      await orTooMany(ctx, throttles.approvals.spend(account.accountId), 'this person was asked too often');
    },
    validateRequestContext(_ctx, context) {
      if (context !== undefined) throw new errors.InvalidRequest('request_context is not supported');
    },
    validateBindingMessage(_ctx, message) {
      if (message === undefined) return;
      if (!BINDING_MESSAGE.test(message) || UNSEEN.test(message))
        throw new errors.InvalidBindingMessage('binding_message must be 1 to 64 visible characters on one line');
    },
    async triggerAuthenticationDevice(ctx, request, account, client) {
      // For the person to see. What is kept of a request is its parameters.
      request.params = { ...request.params, requested_from: placeOf(ctx) };
      await request.save();
      const user = await accounts.find(account.accountId);
      const scopes = request.scope?.split(' ') ?? [];
      const { clientId, clientName = clientId } = client;
      if (user) await alerts.approvalRequested(user, clientId, clientName, scopes, Math.ceil(request.expiration / 60));
      ctx.body = { ...Object(ctx.body), interval: POLL_SECONDS };
    },
  } satisfies NonNullable<Configuration['features']>['ciba'];
};

export type Decoupled = ReturnType<typeof decoupled>;

export const decoupled = (
  pages: DevicePages,
  accounts: Accounts,
  alerts: Alerts,
  audit: Audit,
  throttles: Throttles,
) => ({
  features: {
    backchannelLogout: { enabled: true },
    ciba: ciba(accounts, alerts, throttles),
    deviceFlow: deviceFlow(pages, audit),
  } satisfies Configuration['features'],
  routes: {
    backchannel_authentication: '/oauth/backchannel',
    code_verification: '/device',
    device_authorization: '/oauth/device_authorization',
  },
  ttl: {
    DeviceCode: TEN_MINUTES,
    // CIBA Core §7.1: as long as the app asks for, within what people need and no longer than they remember.
    BackchannelAuthenticationRequest: (ctx: KoaContextWithOIDC | undefined) => {
      const asked = Number(ctx?.oidc?.params?.requested_expiry);
      return asked > 0 ? Math.min(asked, TEN_MINUTES) : TEN_MINUTES;
    },
  } satisfies Configuration['ttl'],
});
