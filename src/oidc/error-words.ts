import type { Middleware } from 'koa';

/** What an error's words must not have: control characters, quotation marks, backslashes, and anything beyond ASCII. */
const FORBIDDEN = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;

/**
 * The engine's errors say what was wrong, some of them by quoting it. Whatever was sent, the words keep to the characters that they may have.
 *
 * @see [RFC 6749 §5.2](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.2)
 */
export const errorWords: Middleware = async (ctx, next) => {
  await next();
  const { body } = ctx as { body: unknown };
  if (typeof body !== 'object' || body === null || !('error_description' in body)) return;
  const { error_description: words } = body;
  if (typeof words === 'string') ctx.body = { ...body, error_description: words.replace(FORBIDDEN, '?') };
};
