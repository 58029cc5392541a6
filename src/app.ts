// The composition root: stores into rules, rules into routes. It reads top to bottom as a request's path.
import type Koa from 'koa';
import type { Middleware } from 'koa';
import mount from 'koa-mount';
import type { Logger } from 'pino';
import { createAccounts } from './domain/accounts.ts';
import { createAdministration } from './domain/administration.ts';
import { createAlerts } from './domain/alerts.ts';
import { createApiKeys } from './domain/api-keys.ts';
import { auditMac, createAudit } from './domain/audit.ts';
import { createDeletion } from './domain/deletion.ts';
import { createIdentities, labelIn } from './domain/identities.ts';
import { createInitialAccessTokens } from './domain/initial-access-tokens.ts';
import { createOneTimeValues } from './domain/one-time-values.ts';
import { createForeignHashes } from './domain/password-hashes/foreign.ts';
import { createPasswordReset } from './domain/password-reset.ts';
import { createPasswords, type PasswordCost } from './domain/passwords.ts';
import { createSecrets } from './domain/secrets.ts';
import { createSignIn } from './domain/sign-in.ts';
import { withStandings } from './domain/standings.ts';
import { createThrottles, type Limits } from './domain/throttles.ts';
import { createUserImport } from './domain/user-import.ts';
import { createVerification } from './domain/verification.ts';
import { createProviders, type FederationSettings } from './federation/providers.ts';
import { exchangeCors, openCors } from './http/cors.ts';
import { createCsrf } from './http/csrf.ts';
import { createCursors } from './http/cursors.ts';
import { createDevicePages } from './http/device-pages.ts';
import { dispatch } from './http/dispatch.ts';
import { createEnginePages } from './http/engine-pages.ts';
import { errorHandler } from './http/error-handler.ts';
import { createExchangeCodes } from './http/exchange-codes.ts';
import { inOrder } from './http/in-order.ts';
import { createInteractionPages } from './http/interaction-pages.ts';
import { withKeyShortcut } from './http/key-shortcut.ts';
import { createPages } from './http/pages.ts';
import { createRequestContext } from './http/request-context.ts';
import { createRequireUser } from './http/require-user.ts';
import { accountRoutes } from './http/routes/account.ts';
import { adminAuditRoutes } from './http/routes/admin-audit.ts';
import { adminClientRoutes } from './http/routes/admin-clients.ts';
import { adminImportRoutes } from './http/routes/admin-import.ts';
import { adminInitialAccessTokenRoutes } from './http/routes/admin-initial-access-tokens.ts';
import { adminKeyRoutes } from './http/routes/admin-keys.ts';
import { adminResourceRoutes } from './http/routes/admin-resources.ts';
import { adminUserRoutes } from './http/routes/admin-users.ts';
import { apiKeyRoutes } from './http/routes/api-keys.ts';
import { appRoutes } from './http/routes/apps.ts';
import { assetRoutes } from './http/routes/assets.ts';
import { authRoutes } from './http/routes/auth.ts';
import { clientRegistrationRoutes, REGISTRATION } from './http/routes/client-registration.ts';
import { devMailRoutes } from './http/routes/dev-mail.ts';
import { docsRoutes } from './http/routes/docs.ts';
import { exportRoutes } from './http/routes/export.ts';
import { createFederation } from './http/routes/federation.ts';
import { healthRoutes } from './http/routes/health.ts';
import { homeRoutes } from './http/routes/home.ts';
import { identityRoutes } from './http/routes/identities.ts';
import { interactionRoutes } from './http/routes/interactions.ts';
import { mailLinkRoutes } from './http/routes/mail-links.ts';
import { protectedResourceRoutes } from './http/routes/protected-resource.ts';
import { sessionRoutes } from './http/routes/sessions.ts';
import { userRoutes } from './http/routes/users.ts';
import { createSecurityHeaders } from './http/security-headers.ts';
import { createSeen } from './http/seen.ts';
import { createServer } from './http/server.ts';
import { storeDown } from './http/store-down.ts';
import { createTrips } from './http/trips.ts';
import { formBody } from './http/validate.ts';
import { createMail } from './mail/outbox.ts';
import { createTransport } from './mail/transport.ts';
import { createAccessJwts } from './oidc/access-jwts.ts';
import { createApprovals } from './oidc/approvals.ts';
import { createBookkeeping } from './oidc/bookkeeping.ts';
import { createBrowserSession } from './oidc/browser-session.ts';
import { createCallRequests } from './oidc/call-requests.ts';
import { createClientCalls } from './oidc/client-calls.ts';
import { createClientDocumentReader } from './oidc/client-documents.ts';
import { createClientRegistry } from './oidc/clients.ts';
import { createConnectedApps } from './oidc/connected-apps.ts';
import { createDpopProofs } from './oidc/dpop-proofs.ts';
import { createEngine } from './oidc/engine.ts';
import { tellClientsOurselves } from './oidc/engine-internals.ts';
import { TARGETS, TOKEN_EXCHANGE_PARAMETERS } from './oidc/exchange-parameters.ts';
import { TOKEN_EXCHANGE } from './oidc/exchange-policy.ts';
import { decoupled } from './oidc/features/decoupled.ts';
import { createCertificates } from './oidc/features/mtls.ts';
import { subjectsOf } from './oidc/features/pairwise.ts';
import { tokenExchange } from './oidc/features/token-exchange.ts';
import { createFirstPartyTokens } from './oidc/first-party-tokens.ts';
import { createInteractions } from './oidc/interactions.ts';
import { jwtAtTokenEndpoints } from './oidc/jwt-at-token-endpoints.ts';
import { createKeyring, type KeyringSettings } from './oidc/keyring.ts';
import { createKnownClients } from './oidc/known-clients.ts';
import { announcingArtifacts, createLogoutNotices } from './oidc/logout-notices.ts';
import { createOutbound, createProviderNetwork } from './oidc/outbound.ts';
import { PROTECTED_RESOURCE_METADATA } from './oidc/own-resource.ts';
import { createProvider, type EngineSettings } from './oidc/provider.ts';
import { createReplays } from './oidc/replays.ts';
import { isUnreadableRequestObject } from './oidc/request-objects.ts';
import { createResourceRegistry } from './oidc/resource-servers.ts';
import { createResourceTokens } from './oidc/resource-tokens.ts';
import { createClientRegistrations } from './oidc/self-registration.ts';
import { createSignInList } from './oidc/sign-ins.ts';
import type { Stores } from './storage/stores.ts';

