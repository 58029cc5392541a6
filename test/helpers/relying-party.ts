// An app that signs people in with the service under test, by openid-client as published: nothing in it knows our code.
import * as oidc from 'openid-client';
import type { Browser, Visited } from './browser.ts';
import type { TestServer } from './server.ts';

export const CALLBACK = 'https://app.example/callback';

export type Person = { id: string; email: string; password: string };

let serial = 0;

/** Somebody new who can sign in. */
export const newPerson = async (server: TestServer, more: { username?: string } = {}): Promise<Person> => {
  serial += 1;
  const email = `person-${serial}@example.com`;
  const password = `the password of person ${serial}`;
  const { id } = await server.accounts.create({ email, password, ...more });
  // As somebody whose sign-ins were all ended once: what comes afterwards has to bear that.
  await server.database.pool.query('UPDATE users SET credentials_epoch = 1 WHERE id = $1', [id]);
  return { id, email, password };
};

/** Registers an app, confidential unless the metadata says otherwise. */
export const register = (server: TestServer, metadata: Record<string, unknown> = {}, firstParty = false) =>
  server.clients.register(
    {
      client_name: 'Test App',
      redirect_uris: [CALLBACK],
      grant_types: ['authorization_code', 'refresh_token'],
      ...metadata,
    },
    firstParty,
  );

/** openid-client, configured by discovery alone. */
export const discover = (
  server: TestServer,
  clientId: string,
  metadata?: Partial<oidc.ClientMetadata>,
  auth?: oidc.ClientAuth,
): Promise<oidc.Configuration> =>
  oidc.discovery(new URL(server.issuer), clientId, metadata, auth, { execute: [oidc.allowInsecureRequests] });

/** A registered app and its openid-client. */
export const newApp = async (
  server: TestServer,
  metadata: Record<string, unknown> = {},
  { firstParty = false, auth }: { firstParty?: boolean; auth?: oidc.ClientAuth } = {},
) => {
  const client = await register(server, metadata, firstParty);
  const { client_id, client_secret, id_token_signed_response_alg: alg } = client;
  const rp = await discover(
    server,
    client_id,
    { client_secret, ...(typeof alg === 'string' && { id_token_signed_response_alg: alg }) },
    auth ?? (client_secret === undefined ? oidc.None() : undefined),
  );
  return { client, rp };
};

export type Started = { url: URL; verifier: string; state: string; nonce: string | undefined };

/** An authorization request with everything a careful app sends; `params` adds to it, undefined takes out. */
export const authorizationRequest = async (
  rp: oidc.Configuration,
  params: Record<string, string | undefined> = {},
): Promise<Started> => {
  const verifier = oidc.randomPKCECodeVerifier();
  const state = oidc.randomState();
  const nonce = oidc.randomNonce();
  const all: Record<string, string | undefined> = {
    redirect_uri: CALLBACK,
    scope: 'openid',
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    state,
    nonce,
    ...params,
  };
  const given = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return { url: oidc.buildAuthorizationUrl(rp, Object.fromEntries(given)), verifier, state, nonce: all.nonce };
};

/** Answers whatever page stands between here and the app: sign-in as this person, consent with yes. */
export const passThrough = async (browser: Browser, page: Visited, person: Person): Promise<Visited> => {
  let at = page;
  if (at.html.includes('id="sign-in"'))
    at = await browser.submit(at, 'sign-in', { login: person.email, password: person.password });
  if (at.html.includes('id="allow"')) at = await browser.submit(at, 'allow');
  return at;
};

/** The tokens for where the browser came out: the library checks state, nonce, iss, and the ID token by JWKS. */
export const redeem = (rp: oidc.Configuration, callback: URL, { verifier, state, nonce }: Started) =>
  oidc.authorizationCodeGrant(rp, callback, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce });

/** A whole sign-in: from the app, through the pages, back to the app, to tokens. */
export const signIn = async (
  browser: Browser,
  rp: oidc.Configuration,
  person: Person,
  params: Record<string, string | undefined> = {},
) => {
  const started = await authorizationRequest(rp, params);
  const arrived = await passThrough(browser, await browser.go(started.url), person);
  if (arrived.status !== 0) throw new Error(`stopped at ${arrived.url.pathname} (${arrived.status}): ${arrived.html}`);
  return { started, arrived, tokens: await redeem(rp, arrived.url, started) };
};

/** What the app is told in the address it is called back at. */
export const told = (arrived: Visited): Record<string, string> => Object.fromEntries(arrived.url.searchParams);

/** The OAuth error code of what was refused; throws when it was not, or by something else. */
export const refusal = async (attempt: Promise<unknown>): Promise<string | undefined> => {
  try {
    await attempt;
  } catch (error) {
    if (error instanceof oidc.ResponseBodyError || error instanceof oidc.AuthorizationResponseError) return error.error;
    if (error instanceof oidc.WWWAuthenticateChallengeError) return error.cause[0]?.parameters.error;
    throw error;
  }
  throw new Error('nothing was refused');
};

/** A JSON answer, as an object. */
export const jsonOf = async (response: Response) => (await response.json()) as Record<string, unknown>;
