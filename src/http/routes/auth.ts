import { Router } from '@koa/router';
import { z } from 'zod';
import type { Accounts } from '../../domain/accounts.ts';
import { DomainError } from '../../domain/errors.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import type { FirstPartyTokens } from '../../oidc/first-party-tokens.ts';
import { accountJson } from '../account-json.ts';
import type { RequireUser, SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf } from '../validate.ts';

const Email = z.string().trim().min(1).max(320);
const Password = z.string().min(1).max(1024);

const Registration = z.strictObject({
  email: Email,
  password: Password,
  username: z.string().min(1).max(64).optional(),
});
const Login = z.union(
  [
    z.strictObject({ email: Email, password: Password }),
    z.strictObject({ username: z.string().min(1).max(320), password: Password }),
  ],
  'needs email (or username) and password, and nothing else',
);
const Refresh = z.strictObject({ refresh_token: z.string().min(1).max(512) });
const Logout = z.strictObject({ refresh_token: z.string().min(1).max(512).optional() });

/** Accounts and first-party tokens, as the platform's own apps have always asked for them. */
export const authRoutes = (accounts: Accounts, signIn: SignIn, tokens: FirstPartyTokens, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/auth' })
    .use(jsonBody)
    .post('/register', async (ctx) => {
      const user = await accounts.create(jsonOf(ctx, Registration));
      ctx.status = 201;
      ctx.body = accountJson(user);
    })
    .post('/login', async (ctx) => {
      const { password, ...named } = jsonOf(ctx, Login);
      const user = await signIn.withPassword('email' in named ? named.email : named.username, password, { ip: ctx.ip });
      if (!user) throw new DomainError('invalid_credentials', 'Incorrect email or password');
      ctx.set('Cache-Control', 'no-store');
      ctx.body = await tokens.issue(user);
    })
    .post('/refresh', async (ctx) => {
      ctx.set('Cache-Control', 'no-store');
      ctx.body = await tokens.refresh(jsonOf(ctx, Refresh).refresh_token);
    })
    .post('/logout', requireUser, async (ctx) => {
      // The bearer says which grant ends. The refresh token, which is of the same grant, is taken for callers' sake.
      jsonOf(ctx, Logout);
      if (ctx.state.grantId) await tokens.end(ctx.state.grantId);
      ctx.status = 204;
    });
