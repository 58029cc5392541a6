// The composition root: stores into rules, rules into routes. It reads top to bottom as a request's path.
import type Koa from 'koa';
import mount from 'koa-mount';
import type { Logger } from 'pino';
import { createAccounts } from './domain/accounts.ts';
import { createPasswords } from './domain/passwords.ts';
import { createSecrets } from './domain/secrets.ts';
import { createCsrf } from './http/csrf.ts';
import { createEnginePages } from './http/engine-pages.ts';
import { errorHandler, storeDown } from './http/error-handler.ts';
import { createPages } from './http/pages.ts';
import { assetRoutes } from './http/routes/assets.ts';
import { docsRoutes } from './http/routes/docs.ts';
import { healthRoutes } from './http/routes/health.ts';
import { homeRoutes } from './http/routes/home.ts';
import { interactionRoutes } from './http/routes/interactions.ts';
import { createServer } from './http/server.ts';
import { formBody } from './http/validate.ts';
import { createBrowserSession } from './oidc/browser-session.ts';
import { createClientRegistry } from './oidc/clients.ts';
import { createInteractions } from './oidc/interactions.ts';
import { createProvider, type EngineSettings } from './oidc/provider.ts';
import type { Stores } from './storage/stores.ts';

export type AppSettings = EngineSettings & {
  production: boolean;
  masterKey: string;
  trustProxy: number;
  passwordMinLength: number;
  version: string;
};

/** Everything wired, nothing listening. */
export const createApp = async (settings: AppSettings, stores: Stores, log: Logger) => {
  const { issuer, production, trustProxy, version } = settings;
  const secrets = createSecrets(settings.masterKey);
  const accounts = createAccounts(stores.users, stores.artifacts, createPasswords(settings.passwordMinLength));

  const pages = createPages({ issuer, cache: production });
  const labelOf = async (accountId: string) => {
    const user = await accounts.find(accountId);
    return user && (user.username ?? user.email);
  };
  const provider = await createProvider(
    settings,
    stores,
    secrets,
    accounts,
    createEnginePages(pages, labelOf, storeDown),
  );
  provider.on('server_error', (ctx, error) =>
    log.error({ request_id: ctx.state.requestId, err: error }, 'request failed'),
  );

  const csrf = createCsrf(secrets, issuer);
  const app: Koa = createServer(
    { issuer, trustProxy, cookieKeys: secrets.cookieKeys },
    log,
    formBody,
    errorHandler(pages, log),
  );
  for (const router of [
    healthRoutes(stores.check, version),
    assetRoutes(),
    docsRoutes(),
    homeRoutes(issuer, createBrowserSession(provider), accounts, pages),
    interactionRoutes(createInteractions(provider, stores), accounts, pages, csrf),
  ])
    app.use(router.routes());
  app.use(mount(provider));

  return { app, accounts, clients: createClientRegistry(provider, stores.clients, secrets) };
};
