import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { shareAnswers } from './openapi-components.ts';
import type { Operation, Operations } from './operation.ts';
import { OAuthError, oauthErrorExample, Problem, problemExample } from './operations/problem.ts';

type Json = Record<string, unknown>;

/** Groups, by the longest path that fits; an operation may name another. */
const TAGS = {
  '/auth': 'Accounts',
  '/users/me': 'Users',
  '/users/api-keys': 'API keys',
  '/admin/users': 'Administration: users',
  '/admin/clients': 'Administration: clients',
  '/admin/audit': 'Administration: audit',
};

const SECURITY: Record<Operation['auth'], Json[]> = {
  none: [],
  bearer: [{ bearer: [] }],
  'bearer or key': [{ bearer: [] }, { apiKey: [] }],
  client: [{ clientBasic: [] }, {}],
};

const INTRODUCTION = `An OpenID Connect provider, and the REST API of the platform's own apps.

Third-party apps start from discovery. The platform's own apps sign in at \`POST /auth/login\`, services send an API key in \`X-API-Key\`.
Failures are problem details (RFC 9457) with a stable \`code\`; the endpoints under \`/oauth\` answer OAuth errors (RFC 6749).
Every answer bears \`X-Request-Id\`. Unknown fields are refused. Bodies may have 100 KiB. A path answers a method that it does not have with 405 and \`Allow\`.`;

const WHY: Record<number, string> = {
  400: 'The body is not JSON',
  401: 'No live credentials: `WWW-Authenticate` says what is missing',
  403: 'The credentials do not reach this far: `insufficient_scope`',
  404: 'There is no such thing',
  409: 'It does not go with what is there',
  413: 'The body is too large',
  415: 'The body is of another content type',
  422: 'Something in the request does not fit: `errors` names every path',
  429: 'Too many: `Retry-After` says how many seconds to wait',
  503: 'The service cannot answer just now: try again after `Retry-After`',
};

/** What can go wrong everywhere, or follows from what a route takes. */
const problemsOf = (method: string, operation: Operation): number[] => {
  const { auth, scope, body, bodyType, query, throttled, problems = [] } = operation;
  const ours = operation.oauthErrors === undefined && operation.auth !== 'client';
  return [
    ...new Set([
      // An API key has a rate limit, also where it is refused.
      ...(auth.startsWith('bearer') && ours ? [401, 429] : []),
      ...(throttled && ours ? [429] : []),
      ...(scope ? [403] : []),
      // Whatever body comes is read.
      ...(method !== 'GET' && ours ? [400, 413, 415, 422] : []),
      ...(body && bodyType === undefined && ours ? [400, 413, 415, 422] : []),
      ...(query ? [422] : []),
      ...problems,
      503,
    ]),
  ];
};

const header = (description: string, required: boolean, schema: Json = { type: 'string' }): Json => ({
  description,
  required,
  schema,
});
const WHOLE = { type: 'integer', minimum: 0 };

/** The headers that tell callers what to do next. */
const headersOf = (status: number, operation: Operation): Json => {
  const { auth, throttled, oauthErrors, answers } = operation;
  const told = Object.entries(answers[status]?.headers ?? {}).map(([name, says]) => [name, header(says, true)]);
  const counted = throttled && (status < 300 || status === 429);
  const perhaps = throttled || auth.startsWith('bearer');
  // RFC 6750 §3.1: of a request that is malformed as well, where a token is asked for.
  const challenge =
    status === 401 || status === 403 || (status === 400 && auth === 'bearer' && oauthErrors !== undefined);
  return Object.fromEntries([
    ...told,
    ...(perhaps
      ? [
          ['RateLimit-Limit', header('How much the budget is that is nearest to its end.', counted === true, WHOLE)],
          ['RateLimit-Remaining', header('What is left of it.', counted === true, WHOLE)],
          ['RateLimit-Reset', header('In so many seconds it is whole again.', counted === true, WHOLE)],
        ]
      : []),
    ...(status === 429 || status === 503
      ? [['Retry-After', header('So many seconds to wait.', status === 429, WHOLE)]]
      : []),
    // RFC 6750 §3. A client that sent no Basic credentials is not challenged for any.
    ...(challenge
      ? [['WWW-Authenticate', header('What is missing.', status === 401 && oauthErrors === undefined)]]
      : []),
    ...(status === 303 ? [['Location', header('Where to go on.', true)]] : []),
  ]);
};

