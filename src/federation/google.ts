import { kindOf } from './identity.ts';
import { ANY_DOMAIN, createOpenIdProvider } from './openid.ts';

/**
 * Google, which is OpenID Connect but for what is said here.
 *
 * @see https://developers.google.com/identity/openid-connect/reference
 */
export const google = kindOf({
  id: 'google',
  addresses: { issuer: 'https://accounts.google.com' },
  create: ({ authTime = false, ...settings }) =>
    createOpenIdProvider({
      ...settings,
      id: 'google',
      label: 'Google',
      // Its older ID tokens name it without the scheme.
      alsoIssuers: [settings.issuer.replace(/^https:\/\//, '')],
      // It knows none, consent and select_account.
      reauthenticationPrompt: 'select_account',
      choosesAccounts: true,
      // It tells by auth_time only where “session age claims” are switched on for the client, and never asks anew by max_age.
      tellsWhen: authTime,
      // It verifies every address that it calls verified, whoever runs the domain.
      emailDomains: [ANY_DOMAIN],
    }),
});
