// The composition root: stores into rules, rules into routes. It reads top to bottom as a request's path.
import type Koa from 'koa';
import mount from 'koa-mount';
import type { Logger } from 'pino';
import { createAccounts } from './domain/accounts.ts';
import { createAdministration } from './domain/administration.ts';
import { createAlerts } from './domain/alerts.ts';
import { createApiKeys } from './domain/api-keys.ts';
import { auditMac, createAudit } from './domain/audit.ts';
import { createDeletion } from './domain/deletion.ts';
import { createIdentities } from './domain/identities.ts';
import { createOneTimeValues } from './domain/one-time-values.ts';
import { createForeignHashes } from './domain/password-hashes/foreign.ts';
import { createPasswordReset } from './domain/password-reset.ts';
import { createPasswords } from './domain/passwords.ts';
import { createSecrets } from './domain/secrets.ts';
import { createSignIn } from './domain/sign-in.ts';
import { createThrottles, type Limits } from './domain/throttles.ts';
import { createUserImport } from './domain/user-import.ts';
import { createVerification } from './domain/verification.ts';
import { createProviders, type FederationSettings } from './federation/providers.ts';
import { createCsrf } from './http/csrf.ts';
import { createCursors } from './http/cursors.ts';
import { dispatch } from './http/dispatch.ts';
import { createEnginePages } from './http/engine-pages.ts';
import { errorHandler, storeDown } from './http/error-handler.ts';
import { createExchangeCodes } from './http/exchange-codes.ts';
import { createInteractionPages } from './http/interaction-pages.ts';
import { createPages } from './http/pages.ts';
import { createRequestContext } from './http/request-context.ts';
import { createRequireUser } from './http/require-user.ts';
import { accountRoutes } from './http/routes/account.ts';
import { adminAuditRoutes } from './http/routes/admin-audit.ts';
import { adminClientRoutes } from './http/routes/admin-clients.ts';
import { adminImportRoutes } from './http/routes/admin-import.ts';
import { adminUserRoutes } from './http/routes/admin-users.ts';
import { apiKeyRoutes } from './http/routes/api-keys.ts';
import { appRoutes } from './http/routes/apps.ts';
import { assetRoutes } from './http/routes/assets.ts';
import { authRoutes } from './http/routes/auth.ts';
import { devMailRoutes } from './http/routes/dev-mail.ts';
import { docsRoutes } from './http/routes/docs.ts';
import { exportRoutes } from './http/routes/export.ts';
import { createFederation } from './http/routes/federation.ts';
import { healthRoutes } from './http/routes/health.ts';
import { homeRoutes } from './http/routes/home.ts';
import { identityRoutes } from './http/routes/identities.ts';
import { interactionRoutes } from './http/routes/interactions.ts';
import { mailLinkRoutes } from './http/routes/mail-links.ts';
import { sessionRoutes } from './http/routes/sessions.ts';
import { userRoutes } from './http/routes/users.ts';
import { createServer } from './http/server.ts';
import { createTrips } from './http/trips.ts';
import { formBody } from './http/validate.ts';
import { createMail } from './mail/outbox.ts';
import { createTransport } from './mail/transport.ts';
import { createBookkeeping } from './oidc/bookkeeping.ts';
import { createBrowserSession } from './oidc/browser-session.ts';
import { createClientRegistry } from './oidc/clients.ts';
import { createConnectedApps } from './oidc/connected-apps.ts';
import { createDpopProofs } from './oidc/dpop-proofs.ts';
import { withSharedKeys } from './oidc/features/algorithms.ts';
import { createCertificates } from './oidc/features/mtls.ts';
import { subjectsOf } from './oidc/features/pairwise.ts';
import { createFirstPartyTokens } from './oidc/first-party-tokens.ts';
import { createInteractions } from './oidc/interactions.ts';
import { jwtAtTokenEndpoints } from './oidc/jwt-at-token-endpoints.ts';
import { loadSigningKeys, publicKeys } from './oidc/keys.ts';
import { createKnownClients } from './oidc/known-clients.ts';
import { createProvider, type EngineSettings } from './oidc/provider.ts';
import { createReplays } from './oidc/replays.ts';
import { createSignInList } from './oidc/sign-ins.ts';
import type { Stores } from './storage/stores.ts';

export type AppSettings = EngineSettings & {
  production: boolean;
  masterKey: string;
  trustProxy: number;
  passwordMinLength: number;
  rateLimits: Limits;
  /** Absent: mails are kept, and shown at /dev/mail. */
  smtpUrl?: string | undefined;
  mailFrom: string;
  /** Whether new passwords are held against the list of common ones. */
  passwordBlocklist: boolean;
  /** The other providers that people can sign in with. */
  federation: FederationSettings;
  /** Where the direct way to sign in through one of them may lead. */
  firstPartyOrigins: string[];
  version: string;
};

