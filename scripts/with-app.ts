// What the scripts share: the same configuration, stores and rules as the server, one JSON answer on stdout, messages on
// stderr, exit code 1 with one clear line when something is wrong.
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { createApp } from '../src/app.ts';
import { type Config, ConfigError, loadConfig } from '../src/config.ts';
import { DomainError } from '../src/domain/errors.ts';
import { loadExternalKeys } from '../src/external-keys.ts';
import { installationSecrets } from '../src/installation.ts';
import { openStores, type StoreSettings } from '../src/storage/open-stores.ts';
import type { Stores } from '../src/storage/stores.ts';

/** Wrong use: said in one line, with how it is used right. */
export class UsageError extends Error {}

type Options = Record<string, { type: 'string' | 'boolean' }>;

/** The command line as `options` say. @throws {UsageError} */
export const argumentsOf = <T extends Options>(options: T, usage: string) => {
  try {
    return parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message.split('\n')[0] : error} (usage: ${usage})`);
  }
};

/** The value, which must be there. @throws {UsageError} */
export const required = (value: string | undefined, option: string, usage: string): string => {
  if (value === undefined || value === '') throw new UsageError(`--${option} is missing (usage: ${usage})`);
  return value;
};

/** Opens the stores, beside a running server or alone. */
export const withStores = async <T>(
  settings: Partial<StoreSettings>,
  use: (stores: Stores, config: Config) => Promise<T>,
): Promise<T> => {
  const { config, warnings } = loadConfig();
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  const stores = await openStores({
    databaseUrl: config.databaseUrl,
    redisUrl: config.redisUrl,
    dataDir: config.dataDir,
    mode: 'share',
    migrations: config.production ? 'require' : 'apply',
    onError: () => {},
    ...settings,
  });
  try {
    return await use(stores, config);
  } finally {
    await stores.close();
  }
};

/** As `withStores`, with the rules on top. */
export const withApp = <T>(use: (app: Awaited<ReturnType<typeof createApp>>) => Promise<T>): Promise<T> =>
  withStores({}, async (stores, config) => {
    const secrets = await installationSecrets(config);
    return use(
      await createApp(
        { ...config, ...secrets, externalKeys: await loadExternalKeys(config.signingKeysModule), version: '' },
        stores,
        pino({ level: 'silent' }),
      ),
    );
  });

/** Runs a script's one job and prints what it returns. */
export const script = async (job: () => Promise<unknown>): Promise<void> => {
  try {
    process.stdout.write(`${JSON.stringify(await job(), null, 2)}\n`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = error instanceof ConfigError ? message : message.split('\n')[0];
    process.stderr.write(`${error instanceof DomainError ? `${error.code}: ` : ''}${line}\n`);
    process.exitCode = 1;
  }
};
