// Makes src/domain/common-passwords.txt.gz from the lists that two packages bring along: node scripts/make-password-list.ts
// Needs npm, python3 with pip, and their registries. The same versions give the same file, byte for byte.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';

const ZXCVBN = '4.1.3';
const DJANGO = '5.2.19';
/** No password may be shorter, whatever PASSWORD_MIN_LENGTH says. */
const SHORTEST = 6;

const HEADER = `# Common and breached passwords: lower case, NFKC, ${SHORTEST} characters or more, sorted by bytes.
# Made by scripts/make-password-list.ts from @zxcvbn-ts/language-common ${ZXCVBN} (npm, MIT) and from the list by Royce Williams in
# Django ${DJANGO} (PyPI, BSD-3-Clause). Their licences: common-passwords.licences.txt
`;

const dir = mkdtempSync(join(tmpdir(), 'password-list-'));
const run = (command: string, ...args: string[]) => {
  const { status, stderr } = spawnSync(command, args, { cwd: dir, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args[0]} failed: ${stderr}`);
};
const downloaded = (end: string): string => {
  const found = readdirSync(dir).find((name) => name.endsWith(end));
  if (!found) throw new Error(`no ${end} was downloaded`);
  return found;
};

try {
  run('npm', 'pack', '--silent', `@zxcvbn-ts/language-common@${ZXCVBN}`);
  run('tar', 'xzf', downloaded('.tgz'));
  run('python3', '-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', `django==${DJANGO}`);
  run('python3', '-m', 'zipfile', '-e', downloaded('.whl'), 'wheel');

  const zxcvbn: string[] = JSON.parse(readFileSync(join(dir, 'package/src/passwords.json'), 'utf8'));
  const django = gunzipSync(readFileSync(join(dir, 'wheel/django/contrib/auth/common-passwords.txt.gz')))
    .toString()
    .split('\n');
  const normal = [...zxcvbn, ...django].map((password) => password.trim().normalize('NFKC').toLowerCase());
  const list = [...new Set(normal)]
    .filter((password) => [...password].length >= SHORTEST)
    .map((password) => Buffer.from(password))
    .sort(Buffer.compare);
  const text = Buffer.concat([Buffer.from(`${HEADER}\n`), ...list.flatMap((line) => [line, Buffer.from('\n')])]);
  writeFileSync(new URL('../src/domain/common-passwords.txt.gz', import.meta.url), gzipSync(text, { level: 9 }));
  const licences = {
    [`@zxcvbn-ts/language-common ${ZXCVBN}`]: 'package/LICENSE.txt',
    [`Django ${DJANGO}`]: `wheel/django-${DJANGO}.dist-info/licenses/LICENSE`,
  };
  const texts = Object.entries(licences).map(
    ([name, file]) => `${name}\n\n${readFileSync(join(dir, file), 'utf8').trim()}\n`,
  );
  writeFileSync(
    new URL('../src/domain/common-passwords.licences.txt', import.meta.url),
    `What common-passwords.txt.gz is made from, and the terms that come with it.\n\n${texts.join('\n\n')}`,
  );
  process.stdout.write(`${list.length} passwords\n`);
} finally {
  rmSync(dir, { recursive: true });
}
