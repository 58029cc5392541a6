import { CodeChallengeMethod, OAuth2Client } from 'arctic';
import type { z } from 'zod';
import { type ClientSettings, type ExternalIdentity, type IdentityProvider, UpstreamError } from './identity.ts';
import { asking, askJson, codeOf, memberOf, redeemCode } from './upstream.ts';

/** What an API of the provider's says, for the person who came back. @throws {UpstreamError} */
export type Read = <T>(url: string, schema: z.ZodType<T>) => Promise<T>;

export type OAuthSettings = ClientSettings & {
  id: string;
  label: string;
  issuer: string;
  authorizationEndpoint: string;
  tokenEndpoint: string;
  scopes: string[];
  /** Shows the client secret by HTTP Basic, otherwise in the body. */
  byBasic?: boolean;
  /** The parameter that says whom the provider should expect. */
  loginHintParameter?: string;
  /** What has people choose among their accounts there. */
  choicePrompt?: string;
  /** The media type of its API. */
  accept?: string;
  /** Who came back. */
  person(read: Read): Promise<Omit<ExternalIdentity, 'provider' | 'issuer' | 'amr'>>;
};

/**
 * A provider of plain OAuth: there is no ID token, and who it is, its API says. Nor is there a way to ask for a new sign-in, or to hear
 * of when it was.
 *
 * @see [RFC 6749 §4.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-4.1)
 */
export const createOAuthProvider = (settings: OAuthSettings): IdentityProvider => {
  const { id, label, issuer, authorizationEndpoint, tokenEndpoint, scopes, byBasic, accept } = settings;
  const client = new OAuth2Client(settings.clientId, settings.clientSecret, settings.redirectUri);
  const ask = asking(settings.network);

  return {
    id,
    label,
    issuer,
    reauthenticates: false,

    async authorizationUrl({ state, verifier }, { loginHint, anew, choose } = {}) {
      const { S256 } = CodeChallengeMethod;
      const to = client.createAuthorizationURLWithPKCE(authorizationEndpoint, state, S256, verifier, scopes);
      if (loginHint !== undefined && settings.loginHintParameter !== undefined)
        to.searchParams.set(settings.loginHintParameter, loginHint);
      if ((anew || choose) && settings.choicePrompt !== undefined) to.searchParams.set('prompt', settings.choicePrompt);
      return to;
    },

    async identify(answer, { verifier }) {
      const tokens = await redeemCode(ask, tokenEndpoint, settings, codeOf(answer), verifier, byBasic);
      const authorization = `Bearer ${memberOf(() => tokens.accessToken(), 'access token')}`;
      const person = await settings.person(async (url, schema) => {
        const headers = { authorization, ...(accept !== undefined && { accept }) };
        const parsed = schema.safeParse(await askJson(ask, url, { headers }));
        if (!parsed.success)
          throw new UpstreamError('unavailable', `${new URL(url).pathname} of ${id} is not as it was`);
        return parsed.data;
      });
      return { provider: id, issuer, amr: [], ...person };
    },
  };
};
