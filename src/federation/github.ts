import { CodeChallengeMethod, OAuth2Client } from 'arctic';
import { z } from 'zod';
import {
  addressOf,
  type ClientSettings,
  type IdentityProvider,
  kindOf,
  pictureOf,
  textOf,
  UpstreamError,
} from './identity.ts';
import { askJson, codeOf, memberOf, redeemCode } from './upstream.ts';

const User = z.object({ id: z.int().positive(), login: z.string(), name: z.unknown(), avatar_url: z.unknown() });
const Emails = z.array(z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() }));

/**
 * GitHub, or a GitHub Enterprise Server. Plain OAuth: there is no ID token, and who it is, its API says.
 *
 * @param settings.url Where people sign in: https://github.com
 * @param settings.apiUrl https://api.github.com, or https://HOST/api/v3
 * @see https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
 */
const createGitHub = (settings: ClientSettings & { url: string; apiUrl: string }): IdentityProvider => {
  const { url, apiUrl, clientId, clientSecret, redirectUri } = settings;
  const client = new OAuth2Client(clientId, clientSecret, redirectUri);

  const read = async <T>(path: string, schema: z.ZodType<T>, accessToken: string): Promise<T> => {
    const headers = { accept: 'application/vnd.github+json', authorization: `Bearer ${accessToken}` };
    const parsed = schema.safeParse(await askJson(`${apiUrl}${path}`, { headers }));
    if (!parsed.success) throw new UpstreamError('unavailable', `GitHub's ${path} is not as it was`);
    return parsed.data;
  };

  return {
    id: 'github',
    label: 'GitHub',
    issuer: url,
    // It has no way to ask for it, and says nothing of when.
    reauthenticates: false,

    async authorizationUrl({ state, verifier }, { loginHint } = {}) {
      const endpoint = `${url}/login/oauth/authorize`;
      const scopes = ['read:user', 'user:email'];
      const to = client.createAuthorizationURLWithPKCE(endpoint, state, CodeChallengeMethod.S256, verifier, scopes);
      if (loginHint !== undefined) to.searchParams.set('login', loginHint);
      return to;
    },

    async identify(answer, { verifier }) {
      const tokens = await redeemCode(`${url}/login/oauth/access_token`, settings, codeOf(answer), verifier);
      const accessToken = memberOf(() => tokens.accessToken(), 'access token');
      const [user, emails] = await Promise.all([
        read('/user', User, accessToken),
        // Not the address of the public profile, which may be anything the person has had.
        read('/user/emails?per_page=100', Emails, accessToken),
      ]);
      const primary = emails.find((one) => one.primary);
      return {
        provider: 'github',
        issuer: url,
        // Not the login, which can be given up and taken by somebody else.
        subject: String(user.id),
        email: addressOf(primary?.email),
        emailVerified: primary?.verified === true,
        authoritative: true,
        name: textOf(user.name),
        picture: pictureOf(user.avatar_url),
        username: textOf(user.login),
        amr: [],
      };
    },
  };
};

export const github = kindOf({
  id: 'github',
  addresses: { url: 'https://github.com', apiUrl: 'https://api.github.com' },
  create: createGitHub,
});
