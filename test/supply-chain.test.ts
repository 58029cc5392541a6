// What is installed, by whom it may be run, and under which terms: read from package.json, the lockfile and the installed tree.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';

type Locked = {
  name?: string;
  version: string;
  integrity?: string;
  resolved?: string;
  link?: boolean;
  license?: string;
  hasInstallScript?: boolean;
  dev?: boolean;
  optional?: boolean;
  devOptional?: boolean;
  dependencies?: Record<string, string>;
  devDependencies?: Record<string, string>;
};

const root = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
const manifest = JSON.parse(read('package.json'));
const lock: { name: string; version: string; lockfileVersion: number; packages: Record<string, Locked> } = JSON.parse(
  read('package-lock.json'),
);
const locked = Object.entries(lock.packages).filter(([path]) => path !== '');
const nameOf = (path: string): string => path.replace(/^.*node_modules\//, '');
/** What a production installation has: `npm ci --omit=dev --omit=optional`. */
const inProduction = ({ dev, optional, devOptional }: Locked): boolean => !dev && !optional && !devOptional;

test('package-lock.json is in step with package.json: npm ci installs what was asked for', (t) => {
  const top = lock.packages[''];
  t.is(lock.lockfileVersion, 3);
  t.is(lock.version, manifest.version);
  t.is(top?.version, manifest.version);
  t.deepEqual(top?.dependencies, manifest.dependencies);
  t.deepEqual(top?.devDependencies, manifest.devDependencies);
});

test('every package is locked to one version and to its content, and to no address', (t) => {
  t.true(locked.length > 100);
  for (const [path, { version, integrity, resolved, link }] of locked) {
    t.regex(version, /^\d+\.\d+\.\d+([-+].+)?$/, path);
    t.regex(integrity ?? '', /^sha512-[A-Za-z0-9+/]{86}==$/, path);
    t.is(resolved, undefined, path);
    t.falsy(link, path);
  }
});

test('what is installed is what is locked', (t) => {
  for (const [path, { version, optional, devOptional }] of locked) {
    if ((optional || devOptional) && !existsSync(`${root}${path}`)) continue;
    t.is(JSON.parse(read(`${path}/package.json`)).version, version, path);
  }
});

// ---------------------------------------------------------------------------------------------------------------------
// Install scripts
// ---------------------------------------------------------------------------------------------------------------------

test('every package with an install script is named in allowScripts, and only the one that brings Node runs it', (t) => {
  const scripted = locked.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => nameOf(path));
  const allowed: Record<string, boolean> = manifest.allowScripts;
  // Decided one by one: a package that gains an install script by an update fails here until somebody has read it.
  t.deepEqual([...new Set(scripted)].sort(), Object.keys(allowed).sort());
  t.deepEqual(
    Object.keys(allowed).filter((name) => allowed[name]),
    ['node'],
  );
});

test('no installed package brings an install script that the lockfile does not tell of', (t) => {
  for (const [path, { hasInstallScript }] of locked) {
    if (!existsSync(`${root}${path}/package.json`)) continue;
    const { scripts = {} } = JSON.parse(read(`${path}/package.json`));
    const runs = ['preinstall', 'install', 'postinstall'].some((name) => scripts[name]);
    // npm runs node-gyp by itself where there is a binding.gyp.
    if (runs || existsSync(`${root}${path}/binding.gyp`)) t.true(hasInstallScript, path);
  }
});

// ---------------------------------------------------------------------------------------------------------------------
// Licences
// ---------------------------------------------------------------------------------------------------------------------

/** Terms that ask for no more than to be named. */
const PERMISSIVE = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Unlicense',
  'Zlib',
]);
/** Looked at one by one: the text that was found, and why it will do. Not for production. */
const LOOKED_AT: Record<string, RegExp> = {
  // States no SPDX name in its package.json; its LICENSE file is MIT. Comes with Prisma's command line.
  'seq-queue': /MIT License|Permission is hereby granted, free of charge/,
  // EPL-2.0, weak copyleft: part of Prisma Studio's pages, used by no code of ours and in no image.
  elkjs: /Eclipse Public License - v 2\.0/i,
};

