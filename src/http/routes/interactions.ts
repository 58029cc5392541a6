import { Router } from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Accounts, User } from '../../domain/accounts.ts';
import { DomainError } from '../../domain/errors.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import { askedScopes } from '../../oidc/asked-scopes.ts';
import type { Interactions, PendingInteraction } from '../../oidc/interactions.ts';
import type { ResourceRegistry } from '../../oidc/resource-servers.ts';
import { type Csrf, CsrfError } from '../csrf.ts';
import { deviceOf, rememberDevice } from '../device-cookie.ts';
import { clientCard } from '../engine-pages.ts';
import { goOn, type InteractionPages, labelOf } from '../interaction-pages.ts';
import type { FieldError, LoginError, Pages, ViewData } from '../pages.ts';
import { detailLines, resourceLines } from '../resource-lines.ts';
import { storeDown } from '../store-down.ts';
import { bodyOf, formBody } from '../validate.ts';

const Token = z.object({ csrf: z.string() });
const LOGIN_LENGTH = 320;
const PASSWORD_LENGTH = 1024;
const Login = z.object({ login: z.string(), password: z.string() });

/** What is wrong with a field before anybody looks whether it is right. */
const faultOf = (text: string, max: number): FieldError | undefined =>
  text === '' ? 'required' : text.length > max ? 'too_long' : undefined;
const Decision = z.object({ decision: z.enum(['allow', 'deny']) });
const Choice = z.object({ account: z.enum(['continue', 'other']) });

const STATUS: Partial<Record<LoginError, number>> = {
  csrf: 403,
  invalid_credentials: 401,
  too_many_attempts: 429,
  temporarily_unavailable: 503,
};

/** Where the app's people will find themselves, as they would say it. */
const hostOf = (redirectUri: string | undefined): string => {
  if (redirectUri === undefined || !URL.canParse(redirectUri)) return '';
  const { host, protocol } = new URL(redirectUri);
  // What follows a native app's own scheme is its own business, and could read like somebody else's host.
  return protocol === 'https:' || protocol === 'http:' ? host : protocol;
};

/** An API of which only details are asked for is named with these. */
const withScopes = (resources: Record<string, string[]>): Record<string, string[]> =>
  Object.fromEntries(Object.entries(resources).filter(([, scopes]) => scopes.length > 0));

/** What is asked for at other APIs again: granted before. */
const grantedThere = async (registry: ResourceRegistry, { asked, resources: missing }: PendingInteraction) => {
  const { resources } = await askedScopes(registry, asked.scope, asked.resource);
  const granted = Object.entries(resources).map(
    ([identifier, scopes]) => [identifier, scopes.filter((name) => !missing[identifier]?.includes(name))] as const,
  );
  return withScopes(Object.fromEntries(granted));
};

