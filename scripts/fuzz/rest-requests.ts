// Requests to everything that /openapi.json describes, and to its paths by methods that they do not have.
import fc, { type Arbitrary } from 'fast-check';
import { CREDENTIALS, ENDS_SIGN_INS, pathValues } from './known-values.ts';
import { dressed, otherHeaders } from './parts.ts';
import type { Body, FuzzRequest, Pairs } from './request.ts';
import { nearly, nearlyText, type Schema, type Schemas } from './schemas.ts';
import { hostileName, hostileText } from './values.ts';

type Operation = {
  parameters?: { name: string; in: string; required?: boolean; schema?: Schema }[];
  requestBody?: { content: Record<string, { schema?: Schema; example?: unknown }> };
};
export type Description = { paths: Record<string, Record<string, Operation>>; components: { schemas: Schemas } };

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options', 'propfind'];

const credentialsFor = (method: string, path: string): Arbitrary<Pairs> => {
  const group = path.startsWith('/admin')
    ? 'admin'
    : path.startsWith('/oauth/register')
      ? 'registration'
      : path.startsWith('/oauth')
        ? 'client'
        : ENDS_SIGN_INS.has(`${method.toUpperCase()} ${path}`)
          ? 'spare'
          : 'user';
  const key: Pairs = [['x-api-key', group === 'admin' ? '{{admin.key}}' : '{{user.key}}']];
  return fc.oneof(
    { arbitrary: fc.constantFrom(...CREDENTIALS[group]).map((value): Pairs => [['authorization', value]]), weight: 12 },
    { arbitrary: fc.constant(key), weight: 2 },
    { arbitrary: fc.constant<Pairs>([]), weight: 2 },
    { arbitrary: fc.constant<Pairs>([...key, ['authorization', 'Bearer {{user.token}}']]), weight: 1 },
    {
      arbitrary: fc
        .tuple(fc.constantFrom('Bearer', 'DPoP', 'Basic', 'Digest', ''), hostileText)
        .map(([scheme, text]): Pairs => [['authorization', `${scheme} ${text}`]]),
      weight: 1,
    },
    { arbitrary: hostileText.map((text): Pairs => [['x-api-key', text]]), weight: 1 },
  );
};

const segmentsOf = (path: string): Arbitrary<string[]> =>
  fc.tuple(
    ...path
      .slice(1)
      .split('/')
      .map((segment): Arbitrary<string> => {
        if (!segment.startsWith('{')) return fc.constant(segment);
        const known = pathValues(path);
        return fc.oneof(
          { arbitrary: fc.constantFrom(...known), weight: 4 },
          { arbitrary: hostileText.map((text) => text.slice(0, 9_000)), weight: 1 },
        );
      }),
  );

const queryOf = (parameters: NonNullable<Operation['parameters']>, schemas: Schemas): Arbitrary<Pairs> => {
  const each = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(({ name, schema = {}, required }) =>
      fc
        .tuple(
          fc.constantFrom('one', 'one', ...Array<string>(8).fill(required ? 'one' : 'none'), 'twice', 'list'),
          nearlyText(schema, schemas, name),
        )
        .map(([how, value]): Pairs => {
          if (how === 'none') return required ? [[name, value]] : [];
          if (how === 'list') return [[`${name}[]`, value]];
          return how === 'twice'
            ? [
                [name, value],
                [name, value],
              ]
            : [[name, value]];
        }),
    );
  const more = fc.oneof(
    { arbitrary: fc.constant<Pairs>([]), weight: 8 },
    { arbitrary: fc.tuple(hostileName, hostileText).map((pair): Pairs => [pair]), weight: 1 },
  );
  return fc.tuple(more, ...each).map((all) => all.flat());
};

/** A line for each user. */
const lines = (schema: Schema, schemas: Schemas): Arbitrary<Body> =>
  fc
    .array(
      fc.oneof(
        { arbitrary: nearly(schema, schemas).map((value) => JSON.stringify(value) ?? ''), weight: 4 },
        hostileText,
      ),
      { maxLength: 5 },
    )
    .map((all): Body => ({ as: 'raw', text: all.join('\n') }));

const pairsIn = (value: unknown): Pairs =>
  Object.entries(Object(value)).map(([name, one]) => [
    name,
    typeof one === 'string' ? one : (JSON.stringify(one) ?? ''),
  ]);

/** RFC 7592 §2.2: an update names the client that it is of. */
const withOwnId = (path: string, value: unknown): unknown =>
  path === '/oauth/register/{clientId}' && typeof value === 'object' && value !== null && 'client_id' in value
    ? { ...value, client_id: '{{registered.id}}' }
    : value;

const bodyOf = (path: string, { requestBody }: Operation, schemas: Schemas): Arbitrary<Partial<FuzzRequest>> => {
  const [[type, { schema = {}, example }] = ['application/json', {}]] = Object.entries(requestBody?.content ?? {});
  if (!requestBody)
    return fc.oneof(
      { arbitrary: fc.constant({}), weight: 6 },
      { arbitrary: dressed({ as: 'json', value: {} }, type), weight: 1 },
    );
  if (type === 'application/x-ndjson') return lines(schema, schemas).chain((body) => dressed(body, type));
  const value =
    example === undefined
      ? nearly(schema, schemas)
      : fc.oneof({ arbitrary: nearly(schema, schemas), weight: 6 }, { arbitrary: fc.constant(example), weight: 1 });
  return value.chain((one) =>
    dressed(
      type === 'application/json' ? { as: 'json', value: withOwnId(path, one) } : { as: 'form', pairs: pairsIn(one) },
      type,
    ),
  );
};

const operationRequest = (
  method: string,
  path: string,
  operation: Operation,
  schemas: Schemas,
): Arbitrary<FuzzRequest> => {
  return fc
    .tuple(
      segmentsOf(path),
      queryOf(operation.parameters ?? [], schemas),
      credentialsFor(method, path),
      otherHeaders,
      method === 'get' || method === 'head' ? fc.constant<Partial<FuzzRequest>>({}) : bodyOf(path, operation, schemas),
    )
    .map(([segments, pairs, credentials, others, carried]) => ({
      operation: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path: segments,
      query: pairs,
      body: carried.body,
      headers: [...credentials, ...others, ...(carried.headers ?? [])],
    }));
};

/** One request to any operation of the description; now and then by a method that its path may not have. */
export const restRequest = ({ paths, components: { schemas } }: Description): Arbitrary<FuzzRequest> => {
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationRequest(method, path, operation, schemas)),
  );
  const otherwise = fc
    .tuple(fc.constantFrom(...Object.entries(paths)), fc.constantFrom(...METHODS))
    .chain(([[path, methods], method]) => operationRequest(method, path, Object.values(methods)[0] ?? {}, schemas))
    .map((request) => ({ ...request, operation: 'any other method' }));
  return fc.oneof(...described.map((arbitrary) => ({ arbitrary, weight: 2 })), { arbitrary: otherwise, weight: 4 });
};
