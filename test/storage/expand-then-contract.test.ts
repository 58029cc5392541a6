// During a deployment the former release runs on the new schema. So a migration adds (expands); what the former release uses is
// taken away (contracted) only by a later one, and says since when nobody uses it. See CONTRIBUTING.md.
import { readdirSync, readFileSync } from 'node:fs';
import test from 'ava';

const MIGRATIONS = new URL('../../prisma/migrations/', import.meta.url);
/** The last one before the first release: nothing ran beside those up to here. */
const BEFORE_FIRST_RELEASE = '20261127002000_authorization_details';

type Statement = { sql: string; comments: string };

/** The statements of a migration: without comments and what stands in strings, names without their quotes. */
const statementsOf = (text: string): Statement[] => {
  const token = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:''|[^'])*'|"(?:""|[^"])*"|(\$[A-Za-z_]*\$)[\s\S]*?\1|[^-/'"$;]+|[\s\S]/g;
  const found: Statement[] = [];
  let current: Statement = { sql: '', comments: '' };
  for (const [part] of text.matchAll(token)) {
    if (part.startsWith('--') || part.startsWith('/*')) current.comments += `${part}\n`;
    else if (part === ';') {
      found.push(current);
      current = { sql: '', comments: '' };
    } else if (part.startsWith("'") || /^\$[A-Za-z_]*\$/.test(part)) current.sql += "''";
    else current.sql += part.startsWith('"') ? part.slice(1, -1) : part;
  }
  found.push(current);
  return found
    .map(({ sql, comments }) => ({ sql: sql.replace(/\s+/g, ' ').trim(), comments }))
    .filter(({ sql }) => sql);
};

const NAME = '(?:IF (?:NOT )?EXISTS )?(?:ONLY )?([\\w.]+)';
const madeIn = (sql: string): string | undefined => new RegExp(`^CREATE TABLE ${NAME}`, 'i').exec(sql)?.[1];
const tableOf = (sql: string): string | undefined =>
  new RegExp(`^(?:ALTER TABLE|CREATE UNIQUE INDEX .*? ON|DELETE FROM|TRUNCATE(?: TABLE)?) ${NAME}`, 'i').exec(sql)?.[1];

/** What the former release would stumble over, in words; undefined for what only adds. */
const contraction = (sql: string, uniqueIndexes: ReadonlySet<string>): string | undefined => {
  const says = (pattern: RegExp): boolean => pattern.test(sql);
  if (says(/^DROP INDEX/i)) {
    const names = sql.replace(/^DROP INDEX (CONCURRENTLY )?(IF EXISTS )?/i, '').split(/[\s,]+/);
    return names.some((name) => uniqueIndexes.has(name)) ? 'drops a unique index, by which it writes' : undefined;
  }
  if (says(/^DROP (?!TRIGGER)/i)) return 'drops what it uses';
  if (says(/^ALTER (TYPE|DOMAIN)/i)) return 'changes a type';
  if (says(/^(DELETE FROM|TRUNCATE)/i)) return 'deletes what it reads';
  if (says(/^CREATE UNIQUE INDEX/i)) return 'forbids what it writes';
  if (!says(/^ALTER /i)) return undefined;
  if (says(/\bRENAME\b/i)) return 'renames what it uses';
  if (says(/\bSET NOT NULL\b/i)) return 'demands what it does not write';
  if (says(/\bDROP (?!NOT NULL|EXPRESSION|IDENTITY)/i)) return 'drops what it uses';
  if (says(/\bALTER (COLUMN )?\w+ (SET DATA )?TYPE\b/i)) return 'changes the type of a column';
  if (says(/\bADD (CONSTRAINT\b|CHECK\b|UNIQUE\b|PRIMARY KEY\b|FOREIGN KEY\b|EXCLUDE\b)/i))
    return 'forbids what it writes';
  const added = sql.split(/\bADD (?:COLUMN )?/i).slice(1);
  const demanded = added.some(
    (column) => /\bNOT NULL\b/i.test(column) && !/\b(DEFAULT|GENERATED|SERIAL)\b/i.test(column),
  );
  return demanded ? 'demands a column that it does not write' : undefined;
};

const REASON = /^-- contract: since v\d+\.\d+\.\d+ \S+ \S+/m;

