import { getCACertificates } from 'node:tls';
import { boundedRequest, OutboundError, type Resolver } from './bounded-request.ts';
import { isLoopbackAddress, isPublicAddress, type Reach, reachOfAddress } from './special-addresses.ts';

export type OutboundSettings = {
  /** Certificates (PEM) of further authorities that are believed. */
  extraCa?: string | undefined;
  /** While developing: this machine may be reached too, also by plain http. */
  reachLoopback?: boolean | undefined;
};

const DEADLINE_MS = 3_500;
const WITHOUT_BODY = new Set([101, 204, 205, 304]);

export type Outbound = ReturnType<typeof createOutbound>;

/**
 * Requests to addresses that strangers name: jwks_uri, sector_identifier_uri, client metadata documents, logout and notification endpoints.
 * They go to https of the public internet alone, follow no redirect, and are over in 3.5 s (OWASP SSRF Prevention; RFC 9700 §4.11 on what
 * a server fetches for a client).
 */
export const createOutbound = ({ extraCa, reachLoopback = false }: OutboundSettings, resolve?: Resolver) => {
  const isAllowed = (address: string): boolean =>
    isPublicAddress(address) || (reachLoopback && isLoopbackAddress(address));
  const ca = extraCa === undefined ? undefined : [...getCACertificates('default'), extraCa];

  return {
    /** As the global `fetch`, of which it does what the engine asks for. @throws {OutboundError} and what sockets throw. */
    async fetch(target: string | URL | Request, init: RequestInit = {}): Promise<Response> {
      const url = new URL(target instanceof Request ? target.url : target);
      if (url.protocol === 'http:' && !reachLoopback) throw new OutboundError('only https is fetched');
      const deadline = AbortSignal.timeout(DEADLINE_MS);
      const { body } = init;
      const { status, distinct, content } = await boundedRequest(url, {
        method: init.method,
        headers: Object.fromEntries(new Headers(init.headers)),
        body: body === undefined || body === null ? undefined : String(body),
        signal: init.signal ? AbortSignal.any([init.signal, deadline]) : deadline,
        isAllowed,
        ca,
        resolve,
      });
      const headers = new Headers();
      for (const [name, values] of Object.entries(distinct))
        for (const value of values ?? []) headers.append(name, value);
      return new Response(WITHOUT_BODY.has(status) ? null : content, { status, headers });
    },
  };
};

/** How providers that people sign in with are reached: further inside as well, where the operator said that they are. */
export const createProviderNetwork = (resolve?: Resolver) => ({
  reachOf: (address: string): Reach => reachOfAddress(address),

  /** @throws {OutboundError} and what sockets throw. */
  async request(
    url: URL,
    asked: { method?: string; headers?: Record<string, string>; body?: string; signal: AbortSignal },
    isAllowed: (address: string) => boolean,
  ): Promise<{ status: number; text: string; address: string }> {
    const { status, content, address } = await boundedRequest(url, { ...asked, isAllowed, resolve });
    return { status, text: content.toString('utf8'), address };
  },
});
