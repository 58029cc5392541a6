import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';
import type { ConnectedApps } from './connected-apps.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';
import type { SignInList } from './sign-ins.ts';

/**
 * Notes what the engine has just done, for the people it was done for: a browser that signed in or came back, an app that goes on.
 *
 * @param failed The note could not be taken. The sign-in itself stands, and is noted when it is used again.
 */
export const bookkeeping =
  (signIns: SignInList, apps: ConnectedApps, failed: (error: Error) => void): Middleware =>
  async (context, next) => {
    await next();
    const ctx = context as unknown as KoaContextWithOIDC;
    const { route, session, entities } = ctx.oidc ?? {};
    try {
      if ((route === 'authorization' || route === 'resume') && session?.accountId)
        await signIns.noteBrowser(session.accountId, session.uid, {
          ip: ctx.ip,
          userAgent: ctx.get('user-agent'),
        });
      const grant = route === 'token' && ctx.status === 200 ? entities?.Grant : undefined;
      if (!grant?.accountId || !grant.clientId) return;
      if (grant.clientId === FIRST_PARTY_CLIENT_ID) await signIns.used(grant.jti);
      else await apps.used(grant.accountId, grant.clientId);
    } catch (error) {
      failed(error instanceof Error ? error : new Error(String(error)));
    }
  };
