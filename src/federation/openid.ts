import { domainToASCII } from 'node:url';
import { CodeChallengeMethod, OAuth2Client } from 'arctic';
import { type JWTPayload, jwtVerify } from 'jose';
import { type Discovered, discover } from './discovery.ts';
import {
  addressOf,
  type ClientSettings,
  type IdentityProvider,
  pictureOf,
  textOf,
  UpstreamError,
  type Wishes,
} from './identity.ts';
import { type Ask, askJson, codeOf, memberOf, redeemCode } from './upstream.ts';

export type OpenIdSettings = ClientSettings & {
  id: string;
  label: string;
  issuer: string;
  /** Other spellings of the issuer in ID tokens. */
  alsoIssuers?: string[];
  /** What asks the provider to have the person sign in anew. */
  reauthenticationPrompt?: string;
  /** It lets people choose among their accounts when it is asked to by select_account. */
  choosesAccounts?: boolean;
  /** Whether it says when people signed in; it does where absent. */
  tellsWhen?: boolean;
  /**
   * The domains whose addresses it is to be believed for, `*` for all: of any other it verifies none. Absent: it is believed when it
   * says that it has verified an address, except about an account that is there already.
   */
  emailDomains?: string[] | undefined;
};

export const ANY_DOMAIN = '*';

/** Keys that are published, and none that a client secret could be mistaken for (RFC 8725 §3.1). */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const isEpochSeconds = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) > 0;

/** What is told of a person, if the provider tells it. */
const WANTED = ['email', 'email_verified', 'name', 'picture'] as const;

const CLOCKS_DIFFER_SECONDS = 30;
const DISCOVERED_MS = 3_600_000;
const SUBJECT_LENGTH = 255;

/**
 * Any provider of OpenID Connect that can be discovered.
 *
 * @see [OIDC Core §3.1](https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth)
 */
