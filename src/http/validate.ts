import type { Context, Middleware } from 'koa';
import { HttpMethodEnum, koaBody } from 'koa-body';
import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';

/** The body cannot be read as what it should be; the words are for whoever sent it. */
export class BodyError extends Error {
  readonly status: 400 | 413 | 415;

  constructor(status: 400 | 413 | 415, message: string) {
    super(message);
    this.status = status;
  }
}

const parseForm = koaBody({
  json: false,
  text: false,
  multipart: false,
  urlencoded: true,
  formLimit: '16kb',
  parsedMethods: [HttpMethodEnum.POST],
});

/** Bodies are taken as they are: a few bytes that unpack into many are nobody's form. */
const refuseEncoded = (ctx: Context): void => {
  if (!['', 'identity'].includes(ctx.get('content-encoding')))
    throw new BodyError(415, 'The body must not be encoded.');
};

/** Parses a form, at most 16 KiB, for the routes that take one; the engine parses its own. */
export const formBody: Middleware = async (ctx, next) => {
  refuseEncoded(ctx);
  await parseForm(ctx, next);
};

/** The body as the schema says, or undefined when it does not fit. */
export const bodyOf = <T extends z.ZodType>(ctx: Context, schema: T): z.infer<T> | undefined => {
  const parsed = schema.safeParse(ctx.request.body);
  return parsed.success ? parsed.data : undefined;
};

/** Something in the request does not fit: every path of it at once. */
export class ValidationError extends Error {
  readonly status: number;
  readonly errors: { path: string; message: string }[];
  /** What the domain finds wrong with the rest. */
  readonly rest: DomainError | undefined;

  constructor(errors: { path: string; message: string }[], status = 422, rest?: DomainError) {
    super('The request does not fit.');
    this.status = status;
    this.errors = errors;
    this.rest = rest;
  }
}

const METHODS = [HttpMethodEnum.POST, HttpMethodEnum.PUT, HttpMethodEnum.PATCH, HttpMethodEnum.DELETE];

const UTF8: ReadonlySet<string> = new Set(['', 'utf-8', 'utf8', 'us-ascii']);

/**
 * Whatever is not UTF-8 was read as the same replacement character: passwords in another encoding would all be alike.
 *
 * @see [RFC 8259 §8.1](https://www.rfc-editor.org/rfc/rfc8259.html#section-8.1)
 */
const refuseOtherThanUtf8 = (ctx: Context): void => {
  const { rawBody = '', length } = ctx.request as { rawBody?: string; length?: number };
  // Somebody may have sent that very character.
  if (rawBody.includes('\uFFFD') && Buffer.byteLength(rawBody) !== length)
    throw new BodyError(400, 'The body is not UTF-8.');
};

const parseJson = koaBody({
  json: true,
  includeUnparsed: true,
  jsonStrict: true,
  jsonLimit: '100kb',
  text: false,
  multipart: false,
  urlencoded: false,
  parsedMethods: METHODS,
});

/** Parses a JSON body, at most 100 KiB: another content type is 415, more is 413, what is not JSON is 400. */
const MAY_HAVE_BODY: ReadonlySet<string> = new Set(METHODS);

export const jsonBody: Middleware = (ctx, next) => (MAY_HAVE_BODY.has(ctx.method) ? parsedBody(ctx, next) : next());

const parsedBody: Middleware = async (ctx, next) => {
  refuseEncoded(ctx);
  const hasBody = ctx.request.length !== undefined ? ctx.request.length > 0 : ctx.get('transfer-encoding') !== '';
  if (hasBody && !ctx.is('application/json')) throw new BodyError(415, 'The body must be application/json.');
  if (!UTF8.has(ctx.request.charset.toLowerCase())) throw new BodyError(415, 'The body must be UTF-8.');
  let parsed = false;
  await parseJson(ctx, async () => {
    parsed = true;
  });
  if (!parsed) return;
  refuseOtherThanUtf8(ctx);
  await next();
};

/** The query string as the schema says; a parameter given twice does not fit. @throws {ValidationError} */
export const queryOf = <T extends z.ZodType>(ctx: Context, schema: T): z.infer<T> => fitting(ctx.query, schema);

/** @throws {ValidationError} naming every path that is wrong, unknown ones included. */
export const jsonOf = <T extends z.ZodType>(ctx: Context, schema: T): z.infer<T> =>
  fitting(ctx.request.body ?? {}, schema);

/**
 * As `jsonOf`; where something does not fit, what the domain says of the fields that do is told along with it, all at once.
 *
 * @param rules The domain's; asked only then, with whichever fields there are.
 * @throws {ValidationError}
 */
export const jsonUnder = async <T extends z.ZodObject>(
  ctx: Context,
  schema: T,
  rules: (fields: Partial<z.infer<T>>) => Promise<void>,
): Promise<z.infer<T>> => {
  const body: Record<string, unknown> = Object(ctx.request.body ?? {});
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const faults = faultsOf(parsed.error);
  const fitting = Object.entries(schema.shape).flatMap(([name, field]) => {
    const { success, data } = z.safeParse(field, body[name]);
    return success ? [[name, data] as const] : [];
  });
  try {
    await rules(Object.fromEntries(fitting) as Partial<z.infer<T>>);
  } catch (error) {
    if (error instanceof DomainError) throw new ValidationError(faults, 422, error);
    throw error;
  }
  throw new ValidationError(faults);
};

/** An id from a path. What is no uuid is nobody's: the store answers that there is none, as for any other. */
export const idOf = (text: string | undefined): string =>
  z.uuid().safeParse(text).success ? String(text) : '00000000-0000-0000-0000-000000000000';

const fitting = <T extends z.ZodType>(value: unknown, schema: T): z.infer<T> => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ValidationError(faultsOf(parsed.error));
};

/** Every path that is wrong, unknown ones included. */
export const faultsOf = ({ issues }: z.ZodError): { path: string; message: string }[] =>
  issues.flatMap(({ path, message, ...issue }) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: [...path, key].join('.'), message: 'is not known here' }))
      : [{ path: path.join('.'), message }],
  );
