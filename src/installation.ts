import type { Config } from './config.ts';
import { randomSecret } from './domain/secrets.ts';
import { keptSecret, openDataDir } from './storage/data-dir.ts';

/**
 * The secret that makes this installation itself: what signs its cookies, seals its keys and hashes its clients' secrets.
 * Outside production a missing one is generated once into DATA_DIR, and JWT_SECRET_KEY does not stand in for it, so that
 * setting that variable later does not lock anything out. In production, which keeps nothing, it does.
 */
export const installationSecrets = async ({
  masterKey,
  jwtSecretKey,
  production,
  dataDir,
}: Pick<Config, 'masterKey' | 'jwtSecretKey' | 'dataDir' | 'production'>): Promise<{ masterKey: string }> => {
  const named = masterKey ?? (production ? jwtSecretKey : undefined);
  if (named !== undefined) return { masterKey: named };
  return keptSecret(await openDataDir(dataDir), 'secrets.json', () => ({ masterKey: randomSecret(32) }));
};
