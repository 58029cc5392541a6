import { hash, X509Certificate } from 'node:crypto';
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider';
import { subjectMatches } from '../certificate-subjects.ts';

export type MtlsSettings = {
  /** The header in which the proxy hands on the client's certificate, as URL-encoded PEM. Absent: there is no mutual TLS. */
  certificateHeader?: string | undefined;
  /** The header that is SUCCESS when the proxy has verified the certificate against its authorities. Absent: it verifies none. */
  verifiedHeader?: string | undefined;
  /** Another origin that leads here, at which the proxy asks for certificates. Absent: it does so at the issuer's. */
  origin?: string | undefined;
};

const ONE_CERTIFICATE = /^-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----\s*$/;

type Request = { get(header: string): string };

/** The certificate that the client showed to the proxy in front. A header that nobody configured is never looked at. */
export const createCertificates = ({ certificateHeader, verifiedHeader }: MtlsSettings) => {
  const of = (ctx: Request): X509Certificate | undefined => {
    const value = certificateHeader === undefined ? '' : ctx.get(certificateHeader);
    if (value === '') return undefined;
    try {
      const pem = decodeURIComponent(value);
      // Two of them would leave it open whose connection it is; none that could be read is as good as none.
      return ONE_CERTIFICATE.test(pem) ? new X509Certificate(pem) : undefined;
    } catch {
      return undefined;
    }
  };
  return {
    of,
    /** RFC 8705 §3.1: SHA-256 of its DER, base64url. */
    thumbprintOf(ctx: Request): string | undefined {
      const certificate = of(ctx);
      return certificate && hash('sha256', certificate.raw, 'base64url');
    },
    /** Whether the proxy vouches for it. */
    isVerified: (ctx: Request): boolean => verifiedHeader !== undefined && ctx.get(verifiedHeader) === 'SUCCESS',
  };
};

export type Certificates = ReturnType<typeof createCertificates>;

const ALIASED: Record<string, string> = {
  token_endpoint: '/oauth/token',
  revocation_endpoint: '/oauth/revoke',
  introspection_endpoint: '/oauth/introspect',
  pushed_authorization_request_endpoint: '/oauth/par',
  device_authorization_endpoint: '/oauth/device_authorization',
  backchannel_authentication_endpoint: '/oauth/backchannel',
  userinfo_endpoint: '/oauth/userinfo',
};

/** What discovery says of another origin for clients with certificates: browsers, which ask their people for one, never come there (RFC 8705 §5). */
export const mtlsAliases = ({ certificateHeader, origin }: MtlsSettings = {}) =>
  certificateHeader === undefined || origin === undefined
    ? {}
    : {
        mtls_endpoint_aliases: Object.fromEntries(
          Object.entries(ALIASED).map(([name, path]) => [name, `${origin}${path}`]),
        ),
      };

/** Mutual TLS (RFC 8705), behind a proxy that ends TLS. */
export const mtls = (settings: MtlsSettings) => {
  const { certificateHeader, verifiedHeader } = settings;
  const certificates = createCertificates(settings);
  return {
    methods: [
      ...(certificateHeader === undefined ? [] : (['self_signed_tls_client_auth'] as const)),
      // Without the proxy's word that it verified the certificate anybody could make one of any name.
      ...(certificateHeader === undefined || verifiedHeader === undefined ? [] : (['tls_client_auth'] as const)),
    ],
    features: {
      mTLS: {
        enabled: certificateHeader !== undefined,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: verifiedHeader !== undefined,
        getCertificate: (ctx: KoaContextWithOIDC) => certificates.of(ctx),
        certificateAuthorized: (ctx: KoaContextWithOIDC) => certificates.isVerified(ctx),
        certificateSubjectMatches: (ctx: KoaContextWithOIDC, property: string, expected: string) => {
          const certificate = certificates.of(ctx);
          return certificate !== undefined && subjectMatches(certificate, property, expected);
        },
      },
    },
  } satisfies Pick<Configuration, 'features'> & { methods: unknown };
};
