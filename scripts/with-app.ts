// What the scripts share: the same configuration, stores and rules as the server.
import { pino } from 'pino';
import { createApp } from '../src/app.ts';
import { type Config, loadConfig } from '../src/config.ts';
import { loadExternalKeys } from '../src/external-keys.ts';
import { installationSecrets } from '../src/installation.ts';
import { openStores, type StoreSettings } from '../src/storage/open-stores.ts';
import type { Stores } from '../src/storage/stores.ts';

export { argumentsOf, required, script, UsageError } from './command-line.ts';

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
