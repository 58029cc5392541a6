import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { DataDirError, keptSecret, openDataDir } from '../../src/storage/data-dir.ts';

const root = await mkdtemp(join(tmpdir(), 'ua-data-dir-'));
test.after.always(() => rm(root, { recursive: true, force: true }));

const newDir = () => mkdtemp(join(root, 'd-'));
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

test('the directory is created with its parents, for this user alone', async (t) => {
  const path = join(await newDir(), 'a', 'b');
  t.is(await openDataDir(path), path);
  t.is(await modeOf(path), 0o700);
});

test('a relative directory comes back absolute', async (t) => {
  const path = join(await newDir(), 'a');
  t.is(await openDataDir(relative(process.cwd(), path)), path);
});

test('an existing directory keeps its files and loses the access of others', async (t) => {
  const path = await newDir();
  await writeFile(join(path, 'kept'), 'x');
  await chmod(path, 0o755);
  await openDataDir(path);
  t.is(await modeOf(path), 0o700);
  t.is(await readFile(join(path, 'kept'), 'utf8'), 'x');
});

test('a directory that users share is refused and left as it is', async (t) => {
  const path = await newDir();
  await chmod(path, 0o1777);
  await t.throwsAsync(openDataDir(path), { instanceOf: DataDirError, message: /shared between users/ });
  t.is(await modeOf(path), 0o777);
});

test('a file in the place of the directory gives an error that names DATA_DIR and the path', async (t) => {
  const file = join(await newDir(), 'file');
  await writeFile(file, '');
  await t.throwsAsync(openDataDir(file), {
    instanceOf: DataDirError,
    message: /DATA_DIR .*file is, or lies below, a file/,
  });
  await t.throwsAsync(openDataDir(join(file, 'below')), { instanceOf: DataDirError, message: /lies below, a file/ });
});

(process.getuid?.() === 0 ? test.skip : test)(
  // skipped for root, who may write everywhere
  'a directory that cannot be written gives an error (not as root)',
  async (t) => {
    const parent = await newDir();
    await chmod(parent, 0o500);
    await t.throwsAsync(openDataDir(join(parent, 'a')), {
      instanceOf: DataDirError,
      message: /cannot be created or written/,
    });
  },
);

test('a secret is made once, kept for this user alone, and read ever after', async (t) => {
  const dir = await newDir();
  const made = await keptSecret(dir, 'secrets.json', () => ({ key: 'first' }));
  t.deepEqual(made, { key: 'first' });
  t.deepEqual(await keptSecret(dir, 'secrets.json', () => ({ key: 'second' })), { key: 'first' });
  t.is(await modeOf(join(dir, 'secrets.json')), 0o600);
  t.deepEqual(await readdir(dir), ['secrets.json']);
});

test('many processes that ask for a secret at the same time all get the same', async (t) => {
  const dir = await newDir();
  const module = new URL('../../src/storage/data-dir.ts', import.meta.url);
  const program = `
    import { randomUUID } from 'node:crypto';
    import { keptSecret } from ${JSON.stringify(module.href)};
    const asked = Array.from({ length: 20 }, () => keptSecret(${JSON.stringify(dir)}, 'secrets.json', randomUUID));
    console.log((await Promise.all(asked)).join('\\n'));`;
  const answers = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [answer] = await Promise.all([text(child.stdout), once(child, 'exit')]);
      return answer.trim().split('\n');
    }),
  );
  t.is(answers.flat().length, 80);
  t.is(new Set(answers.flat()).size, 1);
  t.deepEqual(await readdir(dir), ['secrets.json']);
});

for (const [what, content] of [
  ['damaged', '{"key": "hush-hu'],
  ['empty', ''],
] as const) {
  test(`a ${what} secret file is an error that names the file and not its content, and is left as it is`, async (t) => {
    const dir = await newDir();
    const path = join(dir, 'secrets.json');
    await writeFile(path, content);
    const error = await t.throwsAsync(
      keptSecret(dir, 'secrets.json', () => ({})),
      { instanceOf: DataDirError },
    );
    t.true(error.message.includes(path));
    t.regex(error.message, /restore it from a backup, or delete it/);
    t.notRegex(JSON.stringify([error.message, error.stack, String(error.cause)]), /hush/);
    t.is(await readFile(path, 'utf8'), content);
  });
}

test('a secret that cannot be read is an error that names the file', async (t) => {
  const dir = await newDir();
  await mkdir(join(dir, 'secrets.json'));
  await t.throwsAsync(
    keptSecret(dir, 'secrets.json', () => ({})),
    { instanceOf: DataDirError, message: /secrets\.json cannot be read \(EISDIR\)/ },
  );
});
