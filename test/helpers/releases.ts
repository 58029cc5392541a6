// Earlier releases of this repository, by their tags, made runnable beside the code under test.
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDir } from './service.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const git = (...args: string[]): string | undefined => {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
};

export type Release = { ref: string };
export type NoRelease = { why: string };

/**
 * The release before what is checked out: the newest tag (`v1.2.3`) in its history that is not itself; where there is none, its
 * own tag, so that the first release is at least held against itself. `TEST_PREVIOUS_RELEASE` names another commit.
 */
export const previousRelease = (): Release | NoRelease => {
  const named = process.env.TEST_PREVIOUS_RELEASE;
  if (named)
    return git('cat-file', '-e', `${named}:src/main.ts`) === undefined ? { why: `no ${named} here` } : { ref: named };
  const head = git('rev-parse', 'HEAD');
  if (head === undefined) return { why: 'no git history here' };
  const tags = (git('tag', '--list', 'v[0-9]*', '--merged', 'HEAD', '--sort=-version:refname') ?? '')
    .split('\n')
    .filter(Boolean);
  const complete = tags.filter((tag) => git('cat-file', '-e', `${tag}:src/main.ts`) !== undefined);
  const earlier = complete.find((tag) => git('rev-parse', `${tag}^{commit}`) !== head) ?? complete[0];
  if (earlier) return { ref: earlier };
  const shallow = git('rev-parse', '--is-shallow-repository') === 'true';
  return { why: `no release tag in this clone: git fetch --tags${shallow ? ' --unshallow' : ''}, if there is one` };
};

/**
 * Takes a release out of git, and generates its Prisma client. It runs on the packages that are installed here: what is compared is
 * code and schema.
 *
 * @returns the path of one of its files, as helpers/service.ts takes it.
 */
export const checkOut = ({ ref }: Release): ((path: string) => string) => {
  const dir = join(temporaryDir(), 'release');
  mkdirSync(dir);
  const archive = spawnSync('git', ['archive', ref, 'package.json', 'prisma', 'scripts', 'src', 'views'], {
    cwd: root,
    maxBuffer: 2 ** 28,
  });
  if (archive.status !== 0) throw new Error(`git archive ${ref}: ${archive.stderr}`);
  const tar = spawnSync('tar', ['-x', '-C', dir], { input: archive.stdout });
  if (tar.status !== 0) throw new Error(`tar: ${tar.stderr}`);
  symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'));
  const generated = spawnSync(process.execPath, ['scripts/generate.ts'], { cwd: dir, encoding: 'utf8' });
  if (generated.status !== 0) throw new Error(`scripts/generate.ts of ${ref}: ${generated.stderr}`);
  return (path) => relative(root, join(dir, path));
};
