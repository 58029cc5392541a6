// What variables may be together, and in production.
import { problemsOfFederation } from './config-federation.ts';
import { secretsOf, type Variable } from './config-fields.ts';
import { isGuessable } from './config-secret-strength.ts';
import { problemsOfTls } from './config-tls.ts';

type Given = Partial<Record<Variable, string>>;

/** Looks at what was given, so that these are told beside the problems of single variables. */
export function problemsBetween(given: Given): string[] {
  const problems: string[] = [];
  if (given.NODE_ENV === 'production') {
    for (const name of ['ISSUER', 'JWT_SECRET_KEY', 'DATABASE_URL', 'REDIS_URL', 'SMTP_URL'] as const) {
      if (!given[name]) problems.push(`${name} must be set in production`);
    }
    if (given.ISSUER && /^http:/i.test(given.ISSUER)) problems.push('ISSUER must be https in production');
    problems.push(...weakSecrets(given));
  }
  if (given.NODE_ENV === 'production' && given.OUTBOUND_LOOPBACK === 'true')
    problems.push('OUTBOUND_LOOPBACK is for development: in production nobody may send this server to itself');
  // Anybody could send the header to a server that no proxy stands in front of.
  if (given.MTLS_CERTIFICATE_HEADER && (!given.TRUST_PROXY || /^(0|false)$/.test(given.TRUST_PROXY)))
    problems.push(
      'MTLS_CERTIFICATE_HEADER needs TRUST_PROXY: only a proxy in front can be believed about certificates',
    );
  if (given.MTLS_VERIFIED_HEADER && !given.MTLS_CERTIFICATE_HEADER)
    problems.push('MTLS_VERIFIED_HEADER cannot be used without MTLS_CERTIFICATE_HEADER');
  if (given.MTLS_ORIGIN && !given.MTLS_CERTIFICATE_HEADER)
    problems.push('MTLS_ORIGIN cannot be used without MTLS_CERTIFICATE_HEADER');
  if (given.MTLS_VERIFIED_HEADER && given.MTLS_VERIFIED_HEADER === given.MTLS_CERTIFICATE_HEADER)
    problems.push('MTLS_VERIFIED_HEADER and MTLS_CERTIFICATE_HEADER must be two headers');
  if (Number(given.WEB_CONCURRENCY) > 1 && !given.DATABASE_URL) {
    problems.push('WEB_CONCURRENCY above 1 needs DATABASE_URL: the embedded database serves one process');
  }
  if (given.PORT === '0' && !given.ISSUER)
    problems.push('PORT 0 takes any free port, so ISSUER must say which URL leads to it');
  const pair = ['OAUTH_CLIENT_ID', 'OAUTH_CLIENT_SECRET'] as const;
  const present = [...pair, 'OAUTH_REDIRECT_URIS' as const].filter((name) => given[name]);
  const absent = pair.filter((name) => !given[name]);
  if (present.length > 0 && absent.length > 0) {
    problems.push(`${present.join(' and ')} cannot be used without ${absent.join(' and ')}`);
  }
  return [...problems, ...problemsOfTls(given), ...problemsOfFederation(given)];
}

/** Secrets that somebody could guess: they are told, and in production refused. */
export function weakSecrets(given: Given): string[] {
  // At least 128 bits (RFC 6749 §10.10) fit into no fewer characters than 16; the keys have a longer minimum of their own.
  const sealing = secretsOf(given.KEY_ENCRYPTION_SECRET ?? '').some((one) => one.length >= 32 && isGuessable(one));
  const easy = sealing ? ['KEY_ENCRYPTION_SECRET has a value that is too easy to guess for production'] : [];
  return (['JWT_SECRET_KEY', 'MASTER_KEY', 'OAUTH_CLIENT_SECRET'] as const)
    .flatMap((name) => {
      const value = given[name];
      if (!value) return [];
      const least = name === 'OAUTH_CLIENT_SECRET' ? 16 : 32;
      const short = Buffer.byteLength(value) < least;
      // A short key is refused as such already.
      if (short ? least === 32 : !isGuessable(value)) return [];
      return [
        `${name} is too easy to guess for production: use a random value, such as \`openssl rand -base64 48\` prints`,
      ];
    })
    .concat(easy);
}
