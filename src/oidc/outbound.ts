import { lookup as resolve } from 'node:dns';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { getCACertificates } from 'node:tls';
import { isLoopbackAddress, isPublicAddress } from './special-addresses.ts';

export type OutboundSettings = {
  /** Certificates (PEM) of further authorities that are believed. */
  extraCa?: string | undefined;
  /** While developing: this machine may be reached too, also by plain http. */
  reachLoopback?: boolean | undefined;
};

const DEADLINE_MS = 3_500;
const MAX_BYTES = 256 * 1024;

/** The address is not one that a stranger may send us to, or what is there does not answer as it should. The message names no address. */
export class OutboundError extends Error {}

/** Looks a host up once, refuses it unless every address it has is allowed, and connects to what was looked up and nothing else. */
const guardedLookup =
  (isAllowed: (address: string) => boolean): LookupFunction =>
  (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error) return callback(error, '', 0);
      if (!first || !addresses.every(({ address }) => isAllowed(address)))
        return callback(new OutboundError('the host has an address that is not of the public internet'), '', 0);
      return options.all ? callback(null, addresses) : callback(null, first.address, first.family);
    });
  };

const bodyOf = async (message: IncomingMessage): Promise<Buffer<ArrayBuffer>> => {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message) {
    size += chunk.length;
    if (size > MAX_BYTES) {
      message.destroy();
      throw new OutboundError('the answer is too large');
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

const WITHOUT_BODY = new Set([101, 204, 205, 304]);

export type Outbound = ReturnType<typeof createOutbound>;

/**
 * Requests to addresses that strangers name: jwks_uri, sector_identifier_uri, client metadata documents, logout and notification endpoints.
 * They go to https of the public internet alone, follow no redirect, and are over in 3.5 s (OWASP SSRF Prevention; RFC 9700 §4.11 on what
 * a server fetches for a client).
 */
export const createOutbound = ({ extraCa, reachLoopback = false }: OutboundSettings) => {
  const isAllowed = (address: string): boolean =>
    isPublicAddress(address) || (reachLoopback && isLoopbackAddress(address));
  const ca = extraCa === undefined ? undefined : [...getCACertificates('default'), extraCa];
  const lookup = guardedLookup(isAllowed);

  const send = (url: URL, options: RequestOptions, body: string | undefined): Promise<IncomingMessage> =>
    new Promise((answered, failed) => {
      const request = (url.protocol === 'https:' ? httpsRequest : httpRequest)(url, options, answered);
      request.once('error', failed);
      request.end(body);
    });

  return {
    /** As the global `fetch`, of which it does what the engine asks for. @throws {OutboundError} and what sockets throw. */
    async fetch(target: string | URL | Request, init: RequestInit = {}): Promise<Response> {
      const url = new URL(target instanceof Request ? target.url : target);
      const host = url.hostname.replace(/^\[|\]$/g, '');
      if (url.protocol !== 'https:' && !(reachLoopback && url.protocol === 'http:'))
        throw new OutboundError('only https is fetched');
      if (url.username !== '' || url.password !== '') throw new OutboundError('a URL with credentials is not fetched');
      // An address in numbers is not looked up.
      if (isIP(host) !== 0 && !isAllowed(host)) throw new OutboundError('the address is not of the public internet');
      const deadline = AbortSignal.timeout(DEADLINE_MS);
      const signal = init.signal ? AbortSignal.any([init.signal, deadline]) : deadline;
      const { body } = init;
      const message = await send(
        url,
        {
          method: init.method ?? 'GET',
          headers: { ...Object.fromEntries(new Headers(init.headers)), 'accept-encoding': 'identity' },
          // Plain http is for this machine alone, whatever else a name resolves to.
          lookup: url.protocol === 'http:' ? guardedLookup(isLoopbackAddress) : lookup,
          agent: false,
          signal,
          ...(ca && { ca }),
        },
        body === undefined || body === null ? undefined : String(body),
      );
      const content = await bodyOf(message);
      const status = message.statusCode ?? 502;
      const headers = new Headers();
      for (const [name, value] of Object.entries(message.headersDistinct))
        for (const one of value ?? []) headers.append(name, one);
      return new Response(WITHOUT_BODY.has(status) ? null : content, { status, headers });
    },
  };
};
