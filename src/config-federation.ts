// What the variables about signing in through other providers may look like.
import { z } from 'zod';
import type { FederationSettings } from './federation/providers.ts';

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** An https URL, or one of this machine, to which paths can be added: no query, no fragment, no credentials. */
export function isProviderUrl(value: string): boolean {
  const url = /^https?:\/\/[^/]/i.test(value) && !/[\s\\?#@]/.test(value) ? URL.parse(value) : null;
  return url !== null && (url.protocol === 'https:' || LOOPBACK.has(url.hostname));
}

/** Scheme, host and port alone: https, or http on this machine. */
export const isOrigin = (value: string): boolean => isProviderUrl(value) && URL.parse(value)?.pathname === '/';

// The first are paths of the engine's, the others ways in of our own.
const TAKEN = ['authorize', 'token', 'revoke', 'userinfo', 'introspect', 'jwks', 'logout', 'par', 'register', 'device'];
const OWN = ['google', 'github', 'password', 'none'];

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
});

const Listed = z
  .array(OpenIdProvider)
  .max(10)
  .refine((all) => new Set(all.map(({ name }) => name)).size === all.length);

/** The providers that this JSON lists, or undefined when it does not fit. */
export function openIdProvidersOf(value: string): FederationSettings['openid'] | undefined {
  try {
    return Listed.parse(JSON.parse(value)).map(({ client_id: clientId, client_secret: clientSecret, ...rest }) => ({
      ...rest,
      clientId,
      clientSecret,
    }));
  } catch {
    return undefined;
  }
}

/** Of the variables that only make sense together, what is missing. */
export function problemsOfFederation(given: Partial<Record<string, string>>): string[] {
  return ['GOOGLE', 'GITHUB'].flatMap((name) => {
    const [id, secret] = [`${name}_CLIENT_ID`, `${name}_CLIENT_SECRET`];
    if (given[id] && !given[secret]) return [`${id} cannot be used without ${secret}`];
    if (given[secret] && !given[id]) return [`${secret} cannot be used without ${id}`];
    return [];
  });
}

type Values = {
  [K in `${'GOOGLE' | 'GITHUB'}_CLIENT_${'ID' | 'SECRET'}`]?: string | undefined;
} & Record<'GOOGLE_ISSUER' | 'GITHUB_URL' | 'GITHUB_API_URL', string> & {
    OIDC_PROVIDERS: FederationSettings['openid'];
  };

export function federationOf(values: Values): FederationSettings {
  const { GOOGLE_CLIENT_ID, GOOGLE_CLIENT_SECRET, GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET } = values;
  return {
    google:
      GOOGLE_CLIENT_ID && GOOGLE_CLIENT_SECRET
        ? { issuer: values.GOOGLE_ISSUER, clientId: GOOGLE_CLIENT_ID, clientSecret: GOOGLE_CLIENT_SECRET }
        : undefined,
    github:
      GITHUB_CLIENT_ID && GITHUB_CLIENT_SECRET
        ? {
            url: values.GITHUB_URL,
            apiUrl: values.GITHUB_API_URL,
            clientId: GITHUB_CLIENT_ID,
            clientSecret: GITHUB_CLIENT_SECRET,
          }
        : undefined,
    openid: values.OIDC_PROVIDERS,
  };
}
