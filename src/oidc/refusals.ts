import type { Middleware } from 'koa';
import type { KoaContextWithOIDC } from 'oidc-provider';

/** RFC 6749 §5.2 and §4.1.2.1, RFC 8628 §3.1, CIBA Core §13: the engine calls it an invalid request. */
const NOT_REGISTERED_FOR = /^(requested grant type|\S+) is not allowed for this client$/;

/** Of errors that come without a word. */
const WORDS: Record<string, string> = {
  registration_not_supported:
    'registration is not taken here: register the client beforehand, or at the registration endpoint',
  request_uri_not_supported:
    'request_uri is for requests that were pushed; send the parameters, or a request object by value',
};

type Refusal = { error?: unknown; error_description?: unknown };

/** Of a hint that is encrypted: to a key that only the client has, so that it decrypts it first (OIDC Core §3.1.2.1, RP-Initiated Logout §4). */
export const ENCRYPTED_HINT = 'id_token_hint is encrypted: send the signed ID Token that is inside';

export const isEncrypted = (jwt: unknown): boolean => typeof jwt === 'string' && jwt.split('.').length === 5;

/** What a page says is wrong. The engine reads the hint of a sign-out before anybody is asked whether it can be one. */
export const inHelpfulWords = <T extends { error_description?: string }>({ oidc }: KoaContextWithOIDC, told: T): T =>
  told.error_description === 'could not decode id_token_hint' && isEncrypted(oidc.params?.id_token_hint)
    ? { ...told, error_description: ENCRYPTED_HINT }
    : told;

/** The same in the address that an app is called back at. */
const inAddress = (location: string): string => {
  const [, error = ''] = /[?&#]error=(\w+)/.exec(location) ?? [];
  const words = location.includes('error_description=') ? undefined : WORDS[error];
  return words === undefined ? location : `${location}&${new URLSearchParams({ error_description: words })}`;
};

/** What the engine refuses, under the name that the RFC has for it and with a word on what to do. */
export const nameRefusals: Middleware = async (ctx, next) => {
  await next();
  const location = ctx.path === '/oauth/authorize' && ctx.status === 303 && ctx.response.get('Location');
  if (location) ctx.set('Location', inAddress(String(location)));
  const told = ctx.body as Refusal | undefined;
  if (typeof told !== 'object' || told === null || typeof told.error !== 'string') return;
  const { error, error_description: words } = told;
  if (error === 'invalid_request' && NOT_REGISTERED_FOR.test(String(words))) told.error = 'unauthorized_client';
  if (words === undefined && WORDS[error] !== undefined) told.error_description = WORDS[error];
  const { oidc } = ctx as unknown as Partial<KoaContextWithOIDC>;
  if (oidc) Object.assign(told, inHelpfulWords({ oidc } as KoaContextWithOIDC, told as { error_description?: string }));
};
