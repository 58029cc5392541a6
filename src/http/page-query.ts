import { z } from 'zod';

export { Moment } from './operations/fields.ts';

/** What a query names its text by: PostgreSQL refuses NUL, and no database takes half a character. */
export const QueryText = z
  .string()
  .trim()
  .min(1)
  .max(320)
  .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), 'has control characters');

/** For what is asked without any. */
export const NoQuery = z.strictObject({});

/** Which part of a list: how much of it at most, from where on. */
export const PageQuery = {
  // Digits, and nothing else that JavaScript would take for a number.
  limit: z
    .string()
    .regex(/^[1-9]\d{0,2}$/, 'is no whole number from 1 to 200')
    .transform(Number)
    .refine((limit) => limit <= 200, 'is no whole number from 1 to 200')
    .default(50)
    .meta({ type: 'integer', minimum: 1, maximum: 200, pattern: undefined, description: '50 when absent.' }),
  cursor: z.string().min(1).max(4096).optional(),
};
