// The data directory: where an installation keeps what it may not lose. The embedded database and generated secrets live here.
import { randomUUID } from 'node:crypto';
import { access, chmod, constants, link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

/** The data directory, or something in it, cannot be used. The message is for the operator, and holds no secret. */
export class DataDirError extends Error {
  override name = 'DataDirError';
}

/** A system error's code (ENOENT, EEXIST, …), or undefined for any other error. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

const STICKY = 0o1000;

/**
 * Creates the directory, for this user alone (0700), if it is absent; takes others' access away if it is there and ours.
 *
 * @returns its absolute path.
 * @throws {DataDirError} when it cannot be created or written, or is one that users share, like /tmp.
 */
export const openDataDir = async (dir: string): Promise<string> => {
  const path = resolve(dir);
  const refuse = (why: string, cause?: unknown) =>
    new DataDirError(`DATA_DIR ${path} ${why}. Choose another directory, or give this user the right to write here.`, {
      cause,
    });
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST' || code === 'ENOTDIR') throw refuse('is, or lies below, a file', error);
    throw refuse(`cannot be created or written (${code ?? 'unknown error'})`, error);
  }
  const { mode, uid } = await stat(path);
  if (mode & STICKY) throw refuse('is shared between users');
  if (mode & 0o077 && uid === process.getuid?.()) await chmod(path, 0o700);
  return path;
};

const readSecret = async (path: string): Promise<unknown> => {
  const text = await readFile(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text: it must not get out, not even as a cause.
    throw new DataDirError(
      `${path} is not valid JSON. It holds a generated secret and is never replaced on its own: restore it from a backup, ` +
        'or delete it to have a new one generated, which makes whatever the old one protects unusable.',
    );
  }
};

/** Writes a file that appears whole, readable by this user alone (0600), or not at all; leaves an existing one as it is. */
const createOnce = async (dir: string, path: string, text: string): Promise<void> => {
  const draft = `${path}.${randomUUID()}`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    // Unlike rename, link refuses a name that is taken: of two racing processes the first one's file stays.
    await link(draft, path).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  } finally {
    await rm(draft, { force: true });
  }
  // What the secret protects may reach the disk later, and must not outlive the secret's name in a power cut.
  const directory = await open(dir, 'r');
  await directory.sync().finally(() => directory.close());
};

/**
 * The small JSON secret in the file `name` (as it stands, with its ending) of the data directory. If the file is absent it is
 * made, once: of any number of processes that ask at the same time all get the same.
 *
 * @param make What to keep; JSON can hold it.
 * @throws {DataDirError} when the file is there and cannot be read or is not JSON. It is never replaced.
 */
export const keptSecret = async <T>(dataDir: string, name: string, make: () => T): Promise<T> => {
  const path = join(dataDir, name);
  try {
    return (await readSecret(path)) as T;
  } catch (error) {
    if (error instanceof DataDirError) throw error;
    if (codeOf(error) !== 'ENOENT')
      throw new DataDirError(`${path} cannot be read (${codeOf(error)}).`, { cause: error });
  }
  const text = `${JSON.stringify(make())}\n`;
  await createOnce(dataDir, path, text).catch((error: unknown) => {
    throw new DataDirError(`${path} cannot be written (${codeOf(error)}).`, { cause: error });
  });
  return (await readSecret(path)) as T;
};
