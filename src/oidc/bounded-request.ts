import { lookup as systemLookup } from 'node:dns';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { isLoopbackAddress } from './special-addresses.ts';

const MAX_BYTES = 256 * 1024;

/** The address is not one that this request may go to, or what is there does not answer as it should. The message names no address. */
export class OutboundError extends Error {}

/** How names become addresses; the system's resolver, unless a test says otherwise. */
export type Resolver = typeof systemLookup;

/** Looks a host up once, refuses it unless every address it has is allowed, and connects to what was looked up and nothing else. */
const guardedLookup =
  (isAllowed: (address: string) => boolean, resolve: Resolver): LookupFunction =>
  (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      const [first] = addresses ?? [];
      if (error) return callback(error, '', 0);
      if (!first || !addresses.every(({ address }) => isAllowed(address)))
        return callback(new OutboundError('the host has an address that this request may not go to'), '', 0);
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

export type BoundedRequest = {
  method?: string | undefined;
  headers?: Record<string, string> | undefined;
  body?: string | undefined;
  /** Ends it, the reading of the answer included. */
  signal: AbortSignal;
  /** Whether it may go to this address. */
  isAllowed: (address: string) => boolean;
  /** The authorities that are believed; the system's when absent. */
  ca?: string[] | undefined;
  resolve?: Resolver | undefined;
};

export type BoundedAnswer = {
  status: number;
  headers: IncomingHttpHeaders;
  distinct: NodeJS.Dict<string[]>;
  content: Buffer<ArrayBuffer>;
  /** Where it came from. */
  address: string;
};

/**
 * One request on a connection of its own: it goes to no address that is not allowed, whatever a name leads to by then (DNS rebinding), by
 * plain http to this machine alone, follows no redirect, and reads 256 KiB at most.
 *
 * @throws {OutboundError} and what sockets throw.
 * @see [OWASP SSRF Prevention](https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html)
 */
export const boundedRequest = async (url: URL, asked: BoundedRequest): Promise<BoundedAnswer> => {
  const { method = 'GET', headers, body, signal, ca, resolve = systemLookup } = asked;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const plain = url.protocol === 'http:';
  if (!plain && url.protocol !== 'https:') throw new OutboundError('only https is fetched');
  if (url.username !== '' || url.password !== '') throw new OutboundError('a URL with credentials is not fetched');
  const isAllowed = (address: string) => asked.isAllowed(address) && (!plain || isLoopbackAddress(address));
  // An address in numbers is not looked up.
  if (isIP(host) !== 0 && !isAllowed(host)) throw new OutboundError('the address is not one that may be asked');
  const options: RequestOptions = {
    method,
    headers: { ...headers, 'accept-encoding': 'identity' },
    lookup: guardedLookup(isAllowed, resolve),
    agent: false,
    signal,
    ...(ca && { ca }),
  };
  const message = await new Promise<IncomingMessage>((answered, failed) => {
    const request = (plain ? httpRequest : httpsRequest)(url, options, answered);
    request.once('error', failed);
    request.end(body);
  });
  const address = message.socket.remoteAddress;
  if (address === undefined) throw new OutboundError('the connection was gone before it was known where it led');
  const content = await bodyOf(message);
  return {
    status: message.statusCode ?? 502,
    headers: message.headers,
    distinct: message.headersDistinct,
    content,
    address,
  };
};
