// An MCP host around the official clients: remembers what they ask it to, and sends a person's browser where they say.
import type { OAuthClientProvider as ModernProvider } from '@modelcontextprotocol/client';
import * as modern from '@modelcontextprotocol/client';
import type { OAuthClientProvider as SdkProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import * as sdkAuth from '@modelcontextprotocol/sdk/client/auth.js';
import * as sdk from '@modelcontextprotocol/sdk/client/index.js';
import * as sdkHttp from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { type Browser, createBrowser } from './browser.ts';
import { CALLBACK, type Person, passThrough } from './relying-party.ts';

type ClientInformation = { client_id: string; client_secret?: string; issuer?: string };
type Tokens = { access_token: string; token_type: string; refresh_token?: string; scope?: string; issuer?: string };

export type HostOptions = {
  origin: string;
  person: Person;
  /** Known beforehand; absent, the client registers itself or is known by `clientMetadataUrl`. */
  client?: ClientInformation;
  clientMetadataUrl?: string;
  redirectUrl?: string;
  grantTypes?: string[];
  fetch?: typeof fetch;
};

/** What the two clients have in common: both take this for an OAuthClientProvider. */
export const createHost = ({ origin, person, redirectUrl = CALLBACK, ...options }: HostOptions) => {
  const browser: Browser = createBrowser(origin);
  const visited: URL[] = [];
  let information: ClientInformation | undefined = options.client;
  let tokens: Tokens | undefined;
  let verifier = '';
  let discovery: unknown;
  const provider = {
    redirectUrl,
    clientMetadataUrl: options.clientMetadataUrl,
    clientMetadata: {
      client_name: 'MCP host',
      redirect_uris: [redirectUrl],
      grant_types: options.grantTypes ?? ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    state: () => 'a state of the host',
    clientInformation: () => information,
    saveClientInformation: (given: ClientInformation) => {
      information = given;
    },
    tokens: () => tokens,
    saveTokens: (given: Tokens) => {
      tokens = given;
    },
    saveCodeVerifier: (given: string) => {
      verifier = given;
    },
    codeVerifier: () => verifier,
    saveDiscoveryState: (given: unknown) => {
      discovery = given;
    },
    discoveryState: () => discovery,
    redirectToAuthorization: (url: URL) => {
      visited.push(url);
    },
  };

  return {
    provider,
    /** Where the client wanted the browser to go, the last one at the end. */
    visited,
    browser,
    information: () => information,
    tokens: () => tokens,
    setTokens: (given: Tokens | undefined) => {
      tokens = given;
    },
    /** Goes there as the person, allows what is asked, and comes back with the answer. */
    async authorize(): Promise<URLSearchParams> {
      const url = visited.at(-1);
      if (!url) throw new Error('the client asked for no authorization');
      const arrived = await passThrough(browser, await browser.go(url), person);
      if (arrived.status !== 0) throw new Error(`stopped at ${arrived.url.pathname}: ${arrived.html}`);
      return arrived.url.searchParams;
    },
  };
};

export type Host = ReturnType<typeof createHost>;

/** What a test does with a client, whichever of the two it is. */
export type Connection = {
  /** Calls a tool, and answers with what it says. @throws as the client does. */
  call(tool: string, args?: Record<string, unknown>): Promise<string>;
  /** Hands over what the browser brought back. */
  finish(answer: URLSearchParams): Promise<void>;
  connect(): Promise<void>;
  close(): Promise<void>;
};

const textOf = (result: unknown): string => {
  const { content } = result as { content: { text?: string }[] };
  return content.map(({ text }) => text ?? '').join('');
};

type Kind = {
  /** Whether this is how the client says that the person has to be asked. */
  isUnauthorized(error: unknown): boolean;
  open(host: Host, url: string, fetchBy?: typeof fetch): Connection;
};

const sdk1: Kind = {
  isUnauthorized: (error) => error instanceof sdkAuth.UnauthorizedError,
  open(host, url, fetchBy) {
    const authProvider = host.provider as unknown as SdkProvider;
    const transportOf = () =>
      new sdkHttp.StreamableHTTPClientTransport(new URL(url), { authProvider, ...(fetchBy && { fetch: fetchBy }) });
    let transport = transportOf();
    let client = new sdk.Client({ name: 'host', version: '1' });
    return {
      async connect() {
        transport = transportOf();
        client = new sdk.Client({ name: 'host', version: '1' });
        await client.connect(transport as Parameters<typeof client.connect>[0]);
      },
      call: async (name, args = {}) => textOf(await client.callTool({ name, arguments: args })),
      finish: (answer) => transport.finishAuth(answer.get('code') ?? ''),
      close: () => client.close(),
    };
  },
};

const client2: Kind = {
  isUnauthorized: (error) => error instanceof modern.UnauthorizedError,
  open(host, url, fetchBy) {
    const authProvider = host.provider as unknown as ModernProvider;
    const transportOf = () =>
      new modern.StreamableHTTPClientTransport(new URL(url), { authProvider, ...(fetchBy && { fetch: fetchBy }) });
    let transport = transportOf();
    let client = new modern.Client({ name: 'host', version: '1' });
    return {
      async connect() {
        transport = transportOf();
        client = new modern.Client({ name: 'host', version: '1' });
        await client.connect(transport);
      },
      call: async (name, args = {}) => textOf(await client.callTool({ name, arguments: args })),
      finish: (answer) => transport.finishAuth(answer),
      close: () => client.close(),
    };
  },
};

/** The official clients, as published. */
export const CLIENTS = { '@modelcontextprotocol/sdk 1.x': sdk1, '@modelcontextprotocol/client 2.x': client2 } as const;

/** Connects as a host does that holds no token yet: it is refused, asks the person, and connects. */
export const signInTo = async (kind: Kind, host: Host, url: string, fetchBy?: typeof fetch): Promise<Connection> => {
  const connection = kind.open(host, url, fetchBy);
  try {
    await connection.connect();
    throw new Error('connected without a token');
  } catch (error) {
    if (!kind.isUnauthorized(error)) throw error;
  }
  await connection.finish(await host.authorize());
  await connection.connect();
  return connection;
};
