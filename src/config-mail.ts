// What the variables about mail may look like.
import { isIP } from 'node:net';

/** smtp:// or smtps://, a host, and nothing behind the port; what has a meaning in URLs is percent-encoded in user and password. */
export function isSmtpUrl(value: string): boolean {
  // The parser forgives blanks and backslashes; a # or a stray % is a password that was not encoded.
  if (!/^smtps?:\/\/[^/]/.test(value) || /[\s\\#?]/.test(value) || /%(?![0-9a-f]{2})/i.test(value)) return false;
  const url = URL.parse(value);
  if (!url?.hostname || !/^\/?$/.test(url.pathname)) return false;
  return url.password === '' || url.username !== '';
}

// What can stand in a From header as it is: no character that means something there.
const ATOM = '[^\\s\\p{C}"(),:;<>@[\\\\\\]]+';
const MAILBOX = new RegExp(`^(?:${ATOM}@${ATOM}|${ATOM}(?: ${ATOM})* <${ATOM}@${ATOM}>)$`, 'u');

/** An address, or a name and the address in angle brackets. */
export const isMailbox = (value: string): boolean => MAILBOX.test(value);

export function defaultMailFrom(issuer: string): string {
  const { hostname } = new URL(issuer);
  // An address literal would need brackets, and no server takes mail from one.
  return `User Auth <no-reply@${isIP(hostname.replace(/^\[|\]$/g, '')) ? 'localhost' : hostname}>`;
}
