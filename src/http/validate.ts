import type { Context } from 'koa';
import { HttpMethodEnum, koaBody } from 'koa-body';
import type { z } from 'zod';

/** Parses a form, at most 16 KiB, for the routes that take one; the engine parses its own. */
export const formBody = koaBody({
  json: false,
  text: false,
  multipart: false,
  urlencoded: true,
  formLimit: '16kb',
  parsedMethods: [HttpMethodEnum.POST],
});

/** The body as the schema says, or undefined when it does not fit. */
export const bodyOf = <T extends z.ZodType>(ctx: Context, schema: T): z.infer<T> | undefined => {
  const parsed = schema.safeParse(ctx.request.body);
  return parsed.success ? parsed.data : undefined;
};