/** Everything wired, nothing listening. */
export const createApp = async (settings: AppSettings, stores: Stores, log: Logger) => {
  const { issuer, production, trustProxy, version, smtpUrl, mailFrom } = settings;
  const secrets = createSecrets(settings.masterKey);
  const throttles = createThrottles(stores.rateLimits, settings.rateLimits);
  const context = createRequestContext();
  const audit = createAudit(stores.auditLog(auditMac(secrets)), secrets, context.facts);
  const mail = createMail(
    stores.outgoingMails,
    secrets,
    { appName: 'User Auth', host: new URL(issuer).host },
    smtpUrl === undefined ? undefined : createTransport(smtpUrl, mailFrom),
    log,
  );
  const foreignHashes = createForeignHashes(secrets);
  const { hostname } = new URL(issuer);
  const passwords = createPasswords(
    {
      minLength: settings.passwordMinLength,
      blocklist: settings.passwordBlocklist,
      serviceNames: [hostname, ...hostname.split('.')],
    },
    foreignHashes,
  );
  const accounts = createAccounts(stores.users, stores.artifacts, passwords);
  const passwordReset = createPasswordReset(stores, passwords, mail, audit, throttles.mayMail, issuer);
  const alerts = createAlerts(accounts, mail, audit);
  const deletion = createDeletion(stores, mail, audit);
  const verification = createVerification(stores, mail, audit, throttles.mayMail, issuer);

  const pages = createPages({ issuer, cache: production });
  const labelOf = async (accountId: string) => {
    const user = await accounts.find(accountId);
    return user && (user.username ?? user.email);
  };
  const keys = withSharedKeys(await loadSigningKeys(stores.signingKeys, secrets));
  const knownClients = createKnownClients(stores.clients, secrets);
  const provider = await createProvider(
    settings,
    { keys },
    stores,
    knownClients,
    secrets,
    accounts,
    createEnginePages(pages, labelOf, storeDown),
    throttles,
  );
  provider.on('server_error', (ctx, error) =>
    log.error({ request_id: ctx.state.requestId, err: error }, 'request failed'),
  );

  const signIn = createSignIn(accounts, deletion, stores.rateLimits, settings.rateLimits, secrets, mail, audit);
  const apiKeys = createApiKeys(stores.apiKeys, stores.roles, throttles, audit);
  const tokens = createFirstPartyTokens(
    provider,
    stores,
    secrets,
    accounts,
    alerts,
    publicKeys(keys),
    settings,
    createDpopProofs(createReplays(stores.artifacts)),
  );
  // A grant of the platform's own apps may live for two lifetimes of its refresh tokens.
  const lifetimeSeconds = Math.max(2 * settings.refreshTokenTtlSeconds, settings.sessionTtlSeconds);
  const signIns = createSignInList(stores, knownClients, secrets, tokens.end, audit, lifetimeSeconds);
  provider.use(jwtAtTokenEndpoints(tokens, audit));
  const apps = createConnectedApps(provider, stores, knownClients, secrets, tokens.end, audit);
  const notNoted = (error: Error) => log.warn({ err: error }, 'what was done was not noted');
  provider.use(createBookkeeping(signIns, apps, alerts, audit, notNoted));
  const requireUser = createRequireUser(tokens, apiKeys, createCertificates(settings.mtls ?? {}));
  const clients = createClientRegistry(provider, stores.clients, knownClients, secrets, audit);
  const userImport = createUserImport(stores.userImports, stores.roles, foreignHashes, audit);

  const administration = createAdministration({
    users: stores.users,
    search: stores.userSearch,
    store: stores.administration,
    roles: stores.roles,
    artifacts: stores.artifacts,
    accounts,
    passwordReset,
    mail,
    audit,
  });
  const cursors = createCursors(secrets);

  const providers = createProviders(settings.federation, issuer);
  const identities = createIdentities({
    users: stores.users,
    identities: stores.identities,
    deletion,
    verification,
    mail,
    audit,
    providers: providers.all,
  });

  const csrf = createCsrf(secrets, issuer);
  const session = createBrowserSession(provider);
  const interactions = createInteractions(provider, stores, audit, subjectsOf(secrets));
  const interactionPages = createInteractionPages(interactions, accounts, providers, pages, csrf);
  const values = createOneTimeValues(stores.artifacts, secrets);
  const codes = createExchangeCodes(values, settings.firstPartyOrigins);
  const federation = createFederation({
    providers,
    identities,
    accounts,
    interactions,
    session,
    interactionPages,
    pages,
    trips: createTrips(secrets, issuer),
    values,
    codes,
    log,
  });
  const app: Koa = createServer(
    { issuer, trustProxy, cookieKeys: secrets.cookieKeys },
    log,
    formBody,
    errorHandler(pages, log),
    context,
  );
  const routers = [
    healthRoutes(stores.check, version),
    assetRoutes(),
    docsRoutes(issuer, version, pages),
    ...(production || smtpUrl !== undefined ? [] : [devMailRoutes(issuer, trustProxy, mail.previews, pages)]),
    authRoutes(
      accounts,
      signIn,
      tokens,
      signIns,
      passwordReset,
      verification,
      audit,
      identities,
      codes,
      throttles,
      requireUser,
    ),
    userRoutes(accounts, signIn, alerts, verification, deletion, requireUser),
    exportRoutes(apiKeys, signIns, apps, identities, verification, audit, requireUser),
    appRoutes(apps, requireUser),
    identityRoutes(identities, requireUser),
    sessionRoutes(signIns, requireUser),
    apiKeyRoutes(apiKeys, requireUser),
    mailLinkRoutes(passwordReset, verification, throttles, settings.passwordMinLength, pages, csrf),
    adminImportRoutes(userImport, requireUser),
    adminUserRoutes(administration, cursors, requireUser),
    adminAuditRoutes(audit, cursors, requireUser),
    adminClientRoutes(clients, requireUser),
    homeRoutes(issuer, session, pages),
    accountRoutes(session, accounts, identities, providers, federation, pages, csrf),
    federation.routes(),
    interactionRoutes(interactions, interactionPages, accounts, signIn, pages, csrf),
  ];
  app.use(dispatch(routers));
  app.use(mount(provider));

  return { app, accounts, deletion, identities, audit, mail, clients };
};
