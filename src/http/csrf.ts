import type { Context } from 'koa';
import { randomSecret, type Secrets } from '../domain/secrets.ts';

/** A form that did not come from our own page, or came from one too old. */
export class CsrfError extends Error {}

export type Csrf = ReturnType<typeof createCsrf>;

const RANDOM = /^[\w-]{43}$/;

/**
 * Two independent checks: the browser's own word on where the form came from, and a token that only our page holds,
 * bound to what the form is about (an interaction's uid, which itself needs the signed cookie of that browser).
 */
export const createCsrf = (secrets: Secrets, issuer: string) => {
  // RFC 6265bis prefix: no sister domain can set such a cookie.
  const cookie = issuer.startsWith('https:') ? '__Host-form' : 'form';

  return {
    /** What a form is bound to where there is no interaction: this browser, by a cookie that it gets here. */
    browser(ctx: Context): string {
      const known = ctx.cookies.get(cookie, { signed: false });
      if (known !== undefined && RANDOM.test(known)) return `browser:${known}`;
      const fresh = randomSecret();
      ctx.cookies.set(cookie, fresh, { signed: false, httpOnly: true, sameSite: 'lax', path: '/' });
      return `browser:${fresh}`;
    },

    /** The hidden field's value. */
    token: (subject: string): string => secrets.keyedHash('csrf', subject),

    /**
     * @param unreferred The form's page was sent with `Referrer-Policy: no-referrer`: browsers then hide its origin (Fetch
     *   §3.1, "append a request `Origin` header"), and the rest has to do.
     * @throws {CsrfError}
     */
    check(ctx: Context, subject: string, token: unknown, { unreferred = false } = {}): void {
      const origin = ctx.get('origin');
      const site = ctx.get('sec-fetch-site');
      const hidden = unreferred && origin === 'null';
      if (origin !== '' && origin !== issuer && !hidden) throw new CsrfError('foreign origin');
      if (site !== '' && site !== 'same-origin' && site !== 'none') throw new CsrfError('cross-site request');
      if (typeof token !== 'string' || !secrets.matches('csrf', subject, token))
        throw new CsrfError('token missing or wrong');
    },
  };
};
