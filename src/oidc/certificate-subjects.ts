import type { X509Certificate } from 'node:crypto';

/** The names of a certificate by kind. A value that holds a comma or a quote comes quoted, as JSON (CVE-2021-44532). */
const alternativeNames = (text: string): [kind: string, value: string][] => {
  const names: [string, string][] = [];
  const next = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;
  while (next.lastIndex < text.length) {
    const match = next.exec(text);
    // A list that cannot be read to its end names nobody.
    if (!match) return [];
    const [, kind = '', value = ''] = match;
    names.push([kind, value.startsWith('"') ? String(JSON.parse(value)) : value]);
  }
  return names;
};

/** RFC 4514 §2.4: a character after a backslash, or its bytes in hexadecimal. Node writes subjects so as well. */
const unescaped = (value: string): string =>
  value.replaceAll(/((?:\\[0-9a-f]{2})+)|\\(.)/gis, (_, bytes: string | undefined, character: string) =>
    bytes === undefined ? character : Buffer.from(bytes.replaceAll('\\', ''), 'hex').toString(),
  );

const part = (text: string): string => {
  const at = text.indexOf('=');
  return `${text.slice(0, at).trim().toUpperCase()}=${unescaped(text.slice(at + 1).trim())}`;
};

/** Part by part, in the certificate's order, which RFC 4514 writes from the end. Parts of several values are not told apart. */
const sameName = (certificate: X509Certificate, expected: string): boolean =>
  JSON.stringify(certificate.subject.split('\n').map(part)) ===
  JSON.stringify(
    expected
      .split(/(?<!\\),/)
      .map(part)
      .reverse(),
  );

const KIND: Record<string, string> = {
  tls_client_auth_san_dns: 'DNS',
  tls_client_auth_san_email: 'email',
  tls_client_auth_san_ip: 'IP Address',
  tls_client_auth_san_uri: 'URI',
};

/**
 * Whether a certificate bears the name that a client registered.
 *
 * @param property The member of client metadata it is registered as.
 * @see [RFC 8705 §2.1.2](https://www.rfc-editor.org/rfc/rfc8705.html#section-2.1.2)
 */
export const subjectMatches = (certificate: X509Certificate, property: string, expected: string): boolean => {
  if (property === 'tls_client_auth_subject_dn') return sameName(certificate, expected);
  const kind = KIND[property];
  const fold = (value: string) => (kind === 'DNS' ? value.toLowerCase() : value);
  return alternativeNames(certificate.subjectAltName ?? '').some(
    ([of, value]) => of === kind && fold(value) === fold(expected),
  );
};
