import { generateCodeVerifier, generateState } from 'arctic';
import { type ClientSettings, type IdentityProvider, type Kind, type Trip, UpstreamError } from './identity.ts';
import { KINDS } from './kinds.ts';
import { createOpenIdProvider } from './openid.ts';
import type { Network } from './reach.ts';

type Client = Omit<ClientSettings, 'redirectUri' | 'network'>;
type SettingsOf<K extends Kind> = Client & { authTime?: boolean | undefined } & Record<
    keyof K['addresses'] & string,
    string
  >;

/** The providers that are set up; one without a client is not there. */
export type FederationSettings = { [K in (typeof KINDS)[number] as K['id']]?: SettingsOf<K> | undefined } & {
  openid: (Client & { name: string; label: string; issuer: string; emailDomains?: string[] | undefined })[];
};

/**
 * A person waits at most this long for everything that is asked of a provider on their way there, or back, look-ups of names included:
 * each request has its own time-out, and a page that says so comes before the answer would be overdue (see `http/deadline.ts`).
 */
export const PROVIDER_MS = 4_200;

const inTime = async <T>(id: string, work: Promise<T>): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = new UpstreamError('unavailable', `${id} did not answer all that was asked within ${PROVIDER_MS} ms`);
    timer = setTimeout(() => reject(error), PROVIDER_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
};

const bounded = (provider: IdentityProvider): IdentityProvider => ({
  ...provider,
  authorizationUrl: (trip, wishes) => inTime(provider.id, provider.authorizationUrl(trip, wishes)),
  identify: (answer, trip) => inTime(provider.id, provider.identify(answer, trip)),
});

export type Providers = ReturnType<typeof createProviders>;

/**
 * @param network How they are reached.
 * @param kinds Those that have settings of their own, by their ids.
 */
export const createProviders = (
  settings: FederationSettings,
  ourIssuer: string,
  network: Network,
  kinds: readonly Kind[] = KINDS as unknown as Kind[],
) => {
  const redirectUriOf = (id: string): string => `${ourIssuer}/oauth/${id}/callback`;
  const given = new Map<string, unknown>(Object.entries(settings));
  const all: IdentityProvider[] = [
    ...kinds.flatMap(({ id, create }) => {
      const own = given.get(id) as SettingsOf<Kind> | undefined;
      return own ? [create({ ...own, redirectUri: redirectUriOf(id), network } as Parameters<Kind['create']>[0])] : [];
    }),
    ...settings.openid.map(({ name: id, ...rest }) =>
      createOpenIdProvider({ ...rest, id, redirectUri: redirectUriOf(id), network }),
    ),
  ].map(bounded);
  const byId = new Map(all.map((provider) => [provider.id, provider]));
  return {
    all,
    find: (id: string): IdentityProvider | undefined => byId.get(id),
    /** What a trip is known by: each value fresh, with 256 random bits. */
    newTrip: (): Trip => ({ state: generateState(), verifier: generateCodeVerifier(), nonce: generateState() }),
  };
};
