import { z } from 'zod';
import { addressOf, kindOf, pictureOf, textOf } from './identity.ts';
import { createOAuthProvider } from './oauth.ts';

const User = z.object({ id: z.int().positive(), login: z.string(), name: z.unknown(), avatar_url: z.unknown() });
const Emails = z.array(z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() }));

/**
 * GitHub at github.com, or a GitHub Enterprise Server, whose API is at https://HOST/api/v3.
 *
 * @see https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
 */
export const github = kindOf({
  id: 'github',
  addresses: { url: 'https://github.com', apiUrl: 'https://api.github.com' },
  create: ({ url, apiUrl, ...client }) =>
    createOAuthProvider({
      ...client,
      id: 'github',
      label: 'GitHub',
      issuer: url,
      authorizationEndpoint: `${url}/login/oauth/authorize`,
      tokenEndpoint: `${url}/login/oauth/access_token`,
      scopes: ['read:user', 'user:email'],
      loginHintParameter: 'login',
      choicePrompt: 'select_account',
      accept: 'application/vnd.github+json',

      async person(read) {
        const [user, emails] = await Promise.all([
          read(`${apiUrl}/user`, User),
          // Not the address of the public profile, which may be anything the person has had.
          read(`${apiUrl}/user/emails?per_page=100`, Emails),
        ]);
        const primary = emails.find((one) => one.primary);
        return {
          // Not the login, which can be given up and taken by somebody else.
          subject: String(user.id),
          email: addressOf(primary?.email),
          emailVerified: primary?.verified === true,
          authoritative: true,
          name: textOf(user.name),
          picture: pictureOf(user.avatar_url),
          username: textOf(user.login),
        };
      },
    }),
});