export type AppSettings = EngineSettings &
  KeyringSettings & {
    /** What the signing keys are sealed under, then what they were before; the master key where there is none. */
    keyEncryptionSecrets: string[];
    production: boolean;
    masterKey: string;
    trustProxy: number;
    passwordMinLength: number;
    /** For tests, which hash by the hundred: no configuration sets it, and production does not heed it. */
    passwordCost?: PasswordCost | undefined;
    /** For tests alone, too: how long an answer may take, in milliseconds. */
    answerMs?: number | undefined;
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
    /** Whether the log may name people's addresses above debug. */
    logPii?: boolean | undefined;
    version: string;
  };

/** Everything wired, nothing listening. */
export const createApp = async (settings: AppSettings, opened: Stores, log: Logger) => {
  const { issuer, production, trustProxy, version, smtpUrl, mailFrom } = settings;
  const secrets = createSecrets(settings.masterKey);
  const clientCalls = createClientCalls(
    opened.outgoingCalls,
    secrets,
    createOutbound(settings.outbound ?? {}),
    (clientId, told) => createCallRequests(provider)(clientId, told),
    log,
  );
  const notices = createLogoutNotices(opened, clientCalls);
  const stores: Stores = { ...opened, artifacts: announcingArtifacts(opened.artifacts, notices) };
  const throttles = createThrottles(stores.rateLimits, settings.rateLimits);
  const context = createRequestContext();
  const audit = createAudit(stores.auditLog(auditMac(secrets)), secrets, context.facts);
  const mail = createMail(
    stores.outgoingMails,
    secrets,
    { appName: 'User Auth', host: new URL(issuer).host },
    smtpUrl === undefined ? undefined : createTransport(smtpUrl, mailFrom),
    log,
    context.locale,
    settings.logPii,
  );
  const foreignHashes = createForeignHashes(secrets);
  const { hostname } = new URL(issuer);
  const passwords = createPasswords(
    {
      minLength: settings.passwordMinLength,
      blocklist: settings.passwordBlocklist,
      serviceNames: [hostname, ...hostname.split('.')],
      cost: production ? undefined : settings.passwordCost,
    },
    foreignHashes,
  );
  const providers = createProviders(settings.federation, issuer, createProviderNetwork());
  const accounts = createAccounts(stores, passwords);
  const passwordReset = createPasswordReset(stores, passwords, mail, audit, throttles.mayMail, issuer, (id) =>
    labelIn(providers.all, id),
  );
  const alerts = createAlerts(stores, accounts, mail, audit, issuer);
  const deletion = createDeletion(stores, mail, audit);
  const verification = createVerification(stores, mail, audit, throttles.mayMail, issuer);

  const pages = createPages({ issuer, cache: production });
  const labelOf = async (accountId: string) => {
    const user = await accounts.find(accountId);
    return user && (user.username ?? user.email);
  };
  const openers = [...settings.keyEncryptionSecrets.map(createSecrets), secrets];
  const sealing = { seal: (openers[0] ?? secrets).seal, openers };
  const keyring = await createKeyring(stores, sealing, audit, settings);
  const documents = createClientDocumentReader(
    stores.clientDocuments,
    createOutbound(settings.outbound ?? {}),
    settings.outbound?.reachLoopback ?? false,
    throttles.documents,
  );
  const knownClients = createKnownClients(stores.clients, secrets, documents);
  const resources = createResourceRegistry(stores, audit, issuer);
  await resources.follow();
  const enginePages = createEnginePages(pages, labelOf, storeDown);
  const apart = decoupled(createDevicePages(pages, enginePages, resources), accounts, alerts, audit, throttles);
  const engine = createEngine(keyring, (jwks) =>
    createProvider(settings, jwks, stores, knownClients, resources, secrets, accounts, enginePages, throttles, apart),
  );
  resources.onDetailTypes(engine.rebuild);
  const { provider } = engine;
  engine.extend((one) =>
    one.on('server_error', (ctx, error) => {
      if (!isUnreadableRequestObject(ctx, error))
        log.error({ request_id: ctx.state.requestId, err: error }, 'request failed');
    }),
  );

  engine.extend((one) => tellClientsOurselves(one, { logout: notices.ended, ping: clientCalls.ping }));

  const signIn = createSignIn(accounts, deletion, stores.rateLimits, throttles, secrets, mail, audit);
  const apiKeys = createApiKeys(stores, throttles, audit);
  const jwts = createAccessJwts(stores, issuer);
  const tokens = createFirstPartyTokens(
    provider,
    stores,
    secrets,
    accounts,
    alerts,
    jwts,
    keyring.publicKey,
    settings,
    createDpopProofs(createReplays(stores.replays)),
  );
  const resourceTokens = createResourceTokens(provider, accounts, resources, jwts, keyring.publicKey);
  const exchange = tokenExchange(resources, resourceTokens, accounts, audit, subjectsOf(secrets));
  engine.extend((one) => one.registerGrantType(TOKEN_EXCHANGE, exchange, TOKEN_EXCHANGE_PARAMETERS, TARGETS));
  // A grant of the platform's own apps may live for two lifetimes of its refresh tokens.
  const lifetimeSeconds = Math.max(2 * settings.refreshTokenTtlSeconds, settings.sessionTtlSeconds);
  const signIns = createSignInList(stores, knownClients, secrets, tokens.end, audit, lifetimeSeconds);
  engine.extend((one) => one.use(jwtAtTokenEndpoints(tokens, resourceTokens, jwts, audit)));
  const apps = createConnectedApps(provider, stores, knownClients, secrets, tokens.end, audit);
  const notNoted = (error: Error) => log.warn({ err: error }, 'what was done was not noted');
  const clients = createClientRegistry(provider, stores, knownClients, secrets, audit);
  const initialAccessTokens = createInitialAccessTokens(stores, audit);
  const registrations = createClientRegistrations(
    settings.registration,
    clients,
    knownClients,
    initialAccessTokens,
    stores,
    secrets,
    audit,
  );
  const bookkeeping = createBookkeeping(signIns, apps, alerts, audit, registrations, notices, notNoted);
  engine.extend((one) => one.use(bookkeeping));
  const requireUser = createRequireUser(tokens, apiKeys, createCertificates(settings.mtls ?? {}));
  const userImport = createUserImport(stores, foreignHashes, audit);

  const administration = createAdministration({
    users: stores.users,
    search: stores.userSearch,
    store: stores.administration,
    roles: stores.roles,
    artifacts: stores.artifacts,
    atomically: stores.atomically,
    accounts,
    passwordReset,
    mail,
    audit,
  });
  const cursors = createCursors(secrets);

  const identities = createIdentities({
    users: stores.users,
    identities: stores.identities,
    atomically: stores.atomically,
    deletion,
    verification,
    mail,
    audit,
    throttles,
    providers: providers.all,
  });
  await stores.identities.nameIssuers(providers.all);

  const csrf = createCsrf(secrets, issuer);
  const session = createBrowserSession(provider);
  const interactions = createInteractions(provider, stores, audit, subjectsOf(secrets));
  const approvals = createApprovals(provider, stores, knownClients, resources, secrets, audit);
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
    trips: createTrips(secrets, values, issuer),
    values,
    codes,
    throttles,
    log,
  });
  const headers = createSecurityHeaders(issuer);
  const app: Koa = createServer(
    { issuer, trustProxy, cookieKeys: secrets.cookieKeys, logPii: settings.logPii, answerMs: settings.answerMs },
    log,
    formBody,
    errorHandler(issuer, pages, log),
    context,
    headers,
  );
  const routers = [
    healthRoutes(stores.check, version, createSeen(secrets, settings.mtls?.certificateHeader)),
    assetRoutes(),
    docsRoutes(issuer, version, pages),
    protectedResourceRoutes(issuer, settings.mtls?.certificateHeader !== undefined),
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
    identityRoutes(identities, signIn, tokens, requireUser),
    sessionRoutes(signIns, requireUser),
    apiKeyRoutes(apiKeys, requireUser),
    mailLinkRoutes(passwordReset, verification, signIn, session, throttles, settings.passwordMinLength, pages, csrf),
    adminImportRoutes(userImport, requireUser),
    adminUserRoutes(administration, cursors, requireUser),
    adminAuditRoutes(audit, cursors, requireUser),
    adminKeyRoutes(keyring, requireUser),
    adminResourceRoutes(resources, requireUser),
    adminClientRoutes(clients, requireUser),
    adminInitialAccessTokenRoutes(initialAccessTokens, requireUser),
    ...(settings.registration === 'off' ? [] : [clientRegistrationRoutes(issuer, registrations, throttles)]),
    homeRoutes(issuer, session, pages),
    accountRoutes(session, accounts, identities, approvals, resources, providers, federation, pages, csrf),
    federation.routes(),
    interactionRoutes(interactions, interactionPages, resources, accounts, signIn, pages, csrf),
  ];
  // Where anybody may register, so may apps that run in pages, such as inspectors of MCP servers.
  const open = settings.registration === 'open' ? [[REGISTRATION, 'POST'] as const] : [];
  const mounted = new WeakMap<object, Middleware>();
  const ofTheEngine: Middleware = (ctx, next) => {
    const current = engine.current();
    const serve = mounted.get(current) ?? mount(current);
    mounted.set(current, serve);
    return serve(ctx, next);
  };
  app.use(
    inOrder([
      (_ctx, next) => withStandings(next),
      exchangeCors(settings.firstPartyOrigins),
      openCors(new Map([[PROTECTED_RESOURCE_METADATA, 'GET'], ...open])),
      dispatch(routers),
      ofTheEngine,
    ]),
  );

  /** What anybody can make us keep goes when it is of no use. */
  const sweepClients = async () => {
    await registrations.sweep();
    await initialAccessTokens.sweep();
    await documents.sweep();
  };
  return {
    app,
    listener: withKeyShortcut(app, apiKeys, headers, log, settings.logPii),
    keyring,
    resources,
    accounts,
    deletion,
    identities,
    audit,
    mail,
    clients,
    clientCalls,
    initialAccessTokens,
    sweepClients,
  };
};
