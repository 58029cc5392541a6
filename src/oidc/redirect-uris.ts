import type { Client } from 'oidc-provider';
import { isLoopbackHost } from './loopback.ts';
import { FIRST_PARTY_CLIENT_ID } from './own-resource.ts';

/** Whether this URI leads to the person's own machine. */
export const isLoopbackUri = (uri: string): boolean => {
  const url = URL.parse(uri);
  return url !== null && /^https?:$/.test(url.protocol) && isLoopbackHost(url.hostname);
};

// To the letter: another spelling of the host, or anything before it, is another host.
const WITH_PORT = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(?::([1-9]\d{0,4}))?(?=[/?]|$)/;

/** The URI cut at its port; undefined where it does not lead to the own machine. */
const cut = (uri: string): { host: string; rest: string } | undefined => {
  const [whole, host, port] = WITH_PORT.exec(uri) ?? [];
  if (whole === undefined || host === undefined || Number(port ?? 80) > 65_535) return undefined;
  return { host, rest: uri.slice(whole.length) };
};

/**
 * Whether `uri` is one that the client has registered, but for the port: an app on the person's own machine listens where it can.
 * By name (`localhost`) for public clients alone, which are such apps whatever they call themselves; by address for all.
 *
 * @see [RFC 8252 §7.3](https://www.rfc-editor.org/rfc/rfc8252.html#section-7.3)
 */
export const isRegisteredButForPort = (client: Client, uri: string): boolean => {
  const asked = cut(uri);
  if (!asked || client.clientId === FIRST_PARTY_CLIENT_ID) return false;
  if (asked.host === 'localhost' && client.clientAuthMethod !== 'none') return false;
  return (client.redirectUris ?? []).some((registered) => {
    const known = cut(registered);
    return known !== undefined && known.host === asked.host && known.rest === asked.rest;
  });
};

/**
 * What is wrong with a redirect URI that a client names itself, in words; undefined for a good one.
 *
 * @param schemes Whether an app's own scheme may be used (RFC 8252 §7.1).
 * @see [RFC 9700 §4.1.3](https://www.rfc-editor.org/rfc/rfc9700.html#section-4.1.3)
 */
export const faultOfRedirectUri = (uri: string, schemes: boolean): string | undefined => {
  const url = URL.parse(uri);
  if (!url || /[\s\\\p{Cc}]/u.test(uri)) return 'must be absolute URIs';
  // Nobody reads what it may mean where nothing means anything but itself.
  if (uri.includes('*')) return 'must not have wildcards';
  if (uri.includes('#')) return 'must not have a fragment';
  if (url.username !== '' || url.password !== '') return 'must not have a user or password';
  // What one reads as a host, another may read as a path: https:///host, https:host, hosts in letters that are folded.
  const web = url.protocol === 'https:' || url.protocol === 'http:';
  if (web && !uri.toLowerCase().startsWith(`${url.protocol}//${url.host}`)) return 'must be written with their host';
  if (url.protocol === 'https:') return undefined;
  if (url.protocol === 'http:')
    return isLoopbackHost(url.hostname)
      ? undefined
      : 'must be https; http is for the own machine (localhost, 127.0.0.1, [::1]) alone';
  return schemes ? undefined : 'must be https, or http on the own machine (localhost, 127.0.0.1, [::1])';
};
