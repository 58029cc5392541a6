// Holds every answer of the REST API against its own description: what is not documented must not come back.
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { openApiDocument } from '../../src/http/openapi.ts';

type Document = ReturnType<typeof openApiDocument>;
type Media = Record<string, { schema?: object; example?: unknown }>;
type Answer = { content?: Media; headers?: Record<string, { required: boolean }> };
type Described = { responses: Record<string, Answer> };

/** What is said once for all operations, at the operation; schemas stay references. */
export const answersOf = (
  document: { paths: Record<string, Record<string, object>>; components: object },
  path: string,
  method: string,
): Described['responses'] | undefined => {
  const followed = <T>(value: T): T => {
    const { $ref } = Object(value) as { $ref?: string };
    const [section = '', name = ''] = $ref?.split('/').slice(-2) ?? [];
    return $ref ? ((document.components as Record<string, Record<string, unknown>>)[section]?.[name] as T) : value;
  };
  const { responses } = (document.paths[path]?.[method] as Described | undefined) ?? {};
  return (
    responses &&
    Object.fromEntries(
      Object.entries(responses).map(([status, response]) => {
        const { headers = {}, ...answer } = followed(response);
        const said = Object.entries(headers).map(([name, header]) => [name, followed(header)]);
        return [status, { ...answer, headers: Object.fromEntries(said) }];
      }),
    )
  );
};

/** Headers that callers go by: where they come, it is said. */
const TOLD = [
  'RateLimit-Limit',
  'RateLimit-Remaining',
  'RateLimit-Reset',
  'Retry-After',
  'WWW-Authenticate',
  'Location',
  'Deprecation',
];

export type Contract = {
  /** The operation that answers `method path`, as `GET /users/api-keys/{id}`; undefined when none is documented. */
  operationOf(method: string, path: string): string | undefined;
  /** @throws {Error} saying what about the answer is not documented. */
  check(method: string, path: string, status: number, headers: Headers, body: unknown): void;
  operations: string[];
};

export const contractOf = (document: Document): Contract => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema({ $id: 'api', components: document.components });
  const validators = new Map<object, ValidateFunction>();
  const validatorOf = (schema: object): ValidateFunction => {
    const known = validators.get(schema);
    if (known) return known;
    const pointed = JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"api#/components/'));
    const validator = ajv.compile(pointed);
    validators.set(schema, validator);
    return validator;
  };

  // The most specific first: /users/me before /users/{id}.
  const paths = Object.keys(document.paths)
    .sort((a, b) => a.split('{').length - b.split('{').length)
    .map((path) => ({ path, pattern: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`) }));
  const find = (method: string, url: string) => {
    const { pathname } = new URL(url, 'http://localhost');
    for (const { path, pattern } of paths) {
      if (!pattern.test(pathname)) continue;
      const responses = answersOf(document, path, method.toLowerCase());
      if (responses) return { name: `${method} ${path}`, responses };
    }
    return undefined;
  };

  return {
    operationOf: (method, path) => find(method, path)?.name,
    operations: Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    ),
    check(method, path, status, headers, body) {
      const found = find(method, path);
      // What is not there at all answers the same everywhere.
      if (!found && (status === 404 || status === 405)) return;
      if (!found) throw new Error(`${method} ${path} is not documented, and answered ${status}`);
      const { name, responses } = found;
      const response = responses[status];
      if (!response) throw new Error(`${name} answered ${status}, which is not documented: ${JSON.stringify(body)}`);
      const documented = response.headers ?? {};
      for (const [header, { required }] of Object.entries(documented))
        if (required && !headers.has(header)) throw new Error(`${name} ${status} comes without ${header}`);
      for (const header of TOLD)
        if (headers.has(header) && !(header in documented))
          throw new Error(`${name} ${status} has ${header}, which is not documented`);
      const [mediaType = ''] = (body === undefined ? '' : (headers.get('content-type') ?? '')).split(';');
      if (!response.content) {
        if (mediaType !== '') throw new Error(`${name} ${status} has a body of ${mediaType}; none is documented`);
        return;
      }
      const media = response.content[mediaType];
      if (!media)
        throw new Error(`${name} ${status} is ${mediaType || 'empty'}; documented: ${Object.keys(response.content)}`);
      if (!media.schema) return;
      const validate = validatorOf(media.schema);
      if (!validate(body))
        throw new Error(
          `${name} ${status} is not as documented: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(body)}`,
        );
    },
  };
};
