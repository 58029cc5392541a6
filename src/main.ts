// env → config → stores → app → listen; on SIGTERM and SIGINT the same in reverse.
import './runtime.ts';
import cluster from 'node:cluster';
import type { Logger } from 'pino';
import packageJson from '../package.json' with { type: 'json' };
import { createApp } from './app.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { CONNECTION_BOUNDS } from './connection-bounds.ts';
import { type Demo, ensureDemo } from './demo.ts';
import { DomainError } from './domain/errors.ts';
import { loadExternalKeys } from './external-keys.ts';
import { installationSecrets } from './installation.ts';
import { listen } from './listen.ts';
import { openLog } from './log.ts';
import { SigningKeysError } from './oidc/keys.ts';
import { lowerThreadPool } from './runtime.ts';
import { startUpCard } from './start-up-card.ts';
import { DataDirError } from './storage/data-dir.ts';
import { MigrationError } from './storage/migrator.ts';
import { openStores, StoreError, type StoreSettings } from './storage/open-stores.ts';
import type { Stores } from './storage/stores.ts';
import { superviseWorkers } from './workers.ts';

/** How long requests under way may take to finish after SIGTERM. */
const GRACE_MS = 10_000;
/** What a mail that is being sent has of it at the least. */
const MAIL_GRACE_MS = 1_000;
/** Expired rows are deleted this often, in batches. */
const SWEEP_MS = 60_000;
const SWEEP_ROWS = 1_000;

/** While a store is down every attempt to connect fails; one line in ten seconds is enough to say so. */
const logStoreErrors = (log: Logger): StoreSettings['onError'] => {
  const quietUntil = new Map<string, number>();
  return (store, error) => {
    if ((quietUntil.get(store) ?? 0) > Date.now()) return;
    quietUntil.set(store, Date.now() + 10_000);
    log.error({ store, code: 'code' in error ? error.code : undefined }, 'store connection failed');
  };
};

const sweepAll = async ({ artifacts, oneTimeTokens, sessionClients }: Stores): Promise<void> => {
  while ((await artifacts.sweep(SWEEP_ROWS)) === SWEEP_ROWS);
  while ((await oneTimeTokens.sweep(SWEEP_ROWS)) === SWEEP_ROWS);
  while ((await sessionClients.sweep(SWEEP_ROWS)) === SWEEP_ROWS);
};

const serve = async (config: Config, log: Logger) => {
  const secrets = await installationSecrets(config);
  const stores = await openStores({
    databaseUrl: config.databaseUrl,
    cacheEntries: config.cacheEntries,
    redisUrl: config.redisUrl,
    dataDir: config.dataDir,
    mode: 'serve',
    migrations: config.production ? 'require' : 'apply',
    onError: logStoreErrors(log),
  });
  const {
    listener: serve,
    accounts,
    deletion,
    clients,
    keyring,
    mail,
    resources,
    sweepClients,
    clientCalls,
  } = await createApp(
    {
      ...config,
      ...secrets,
      externalKeys: await loadExternalKeys(config.signingKeysModule),
      version: packageJson.version,
    },
    stores,
    log,
  );

  const { bootstrapClient } = config;
  if (bootstrapClient) await clients.ensureBootstrap(bootstrapClient);
  let demo: Demo | undefined;
  if (!config.production) demo = await ensureDemo(config.dataDir, accounts, clients, bootstrapClient?.clientId);

  const bounds = config.trustProxy > 0 ? { mostPerNetwork: CONNECTION_BOUNDS.most } : {};
  const listener = await listen(serve, config.port, config.host, config.tls, bounds).catch(async (error: unknown) => {
    await stores.close();
    throw error;
  });

  const sweep = setInterval(() => {
    sweepAll(stores).catch((error) => log.warn({ code: error.code }, 'expired rows were not swept'));
    sweepClients().catch((error) => log.warn({ code: error.code }, 'clients were not swept'));
    deletion.eraseDue().catch((error) => log.warn({ code: error.code }, 'accounts were not erased'));
  }, SWEEP_MS);

  lowerThreadPool();
  mail.start();
  resources.start((error) => log.debug({ err: error }, 'the resource servers were not looked up'));
  clientCalls.start();
  keyring.start((error) => log.debug({ err: error }, 'the signing keys were not looked after'));

  const close = async (signal: string) => {
    const deadline = Date.now() + GRACE_MS;
    // Said when it holds: from here on nobody new gets in.
    const finished = listener.close(GRACE_MS);
    log.info({ signal }, 'closing: finishing the requests under way');
    clearInterval(sweep);
    keyring.stop();
    resources.stop();
    await finished;
    // After the last request, which may have had something to mail.
    const grace = Math.max(deadline - Date.now(), MAIL_GRACE_MS);
    await Promise.all([mail.stop(grace), clientCalls.stop(grace)]);
    await stores.close();
    log.info('closed');
  };
  // Ctrl-C under npm comes twice: from the terminal and from npm. The second one changes nothing.
  let closing: Promise<void> | undefined;
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (closing) return;
      closing = close(signal);
      closing.then(
        () => process.exit(0),
        (error) => {
          log.error({ err: error }, 'closing failed');
          process.exit(1);
        },
      );
    });

  if (config.production) log.info({ issuer: config.issuer, port: listener.port, stores: stores.description }, 'ready');
  else if (cluster.isPrimary || cluster.worker?.id === 1)
    process.stdout.write(startUpCard(config, listener.port, stores.description, demo));
};

try {
  const { config, warnings } = loadConfig();
  const log = openLog(config);
  if (cluster.isPrimary) for (const warning of warnings) log.warn(warning);
  if (cluster.isPrimary && config.webConcurrency > 1) superviseWorkers(config.webConcurrency, log);
  else await serve(config, log);
} catch (error) {
  // What an operator can mend is said in a line; anything else is a bug, and shows where.
  const known = [ConfigError, StoreError, DataDirError, MigrationError, SigningKeysError, DomainError].some(
    (kind) => error instanceof kind,
  );
  const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  const unlistenable =
    error instanceof Error && 'syscall' in error && ['listen', 'getaddrinfo'].includes(String(error.syscall));
  if (inUse) process.stderr.write(`The port is in use already: set PORT to another one, or stop what listens there.\n`);
  else if (unlistenable)
    process.stderr.write(`Cannot listen (${(error as NodeJS.ErrnoException).code}): check HOST and PORT.\n`);
  else process.stderr.write(`${error instanceof Error ? (known ? error.message : error.stack) : String(error)}\n`);
  process.exit(1);
}
