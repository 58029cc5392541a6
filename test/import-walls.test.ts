// The rooms of src and the walls between them (docs/architecture.md), read from the imports themselves. A new package
// or room is entered in the table below, which is the decision of who owns it.
import { readdir, readFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

type Room = {
  /** Rooms it may import. */
  rooms: string[];
  /** Rooms it may import types of. */
  typesOf: string[];
  packages: string[];
  /** Packages it may import types of. */
  packageTypesOf: string[];
};

const room = (about: Partial<Room>): Room => ({ rooms: [], typesOf: [], packages: [], packageTypesOf: [], ...about });

const ROOMS: Record<string, Room> = {
  http: room({
    rooms: ['oidc', 'federation', 'domain'],
    packages: ['koa', '@koa/router', 'koa-body', 'koa-helmet', 'nunjucks', 'i18next', 'pino', 'swagger-ui-dist'],
  }),
  oidc: room({ rooms: ['domain'], typesOf: ['storage'], packages: ['oidc-provider', 'jose'], packageTypesOf: ['koa'] }),
  federation: room({ packages: ['arctic', 'jose'] }),
  domain: room({ typesOf: ['storage', 'mail'], packages: ['argon2', 'bcryptjs'] }),
  mail: room({ packages: ['nodemailer'] }),
  storage: room({
    packages: [
      'pg',
      'ioredis',
      'rate-limiter-flexible',
      '@prisma/client',
      '@prisma/adapter-pg',
      '@electric-sql/pglite',
      '@electric-sql/pglite-socket',
    ],
  }),
};
const EVERYWHERE = ['zod'];
const ENVIRONMENT_READERS = [
  'src/config.ts',
  'scripts/generate.ts', // runs before anything is installed, and hands the environment on to a child unread
  'scripts/fuzz/settings.ts', // how a run of the fuzz is to be, which is nothing of the service
];

type Import = { specifier: string | undefined; typeOnly: boolean; clause: string };

/** The source as code alone: no comments, regular expressions as 0, and each string as its index in `strings`. */
function codeOf(source: string): { code: string; strings: string[] } {
  const strings: string[] = [];
  // Per template that is open around us: how many braces are open in its ${…}.
  const templates: number[] = [];
  const token = /\/\/.*|\/\*[\s\S]*?\*\/|'(?:\\[\s\S]|[^\\'\n])*'|"(?:\\[\s\S]|[^\\"\n])*"|[\s\S]/y;
  const templateText = /(?:\\[\s\S]|\$(?!\{)|[^\\`$])*(?:`|\$\{|$)/y;
  const expression = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
  const valueMayBegin = /(?:^|[=(,:;!&|?{}[+\-*%<>~^]|\b(?:return|typeof|case|of|in))\s*$/;
  let code = '';
  let at = 0;
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0] ?? '';
    at += found.length;
    return found;
  };
  const takeTemplateText = () => {
    if (take(templateText).endsWith('${')) templates.push(0);
    code += ' ';
  };
  while (at < source.length) {
    // A slash where a value may begin opens a regular expression.
    if (/^\/[^/*]/.test(source.slice(at, at + 2)) && valueMayBegin.test(code.slice(-40)) && take(expression)) {
      code += '0';
      continue;
    }
    const next = take(token);
    const open = templates.at(-1);
    if (next === '`') takeTemplateText();
    else if (next === '}' && open === 0) {
      templates.pop();
      takeTemplateText();
    } else if (next.startsWith('//') || next.startsWith('/*')) code += ' ';
    else if (next.length > 1) code += `"${strings.push(next.slice(1, -1)) - 1}"`;
    else {
      if (open !== undefined && next === '{') templates.splice(-1, 1, open + 1);
      if (open !== undefined && next === '}') templates.splice(-1, 1, open - 1);
      code += next;
    }
  }
  return { code, strings };
}

function importsOf(source: string): Import[] {
  const { code, strings } = codeOf(source);
  const statements = code.matchAll(
    /(?<![.\w$])(?:import|export)\b\s*(type\b\s*)?(?:([\w$\s{},*]*?)\bfrom\s*)?"(\d+)"/g,
  );
  const calls = code.matchAll(/(?<![.\w$])(?:import|require)\s*\(\s*(?:"(\d+)"\s*[,)])?/g);
  return [
    // `import { type A }` still loads the module when types are stripped: it counts as an import like any other.
    ...statements.map(([, type, clause = '', index]) => ({
      specifier: strings[Number(index)],
      typeOnly: type !== undefined,
      clause,
    })),
    ...calls.map(([, index]) => ({ specifier: index && strings[Number(index)], typeOnly: false, clause: '' })),
  ];
}

const roomOf = (path: string) => (path.split('/').length > 2 ? path.split('/')[1] : undefined);
const packageOf = (specifier: string) => specifier.match(/^(@[^/]+\/)?[^/]+/)?.[0] ?? specifier;
const targetOf = (path: string, specifier: string) => posix.join(posix.dirname(path), specifier);
const isRelative = (specifier: string) => /^\.\.?(\/|$)/.test(specifier);

/** Every broken wall, one sentence each, among files given as path from the repository's root → source. */
function violations(files: Map<string, string>): string[] {
  const found: string[] = [];
  for (const [path, source] of files) {
    if (readsEnvironment(source) && !ENVIRONMENT_READERS.includes(path)) found.push(`${path} reads process.env`);
    if (path.startsWith('src/')) found.push(...brokenWalls(path, source).map((wall) => `${path} ${wall}`));
  }
  return [...found, ...missingHeaders(files), ...cycles(files)];
}

function readsEnvironment(source: string): boolean {
  const { code, strings } = codeOf(source);
  const spelled = code.replaceAll(/\[\s*"(\d+)"\s*\]/g, (_, index) => `.${strings[Number(index)]}`);
  return (
    /\bprocess\s*\??\.\s*(env|loadEnvFile)\b/.test(spelled) ||
    /\{[^{}]*\benv\b[^{}]*\}\s*=\s*(globalThis\s*\.\s*)?process\b/.test(spelled) ||
    importsOf(source).some(
      ({ specifier, clause }) => /^(node:)?process$/.test(specifier ?? '') && /\benv\b/.test(clause),
    )
  );
}

/** Loads the module that an operator names, which is in no room. */
const OPERATORS_MODULE = 'src/external-keys.ts';

function brokenWalls(path: string, source: string): string[] {
  const name = roomOf(path);
  const walls = ROOMS[name ?? ''];
  if (name && !walls) return [`is in no room: enter src/${name} in the table of rooms`];

  const found: string[] = [];
  if (/\bcreateRequire\b/.test(codeOf(source).code)) found.push('uses createRequire, which hides what it loads');
  for (const { specifier, typeOnly } of importsOf(source)) {
    if (specifier === undefined) {
      if (path !== OPERATORS_MODULE) found.push('imports what only running it tells');
    } else if (isRelative(specifier)) {
      const target = targetOf(path, specifier);
      const other = roomOf(target);
      if (!target.startsWith('src/')) {
        if (!target.endsWith('.json')) found.push(`imports ${target}, which is outside src and no data`);
      } else if (walls && other !== name) {
        const allowed = other && (walls.rooms.includes(other) || (typeOnly && walls.typesOf.includes(other)));
        if (!allowed) found.push(`imports ${target}: ${name} may import ${reach(walls)}`);
      }
    } else if (walls && !isBuiltin(specifier)) {
      const wanted = packageOf(specifier);
      const allowed =
        [...walls.packages, ...EVERYWHERE].includes(wanted) || (typeOnly && walls.packageTypesOf.includes(wanted));
      if (!allowed) found.push(`imports ${wanted}, a package that ${name} does not own`);
    }
  }
  return found;
}

const reach = ({ rooms, typesOf }: Room) =>
  [...rooms, ...typesOf.map((other) => `types of ${other}`)].join(', ') || 'nothing of ours';

function missingHeaders(files: Map<string, string>): string[] {
  const sources = [...files].filter(([path]) => path.startsWith('src/'));
  const folders = new Set(sources.map(([path]) => dirname(path)));
  const told = new Set(
    sources.filter(([, source]) => /^(#!.*\n)?\s*\/[/*]/.test(source)).map(([path]) => dirname(path)),
  );
  return [...folders]
    .filter((folder) => !told.has(folder))
    .map((folder) => `${folder} has no file with a header comment`);
}

/** Circles among files, imports of types included: a circle of types is one file in two places. */
function cycles(files: Map<string, string>): string[] {
  const found: string[] = [];
  const finished = new Set<string>();
  const visit = (path: string, trail: string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push(`${[...trail.slice(start), path].join(' → ')} is a circle`);
    if (start >= 0 || finished.has(path)) return;
    for (const { specifier } of importsOf(files.get(path) ?? '')) {
      if (!specifier || !isRelative(specifier)) continue;
      const target = targetOf(path, specifier);
      if (files.has(target)) visit(target, [...trail, path]);
    }
    finished.add(path);
  };
  for (const path of files.keys()) if (path.startsWith('src/')) visit(path, []);
  return found;
}

test('no wall between the rooms is broken', async (t) => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const files = new Map<string, string>();
  for (const folder of ['src', 'scripts']) {
    for (const entry of await readdir(join(root, folder), { recursive: true })) {
      const path = posix.join(folder, entry.replaceAll('\\', '/'));
      if (!path.endsWith('.ts') || path.startsWith('src/storage/generated/')) continue;
      files.set(path, await readFile(join(root, path), 'utf8'));
    }
  }
  t.true(files.has('src/config.ts'));
  t.deepEqual(violations(files), []);
});

// The rules themselves, each shown to fail.

const header = '// The job of this folder.\n';
/** The sentences about `path`, holding `source`, in a tree that is otherwise sound. */
const about = (path: string, source: string, others: Record<string, string> = {}) =>
  violations(new Map(Object.entries({ ...others, [path]: header + source })));

test('a room may import what the table says', (t) => {
  for (const [path, source] of [
    ['src/http/routes/users.ts', "import { a } from '../../domain/accounts.ts';\nimport Koa from 'koa';"],
    ['src/http/pages.ts', "import { i } from '../oidc/interactions.ts'; import { g } from '../federation/google.ts';"],
    [
      'src/http/csrf.ts',
      "import { b } from './pages.ts';\nimport { createHmac } from 'node:crypto';\nimport { z } from 'zod';",
    ],
    ['src/http/locale.ts', "import en from '../../views/locales/en.json' with { type: 'json' };"],
    ['src/oidc/adapter.ts', "import type { Artifacts } from '../storage/artifacts.ts';\nimport type Koa from 'koa';"],
    ['src/oidc/keys.ts', "import { errors } from 'oidc-provider';\nimport { exportJWK } from 'jose';"],
    ['src/federation/google.ts', "import { OAuth2Client } from 'arctic';\nexport { jwtVerify } from 'jose';"],
    [
      'src/domain/accounts.ts',
      "export type { User } from '../storage/users.ts';\nimport type { Mail } from '../mail/messages.ts';",
    ],
    ['src/domain/passwords.ts', "const { hash } = await import('argon2');"],
    [
      'src/storage/prisma.ts',
      "import { PrismaClient } from './generated/client.ts';\nimport { PrismaPg } from '@prisma/adapter-pg';",
    ],
    ['src/main.ts', "import { openStores } from './storage/open-stores.ts';\nimport pretty from 'pino-pretty';"],
    [
      'src/app.ts',
      "import Koa from 'koa';\nimport mount from 'koa-mount';\nimport { createUsers } from './storage/users.ts';",
    ],
    ['src/config.ts', 'export const port = process.env.PORT;'],
    ['scripts/create-user.ts', "import { users } from '../src/storage/users.ts';\nimport anything from 'anything';"],
  ] as const) {
    t.deepEqual(about(path, source), [], path);
  }
});

const broken: Record<string, [path: string, source: string, told: RegExp][]> = {
  'a room it must not know is told': [
    [
      'src/http/routes/users.ts',
      "import { users } from '../../storage/users.ts';",
      /imports src\/storage\/users\.ts: http may/,
    ],
    [
      'src/http/routes/users.ts',
      "import type { User } from '../../storage/users.ts';",
      /imports src\/storage\/users\.ts/,
    ],
    ['src/http/pages.ts', "import { send } from '../mail/transport.ts';", /imports src\/mail\/transport\.ts/],
    ['src/oidc/provider.ts', "import { pages } from '../http/pages.ts';", /oidc may import domain, types of storage/],
    ['src/oidc/provider.ts', "import type { Mail } from '../mail/messages.ts';", /imports src\/mail/],
    [
      'src/federation/google.ts',
      "import type { User } from '../domain/accounts.ts';",
      /federation may import nothing of ours/,
    ],
    ['src/domain/accounts.ts', "import { i } from '../oidc/interactions.ts';", /imports src\/oidc/],
    ['src/mail/messages.ts', "export * from '../domain/accounts.ts';", /mail may import nothing of ours/],
    ['src/storage/users.ts', "import '../domain/accounts.ts';", /storage may import nothing of ours/],
    ['src/storage/users.ts', "import type { Config } from '../config.ts';", /imports src\/config\.ts/],
    ['src/oidc/provider.ts', "import { app } from '../app.ts';", /imports src\/app\.ts/],
  ],
  'a value where only types are allowed is told': [
    ['src/oidc/adapter.ts', "import { createArtifacts } from '../storage/artifacts.ts';", /types of storage/],
    ['src/oidc/adapter.ts', "import { type Artifacts } from '../storage/artifacts.ts';", /types of storage/],
    ['src/domain/accounts.ts', "import { users } from '../storage/users.ts';", /types of storage, types of mail/],
    ['src/domain/accounts.ts', "const { users } = await import('../storage/users.ts');", /imports src\/storage/],
    ['src/domain/accounts.ts', "export { users } from '../storage/users.ts';", /imports src\/storage/],
    ['src/oidc/provider.ts', "import Koa from 'koa';", /imports koa,/],
  ],
  "another room's package is told": [
    [
      'src/http/pages.ts',
      "import Provider from 'oidc-provider';",
      /imports oidc-provider, a package that http does not own/,
    ],
    ['src/http/pages.ts', "import type { Client } from 'oidc-provider';", /imports oidc-provider/],
    [
      'src/oidc/provider.ts',
      "import { x } from 'oidc-provider/lib/x.js';\nimport nunjucks from 'nunjucks';",
      /imports nunjucks/,
    ],
    ['src/domain/keys.ts', "import * as jose from 'jose';", /imports jose/],
    ['src/domain/accounts.ts', "import type { Context } from 'koa';", /imports koa/],
    ['src/domain/accounts.ts', "import { Router } from '@koa/router';", /imports @koa\/router/],
    ['src/http/login.ts', "import argon2 from 'argon2';", /imports argon2/],
    ['src/http/login.ts', "import { GitHub } from 'arctic';", /imports arctic/],
    ['src/http/login.ts', "import nodemailer from 'nodemailer';", /imports nodemailer/],
    ['src/domain/accounts.ts', "import type { Pool } from 'pg';", /imports pg/],
    ['src/oidc/adapter.ts', "import Redis from 'ioredis';", /imports ioredis/],
    ['src/oidc/adapter.ts', "import { PGlite } from '@electric-sql/pglite/x';", /imports @electric-sql\/pglite,/],
    ['src/oidc/adapter.ts', "import { PrismaClient } from '@prisma/client';", /imports @prisma\/client/],
    ['src/storage/users.ts', "import { pino } from 'pino';", /imports pino/],
    ['src/http/pages.ts', `const name = \`\${await import('pg')}\`;`, /imports pg/],
  ],
  'a package or room that the table does not know is told': [
    ['src/http/pages.ts', "import chalk from 'chalk';", /imports chalk/],
    ['src/helpers/strings.ts', 'export {};', /enter src\/helpers in the table/],
  ],
  'an import that cannot be read here is told': [
    ['src/http/pages.ts', 'await import(name);', /only running it tells/],
    ['src/http/pages.ts', 'await import(`./name.ts`);', /only running it tells/],
    ['src/http/pages.ts', "import { createRequire } from 'node:module';", /createRequire/],
    ['src/http/pages.ts', "import { helper } from '../../test/helpers/database.ts';", /outside src/],
    ['src/main.ts', "import { run } from '../scripts/migrate.ts';", /outside src/],
  ],
  'the environment read outside config.ts is told': [
    ['src/main.ts', 'const port = process.env.PORT;', /reads process\.env/],
    ['src/oidc/keys.ts', `const url = \`http://\${process.env.HOST}/\`;`, /reads process\.env/],
    ['src/http/pages.ts', "const env = process['env'];", /reads process\.env/],
    ['src/http/pages.ts', 'const { env } = process;', /reads process\.env/],
    ['src/http/pages.ts', "import { env } from 'node:process';", /reads process\.env/],
    ['src/http/pages.ts', "process.loadEnvFile('.env');", /reads process\.env/],
    ['scripts/create-user.ts', 'console.log(globalThis.process?.env);', /reads process\.env/],
  ],
};

for (const [title, cases] of Object.entries(broken)) {
  test(title, (t) => {
    for (const [path, source, told] of cases) {
      const sentences = about(path, source);
      t.is(sentences.length, 1, `${source}: ${sentences.join('; ')}`);
      t.regex(sentences[0] ?? '', told, source);
      t.true(sentences[0]?.startsWith(path));
    }
  });
}

test('what only looks like an import is none', (t) => {
  const source = `
    // import pg from 'pg';
    /* import 'pg'; process.env.PORT */
    const text = "import pg from 'pg'"; const other = 'await import("pg")';
    const page = \`import pg from 'pg'; process.env \${nested(\`it's \${'}'} // \`)} import 'pg'\`;
    const quotes = /['"\`]/.test(text) ? /[/'"]+/g : a / b / c;
    const key = importJWK('x'); loader.import('pg'); import.meta.resolve('pg');
    const process_env = child.env;
    export const from = 'pg';
  `;
  t.deepEqual(about('src/http/pages.ts', source), []);
  // And the reader has not lost its place: what follows is still seen.
  t.is(about('src/http/pages.ts', `${source}\nimport pg from 'pg';`).length, 1);
});

test('a statement over several lines is read whole', (t) => {
  const source =
    "import type {\n  A, // a\n  B,\n} from '../storage/users.ts';\nimport {\n  c,\n} from\n  '../storage/users.ts';";
  t.is(about('src/domain/accounts.ts', source).length, 1);
});

test('a circle of files is told once, also one of types', (t) => {
  const others = {
    'src/domain/b.ts': "import type { C } from './c.ts';",
    'src/domain/c.ts': "export * from './a.ts';",
    'src/domain/d.ts': "import './a.ts';",
  };
  t.deepEqual(about('src/domain/a.ts', "import { b } from './b.ts';", others), [
    'src/domain/b.ts → src/domain/c.ts → src/domain/a.ts → src/domain/b.ts is a circle',
  ]);
});

test('a folder where no file starts with a header comment is told', (t) => {
  const files = {
    'src/http/pages.ts': header,
    'src/http/routes/home.ts': 'export {};',
    'src/http/routes/users.ts': 'export {};',
  };
  t.deepEqual(violations(new Map(Object.entries(files))), ['src/http/routes has no file with a header comment']);
});
