import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** What the server proves itself with where it ends TLS itself: PEM, a chain with the server's own certificate first. */
export type TlsSettings = { cert: string; key: string };

const read = <T>(path: string, understand: (text: string) => T): T | undefined => {
  try {
    return understand(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
};

const certificateOf = (path: string) => read(path, (text) => ({ text, parsed: new X509Certificate(text) }));
const keyOf = (path: string) => read(path, (text) => ({ text, parsed: createPrivateKey(text) }));

/** What is wrong with TLS_CERT and TLS_KEY, by their names. */
export const problemsOfTls = (given: { TLS_CERT?: string; TLS_KEY?: string; ISSUER?: string }): string[] => {
  const { TLS_CERT, TLS_KEY, ISSUER } = given;
  if (TLS_CERT === undefined && TLS_KEY === undefined) return [];
  if (TLS_CERT === undefined) return ['TLS_KEY cannot be used without TLS_CERT'];
  if (TLS_KEY === undefined) return ['TLS_CERT cannot be used without TLS_KEY'];
  const problems: string[] = [];
  const certificate = certificateOf(TLS_CERT);
  const key = keyOf(TLS_KEY);
  if (!certificate) problems.push('TLS_CERT must be a file with a certificate (PEM) that can be read');
  if (!key) problems.push('TLS_KEY must be a file with a private key (PEM, without a passphrase) that can be read');
  if (certificate && key && !certificate.parsed.checkPrivateKey(key.parsed))
    problems.push('TLS_KEY is not the key of the certificate in TLS_CERT');
  if (ISSUER && /^http:/i.test(ISSUER)) problems.push('ISSUER must be https where TLS_CERT is set');
  return problems;
};

/** The files' content; undefined where there are none, or one that `problemsOfTls` tells of. */
export const tlsOf = (cert: string | undefined, key: string | undefined): TlsSettings | undefined => {
  const files = cert !== undefined && key !== undefined ? [certificateOf(cert)?.text, keyOf(key)?.text] : [];
  const [certText, keyText] = files;
  return certText !== undefined && keyText !== undefined ? { cert: certText, key: keyText } : undefined;
};
