// What the variables about signing in through other providers may look like.
import { z } from 'zod';
import { KINDS } from './federation/kinds.ts';
import { ANY_DOMAIN } from './federation/openid.ts';
import type { FederationSettings } from './federation/providers.ts';
import { isLoopbackHost } from './oidc/loopback.ts';

/** An https URL, or one of this machine, to which paths can be added: no query, no fragment, no credentials. */
export function isProviderUrl(value: string): boolean {
  const url = /^https?:\/\/[^/]/i.test(value) && !/[\s\\?#@]/.test(value) ? URL.parse(value) : null;
  return url !== null && (url.protocol === 'https:' || isLoopbackHost(url.hostname));
}

/** Scheme, host and port alone: https, or http on this machine. */
export const isOrigin = (value: string): boolean => isProviderUrl(value) && URL.parse(value)?.pathname === '/';

// The first are paths of the engine's, the others ways in of our own.
const TAKEN = ['authorize', 'token', 'revoke', 'userinfo', 'introspect', 'jwks', 'logout', 'par', 'register', 'device'];
const OWN = [...KINDS.map(({ id }) => id), 'password', 'none'];

const printable = (max: number) =>
  z
    .string()
    .regex(/^[\x20-\x7e]+$/)
    .max(max);

const OpenIdProvider = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,31}$/)
    .refine((name) => ![...TAKEN, ...OWN].includes(name)),
  label: z
    .string()
    .trim()
    .regex(/^[^\p{C}]+$/u)
    .max(40),
  issuer: z.string().refine(isProviderUrl),
  client_id: printable(200),
  client_secret: printable(500),
  /** As DNS has them; `*` for any. */
  email_domains: z
    .array(z.string().regex(new RegExp(`^(\\${ANY_DOMAIN}|[a-z0-9-]{1,63}(\\.[a-z0-9-]{1,63})+)$`)))
    .min(1)
    .max(100)
    .optional(),
});

const Listed = z
  .array(OpenIdProvider)
  .max(10)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length);

/** The providers that this JSON lists, or undefined when it does not fit. */
export function openIdProvidersOf(value: string): FederationSettings['openid'] | undefined {
  try {
    return Listed.parse(JSON.parse(value)).map(
      ({ client_id: clientId, client_secret: clientSecret, email_domains: emailDomains, ...rest }) => ({
        ...rest,
        clientId,
        clientSecret,
        emailDomains,
      }),
    );
  } catch {
    return undefined;
  }
}

type Snake<S extends string> = S extends `${infer Head}${infer Tail}`
  ? `${Head extends Lowercase<Head> ? Uppercase<Head> : `_${Head}`}${Snake<Tail>}`
  : '';
type Of = { [K in (typeof KINDS)[number] as K['id']]: K };
type CredentialOf<Id extends keyof Of> = `${Uppercase<Id>}_CLIENT_${'ID' | 'SECRET'}`;
type AddressOf<Id extends keyof Of> = `${Uppercase<Id>}_${Snake<keyof Of[Id]['addresses'] & string>}`;
type Credential = { [Id in keyof Of]: CredentialOf<Id> }[keyof Of];
type Address = { [Id in keyof Of]: AddressOf<Id> }[keyof Of];

/** GITHUB_API_URL for `apiUrl` of `github`. */
const variableOf = (id: string, name: string): string => `${id}_${name.replace(/[A-Z]/g, '_$&')}`.toUpperCase();

/** The variables of every kind of provider: its client, and addresses that may be others. */
export const kindFields = <C extends z.ZodType, A extends z.ZodType>(
  credential: C,
  address: (otherwise: string, name: string) => A,
) =>
  Object.fromEntries(
    KINDS.flatMap(({ id, addresses }) => [
      [variableOf(id, 'clientId'), credential],
      [variableOf(id, 'clientSecret'), credential],
      ...Object.entries(addresses).map(([name, otherwise]) => [variableOf(id, name), address(otherwise, name)]),
    ]),
  ) as Record<Credential, C> & Record<Address, A>;

/** Of the variables that only make sense together, what is missing. */
export function problemsOfFederation(given: Partial<Record<string, string>>): string[] {
  return KINDS.flatMap(({ id: kind }) => {
    const [id, secret] = [variableOf(kind, 'clientId'), variableOf(kind, 'clientSecret')];
    if (given[id] && !given[secret]) return [`${id} cannot be used without ${secret}`];
    if (given[secret] && !given[id]) return [`${secret} cannot be used without ${id}`];
    return [];
  });
}

export function federationOf(
  values: Partial<Record<Credential | Address, string | undefined>> & {
    OIDC_PROVIDERS: FederationSettings['openid'];
    GOOGLE_AUTH_TIME?: boolean | undefined;
  },
): FederationSettings {
  const given = new Map<string, unknown>(Object.entries(values));
  const kinds = KINDS.flatMap(({ id, addresses }) => {
    const clientId = given.get(variableOf(id, 'clientId'));
    const clientSecret = given.get(variableOf(id, 'clientSecret'));
    if (!clientId || !clientSecret) return [[id, undefined]];
    const at = Object.keys(addresses).map((name) => [name, given.get(variableOf(id, name))]);
    const authTime = given.get(variableOf(id, 'authTime')) === true && { authTime: true };
    return [[id, { clientId, clientSecret, ...authTime, ...Object.fromEntries(at) }]];
  });
  return { ...Object.fromEntries(kinds), openid: values.OIDC_PROVIDERS };
}
