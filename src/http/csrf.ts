import type { Context } from 'koa';
import type { Secrets } from '../domain/secrets.ts';

/** A form that did not come from our own page, or came from one too old. */
export class CsrfError extends Error {}

export type Csrf = ReturnType<typeof createCsrf>;

/**
 * Two independent checks: the browser's own word on where the form came from, and a token that only our page holds,
 * bound to what the form is about (an interaction's uid, which itself needs the signed cookie of that browser).
 */
export const createCsrf = (secrets: Secrets, issuer: string) => ({
  /** The hidden field's value. */
  token: (subject: string): string => secrets.keyedHash('csrf', subject),

  /** @throws {CsrfError} */
  check(ctx: Context, subject: string, token: unknown): void {
    const origin = ctx.get('origin');
    const site = ctx.get('sec-fetch-site');
    if (origin !== '' && origin !== issuer) throw new CsrfError('foreign origin');
    if (site !== '' && site !== 'same-origin' && site !== 'none') throw new CsrfError('cross-site request');
    if (typeof token !== 'string' || !secrets.matches('csrf', subject, token))
      throw new CsrfError('token missing or wrong');
  },
});
