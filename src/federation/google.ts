import type { ClientSettings, IdentityProvider } from './identity.ts';
import { createOpenIdProvider } from './openid.ts';

/**
 * Google, which is OpenID Connect but for two things.
 *
 * @see https://developers.google.com/identity/openid-connect/reference
 */
export const createGoogle = (settings: ClientSettings & { issuer: string }): IdentityProvider =>
  createOpenIdProvider({
    ...settings,
    id: 'google',
    label: 'Google',
    // Its older ID tokens name it without the scheme.
    alsoIssuers: [settings.issuer.replace(/^https:\/\//, '')],
    // It knows none, consent and select_account. Whether the person did sign in anew, auth_time tells, where Google gives it.
    reauthenticationPrompt: 'select_account',
  });
