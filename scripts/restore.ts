// Makes an empty database what a backup says: npm run restore -- --from FILE
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type Config, loadConfig } from '../src/config.ts';
import { createSecrets } from '../src/domain/secrets.ts';
import { openKey, SigningKeysError } from '../src/oidc/keys.ts';
import { type Backup, BackupError, readBackup } from '../src/storage/backup.ts';
import { keptSecret, openDataDir } from '../src/storage/data-dir.ts';
import { restore } from '../src/storage/restore.ts';
import { KEPT_FILES, readBackupFile, readKept, readPassphrase } from './backup-file.ts';
import { argumentsOf, required, script } from './command-line.ts';
import { withPool } from './database.ts';

const USAGE = '--from FILE [--passphrase-file FILE]';

/** What this installation opens sealed things with, or will once the backup's files are there. */
const masterKeyOf = async ({ masterKey, jwtSecretKey, production, dataDir }: Config, { header }: Backup) => {
  const named = masterKey ?? (production ? jwtSecretKey : undefined);
  const kept = (await readKept(dataDir, 'secrets.json')) ?? header.files?.['secrets.json'];
  return named ?? Object(kept).masterKey;
};

/**
 * A restored database that does not open is found out before it is made, rather than at the start.
 *
 * @throws {BackupError}
 */
const insistOnKey = async (config: Config, backup: Backup): Promise<void> => {
  const masterKey = await masterKeyOf(config, backup);
  const keys = (backup.rows.get('signing_keys') ?? []).map((row) => JSON.parse(row));
  if (keys.length === 0) return;
  if (typeof masterKey !== 'string')
    throw new BackupError(
      'The backup does not bring what opens its keys, tokens and consents: set its MASTER_KEY, or put its secrets.json into DATA_DIR first.',
    );
  const openers = [...config.keyEncryptionSecrets, masterKey].map(createSecrets);
  const [first] = openers;
  if (!first) return;
  for (const { kid, alg, public_jwk: publicJwk, sealed_jwk: sealedJwk } of keys)
    await openKey({ kid, alg, publicJwk, sealedJwk }, { seal: first.seal, openers }, { async reseal() {} }).catch(
      (error: unknown) => {
        if (!(error instanceof SigningKeysError)) throw error;
        throw new BackupError(
          'The backup does not open with this MASTER_KEY (or KEY_ENCRYPTION_SECRET, or the secrets.json in DATA_DIR): it is of another installation. Nothing was restored.',
        );
      },
    );
};

/** @throws {BackupError} where a file that the backup brings is there already, and is another one. */
const insistOnFiles = async ({ dataDir }: Config, { header }: Backup): Promise<void> => {
  for (const [name, content] of Object.entries(header.files ?? {})) {
    if (!KEPT_FILES.includes(name)) throw new BackupError(`The backup brings a file that is none of ours: ${name}.`);
    const there = await readKept(dataDir, name);
    if (there !== undefined && !isDeepStrictEqual(there, content))
      throw new BackupError(`${join(dataDir, name)} is another one than in the backup. Nothing was restored.`);
  }
};

const restoreFiles = async (config: Config, { header }: Backup): Promise<void> => {
  const entries = Object.entries(header.files ?? {});
  const dataDir = entries.length > 0 ? await openDataDir(config.dataDir) : '';
  for (const [name, content] of entries) await keptSecret(dataDir, name, () => content);
};

await script(async () => {
  const options = argumentsOf({ from: { type: 'string' }, 'passphrase-file': { type: 'string' } }, USAGE);
  const from = required(options.from, 'from', USAGE);
  const passphrase = options['passphrase-file'] ? await readPassphrase(options['passphrase-file']) : undefined;
  const { config } = loadConfig();
  const backup = readBackup(await readBackupFile(from, passphrase));
  await insistOnFiles(config, backup);
  await insistOnKey(config, backup);
  const applied = await withPool(config, async (pool) => {
    const later = await restore(pool, backup);
    await restoreFiles(config, backup);
    return later;
  });
  const { made_at, version } = backup.header;
  return {
    restored: from,
    made_at,
    version,
    rows: Object.fromEntries([...backup.rows].map(([table, rows]) => [table, rows.length])),
    applied,
  };
});