/** The API's description, OpenAPI 3.1, from the schemas that the routes themselves validate with. */
export const openApiDocument = (operations: Operations, issuer: string, version: string) => {
  const schemas: Json = {};

  /** A schema as JSON Schema; what has a name of its own goes to the components. */
  const schemaOf = (type: z.ZodType, io: 'input' | 'output'): Json => {
    const {
      $schema: _,
      $defs = {},
      ...schema
    } = z.toJSONSchema(type, { io, unrepresentable: 'any', reused: 'inline' });
    const pointed = JSON.parse(JSON.stringify({ schema, $defs }).replaceAll('#/$defs/', '#/components/schemas/'));
    Object.assign(schemas, pointed.$defs);
    const { id, ...own } = pointed.schema;
    if (typeof id !== 'string') return own;
    schemas[id] = own;
    return { $ref: `#/components/schemas/${id}` };
  };

  const content = (type: string, schema?: z.ZodType, example?: unknown): Json => ({
    content: { [type]: schema ? { schema: schemaOf(schema, 'output'), example } : {} },
  });

  const responsesOf = (method: string, path: string, operation: Operation): Json => {
    const described = (status: number | string, description: string, more: Json) => {
      const headers = headersOf(Number(status), operation);
      return [String(status), { description, ...(Object.keys(headers).length > 0 && { headers }), ...more }];
    };
    const oauth = (operation.oauthErrors ?? []).map((status) =>
      described(status, 'An OAuth error', content('application/json', OAuthError, oauthErrorExample(status))),
    );
    const problems = problemsOf(method, operation).map((status) =>
      described(
        status,
        WHY[status] ?? STATUS_CODES[status] ?? '',
        content('application/problem+json', Problem, problemExample(status, `${method} ${path}`, operation.scope)),
      ),
    );
    const answers = Object.entries(operation.answers).map(([status, { description, body, type, example }]) =>
      described(status, description, body || type ? content(type ?? 'application/json', body, example) : {}),
    );
    // Where one status is answered in two forms, as a page for people and as an error for programs, both are said.
    const responses: Record<string, Json> = {};
    for (const [status, response] of [...problems, ...oauth, ...answers] as [string, Json][]) {
      const both = { ...Object(responses[status]?.content), ...Object(response.content) };
      responses[status] = { ...response, ...(Object.keys(both).length > 0 && { content: both }) };
    }
    return responses;
  };

  const parametersOf = (path: string, { query }: Operation): Json[] => {
    const inPath = [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
      name,
      in: 'path',
      required: true,
      schema: { type: 'string' },
    }));
    if (!query) return inPath;
    const { properties = {}, required = [] } = schemaOf(query, 'input') as { properties?: Json; required?: string[] };
    const inQuery = Object.entries(properties).map(([name, schema]) => {
      const { description, ...rest } = Object(schema) as Json;
      return { name, in: 'query', required: required.includes(name), description, schema: rest };
    });
    return [...inPath, ...inQuery];
  };

  const paths: Parameters<typeof shareAnswers>[0] = {};
  for (const [key, operation] of Object.entries(operations)) {
    const [method = '', path = ''] = key.split(' ');
    const { tag, summary, description, auth, scope, body, bodyType = 'application/json', example } = operation;
    const group = Object.entries(TAGS)
      .sort(([a], [b]) => b.length - a.length)
      .find(([prefix]) => path.startsWith(prefix))?.[1];
    const parameters = parametersOf(path, operation);
    const entry = {
      tags: [tag ?? group ?? 'Other'],
      operationId: `${method.toLowerCase()}${path.replace(/[^a-zA-Z0-9]+(.)?/g, (_, next: string = '') => next.toUpperCase())}`,
      summary,
      description: [description, scope && `Needs the scope \`${scope}\`.`].filter(Boolean).join('\n\n') || undefined,
      security: SECURITY[auth],
      parameters: parameters.length > 0 ? parameters : undefined,
      requestBody: body && {
        required: !body.safeParse({}).success,
        content: { [bodyType]: { schema: schemaOf(body, 'input'), example } },
      },
      responses: responsesOf(method, path, operation),
    };
    const at = path.replace(/:(\w+)/g, '{$1}');
    paths[at] = { ...paths[at], [method.toLowerCase()]: JSON.parse(JSON.stringify(entry)) };
  }

  const shared = shareAnswers(paths, (status) => (STATUS_CODES[status] ?? String(status)).replaceAll(' ', ''));

  return {
    openapi: '3.1.0',
    info: {
      title: 'User Auth',
      version,
      license: { name: 'MIT', identifier: 'MIT' },
      description: INTRODUCTION,
    },
    servers: [{ url: issuer }],
    paths,
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'An access token: of POST /auth/login, or of /oauth/token with the scope that the route names.',
        },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'A key of POST /users/api-keys.' },
        clientBasic: { type: 'http', scheme: 'basic', description: 'client_id and client_secret (RFC 6749 §2.3.1)' },
      },
      schemas,
      ...shared,
    },
  };
};
