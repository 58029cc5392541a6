// What a third provider that is not OpenID Connect takes: this file, in src/federation, and its name in kinds.ts.
import { z } from 'zod';
import { addressOf, kindOf, pictureOf, textOf } from '../../src/federation/identity.ts';
import { createOAuthProvider } from '../../src/federation/oauth.ts';

const User = z.object({ id: z.int().positive(), login: z.string(), full_name: z.unknown(), avatar_url: z.unknown() });
const Emails = z.array(z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() }));

/** Gitea, or Forgejo: `GITEA_CLIENT_ID`, `GITEA_CLIENT_SECRET` and `GITEA_URL`. */
export const gitea = kindOf({
  id: 'gitea',
  addresses: { url: 'https://gitea.com' },
  create: ({ url, ...client }) =>
    createOAuthProvider({
      ...client,
      id: 'gitea',
      label: 'Gitea',
      issuer: url,
      authorizationEndpoint: `${url}/login/oauth/authorize`,
      tokenEndpoint: `${url}/login/oauth/access_token`,
      scopes: ['read:user'],

      async person(read) {
        const user = await read(`${url}/api/v1/user`, User);
        const primary = (await read(`${url}/api/v1/user/emails`, Emails)).find((one) => one.primary);
        return {
          subject: String(user.id),
          email: addressOf(primary?.email),
          emailVerified: primary?.verified === true,
          authoritative: true,
          name: textOf(user.full_name),
          picture: pictureOf(user.avatar_url),
          username: textOf(user.login),
        };
      },
    }),
});
