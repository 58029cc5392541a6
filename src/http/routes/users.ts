import { Router } from '@koa/router';
import { z } from 'zod';
import type { Accounts } from '../../domain/accounts.ts';
import { type ApiKeys, isNetwork } from '../../domain/api-keys.ts';
import { KEY_SCOPES } from '../../domain/claims.ts';
import { DomainError } from '../../domain/errors.ts';
import type { SignIn } from '../../domain/sign-in.ts';
import { accountJson, apiKeyJson } from '../account-json.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf } from '../validate.ts';

// Control characters have no place in a name, and PostgreSQL refuses NUL.
const NO_CONTROL = 'has control characters';
// Half of a surrogate pair is no character, and no database takes it.
const whole = (text: string) => text.isWellFormed();
export const words = (max: number) =>
  z
    .string()
    .trim()
    .regex(/^\P{Cc}*$/u, NO_CONTROL)
    .refine(whole, NO_CONTROL)
    .max(max);
export const lines = (max: number) =>
  z
    .string()
    .trim()
    .regex(/^[\P{Cc}\n]*$/u, NO_CONTROL)
    .refine(whole, NO_CONTROL)
    .max(max);
const line = words(200).min(1).nullable();
const webAddress = z
  .url({ protocol: /^https?$/ })
  .max(2000)
  .nullable();

/** OIDC Core §5.1's claims that a person may set themselves; null clears one. */
export const Profile = z.strictObject({
  username: z.string().min(1).max(64).optional(),
  name: line.optional(),
  given_name: line.optional(),
  family_name: line.optional(),
  middle_name: line.optional(),
  nickname: line.optional(),
  profile: webAddress.optional(),
  picture: webAddress.optional(),
  website: webAddress.optional(),
  gender: line.optional(),
  birthdate: z
    .string()
    .regex(
      /^(\d{4}(-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))?|0000-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))$/,
      'is a year or a date: YYYY or YYYY-MM-DD',
    )
    .nullable()
    .optional(),
  zoneinfo: z
    .string()
    .refine((zone) => Intl.supportedValuesOf('timeZone').includes(zone) || zone === 'UTC', 'is no IANA time zone')
    .nullable()
    .optional(),
  locale: z
    .string()
    .regex(/^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$/, 'is no language tag')
    .max(35)
    .nullable()
    .optional(),
  phone_number: z
    .string()
    .regex(/^\+[1-9]\d{5,14}$/, 'is not in E.164 form, such as +14255551212')
    .nullable()
    .optional(),
  address: z
    .strictObject({
      formatted: lines(500).optional(),
      street_address: lines(500).optional(),
      locality: words(200).optional(),
      region: words(200).optional(),
      postal_code: words(50).optional(),
      country: words(200).optional(),
    })
    .nullable()
    .optional(),
});

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