export const createOpenIdProvider = (settings: OpenIdSettings): IdentityProvider => {
  const { id, label, issuer, alsoIssuers = [], emailDomains, clientId, clientSecret, redirectUri } = settings;
  const client = new OAuth2Client(clientId, clientSecret, redirectUri);
  let discovered: { until: number; about: Promise<Discovered> } | undefined;
  const metadata = (): Promise<Discovered> => {
    if (!discovered || discovered.until < Date.now()) {
      const about = discover(issuer, settings.network);
      const entry = { until: Date.now() + DISCOVERED_MS, about };
      discovered = entry;
      about.catch(() => {
        if (discovered === entry) discovered = undefined;
      });
    }
    return discovered.about;
  };

  /** @see [OIDC Core §3.1.3.7](https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation) */
  const verified = async (idToken: string, nonce: string): Promise<JWTPayload> => {
    const { jwks } = await metadata();
    try {
      const { payload } = await jwtVerify(idToken, jwks, {
        issuer: [issuer, ...alsoIssuers],
        audience: clientId,
        algorithms: ALGORITHMS,
        requiredClaims: ['sub', 'exp', 'iat'],
        clockTolerance: CLOCKS_DIFFER_SECONDS,
      });
      const several = Array.isArray(payload.aud) && payload.aud.length > 1;
      if ((several || payload.azp !== undefined) && payload.azp !== clientId) throw new Error('azp is not us');
      if (Number(payload.iat) > Date.now() / 1000 + CLOCKS_DIFFER_SECONDS) throw new Error('iat is yet to come');
      if (payload.nonce !== nonce) throw new Error('the nonce is not ours');
      return payload;
    } catch (error) {
      if (error instanceof UpstreamError) throw error;
      const why = error instanceof Error ? error.message : 'unreadable';
      throw new UpstreamError('unavailable', `the ID token of ${id} is not valid: ${why}`, { cause: error });
    }
  };

  const userinfoOf = async (
    ask: Ask,
    endpoint: string,
    { sub }: JWTPayload,
    accessToken: string,
  ): Promise<JWTPayload> => {
    const claims = (await askJson(ask, endpoint, {
      headers: { authorization: `Bearer ${accessToken}` },
    })) as JWTPayload;
    // OIDC Core §5.3.4: somebody else's claims must not be used.
    if (claims.sub !== sub) throw new UpstreamError('unavailable', `the userinfo of ${id} is somebody else's`);
    return claims;
  };

  /** The claims, those of the userinfo endpoint included where the ID token leaves out something of what we are after. */
  const claimsOf = async (
    { userinfo_endpoint: endpoint, ask }: Discovered,
    idToken: JWTPayload,
    accessToken: string,
  ) => {
    if (endpoint === undefined || WANTED.every((name) => idToken[name] !== undefined)) return idToken;
    const addressKnown = idToken.email !== undefined && idToken.email_verified !== undefined;
    let claims: JWTPayload;
    try {
      claims = await userinfoOf(ask, endpoint, idToken, accessToken);
    } catch (error) {
      // Who it is and which address is theirs is known: a name and a picture are not worth turning them away.
      if (addressKnown && error instanceof UpstreamError) return idToken;
      throw error;
    }
    // The address and the word on it belong together: both from one place, the signed one if it has them.
    const from = addressKnown || claims.email === undefined ? idToken : claims;
    return { ...claims, ...idToken, email: from.email, email_verified: from.email_verified };
  };

  /** Whether the address is at a domain that the provider is to be believed for. */
  const isAtDomain = (email: string | undefined, domains: string[]): boolean => {
    if (domains.includes(ANY_DOMAIN)) return true;
    const domain = domainToASCII(email?.split('@').at(-1) ?? '');
    return domain !== '' && domains.includes(domain);
  };

  const promptOf = ({ maxAgeSeconds, anew, choose }: Wishes): string | undefined =>
    maxAgeSeconds === 0 || anew
      ? (settings.reauthenticationPrompt ?? 'login')
      : choose && settings.choosesAccounts
        ? 'select_account'
        : undefined;

  const demands = ({ maxAgeSeconds, loginHint, uiLocales }: Wishes, prompt: string | undefined) => ({
    ...(loginHint !== undefined && { login_hint: loginHint }),
    ...(uiLocales !== undefined && { ui_locales: uiLocales }),
    ...(maxAgeSeconds !== undefined && {
      max_age: String(maxAgeSeconds),
      claims: JSON.stringify({ id_token: { auth_time: { essential: true } } }),
    }),
    ...(prompt !== undefined && { prompt }),
  });

  return {
    id,
    label,
    issuer,
    reauthenticates: settings.tellsWhen ?? true,

    async authorizationUrl({ state, verifier, nonce }, wishes = {}) {
      const { authorization_endpoint: endpoint } = await metadata();
      const scopes = ['openid', 'email', 'profile'];
      const url = client.createAuthorizationURLWithPKCE(endpoint, state, CodeChallengeMethod.S256, verifier, scopes);
      for (const [name, value] of Object.entries({ nonce, ...demands(wishes, promptOf(wishes)) }))
        url.searchParams.set(name, value);
      return url;
    },

    async identify(answer, { verifier, nonce }) {
      const about = await metadata();
      // RFC 9207 §2.4: an answer that names another provider is not for us to redeem here.
      const from = answer.get('iss');
      if (from === null ? about.authorization_response_iss_parameter_supported : from !== issuer)
        throw new UpstreamError('refused', `the answer is not from ${issuer}`);
      const byBasic = about.token_endpoint_auth_methods_supported.includes('client_secret_basic');
      const tokens = await redeemCode(about.ask, about.token_endpoint, settings, codeOf(answer), verifier, byBasic);
      const idToken = await verified(
        memberOf(() => tokens.idToken(), 'ID token'),
        nonce,
      );
      const claims = await claimsOf(
        about,
        idToken,
        memberOf(() => tokens.accessToken(), 'access token'),
      );
      const subject = textOf(claims.sub, SUBJECT_LENGTH);
      if (subject === undefined || subject !== claims.sub) throw new UpstreamError('unavailable', 'no usable subject');
      const email = addressOf(claims.email);
      // Some say it as a string. What is not said is not true.
      const saidVerified = claims.email_verified === true || claims.email_verified === 'true';
      return {
        provider: id,
        issuer,
        subject,
        email,
        emailVerified: saidVerified && (emailDomains === undefined || isAtDomain(email, emailDomains)),
        authoritative: emailDomains !== undefined && isAtDomain(email, emailDomains),
        name: textOf(claims.name),
        picture: pictureOf(claims.picture),
        username: textOf(claims.preferred_username),
        // How and when they signed in, the signed token alone says (OIDC Core §2).
        authTime: isEpochSeconds(idToken.auth_time) ? idToken.auth_time : undefined,
        amr: Array.isArray(idToken.amr)
          ? idToken.amr
              .filter((one) => /^[\w.:-]{1,40}$/.test(String(one)))
              .slice(0, 8)
              .map(String)
          : [],
      };
    },
  };
};
