// SECURITY.md and the tables of docs: what they say is tested is tested, and no entrance is left out.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import test from 'ava';

const root = new URL('../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const STRIDE = [
  'Spoofing',
  'Tampering',
  'Repudiation',
  'Information disclosure',
  'Denial of service',
  'Elevation of privilege',
];

test('every entrance has an answer to all of STRIDE', (t) => {
  const [, section = ''] = /### By entrance \(STRIDE\)\n([\s\S]*?)\n### /.exec(read('SECURITY.md')) ?? [];
  const entrances = section.split('#### ').slice(1);
  t.true(entrances.length >= 16);
  for (const entrance of entrances) {
    const rows = [...entrance.matchAll(/^\| (\w[^|]*) \| ([^|]+) \| ([^|]+) \|$/gm)];
    t.deepEqual(
      rows.map(([, threat]) => threat),
      STRIDE,
      entrance.split('\n')[0],
    );
    for (const [, threat, , tests = ''] of rows)
      t.regex(tests, /`test\/.+\.test\.ts`|by hand/, `${entrance.split('\n')[0]}: ${threat}`);
  }
});

test('every test and file that the documents name is there', (t) => {
  const documents = ['SECURITY.md', 'README.md', 'CONTRIBUTING.md'];
  documents.push(
    ...readdirSync(new URL('docs', root)).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
  );
  let named = 0;
  for (const document of documents)
    for (const [, path = ''] of read(document).matchAll(/`((?:test|scripts|src)\/[\w./-]+\.ts)`/g)) {
      t.true(existsSync(new URL(path, root)), `${document} names ${path}`);
      named += 1;
    }
  t.true(named > 150);
});

test('every script that is documented is there, and every one of npm’s is documented', (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  const texts = ['README.md', 'CONTRIBUTING.md', 'docs/operations.md', 'docs/conformance.md'].map(read).join('\n');
  const documented = new Set([...texts.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map(([, name]) => name));
  for (const name of documented) t.true(name !== undefined && name in scripts, `npm run ${name}`);
  for (const name of Object.keys(scripts))
    if (!['postinstall', 'start', 'test', 'generate'].includes(name)) t.true(documented.has(name), name);
});
