import type { Provider } from 'oidc-provider';
import type { ToRequest } from './client-calls.ts';
import { logoutToken } from './engine-internals.ts';

/** What is told to an app's server, as it has to be told now: to where the app is registered, signed by the key of the moment. */
export const createCallRequests =
  (provider: Provider): ToRequest =>
  async (clientId, told) => {
    const client = await provider.Client.find(clientId);
    if (told.kind === 'ping') {
      // CIBA Core §10.2
      const url = client?.backchannelClientNotificationEndpoint;
      if (!url || client.backchannelTokenDeliveryMode !== 'ping') return undefined;
      const headers = { authorization: `Bearer ${told.notificationToken}`, 'content-type': 'application/json' };
      return { url, init: { method: 'POST', headers, body: JSON.stringify({ auth_req_id: told.authReqId }) } };
    }
    // Back-Channel Logout §2.5
    const url = client?.backchannelLogoutUri;
    if (!url) return undefined;
    const body = new URLSearchParams({ logout_token: await logoutToken(provider, client, told.userId, told.sid) });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { url, init: { method: 'POST', headers, body: body.toString() } };
  };
