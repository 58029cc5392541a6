import { type Client, errors, type KoaContextWithOIDC } from 'oidc-provider';
import type { DetailType } from '../storage/resource-servers.ts';

export type { DetailType };

/** One of `authorization_details` (RFC 9396 §2). */
export type Detail = { type: string; locations?: string[] } & Record<string, unknown>;

/** A detail in words: what it is for, and each of its values under a label. `words` are by language. */
export type DetailInWords = {
  identifier: string;
  title: Words;
  lines: { label: Words; value: string }[];
};
type Words = DetailType['description'];

/** Members of RFC 9396 §2.2 that every type has. */
const COMMON: ReadonlySet<string> = new Set(['type', 'locations']);
const MOST_DETAILS = 20;
const MOST_BYTES = 8_000;

const invalid = (why: string): never => {
  throw new errors.InvalidAuthorizationDetails(why);
};

const isScalar = (value: unknown): value is string | number | boolean =>
  ['string', 'number', 'boolean'].includes(typeof value);

const textOf = (value: unknown): string => [value].flat().map(String).join(', ');

const fits = (value: unknown, most: number): boolean => {
  const values = Array.isArray(value) ? value : [value];
  return values.length > 0 && values.length <= 50 && values.every(isScalar) && textOf(value).length <= most;
};

/** What a request that was found good asks for in detail. */
export const detailsOf = (given: unknown): Detail[] => (typeof given === 'string' ? JSON.parse(given) : []);

/** The types there are, by name, as oidc-provider asks them. */
export type DetailTypes = Record<
  string,
  { validate(ctx: KoaContextWithOIDC, detail: Detail, client: Client): Promise<void> }
>;

const validateDetail = (identifier: string, definition: DetailType, detail: Detail, resources: string[]): void => {
  const { type, locations } = detail;
  const same = (uri: string) => URL.parse(uri)?.href === URL.parse(identifier)?.href;
  // The token is for one API: what is asked for in detail is asked for there.
  if (!resources.some(same)) invalid(`${type} is for the resource ${identifier}, which the request does not name`);
  if (locations !== undefined && !(Array.isArray(locations) && locations.every((one) => same(String(one)))))
    invalid(`${type}: locations are not the resource of this type`);
  for (const name of Object.keys(detail))
    if (!COMMON.has(name) && !definition.fields.some((field) => field.name === name))
      invalid(`${type}: ${name.slice(0, 100)} is not known`);
  for (const { name, required, max_length } of definition.fields) {
    const value = detail[name];
    if (value === undefined) {
      if (required) invalid(`${type}: ${name} is missing`);
    } else if (!fits(value, max_length)) invalid(`${type}: ${name} does not fit`);
  }
};

/** @param definitions By the identifier of the resource that they belong to. */
export const detailTypesOf = (definitions: [identifier: string, DetailType][]): DetailTypes =>
  Object.fromEntries(
    definitions.map(([identifier, definition]) => [
      definition.type,
      {
        async validate(ctx, detail) {
          const { authorization_details: given, resource } = ctx.oidc.params ?? {};
          const text = String(given);
          if (text.length > MOST_BYTES || JSON.parse(text).length > MOST_DETAILS)
            invalid('too much is asked for at once');
          validateDetail(identifier, definition, detail, [resource].flat().map(String));
        },
      },
    ]),
  );

/** What is asked for, in the words of the types; one whose type is gone shows its name alone. */
export const inWords = (details: Detail[], definitions: [identifier: string, DetailType][]): DetailInWords[] =>
  details.map((detail) => {
    const [identifier, definition] = definitions.find(([, one]) => one.type === detail.type) ?? [''];
    return {
      identifier,
      title: definition?.description ?? { en: detail.type },
      lines: (definition?.fields ?? []).flatMap(({ name, label }) =>
        detail[name] === undefined ? [] : [{ label, value: textOf(detail[name]) }],
      ),
    };
  });
