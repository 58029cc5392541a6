import { Router } from '@koa/router';
import { z } from 'zod';
import type { Accounts } from '../../domain/accounts.ts';
import { type ApiKeys, isNetwork } from '../../domain/api-keys.ts';
import { KEY_SCOPES } from '../../domain/claims.ts';
import { DomainError } from '../../domain/errors.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import { accountJson, apiKeyJson } from '../account-json.ts';
import { profileFields, words } from '../profile-fields.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf } from '../validate.ts';

/** OIDC Core §5.1's claims that a person may set themselves; null clears one. */
const Profile = z.strictObject({ username: z.string().min(1).max(64).optional(), ...profileFields });

const NewPassword = z.strictObject({ current_password: z.string().max(1024), new_password: z.string().max(1024) });

const NewKey = z.strictObject({
  name: words(100).min(1),
  scopes: z.array(z.enum(KEY_SCOPES)).max(20).default([]),
  expires_at: z.iso
    .datetime({ offset: true })
    .refine((text) => Date.parse(text) > Date.now(), 'must be in the future')
    .optional(),
  allowed_networks: z.array(z.string().refine(isNetwork, 'is no network such as 192.0.2.0/24')).max(50).optional(),
});
const Rotation = z.strictObject({
  overlap_seconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(86_400),
});
const Id = z.uuid();

/** The caller's own account and keys. */
export const userRoutes = (accounts: Accounts, signIn: SignIn, apiKeys: ApiKeys, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/users' })
    .use(jsonBody)
    .use(requireUser)
    .get('/me', async (ctx) => {
      // A key may always ask whose it is.
      if (ctx.state.keyId === undefined && !ctx.state.scopes.has('read:profile'))
        return requireScope('read:profile')(ctx, async () => {});
      ctx.body = accountJson(ctx.state.user);
    })
    .put('/me', requireScope('write:profile'), async (ctx) => {
      ctx.body = accountJson(await accounts.updateProfile(ctx.state.user.id, jsonOf(ctx, Profile)));
    })
    .put('/me/password', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { current_password, new_password } = jsonOf(ctx, NewPassword);
      // The same budget as for signing in: a stolen token is no way to guess the password.
      const user = await signIn.withPassword(ctx.state.user.email, current_password, { ip: ctx.ip });
      if (!user) throw new DomainError('invalid_credentials', 'The current password is not right');
      await accounts.changePassword(user, new_password);
      ctx.status = 204;
    })
    .get('/api-keys', requirePerson, requireScope('read:profile'), async (ctx) => {
      ctx.body = (await apiKeys.list(ctx.state.user.id)).map(apiKeyJson);
    })
    .post('/api-keys', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { name, scopes, expires_at, allowed_networks } = jsonOf(ctx, NewKey);
      const expiresAt = expires_at === undefined ? undefined : new Date(expires_at);
      ctx.status = 201;
      ctx.body = apiKeyJson(
        await apiKeys.create(ctx.state.user.id, { name, scopes, expiresAt, allowedNetworks: allowed_networks }),
      );
    })
    .delete('/api-keys/:id', requirePerson, requireScope('write:profile'), async (ctx) => {
      await apiKeys.remove(ctx.state.user.id, idOf(ctx.params.id));
      ctx.status = 204;
    })
    .post('/api-keys/:id/rotate', requirePerson, requireScope('write:profile'), async (ctx) => {
      const { overlap_seconds } = jsonOf(ctx, Rotation);
      ctx.status = 201;
      ctx.body = apiKeyJson(await apiKeys.rotate(ctx.state.user.id, idOf(ctx.params.id), overlap_seconds));
    });

// What is no uuid is nobody's: the store answers that there is none, as for any other.
const idOf = (text: string | undefined): string =>
  Id.safeParse(text).success ? String(text) : '00000000-0000-0000-0000-000000000000';
