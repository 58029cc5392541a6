import { Router } from '@koa/router';
import type { Context } from 'koa';
import { type Accounts, keyOf, type User } from '../../domain/accounts.ts';
import type { Audit } from '../../domain/audit.ts';
import { DomainError } from '../../domain/errors.ts';
import type { Identities } from '../../domain/identities.ts';
import { invalidOneTimeToken, type PasswordReset } from '../../domain/password-reset.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import type { Throttles } from '../../domain/throttles.ts';
import type { Verification } from '../../domain/verification.ts';
import type { FirstPartyTokens, Issued } from '../../oidc/first-party-tokens.ts';
import { newGrantId } from '../../oidc/grant-ids.ts';
import { FIRST_PARTY_CLIENT_ID } from '../../oidc/own-resource.ts';
import type { SignInList } from '../../oidc/sign-ins.ts';
import { accountJson } from '../account-json.ts';
import { deviceOf, rememberDevice } from '../device-cookie.ts';
import type { ExchangeCodes } from '../exchange-codes.ts';
import { askedLocale } from '../locale.ts';
import * as body from '../operations/auth.ts';
import { limitLinks, limitMails, tellBudget } from '../rate-limit.ts';
import type { RequireUser, SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, jsonUnder } from '../validate.ts';

/** Accounts and first-party tokens, as the platform's own apps have always asked for them. */
export const authRoutes = (
  accounts: Accounts,
  signIn: SignIn,
  tokens: FirstPartyTokens,
  signIns: SignInList,
  passwordReset: PasswordReset,
  verification: Verification,
  audit: Audit,
  identities: Identities,
  codes: ExchangeCodes,
  throttles: Throttles,
  requireUser: RequireUser,
) => {
  /** Tokens for who has shown who they are, along with a place in the list of where they are signed in. */
  const issue = async (ctx: Context, user: User, how: Parameters<FirstPartyTokens['issue']>[1]): Promise<Issued> => {
    const grantId = how.grantId ?? newGrantId();
    const caller = { ip: ctx.ip, userAgent: ctx.get('user-agent') };
    try {
      return await tokens.issue(user, { ...how, grantId }, () => signIns.noteApp(user.id, grantId, caller));
    } catch (error) {
      // Whoever is told that it failed has not signed in: as best can be, nobody is shown that they have.
      await signIns.forgetApp(grantId).catch(() => {});
      throw error;
    }
  };

  return new Router<SignedIn>({ prefix: '/auth' })
    .use(jsonBody)
    .post('/register', async (ctx) => {
      const registration = await jsonUnder(ctx, body.Registration, accounts.check);
      await throttles.register.spend(ctx.ip, keyOf(registration.email), tellBudget(ctx));
      const user = await accounts.create(
        { ...registration, profile: { locale: askedLocale(ctx) } },
        async (created) => {
          await audit.record({ type: 'user.registered', actor: created.id, target: created.id });
          await verification.mailLink(created);
        },
      );
      ctx.status = 201;
      ctx.body = accountJson(user);
    })
    .post('/login', async (ctx) => {
      const { password, email, username } = jsonOf(ctx, body.Login);
      const login = email ?? username ?? '';
      const user = await signIn.withPassword(login, password, {
        ip: ctx.ip,
        device: deviceOf(ctx),
        client: FIRST_PARTY_CLIENT_ID,
        report: tellBudget(ctx),
      });
      if (!user) throw new DomainError('invalid_credentials', 'Incorrect email or password');
      // Before anything is issued: where the caller has had an answer already, this is as far as it gets.
      rememberDevice(ctx, signIn.deviceMark(user, deviceOf(ctx)));
      ctx.set('Cache-Control', 'no-store');
      ctx.body = (await issue(ctx, user, { amr: ['pwd'] })).tokens;
    })
    .post('/exchange', async (ctx) => {
      ctx.set('Cache-Control', 'no-store');
      await throttles.exchanges.check(ctx.ip);
      const { code, code_verifier } = jsonOf(ctx, body.Exchange);
      const what = await codes.redeem(code, code_verifier, tokens.end);
      const user = what && (await accounts.find(what.userId));
      // Their sign-ins may have been ended since they came back from the provider.
      if (!user || user.credentialsEpoch !== what.epoch) {
        await throttles.exchanges.failed(ctx.ip);
        throw invalidOneTimeToken();
      }
      await identities.signedIn(user, what.provider, FIRST_PARTY_CLIENT_ID);
      const issued = await issue(ctx, user, what);
      if (await codes.cameAgain(code)) await tokens.end(issued.grantId);
      ctx.body = issued.tokens;
    })
    .post('/refresh', async (ctx) => {
      ctx.set('Cache-Control', 'no-store');
      const { refresh_token } = jsonOf(ctx, body.Refresh);
      await throttles.refreshTokens.check(ctx.ip, undefined, tellBudget(ctx));
      const issued = await tokens.refresh(refresh_token).catch(async (error) => {
        if (error instanceof DomainError && error.code === 'invalid_refresh_token')
          await throttles.refreshTokens.failed(ctx.ip, undefined, tellBudget(ctx));
        throw error;
      });
      await signIns.used(issued.grantId);
      ctx.body = issued.tokens;
    })
    .post('/logout', requireUser, async (ctx) => {
      // The bearer says which grant ends. The refresh token, which is of the same grant, is taken for callers' sake.
      jsonOf(ctx, body.Logout);
      if (ctx.state.grantId) {
        await tokens.end(ctx.state.grantId);
        await audit.record({ type: 'logout', target: ctx.state.user.id });
      }
      ctx.status = 204;
    })
    .post('/forgot-password', limitMails(throttles), async (ctx) => {
      await passwordReset.request(jsonOf(ctx, body.Address).email);
      ctx.status = 202;
      ctx.body = body.ACCEPTED;
    })
    .post('/reset-password', limitLinks(throttles), async (ctx) => {
      const { token, new_password } = await jsonUnder(ctx, body.Reset, (rest) =>
        accounts.check({ password: rest.new_password }),
      );
      await passwordReset.reset(token, new_password);
      ctx.status = 204;
    })
    .post('/verify-email', limitLinks(throttles), async (ctx) => {
      const { token, password } = jsonOf(ctx, body.Verification);
      const user = password === undefined ? undefined : (await verification.subjectOf(token))?.user;
      if (user && password !== undefined) await signIn.confirm(user, password, { ip: ctx.ip });
      await verification.redeem(token, user !== undefined);
      ctx.status = 204;
    })
    .post('/resend-verification', limitMails(throttles), async (ctx) => {
      await verification.resend(jsonOf(ctx, body.Address).email);
      ctx.status = 202;
      ctx.body = body.ACCEPTED;
    });
};
