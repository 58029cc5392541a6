// Writes the whole database to a file, beside a running server or without one: npm run backup -- --to FILE
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };
import { type Config, loadConfig } from '../src/config.ts';
import { BackupError, backupLines } from '../src/storage/backup.ts';
import { KEPT_FILES, readKept, readPassphrase, writeBackupFile } from './backup-file.ts';
import { argumentsOf, required, script } from './command-line.ts';
import { withConnection } from './database.ts';

const USAGE = '--to FILE [--passphrase-file FILE] [--with-secrets]';

const filesOf = async (dataDir: string): Promise<Record<string, unknown>> => {
  const files: Record<string, unknown> = {};
  for (const name of KEPT_FILES) {
    const kept = await readKept(dataDir, name);
    if (kept !== undefined) files[name] = kept;
  }
  if (!files['secrets.json'])
    throw new BackupError(
      'There is no secrets.json in DATA_DIR: the secrets are in the environment, and are kept there.',
    );
  return files;
};

/** Where what opens the backup is, in words: it is not in it. */
const keptElsewhere = ({ masterKey, production, dataDir }: Config): string =>
  masterKey !== undefined || production
    ? 'MASTER_KEY (or the JWT_SECRET_KEY in its place) and KEY_ENCRYPTION_SECRET are not in the backup; without them its keys, tokens and consents do not open.'
    : `${join(dataDir, 'secrets.json')} is not in the backup; without it, its keys, tokens and consents do not open. Keep it apart, or see --with-secrets.`;

await script(async () => {
  const options = argumentsOf(
    { to: { type: 'string' }, 'passphrase-file': { type: 'string' }, 'with-secrets': { type: 'boolean' } },
    USAGE,
  );
  const to = required(options.to, 'to', USAGE);
  const withSecrets = options['with-secrets'] === true;
  // The key and what it opens in one file would be as good as no sealing at all.
  if (withSecrets && !options['passphrase-file'])
    throw new BackupError(
      '--with-secrets needs --passphrase-file: what opens the backup is not kept in it in the clear.',
    );
  const passphrase = options['passphrase-file'] ? await readPassphrase(options['passphrase-file']) : undefined;
  const { config } = loadConfig();
  if (!config.databaseUrl && !existsSync(join(config.dataDir, 'postgres')))
    throw new BackupError(`There is no database in DATA_DIR ${config.dataDir}: nothing to back up.`);
  const files = withSecrets ? await filesOf(config.dataDir) : undefined;
  await withConnection(config, (db) =>
    writeBackupFile(to, backupLines(db, { version: packageJson.version, files }), passphrase),
  );
  if (!withSecrets) process.stderr.write(`${keptElsewhere(config)}\n`);
  return { backup: to, sealed: passphrase !== undefined, with_secrets: withSecrets };
});
