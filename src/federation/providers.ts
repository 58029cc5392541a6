import { generateCodeVerifier, generateState } from 'arctic';
import { createGitHub } from './github.ts';
import { createGoogle } from './google.ts';
import type { ClientSettings, IdentityProvider, Trip } from './identity.ts';
import { createOpenIdProvider } from './openid.ts';

type Client = Omit<ClientSettings, 'redirectUri'>;

/** The providers that are set up; one without a client is not there. */
export type FederationSettings = {
  google?: (Client & { issuer: string }) | undefined;
  github?: (Client & { url: string; apiUrl: string }) | undefined;
  openid: (Client & { name: string; label: string; issuer: string })[];
};

export type Providers = ReturnType<typeof createProviders>;

/** A third kind of provider is a file beside github.ts, and a line here. */
export const createProviders = ({ google, github, openid }: FederationSettings, ourIssuer: string) => {
  const redirectUriOf = (id: string): string => `${ourIssuer}/oauth/${id}/callback`;
  const all: IdentityProvider[] = [
    ...(google ? [createGoogle({ ...google, redirectUri: redirectUriOf('google') })] : []),
    ...(github ? [createGitHub({ ...github, redirectUri: redirectUriOf('github') })] : []),
    ...openid.map(({ name: id, ...rest }) => createOpenIdProvider({ ...rest, id, redirectUri: redirectUriOf(id) })),
  ];
  const byId = new Map(all.map((provider) => [provider.id, provider]));
  return {
    all,
    find: (id: string): IdentityProvider | undefined => byId.get(id),
    /** What a trip is known by: each value fresh, with 256 random bits. */
    newTrip: (): Trip => ({ state: generateState(), verifier: generateCodeVerifier(), nonce: generateState() }),
  };
};