/** Whether an SPDX expression can be met by permissive terms alone. */
const isPermissive = (expression: string): boolean =>
  expression
    .replace(/[()]/g, '')
    .split(/\s+OR\s+/i)
    .some((choice) => choice.split(/\s+AND\s+/i).every((term) => PERMISSIVE.has(term)));

test('an SPDX expression is read as it is meant', (t) => {
  for (const good of ['MIT', '(MIT OR GPL-3.0)', 'MIT AND ISC', '(MIT AND Zlib)', 'MIT or Apache-2.0'])
    t.true(isPermissive(good), good);
  for (const bad of ['', 'GPL-3.0', 'MIT AND GPL-3.0', 'SEE LICENSE IN x', 'UNLICENSED', 'AGPL-3.0 OR SSPL-1.0'])
    t.false(isPermissive(bad), bad);
});

test('every installed package may be used under permissive terms, those of production without an exception', (t) => {
  for (const [path, entry] of locked) {
    const name = nameOf(path);
    if (isPermissive(entry.license ?? '')) continue;
    const text = LOOKED_AT[name];
    t.truthy(text, `${path}: ${entry.license ?? 'no licence is stated'}`);
    t.false(inProduction(entry), `${path} is used in production`);
    if (!text || !existsSync(`${root}${path}`)) continue;
    const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt'].find((one) => existsSync(`${root}${path}/${one}`));
    t.regex(file ? read(`${path}/${file}`) : '', text, path);
  }
});

// ---------------------------------------------------------------------------------------------------------------------
// How many, and what is handed on
// ---------------------------------------------------------------------------------------------------------------------

test('README states how many dependencies there are', (t) => {
  const direct = Object.keys(manifest.dependencies).length;
  const all = locked.filter(([, entry]) => inProduction(entry)).length;
  t.true(
    read('README.md').includes(`${direct} direct dependencies, ${all} packages with all that they bring`),
    `README's sentence should say: ${direct} direct dependencies, ${all} packages with all that they bring`,
  );
  // Kept small: who adds one says so here, with the reason in the commit.
  t.true(direct <= 25, `${direct} direct dependencies`);
  t.true(all <= 200, `${all} packages in production`);
});

test('npm run sbom lists every package, with its hash, offline, as CycloneDX', (t) => {
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'sbom', '--', '--offline'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  t.is(status, 0, stderr);
  const bom = JSON.parse(stdout);
  t.is(bom.bomFormat, 'CycloneDX');
  t.is(bom.metadata.component.purl, `pkg:npm/user-auth@${manifest.version}`);
  // All of them, development's too: npm's --omit=dev leaves out what both use, and its mark of development is the first copy's alone.
  const components = new Map<string, { hashes: { alg: string }[] }>(
    bom.components.map((component: { name: string; version: string }) => [
      `${component.name}@${component.version}`,
      component,
    ]),
  );
  for (const [path, { version }] of locked)
    t.is(components.get(`${nameOf(path)}@${version}`)?.hashes[0]?.alg, 'SHA-512', path);
  t.notRegex(stdout, /https?:\/\/(localhost|127\.|[^"]*:\d{2,5}\/)/, 'no address of a registry of our own');
});

test('npm start, the image and the manual start the service alike', (t) => {
  const command = manifest.scripts.start.replace(/^exec /, '');
  t.regex(command, /^node --use-largepages=silent src\/main\.ts$/);
  t.true(read('Dockerfile').includes(`CMD ${JSON.stringify(command.split(' ')).replaceAll(',', ', ')}`));
  t.true(read('docs/operations.md').includes(`\`node_modules/.bin/${command}\``));
});

test('the version is one: in package.json, the lockfile, CHANGELOG and what is shown of it', (t) => {
  const [, newest, date] = /^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$/m.exec(read('CHANGELOG.md')) ?? [];
  t.is(newest, manifest.version);
  t.regex(date ?? '', /^20\d\d-/);
  t.regex(read('CHANGELOG.md'), /^## \[Unreleased\]$/m);
  t.true(read('docs/operations.md').includes(`"version":"${manifest.version}"`));
  t.true(read('src/http/operations/examples.ts').includes(`version: '${manifest.version}'`));
});
