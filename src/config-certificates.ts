import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** The certificates (PEM) in a file; undefined when it cannot be read, has none, or has something that is none. */
export const certificatesIn = (path: string): string | undefined => {
  try {
    const all = readFileSync(path, 'utf8').match(CERTIFICATE) ?? [];
    for (const one of all) new X509Certificate(one);
    return all.length > 0 ? `${all.join('\n')}\n` : undefined;
  } catch {
    return undefined;
  }
};
