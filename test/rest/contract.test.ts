// What is documented is what is served: every route has its description, and every description its route. That each answer is as
// documented, test/helpers/rest.ts sees to in every test of the REST API.
import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import test from 'ava';
import { allOperations } from '../../src/http/operations/all.ts';
import { Problem } from '../../src/http/operations/problem.ts';
import { answersOf } from '../helpers/contract.ts';
import { createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

let server: TestServer;
test.before(async () => {
  server = await startServer();
});
test.after.always(() => server?.close());

const document = async () => {
  const response = await fetch(`${server.origin}/openapi.json`);
  return (await response.json()) as {
    openapi: string;
    paths: Record<string, Record<string, Record<string, unknown>>>;
    components: { schemas: Record<string, object> };
  };
};

/** Routes of the REST API, as the router modules spell them. */
const served = (): string[] => {
  const directory = new URL('../../src/http/routes/', import.meta.url);
  return readdirSync(directory)
    .map((name) => readFileSync(new URL(name, directory), 'utf8'))
    .flatMap((source) => {
      const [, prefix = ''] = /new Router(?:<\w+>)?\(\{ prefix: '([^']+)' \}\)/.exec(source) ?? [];
      return [...source.matchAll(/\.(get|post|put|delete)\(\s*'(\/[^']*)'/g)].map(
        ([, method = '', path = '']) => `${method.toUpperCase()} ${(prefix + path).replace(/(.)\/$/, '$1')}`,
      );
    })
    .filter((route) => / \/(auth|users|admin)\//.test(route));
};

test('every route of the REST API is documented, and nothing else is', (t) => {
  const documented = Object.keys(allOperations).filter((key) => / \/(auth|users|admin)\//.test(key));
  t.true(documented.length > 30);
  t.deepEqual(served().sort(), documented.sort());
});

test('the document is OpenAPI 3.1, its schemas are JSON Schema, its references lead somewhere', async (t) => {
  const { openapi, paths, components } = await document();
  t.regex(openapi, /^3\.1\./);
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  for (const [name, schema] of Object.entries(components.schemas)) {
    const own = JSON.parse(JSON.stringify(schema).replaceAll('#/components/schemas/', '#/$defs/'));
    const defs = JSON.parse(JSON.stringify(components.schemas).replaceAll('#/components/schemas/', '#/$defs/'));
    t.notThrows(() => ajv.compile({ ...own, $defs: defs }), name);
  }
  for (const [, reference = ''] of JSON.stringify({ paths, components }).matchAll(/"#\/components\/schemas\/([^"]+)"/g))
    t.true(Object.hasOwn(components.schemas, reference), reference);
  const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  t.is(new Set(ids).size, ids.length, 'operation ids are unique');
});

test('each example of a body is one that the route takes', (t) => {
  for (const [name, { body, example }] of Object.entries(allOperations))
    if (body && example !== undefined && typeof example !== 'string')
      t.true(body.safeParse(example).success, `${name}: ${JSON.stringify(body.safeParse(example).error?.issues)}`);
});

test('each example of an answer is one that the route could give, and every answer with a body has one', (t) => {
  for (const [name, { answers }] of Object.entries(allOperations))
    for (const [status, { body, example }] of Object.entries(answers)) {
      if (!body) continue;
      t.not(example, undefined, `${name} ${status}`);
      const parsed = body.safeParse(example);
      t.true(parsed.success, `${name} ${status}: ${JSON.stringify(parsed.error?.issues)}`);
    }
});

test('each example of a failure is a failure of its status', async (t) => {
  const described = await document();
  let examples = 0;
  for (const [path, methods] of Object.entries(described.paths))
    for (const method of Object.keys(methods))
      for (const [status, { content }] of Object.entries(answersOf(described, path, method) ?? {})) {
        const media: { example?: unknown } | undefined = content?.['application/problem+json'];
        if (!media) continue;
        examples += 1;
        t.true(Problem.safeParse(media.example).success, `${path} ${status}`);
        t.is((media.example as { status?: number }).status, Number(status), path);
      }
  t.true(examples > 100);
});

test('the example of a failure is one that its route has', async (t) => {
  const described = await document();
  const codeOf = (path: string, method: string, status: number) =>
    Object(answersOf(described, path, method)?.[status]?.content?.['application/problem+json']).example?.code;
  for (const [path, method, status, code] of [
    ['/auth/login', 'post', 401, 'invalid_credentials'],
    ['/auth/refresh', 'post', 401, 'invalid_refresh_token'],
    ['/auth/logout', 'post', 401, 'invalid_token'],
    ['/auth/register', 'post', 409, 'email_taken'],
    ['/users/me', 'put', 409, 'email_taken'],
    ['/users/me/password', 'put', 409, 'password_not_set'],
    ['/users/api-keys', 'post', 409, 'too_many_api_keys'],
    ['/users/api-keys/{id}', 'delete', 404, 'unknown_api_key'],
    ['/users/me/identities/{id}', 'delete', 409, 'last_way_in'],
    ['/admin/users/{id}', 'put', 409, 'email_taken'],
    ['/admin/users/{id}', 'delete', 409, 'last_admin'],
    ['/admin/clients', 'post', 409, 'client_exists'],
    ['/admin/clients/{clientId}', 'put', 404, 'unknown_client'],
    ['/admin/resources/one', 'get', 404, 'unknown_resource'],
  ] as const)
    t.is(codeOf(path, method, status), code, `${method} ${path} ${status}`);
  // Of users, or of what only they have, nobody speaks elsewhere.
  for (const [path, methods] of Object.entries(described.paths))
    for (const method of Object.keys(methods))
      if (codeOf(path, method, 404) === 'unknown_user') t.regex(path, /^\/admin\/users\//);
});

test('what callers go by is documented: budgets, waits, challenges, places, limits', async (t) => {
  const described = await document();
  const { paths } = described;
  const headers = (path: string, method: string, status: number) =>
    answersOf(described, path, method)?.[status]?.headers;
  for (const [path, method, status] of [
    ['/auth/login', 'post', 200],
    ['/auth/refresh', 'post', 429],
    ['/auth/forgot-password', 'post', 202],
    ['/auth/reset-password', 'post', 204],
    ['/auth/verify-email', 'post', 204],
    ['/oauth/token', 'post', 200],
  ] as const)
    for (const name of ['RateLimit-Limit', 'RateLimit-Remaining', 'RateLimit-Reset'])
      t.true(headers(path, method, status)?.[name]?.required, `${path} ${status} ${name}`);
  t.true(headers('/users/api-keys/{id}', 'delete', 429)?.['Retry-After']?.required);
  t.true(headers('/users/me', 'get', 401)?.['WWW-Authenticate']?.required);
  t.truthy(headers('/users/me', 'get', 403)?.['WWW-Authenticate']);
  t.true(headers('/oauth/authorize', 'get', 303)?.Location?.required);
  t.is(headers('/auth/exchange', 'post', 200)?.['RateLimit-Limit'], undefined, 'not counted');
  for (const path of ['/admin/users', '/admin/audit', '/admin/clients']) {
    const listed = paths[path]?.get as unknown as { parameters: { name: string; schema: object }[] } | undefined;
    t.deepEqual(listed?.parameters.find(({ name }) => name === 'limit')?.schema, {
      type: 'integer',
      minimum: 1,
      maximum: 200,
    });
  }
});

test('every documented route answers as documented to who says nothing of themselves and sends nothing', async (t) => {
  const rest = createRest(server.origin);
  const call = { GET: rest.get, POST: rest.post, PUT: rest.put, DELETE: rest.delete };
  for (const [name, { auth }] of Object.entries(allOperations)) {
    const [method = '', path = ''] = name.split(' ');
    if (!/^\/(auth|users|admin)\//.test(path)) continue;
    const at = path.replace(/:\w+/g, '5fbabb32-ebd1-4ebb-bbb9-9b787acb5fac');
    // The answer itself is held against the document by the caller.
    const { status } = await call[method as keyof typeof call](at);
    t.is(status, auth === 'none' ? 422 : 401, name);
  }
});
