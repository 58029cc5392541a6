import { Router } from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { User } from '../../domain/accounts.ts';
import { DomainError } from '../../domain/errors.ts';
import type { PasswordReset } from '../../domain/password-reset.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import { stillSpeaksFor } from '../../domain/standings.ts';
import type { Throttles } from '../../domain/throttles.ts';
import type { Verification } from '../../domain/verification.ts';
import type { BrowserSession } from '../../oidc/browser-session.ts';
import { type Csrf, CsrfError } from '../csrf.ts';
import { deviceOf } from '../device-cookie.ts';
import type { ProveError, ProveKind } from '../mail-link-views.ts';
import type { LinkKind, NewPasswordError, Pages, ViewData } from '../pages.ts';
import { limitLinks, limitMails, linkFailed } from '../rate-limit.ts';
import { tellNoReferrer } from '../security-headers.ts';
import { bodyOf, formBody } from '../validate.ts';

const EMAIL_LENGTH = 320;
const PASSWORD_LENGTH = 1024;
const Token = z.object({ token: z.string().min(1).max(512) });
const Form = z.object({ csrf: z.string().optional() });
const Interaction = z.object({ interaction: z.string().regex(/^[\w-]{10,64}$/) });
const Ask = z.object({ email: z.string() });
const Password = z.object({ password: z.string() });
const PROVE_STATUS = { required: 400, invalid_credentials: 401, too_many_attempts: 429 } satisfies Record<
  ProveError,
  number
>;
const NewPassword = z.object({ new_password: z.string(), repeated: z.string() });

/** Whether the error says that the link is of no use any more. */
const isOver = (error: unknown): boolean =>
  error instanceof DomainError && (error.code === 'invalid_one_time_token' || error.code === 'email_taken');

/** The password's faults that the locales have words for. */
const faultOf = ({ code }: DomainError): NewPasswordError =>
  code === 'password_too_short' || code === 'password_too_long' || code === 'password_too_common' ? code : 'other';