/** What is wrong with a migration, a sentence for each statement. */
const faults = (text: string, earlierUnique: ReadonlySet<string> = new Set()): string[] => {
  const statements = statementsOf(text);
  const ownTables = new Set(statements.flatMap(({ sql }) => madeIn(sql) ?? []));
  return statements.flatMap(({ sql, comments }) => {
    const table = tableOf(sql);
    // Nobody knows yet what is made here.
    if (table !== undefined && ownTables.has(table)) return [];
    const why = contraction(sql, earlierUnique);
    return why === undefined || REASON.test(comments) ? [] : [`${why}: ${sql.slice(0, 100)}`];
  });
};

test('migrations since the first release only add, or say since when nobody uses what they take away', (t) => {
  const names = readdirSync(MIGRATIONS, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
  t.true(names.includes(BEFORE_FIRST_RELEASE));
  const unique = new Set<string>();
  for (const name of names) {
    const text = readFileSync(new URL(`${name}/migration.sql`, MIGRATIONS), 'utf8');
    if (name > BEFORE_FIRST_RELEASE) t.deepEqual(faults(text, unique), [], name);
    for (const { sql } of statementsOf(text)) {
      const index = /^CREATE UNIQUE INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(\w+)/i.exec(sql)?.[1];
      if (index) unique.add(index);
    }
  }
});

const contracting = [
  'DROP TABLE "users";',
  'ALTER TABLE "users" DROP COLUMN "email";',
  'ALTER TABLE users DROP email;',
  'alter table only "users"\n  rename column "email" to "mail";',
  'ALTER TABLE "users" RENAME TO "people";',
  'ALTER TABLE "users" ALTER COLUMN "email" SET NOT NULL;',
  'ALTER TABLE "users" ALTER COLUMN "email" TYPE VARCHAR(10);',
  'ALTER TABLE "users" ALTER "email" SET DATA TYPE VARCHAR(10);',
  'ALTER TABLE "users" ALTER COLUMN "role" DROP DEFAULT;',
  'ALTER TABLE "users" ADD COLUMN "a" TEXT DEFAULT \'\', ADD COLUMN "b" TEXT NOT NULL;',
  'ALTER TABLE "users" ADD CONSTRAINT "c" CHECK (length("email") < 10);',
  "ALTER TYPE \"mood\" RENAME VALUE 'a' TO 'b';",
  'CREATE UNIQUE INDEX "u" ON "users"("name");',
  'DROP INDEX "known_unique";',
  'DELETE FROM "users" WHERE true;',
  'TRUNCATE "users";',
  '-- contract: nobody reads it\nDROP TABLE "users";',
  '-- contract: since v0.2.0 nobody reads it\nSELECT 1;\nDROP TABLE "users";',
  "SELECT '-- contract: since v0.2.0 nobody reads it';\nDROP TABLE users;",
  "SELECT 'a''; --';DROP TABLE users; --'",
];
for (const sql of contracting)
  test(`a reason is demanded of ${sql.replace(/\s+/g, ' ')}`, (t) => {
    t.is(faults(sql, new Set(['known_unique'])).length, 1);
  });

const expanding = [
  'ALTER TABLE "users" ADD COLUMN "a" TEXT;',
  'ALTER TABLE "users" ADD COLUMN "a" TEXT NOT NULL DEFAULT \'x\', ADD "b" INT;',
  'ALTER TABLE "users" ALTER COLUMN "email" DROP NOT NULL;',
  'CREATE TABLE "t" ("a" TEXT NOT NULL); ALTER TABLE "t" ADD CONSTRAINT "c" UNIQUE ("a"); CREATE UNIQUE INDEX "i" ON "t"("a");',
  'CREATE INDEX "i" ON "users"("name"); DROP INDEX "some_index";',
  "UPDATE roles SET permissions = permissions || ARRAY['DROP TABLE users;'];",
  '-- DROP TABLE users;\n/* DROP TABLE users; */ SELECT 1;',
  'CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DROP TABLE users; END; $$ LANGUAGE plpgsql;',
  '-- contract: since v0.2.0 nobody reads it\nALTER TABLE "users" DROP COLUMN "email";',
];
for (const sql of expanding)
  test(`no reason is asked of ${sql.replace(/\s+/g, ' ')}`, (t) => {
    t.deepEqual(faults(sql), []);
  });
