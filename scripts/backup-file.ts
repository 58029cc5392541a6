// The file that a backup is kept in: compressed, and sealed with a passphrase where one is given.
import { createCipheriv, createDecipheriv, randomBytes, randomUUID, scryptSync } from 'node:crypto';
import { link, open, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip, gunzipSync } from 'node:zlib';
import { BackupError } from '../src/storage/backup.ts';
import { codeOf } from '../src/storage/data-dir.ts';

/** What DATA_DIR holds besides the database, and all that a backup may bring there. */
export const KEPT_FILES: readonly string[] = ['secrets.json', 'demo.json'];

const MAGIC = Buffer.from('user-auth sealed backup 1\n');
const SALT_BYTES = 16;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = MAGIC.length + SALT_BYTES + IV_BYTES;
const PASSPHRASE_MIN_LENGTH = 16;

// 128 MiB and about half a second: OWASP's parameters for scrypt.
const keyOf = (passphrase: string, salt: Buffer): Buffer =>
  scryptSync(passphrase.normalize('NFKC'), salt, 32, { N: 2 ** 17, r: 8, p: 1, maxmem: 2 ** 28 });

/**
 * The first line of a file: on a command line it would be seen by others on the machine.
 *
 * @throws {BackupError}
 */
export const readPassphrase = async (path: string): Promise<string> => {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new BackupError(`The file of --passphrase-file cannot be read (${codeOf(error)}).`);
  });
  const passphrase = text.split(/\r?\n/)[0] ?? '';
  if ([...passphrase].length < PASSPHRASE_MIN_LENGTH)
    throw new BackupError(`The passphrase must have at least ${PASSPHRASE_MIN_LENGTH} characters.`);
  return passphrase;
};

const sealingWith = (passphrase: string) => {
  const salt = randomBytes(SALT_BYTES);
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(passphrase, salt), iv).setAAD(MAGIC);
  return { head: Buffer.concat([MAGIC, salt, iv]), cipher };
};

/**
 * Writes a file that appears whole, readable by this user alone (0600), or not at all.
 *
 * @throws {BackupError} when it is there already, or cannot be written.
 */
export const writeBackupFile = async (
  path: string,
  lines: AsyncIterable<string>,
  passphrase?: string,
): Promise<void> => {
  const draft = `${path}.${randomUUID()}`;
  const refused = (error: unknown) => {
    const code = codeOf(error);
    if (code === undefined) throw error;
    throw new BackupError(
      code === 'EEXIST' ? `${path} is there already: nothing is overwritten.` : `${path} cannot be written (${code}).`,
    );
  };
  try {
    const file = await open(draft, 'wx', 0o600).catch(refused);
    try {
      const sealing = passphrase === undefined ? undefined : sealingWith(passphrase);
      if (sealing) await file.write(sealing.head);
      // Appended to what is there: a stream of the file's own would close it, or never end.
      const write = (source: AsyncIterable<Buffer>) => file.writeFile(source);
      if (sealing) await pipeline(Readable.from(lines), createGzip(), sealing.cipher, write);
      else await pipeline(Readable.from(lines), createGzip(), write);
      if (sealing) await file.write(sealing.cipher.getAuthTag());
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike rename, link refuses a name that is taken.
    await link(draft, path).catch(refused);
  } finally {
    await rm(draft, { force: true });
  }
  const directory = await open(dirname(path), 'r');
  await directory.sync().finally(() => directory.close());
};

const opened = (bytes: Buffer, passphrase: string | undefined): Buffer => {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return bytes;
  if (passphrase === undefined)
    throw new BackupError('The backup is sealed: name the file with its passphrase by --passphrase-file.');
  if (bytes.length < HEAD_BYTES + TAG_BYTES) throw new BackupError('The backup is not complete: it was cut off.');
  const salt = bytes.subarray(MAGIC.length, MAGIC.length + SALT_BYTES);
  const iv = bytes.subarray(MAGIC.length + SALT_BYTES, HEAD_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', keyOf(passphrase, salt), iv, { authTagLength: TAG_BYTES })
    .setAAD(MAGIC)
    .setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    throw new BackupError('The backup does not open: the passphrase is another one, or the file was changed.');
  }
};

/** @throws {BackupError} for what is no backup, does not open, or is not whole. */
export const readBackupFile = async (path: string, passphrase?: string): Promise<string> => {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new BackupError(`${path} cannot be read (${codeOf(error)}).`);
  });
  const compressed = opened(bytes, passphrase);
  try {
    return gunzipSync(compressed).toString('utf8');
  } catch {
    throw new BackupError('This is no backup, or not a whole one.');
  }
};

/** What a file of DATA_DIR holds, without making one. @throws {BackupError} */
export const readKept = async (dataDir: string, name: string): Promise<unknown> => {
  const path = join(dataDir, name);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new BackupError(`${path} cannot be read (${codeOf(error)}).`);
  });
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text.
    throw new BackupError(`${path} is not valid JSON.`);
  }
};
