// The service with other providers to sign in with, and the trips of a browser to them and back.
import type { AppSettings } from '../../src/app.ts';
import { type Browser, createBrowser, type Visited } from './browser.ts';
import { type IdentityProviders, type ProviderName, startIdentityProviders } from './identity-provider.ts';
import { authorizationRequest, newApp } from './relying-party.ts';
import { startServer, type TestServer } from './server.ts';

export const APP = 'https://platform.example';

export type Federated = Awaited<ReturnType<typeof startFederated>>;

/** @param federation What of the providers' settings is otherwise; those of `openid` are there as well. */
export const startFederated = async (
  overrides: Partial<AppSettings> = {},
  federation: Partial<AppSettings['federation']> = {},
) => {
  const upstream: IdentityProviders = await startIdentityProviders();
  const { google } = upstream.settings;
  const settings = {
    ...upstream.settings,
    ...(google && federation.google && { google: { ...google, authTime: federation.google.authTime } }),
    openid: [...upstream.settings.openid, ...(federation.openid ?? [])],
  };
  const server: TestServer = await startServer({
    federation: settings,
    firstPartyOrigins: [APP],
    ...overrides,
  });
  upstream.serve(server.issuer);

  /** From our door to the provider's, through its pages, to where it sends the browser back. */
  const through = async (name: ProviderName, atDoor: Visited): Promise<URL> => {
    if (atDoor.url.origin !== upstream[name].origin)
      throw new Error(`not sent to ${name} but stopped at ${atDoor.url} (${atDoor.status}): ${atDoor.html}`);
    const back = await createBrowser(upstream[name].origin).go(atDoor.url);
    if (back.url.origin !== server.issuer) throw new Error(`${name} did not send back: ${back.status} ${back.html}`);
    return back.url;
  };

  return {
    server,
    upstream,
    through,

    /** An app's authorization request, as far as the page that it leads to. */
    async request(browser: Browser, params: Record<string, string | undefined> = {}, firstParty = true) {
      const { rp, client } = await newApp(server, {}, { firstParty });
      const started = await authorizationRequest(rp, { scope: 'openid email profile', ...params });
      return { rp, client, started, page: await browser.go(started.url) };
    },

    /** Presses a provider's button on the sign-in page; the callback that the provider answers with. */
    async press(browser: Browser, page: Visited, name: ProviderName): Promise<URL> {
      const href = new RegExp(`<a class="button" href="([^"]+)" id="provider-${name}"`).exec(page.html)?.[1];
      if (href === undefined) throw new Error(`no button for ${name} on ${page.url} (${page.status})`);
      return through(name, await browser.go(href));
    },

    /** A sign-in by one of the platform's own apps, as far as the provider's answer. */
    async direct(browser: Browser, name: ProviderName, returnTo = `${APP}/signed-in`): Promise<URL> {
      const query = new URLSearchParams({ return_to: returnTo });
      return through(name, await browser.go(`/oauth/${name}/login?${query}`));
    },

    async close() {
      await server?.close();
      await upstream.close();
    },
  };
};
