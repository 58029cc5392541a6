import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Provider } from 'oidc-provider';
import { asOf } from '../domain/standings.ts';
import type { User } from '../storage/users.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

export type BrowserSession = ReturnType<typeof createBrowserSession>;

/** The login session of a browser, for pages outside an authorization request. */
export const createBrowserSession = (provider: Provider) => {
  const signInUrl = `/oauth/authorize?${new URLSearchParams({
    client_id: FIRST_PARTY_CLIENT_ID,
    response_type: 'none',
    scope: 'openid',
    redirect_uri: `${provider.issuer}/account`,
  })}`;
  return {
    /** Who is signed in here, if anybody. */
    async accountId(req: IncomingMessage, res: ServerResponse): Promise<string | undefined> {
      return (await provider.Session.get(provider.createContext(req, res))).accountId;
    },

    /** As `accountId`, and when they signed in, in epoch seconds, and how (RFC 8176). */
    async signedIn(
      req: IncomingMessage,
      res: ServerResponse,
    ): Promise<{ accountId: string; at: number; amr: string[] | undefined } | undefined> {
      const { accountId, loginTs, amr } = await provider.Session.get(provider.createContext(req, res));
      return accountId === undefined ? undefined : { accountId, at: loginTs ?? 0, amr };
    },

    /**
     * What keeps this browser signed in, as it is now, when the user's sign-ins are ended by themselves: to be asked for before that, and
     * done after it.
     */
    async keeper(req: IncomingMessage, res: ServerResponse): Promise<(user: User) => Promise<void>> {
      const session = await provider.Session.get(provider.createContext(req, res));
      return async (user) => {
        const ttl = Math.floor((session.exp ?? 0) - Date.now() / 1000);
        if (session.accountId === user.id && ttl > 0) await asOf(user, () => session.save(ttl));
      };
    },

    /** Where a browser signs in without an app that sent it: an authorization request of our own that yields nothing. */
    signInUrl,

    /** The same for somebody who is signed in, and has to show once more that it is them. */
    signInAgainUrl: `${signInUrl}&prompt=login`,
  };
};
