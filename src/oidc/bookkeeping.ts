import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { Alerts } from '../domain/alerts.ts';
import type { Audit } from '../domain/audit.ts';
import type { ConnectedApps } from './connected-apps.ts';
import type { LogoutNotices } from './logout-notices.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';
import type { ClientRegistrations } from './self-registration.ts';
import type { SignInList } from './sign-ins.ts';

/**
 * Notes what the engine has just done, for the people it was done for: a browser that signed in, came back or signed out, an app that
 * got tokens, a refresh token that was presented twice.
 *
 * @param failed The note could not be taken. What was done stands all the same.
 */
export const createBookkeeping = (
  signIns: SignInList,
  apps: ConnectedApps,
  alerts: Alerts,
  audit: Audit,
  registrations: Pick<ClientRegistrations, 'used'>,
  notices: LogoutNotices,
  failed: (error: Error) => void,
): Middleware => {
  const atAuthorization = async (ctx: KoaContextWithOIDC) => {
    const { session } = ctx.oidc;
    if (!session?.accountId) return;
    const { uid, accountId, exp } = session;
    const { clientId = '', backchannelLogoutUri } = ctx.oidc.client ?? {};
    const sid = session.authorizations?.[clientId]?.sid;
    const noted = signIns.noteBrowser(accountId, uid, { ip: ctx.ip, userAgent: ctx.get('user-agent') });
    // Whom to tell when the session ends, which nothing may be left of then. Each use makes it live longer.
    const extended = exp === undefined ? undefined : notices.extend(uid, exp);
    await Promise.all([noted, extended]);
    if (exp !== undefined && backchannelLogoutUri && sid) await notices.note(uid, clientId, accountId, sid, exp);
  };

  const atToken = async (ctx: KoaContextWithOIDC) => {
    const { Grant: grant, RefreshToken: refreshToken } = ctx.oidc.entities;
    if (ctx.status === 200 && ctx.oidc.client) await registrations.used(ctx.oidc.client.clientId);
    if (!grant?.accountId || !grant.clientId) return;
    if (ctx.status === 200) {
      if (grant.clientId === FIRST_PARTY_CLIENT_ID) await signIns.used(grant.jti);
      else await apps.used(grant.accountId, grant.clientId);
      // The engine takes up a refresh token's successor in its place: a spent one here is one that was refused.
    } else if (refreshToken?.consumed)
      await alerts.tokenReused(grant.accountId, grant.clientId, ctx.oidc.client?.clientName ?? grant.clientId);
  };

  const atSignOut = async (ctx: KoaContextWithOIDC) => {
    const { session, params } = ctx.oidc;
    const { accountId } = session ?? {};
    // Without it the person has chosen to stay.
    if (!accountId || !params?.logout || ctx.status !== 303) return;
    await audit.record({ type: 'logout', actor: accountId, target: accountId, client: ctx.oidc.client?.clientId });
  };

  const notes: Record<string, (ctx: KoaContextWithOIDC) => Promise<void>> = {
    authorization: atAuthorization,
    resume: atAuthorization,
    code_verification: atAuthorization,
    device_resume: atAuthorization,
    token: atToken,
    end_session_confirm: atSignOut,
  };

  return async (context, next) => {
    await next();
    const ctx = context as unknown as KoaContextWithOIDC;
    try {
      await notes[ctx.oidc?.route ?? '']?.(ctx);
    } catch (error) {
      failed(error instanceof Error ? error : new Error(String(error)));
    }
  };
};