/** What links in mails lead to. Following one changes nothing, since mail scanners do; sending its form does. */
export const mailLinkRoutes = (
  passwordReset: PasswordReset,
  verification: Verification,
  signIn: SignIn,
  session: BrowserSession,
  throttles: Throttles,
  passwordMinLength: number,
  pages: Pages,
  csrf: Csrf,
) => {
  const interactionOf = (given: unknown) => Interaction.safeParse(given).data?.interaction;
  const tokenOf = (given: unknown) => Token.safeParse(given).data?.token ?? '';

  /** Whether our page sent this form, as this browser got it. */
  const isOurs = (ctx: Context, unreferred = false): boolean => {
    try {
      csrf.check(ctx, csrf.browser(ctx), bodyOf(ctx, Form)?.csrf, { unreferred });
      return true;
    } catch (error) {
      if (!(error instanceof CsrfError)) throw error;
      ctx.status = 403;
      return false;
    }
  };

  const isSignedIn = async (ctx: Context, user: User): Promise<boolean> =>
    (await session.accountId(ctx.req, ctx.res)) === user.id && stillSpeaksFor(user);

  const expired = (ctx: Context, kind: LinkKind) => {
    linkFailed(ctx);
    ctx.status = 400;
    pages.render(ctx, 'link-expired', { kind });
  };

  /** The form for an address, and the answer that is the same for every one. */
  const asking = (kind: ViewData['ask-link']['kind'], path: string, send: (email: string) => Promise<void>) => {
    const page = (ctx: Context, interaction: string | undefined, more: Partial<ViewData['ask-link']> = {}) =>
      pages.render(ctx, 'ask-link', {
        kind,
        action: path,
        csrf: csrf.token(csrf.browser(ctx)),
        ...(interaction !== undefined && { interaction }),
        ...more,
      });
    return new Router()
      .get(path, (ctx) => page(ctx, interactionOf(ctx.query)))
      .post(path, limitMails(throttles), formBody, async (ctx) => {
        const email = bodyOf(ctx, Ask)?.email.trim() ?? '';
        const interaction = interactionOf(ctx.request.body);
        const shown = email.slice(0, EMAIL_LENGTH);
        if (!isOurs(ctx)) return page(ctx, interaction, { email: shown, error: 'csrf' });
        if (email === '' || email.length > EMAIL_LENGTH) {
          ctx.status = 400;
          return page(ctx, interaction, { email: shown, error: email === '' ? 'required' : 'too_long' });
        }
        await send(email);
        page(ctx, interaction, { email, sent: true });
      });
  };

  /**
   * A button that redeems the token, for who signs in to the account: by the session of this browser, or by the password. Who reads the
   * mail, and did not make the account, must not confirm what a stranger has made; they take the account by a new password.
   */
  const proving = (kind: ProveKind, path: string) => {
    const page = async (ctx: Context, token: string, error?: ProveError) => {
      tellNoReferrer(ctx);
      const subject = await verification.subjectOf(token);
      if (!subject) return expired(ctx, kind);
      pages.render(ctx, 'prove-address', {
        kind,
        action: path,
        csrf: csrf.token(csrf.browser(ctx)),
        token,
        account: { label: subject.email },
        asksPassword: subject.user.passwordHash !== null && !(await isSignedIn(ctx, subject.user)),
        ...(error && { error }),
      });
    };

    /** Whether who sends the form is who signs in to the account; the word for what is wrong where they should be and are not. */
    const holderOf = async (ctx: Context, user: User): Promise<boolean | ProveError> => {
      if (await isSignedIn(ctx, user)) return true;
      if (user.passwordHash === null) return false;
      const { password = '' } = bodyOf(ctx, Password) ?? {};
      if (password === '' || password.length > PASSWORD_LENGTH) return 'required';
      try {
        await signIn.confirm(user, password, { ip: ctx.ip, device: deviceOf(ctx) });
        return true;
      } catch (error) {
        if (error instanceof DomainError && error.code === 'invalid_credentials') return 'invalid_credentials';
        if (!(error instanceof DomainError) || error.code !== 'too_many_attempts') throw error;
        ctx.set('Retry-After', String(error.retryAfterSeconds));
        return 'too_many_attempts';
      }
    };

    return new Router()
      .get(path, (ctx) => page(ctx, tokenOf(ctx.query)))
      .post(path, formBody, async (ctx) => {
        const token = tokenOf(ctx.request.body);
        // Shown again rather than refused: the button is all there is to it.
        if (!isOurs(ctx, true)) return page(ctx, token);
        const user = (await verification.subjectOf(token))?.user;
        const holder = user !== undefined && (await holderOf(ctx, user));
        if (typeof holder === 'string') {
          ctx.status = PROVE_STATUS[holder];
          return page(ctx, token, holder);
        }
        try {
          await verification.redeem(token, holder);
        } catch (error) {
          if (isOver(error)) return expired(ctx, kind);
          throw error;
        }
        pages.render(ctx, 'link-done', { kind });
      });
  };

  const passwordPage = async (ctx: Context, token: string, error?: NewPasswordError) => {
    tellNoReferrer(ctx);
    const holder = await passwordReset.holderOf(token);
    if (!holder) return expired(ctx, 'reset');
    pages.render(ctx, 'new-password', {
      action: '/reset-password',
      csrf: csrf.token(csrf.browser(ctx)),
      token,
      account: { label: holder.email },
      minLength: String(passwordMinLength),
      ...(error && { error }),
    });
  };

  return new Router()
    .use(['/verify-email', '/confirm-email', '/reset-password'], limitLinks(throttles))
    .use(asking('reset', '/forgot-password', passwordReset.request).routes())
    .use(asking('verification', '/resend-verification', verification.resend).routes())
    .use(proving('verify', '/verify-email').routes())
    .use(proving('change', '/confirm-email').routes())
    .get('/reset-password', (ctx) => passwordPage(ctx, tokenOf(ctx.query)))
    .post('/reset-password', formBody, async (ctx) => {
      const token = tokenOf(ctx.request.body);
      if (!isOurs(ctx, true)) return passwordPage(ctx, token, 'csrf');
      const { new_password = '', repeated = '' } = bodyOf(ctx, NewPassword) ?? {};
      const refuse = (error: NewPasswordError) => {
        ctx.status = 400;
        return passwordPage(ctx, token, error);
      };
      if (new_password !== repeated) return refuse('mismatch');
      if (new_password.length > PASSWORD_LENGTH) return refuse('password_too_long');
      try {
        await passwordReset.reset(token, new_password);
      } catch (error) {
        if (isOver(error)) return expired(ctx, 'reset');
        if (error instanceof DomainError && error.code.startsWith('password_')) return refuse(faultOf(error));
        throw error;
      }
      pages.render(ctx, 'link-done', { kind: 'reset' });
    });
};
