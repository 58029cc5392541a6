// Values that a JSON Schema describes, most of them right: only so do requests get past the first check.
import fc, { type Arbitrary } from 'fast-check';
import { KNOWN_VALUES } from './known-values.ts';
import { hostileJson, hostileName, hostileText } from './values.ts';

export type Schema = {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  format?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  maxItems?: number;
};
export type Schemas = Record<string, Schema>;

const textOf = (schema: Schema, name: string): Arbitrary<string> => {
  const known = KNOWN_VALUES[name];
  if (known) return fc.constantFrom(...known);
  if (schema.format === 'date-time')
    return fc
      .date({ min: new Date('2020-01-01'), max: new Date('2032-01-01'), noInvalidDate: true })
      .map((at) => at.toISOString());
  if (schema.format === 'date') return fc.constantFrom('1999-12-31', '2000-02-29', '2024-01-01');
  if (schema.format === 'uri' || /ur[il]s?$/.test(name))
    return fc.constantFrom('https://app.example/x', 'https://app.example/callback');
  if (schema.format === 'uuid') return fc.uuid();
  const { minLength = 0, maxLength = 40 } = schema;
  return fc.string({ minLength, maxLength: Math.min(Math.max(minLength, maxLength), minLength + 40) });
};

/** @param name What the value is called where it stands. */
export const fitting = (schema: Schema, schemas: Schemas, name = '', depth = 0): Arbitrary<unknown> => {
  if (schema.$ref) return fitting(schemas[schema.$ref.replace(/.*\//, '')] ?? {}, schemas, name, depth + 1);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return fc.oneof(...choices.map((one) => fitting(one, schemas, name, depth)));
  if (depth > 6) return fc.constant(null);
  const [type] = [schema.type ?? (schema.properties ? 'object' : undefined)].flat();
  if (type === 'null') return fc.constant(null);
  if (type === 'string') return textOf(schema, name);
  if (type === 'boolean') return fc.boolean();
  if (type === 'integer' || type === 'number')
    return fc.integer({ min: Math.max(schema.minimum ?? 0, -1e6), max: Math.min(schema.maximum ?? 1_000, 1e6) });
  if (type === 'array')
    return fc.array(fitting(schema.items ?? {}, schemas, name.replace(/s$/, ''), depth + 1), {
      maxLength: Math.min(schema.maxItems ?? 3, 3),
    });
  if (type === 'object') return record(schema, schemas, depth, fc.constant(undefined));
  return fc.jsonValue({ maxDepth: 2 });
};

const ABSENT = Symbol('absent');

const record = (schema: Schema, schemas: Schemas, depth: number, slip: Arbitrary<unknown>): Arbitrary<unknown> => {
  const { properties = {}, required = [] } = schema;
  const names = Object.keys(properties);
  const members = names.map((name) => {
    const right = fitting(properties[name] ?? {}, schemas, name, depth + 1);
    if (required.includes(name)) return right;
    // Of many that may be there, few are.
    return fc.oneof(
      { arbitrary: fc.constant(ABSENT), weight: Math.max(2, Math.ceil(names.length / 3)) },
      { arbitrary: right, weight: 2 },
    );
  });
  return fc
    .tuple(slip, ...members)
    .map(([, ...values]) =>
      Object.fromEntries(names.flatMap((name, index) => (values[index] === ABSENT ? [] : [[name, values[index]]]))),
    );
};

/** One thing about it that is wrong, at any depth. */
const spoilt = (value: unknown, at: number, how: 'replace' | 'remove' | 'add', by: unknown, name: string): unknown => {
  if (Array.isArray(value))
    return how === 'add'
      ? [...value, by]
      : value.length > 0 && at % 3 === 0
        ? value.map((one) => spoilt(one, at >> 2, how, by, name))
        : by;
  if (typeof value !== 'object' || value === null) return by;
  const entries = Object.entries(value);
  if (how === 'add') return Object.fromEntries([...entries, [name, by]]);
  const chosen = at % Math.max(entries.length, 1);
  return Object.fromEntries(
    entries.flatMap(([key, one], index) => {
      if (index !== chosen) return [[key, one]];
      if (how === 'remove') return [];
      const deeper = typeof one === 'object' && one !== null && at % 2 === 1;
      return [[key, deeper ? spoilt(one, at >> 3, how, by, name) : by]];
    }),
  );
};

/** As the schema says, but for a thing or two. */
export const nearly = (schema: Schema, schemas: Schemas): Arbitrary<unknown> =>
  fc
    .tuple(
      fitting(schema, schemas),
      fc.array(
        fc.tuple(
          fc.nat(10_000),
          fc.constantFrom('replace' as const, 'replace' as const, 'remove' as const, 'add' as const),
          hostileJson,
          hostileName,
        ),
        { maxLength: 2 },
      ),
    )
    .map(([value, slips]) =>
      slips.reduce((spoiling, [at, how, by, name]) => spoilt(spoiling, at, how, by, name), value),
    );

export const nearlyText = (schema: Schema, schemas: Schemas, name: string): Arbitrary<string> =>
  fc.oneof(
    {
      arbitrary: fitting(schema, schemas, name).map((value) =>
        typeof value === 'string' ? value : (JSON.stringify(value) ?? ''),
      ),
      weight: 3,
    },
    { arbitrary: hostileText, weight: 1 },
  );