/** Login, account choice and consent: the pages of an authorization request. */
export const interactionRoutes = (
  interactions: Interactions,
  interactionPages: InteractionPages,
  registry: ResourceRegistry,
  accounts: Accounts,
  signIn: SignIn,
  pages: Pages,
  csrf: Csrf,
) => {
  const { loginPage, pendingOf } = interactionPages;

  const chooserPage = async (ctx: Context, pending: PendingInteraction, current: string) => {
    pages.render(ctx, 'select-account', {
      action: `/interaction/${pending.uid}/account`,
      cancelAction: `/interaction/${pending.uid}/cancel`,
      csrf: csrf.token(pending.uid),
      client: clientCard(pending.client),
      account: { label: current },
    });
  };

  const consentPage = async (ctx: Context, pending: PendingInteraction) => {
    const user = await accounts.find(pending.accountId ?? '');
    pages.render(ctx, 'consent', {
      action: `/interaction/${pending.uid}/consent`,
      csrf: csrf.token(pending.uid),
      client: clientCard(pending.client),
      account: { label: user ? labelOf(user) : '' },
      redirectHost: pending.onDevice ? undefined : hostOf(pending.redirectUri),
      scopes: pending.scopes.map((name) => ({ name })),
      claims: pending.claims,
      resources: await resourceLines(registry, withScopes(pending.resources)),
      details: detailLines(registry, pending.details),
      alreadyGranted: pending.grantedScopes.map((name) => ({ name })),
      grantedResources: await resourceLines(registry, await grantedThere(registry, pending)),
    });
  };

  const show = async (ctx: Context, pending: PendingInteraction) => {
    const user = pending.prompt === 'select_account' ? await accounts.find(pending.accountId ?? '') : undefined;
    if (user) await chooserPage(ctx, pending, labelOf(user));
    else if (pending.prompt === 'consent') await consentPage(ctx, pending);
    else await loginPage(ctx, pending);
  };

  /** As `pendingOf`, for a form: refuses one that our page did not send. */
  const submitted = async (ctx: Context): Promise<PendingInteraction | undefined> => {
    const pending = await pendingOf(ctx);
    if (pending) csrf.check(ctx, pending.uid, bodyOf(ctx, Token)?.csrf);
    return pending;
  };

  const login = async (ctx: Context) => {
    const pending = await pendingOf(ctx);
    if (!pending) return;
    const refuse = async (error: LoginError | undefined, more: Partial<ViewData['login']> = {}) => {
      ctx.status = error === undefined ? 400 : (STATUS[error] ?? 400);
      const typed = z.object({ login: z.string() }).safeParse(ctx.request.body);
      await loginPage(ctx, pending, { error, login: typed.data?.login.slice(0, 320), ...more });
    };
    try {
      csrf.check(ctx, pending.uid, bodyOf(ctx, Token)?.csrf);
    } catch (error) {
      if (error instanceof CsrfError) return refuse('csrf');
      throw error;
    }
    const form = bodyOf(ctx, Login);
    if (!form) return refuse('invalid_credentials');
    const fieldErrors = {
      login: faultOf(form.login.trim(), LOGIN_LENGTH),
      password: faultOf(form.password, PASSWORD_LENGTH),
    };
    if (fieldErrors.login || fieldErrors.password) return refuse(undefined, { fieldErrors });
    let user: User | undefined;
    try {
      user = await signIn.withPassword(form.login, form.password, {
        ip: ctx.ip,
        device: deviceOf(ctx),
        client: pending.client.clientId,
        accepts: pending.accepts,
      });
    } catch (error) {
      if (error instanceof DomainError && error.code === 'wrong_account') return refuse('wrong_account');
      if (error instanceof DomainError && error.code === 'too_many_attempts') {
        ctx.set('Retry-After', String(error.retryAfterSeconds));
        return refuse('too_many_attempts');
      }
      // The form is the place to try again from, as long as it can be shown.
      const busy = error instanceof DomainError && error.code === 'too_busy';
      if (!busy && !(error instanceof Error && storeDown(error))) throw error;
      ctx.set('Retry-After', String((busy && error.retryAfterSeconds) || 5));
      return refuse('temporarily_unavailable');
    }
    if (!user) return refuse('invalid_credentials');
    rememberDevice(ctx, signIn.deviceMark(user, deviceOf(ctx)));
    goOn(ctx, await interactions.login(ctx.req, ctx.res, user));
  };

  return new Router({ prefix: '/interaction/:uid' })
    .get('/', async (ctx) => {
      const pending = await pendingOf(ctx);
      if (pending) await show(ctx, pending);
    })
    .post('/login', formBody, login)
    .post('/account', formBody, async (ctx) => {
      const pending = await submitted(ctx);
      if (!pending) return;
      if (bodyOf(ctx, Choice)?.account === 'continue') goOn(ctx, await interactions.keepAccount(ctx.req, ctx.res));
      else await loginPage(ctx, pending);
    })
    .post('/consent', formBody, async (ctx) => {
      const pending = await submitted(ctx);
      if (!pending) return;
      const decision = bodyOf(ctx, Decision)?.decision;
      if (pending.prompt !== 'consent' || decision === undefined) return show(ctx, pending);
      goOn(ctx, await (decision === 'allow' ? interactions.allow : interactions.deny)(ctx.req, ctx.res));
    })
    .post('/cancel', formBody, async (ctx) => {
      if (await submitted(ctx)) goOn(ctx, await interactions.deny(ctx.req, ctx.res));
    });
};
