// docs/security-checks.md and docs/protocol.md say which test holds which rule: each of those tests is there, under the title that is quoted.
import { existsSync, readFileSync } from 'node:fs';
import test from 'ava';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

const TITLE = /\btest(?:\.\w+)*\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`)/g;

/** The titles in a test file, with … for what differs from case to case. */
const titlesIn = (path: string): Set<string> =>
  new Set(
    [...read(path).matchAll(TITLE)].map(([, single, double, template]) =>
      (single ?? double ?? template ?? '').replace(/\\(['"`])/g, '$1').replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '…'),
    ),
  );

/** Every link to a test in a document, with the titles that are quoted after it. */
const named = (document: string) =>
  [...read(document).matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)((?:,? “[^”]+”)*)/g)].map(
    ([, name = '', path = '', quoted = '']) => ({
      name,
      path,
      titles: [...quoted.matchAll(/“([^”]+)”/g)].map(([, title = '']) => title),
    }),
  );

test('docs/security-checks.md names tests that are there, by their file and title', (t) => {
  const all = named('docs/security-checks.md');
  t.true(all.length > 300, String(all.length));
  t.true(all.flatMap(({ titles }) => titles).length > 350);
  for (const { name, path, titles } of all) {
    t.is(path, path.includes('security-checks') ? `test/attacks/${name}` : `test/${name}.test.ts`);
    if (!t.true(existsSync(new URL(path, root)), path)) continue;
    const there = titlesIn(path);
    for (const title of titles) t.true(there.has(title), `${path} has no “${title}”`);
  }
});

test('each rule there names a test, another document, or says why not', (t) => {
  const rows = read('docs/security-checks.md')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\|(-|\s*(attack|section|requirement) )/.test(line));
  t.true(rows.length > 200, String(rows.length));
  for (const row of rows) t.regex(row.split(' | ').at(-1) ?? '', /\]\(|[a-z]+ .+\.( \||$)/, row);
});

test('docs/protocol.md names test files that are there', (t) => {
  const all = named('docs/protocol.md');
  t.true(all.length > 50, String(all.length));
  for (const { path } of all) t.true(existsSync(new URL(path, root)), path);
});

test('what the documents link to among themselves is there', (t) => {
  const anchorsIn = (path: string): Set<string> =>
    new Set(
      [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\p{L}\p{N} _-]/gu, '')
          .replaceAll(' ', '-'),
      ),
    );
  for (const document of ['docs/security-checks.md', 'docs/protocol.md'])
    for (const [, to = '', anchor] of read(document).matchAll(/\]\(([\w./-]+\.md)(?:#([^)]+))?\)/g)) {
      const path = new URL(to, new URL(document, root)).href.slice(root.href.length);
      if (t.true(existsSync(new URL(path, root)), `${document}: ${to}`) && anchor)
        t.true(anchorsIn(path).has(anchor), `${document}: ${to}#${anchor}`);
    }
});
