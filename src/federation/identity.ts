// The federation room: other people's identity providers. Each file turns one kind of them into an ExternalIdentity; what follows
// from that, the domain says. It knows nothing of ours, and is the only room that knows arctic.

import type { Network } from './reach.ts';

/** Who a provider says that somebody is. */
export type ExternalIdentity = {
  provider: string;
  /** Whom the provider's name stands for: a subject names somebody there, and nobody elsewhere. */
  issuer: string;
  /** Names the person at the provider, for ever and nobody else. */
  subject: string;
  email?: string | undefined;
  /** Whether the provider says that the address is the person's. */
  emailVerified: boolean;
  /** Whether it is to be believed for this address even about an account that is there already. */
  authoritative: boolean;
  name?: string | undefined;
  picture?: string | undefined;
  username?: string | undefined;
  /** When they signed in there, in epoch seconds; absent where the provider does not tell. */
  authTime?: number | undefined;
  /** How, as the provider says (RFC 8176). */
  amr: string[];
};

/** What one trip to a provider must come back with; of this trip alone. */
export type Trip = { state: string; verifier: string; nonce: string };

/** What is asked of the provider beyond who it is. */
export type Wishes = {
  /** The person is to sign in there anew unless they did within so many seconds; 0 for in any case. */
  maxAgeSeconds?: number | undefined;
  /** The person is to show once more that it is them, as well as the provider can have them do it; nobody asks when they signed in. */
  anew?: boolean | undefined;
  /** The person is to say which of their accounts there it is to be. */
  choose?: boolean | undefined;
  loginHint?: string | undefined;
  uiLocales?: string | undefined;
};

export type IdentityProvider = {
  /** In URLs and in the database. */
  id: string;
  /** As people know it. */
  label: string;
  /** Who it is, as a URL, where its pages are: kept with each identity, so that another provider under this id inherits none. */
  issuer: string;
  /** Whether it can be asked to have the person sign in anew, and says when they did. */
  reauthenticates: boolean;
  /** Where the browser goes. @throws {UpstreamError} */
  authorizationUrl(trip: Trip, wishes?: Wishes): Promise<URL>;
  /** Who came back, from the query of the callback. @throws {UpstreamError} */
  identify(answer: URLSearchParams, trip: Trip): Promise<ExternalIdentity>;
};

export type UpstreamFault =
  /** The person turned back. */
  | 'cancelled'
  /** The provider would not: it is not set up for us, or not for them; or it is not what came back from it. */
  | 'refused'
  /** Down, slow, or not to be believed. */
  | 'unavailable';

/** Why nobody came of it. The message is for the operator's log: no secret, no token, no name of a person. */
export class UpstreamError extends Error {
  readonly fault: UpstreamFault;

  constructor(fault: UpstreamFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.fault = fault;
  }
}

/** What every provider needs to know of us, and how it is reached. */
export type ClientSettings = { clientId: string; clientSecret: string; redirectUri: string; network: Network };

/** Addresses of a provider that may be others, by what they are, with their defaults. */
export type Addresses = Record<string, string>;

/**
 * A kind of provider: its client and addresses come from variables that bear its id, such as GITHUB_CLIENT_ID and GITHUB_API_URL.
 * `authTime` says that it was set up there to tell when people signed in.
 */
export type Kind<Id extends string = string, A extends Addresses = Addresses> = {
  /** Lower-case letters. */
  id: Id;
  addresses: A;
  create(
    settings: ClientSettings & { authTime?: boolean | undefined } & Record<keyof A & string, string>,
  ): IdentityProvider;
};

export const kindOf = <const Id extends string, A extends Addresses>(kind: Kind<Id, A>): Kind<Id, A> => kind;

const TEXT_LENGTH = 200;
const ADDRESS_LENGTH = 320;
const PICTURE_LENGTH = 1_000;

/** One line of text as a provider gives it, or undefined where there is none to speak of. */
export const textOf = (value: unknown, maxLength = TEXT_LENGTH): string | undefined => {
  if (typeof value !== 'string' || !value.isWellFormed()) return undefined;
  const line = value.replace(/\p{Cc}+/gu, ' ').trim();
  return line === '' || line.length > maxLength ? undefined : line;
};

/** An address as it is: one that would have to be mended first is somebody else's, or nobody's. */
export const addressOf = (value: unknown): string | undefined =>
  typeof value === 'string' && /\p{Cc}/u.test(value) ? undefined : textOf(value, ADDRESS_LENGTH);

/** An https picture; a page of ours shows no other. */
export const pictureOf = (value: unknown): string | undefined => {
  const text = textOf(value, PICTURE_LENGTH);
  return text !== undefined && URL.parse(text)?.protocol === 'https:' ? text : undefined;
};
