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

/** A distinguished name (RFC 4514), as its parts in the order of the certificate. Multi-valued parts are not told apart. */
const parts = (name: string): string[] =>
  name
    .split(/(?<!\\),/)
    .map((part) => {
      const at = part.indexOf('=');
      const value = part
        .slice(at + 1)
        .trim()
        .replaceAll(/\\([,+"\\<>;= #])/g, '$1');
      return `${part.slice(0, at).trim().toUpperCase()}=${value}`;
    })
    .reverse();

const sameName = (certificate: X509Certificate, expected: string): boolean => {
  const actual = certificate.subject.split('\n').map((part) => {
    const at = part.indexOf('=');
    return `${part.slice(0, at).toUpperCase()}=${part.slice(at + 1)}`;
  });
  return JSON.stringify(actual) === JSON.stringify(parts(expected));
};

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
