import type { Config } from './config.ts';
import { randomSecret } from './domain/secrets.ts';
import { keptSecret, openDataDir } from './storage/data-dir.ts';

/**
 * The secrets that make this installation itself: the master key signs its cookies, seals its keys and hashes its clients'
 * secrets; the JWT secret signs first-party access tokens. Outside production a missing one is generated once into
 * DATA_DIR, and JWT_SECRET_KEY does not stand in for the master key, so that setting that variable later does not lock
 * anything out. In production, which keeps nothing, it does.
 */
export const installationSecrets = async ({
  masterKey,
  jwtSecretKey,
  production,
  dataDir,
}: Pick<Config, 'masterKey' | 'jwtSecretKey' | 'dataDir' | 'production'>): Promise<{
  masterKey: string;
  jwtSecretKey: string;
}> => {
  const named = masterKey ?? (production ? jwtSecretKey : undefined);
  if (named !== undefined && jwtSecretKey !== undefined) return { masterKey: named, jwtSecretKey };
  const kept = await keptSecret(await openDataDir(dataDir), 'secrets.json', () => ({
    masterKey: randomSecret(32),
    jwtSecretKey: randomSecret(32),
  }));
  return { masterKey: named ?? kept.masterKey, jwtSecretKey: jwtSecretKey ?? kept.jwtSecretKey };
};
