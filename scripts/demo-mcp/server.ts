// A protected MCP server: streamable HTTP by the official SDK, and in front of it what the MCP authorization spec asks of a resource
// server: metadata (RFC 9728), tokens for this resource alone, and challenges that say what is missing.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createVerifyBearer, type Holder, type VerifyBearer } from './bearer.ts';
import { createNotes, LEAST_SCOPE, SCOPES, TOOL_SCOPES } from './notes.ts';

export type McpServerSettings = {
  /** The authorization server. */
  issuer: string;
  /** 0 takes any free port. */
  port: number;
  path?: string;
  /** What is said of a request that failed through no fault of its sender. */
  onError?: (error: unknown) => void;
};

const WELL_KNOWN = '/.well-known/oauth-protected-resource';
const MAX_BODY_BYTES = 1_048_576;
const LOOPBACK = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** The body is no JSON, or too much of it. */
class BadBody extends Error {}

const bodyOf = async (req: IncomingMessage): Promise<unknown> => {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new BadBody('The body is too large.');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new BadBody('The body is not JSON.');
  }
};

/** What the messages of a body call for, beyond the least: a tool may need a scope of its own. */
const neededBy = (body: unknown): string[] =>
  (Array.isArray(body) ? body : [body]).flatMap((message) => {
    const { method, params } = Object(message);
    const scope = method === 'tools/call' ? TOOL_SCOPES[String(Object(params).name)] : undefined;
    return scope ? [scope] : [];
  });

/** Serves until `close`; `resource` is its identifier, and where it is. */
export const startMcpServer = async ({ issuer, port, path = '/mcp', onError = () => {} }: McpServerSettings) => {
  const notes = createNotes();
  const http = createServer();
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, 'localhost', resolve);
  });
  const origin = `http://localhost:${(http.address() as AddressInfo).port}`;
  const resource = origin + path;
  const metadataUrl = origin + WELL_KNOWN + path;
  let verify: VerifyBearer | undefined;

  const metadata = {
    resource,
    authorization_servers: [issuer],
    scopes_supported: Object.keys(SCOPES),
    bearer_methods_supported: ['header'],
    resource_name: 'Demo notes',
  };

  const answer = (res: ServerResponse, status: number, body: unknown): void => {
    res.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  };

  const challenge = (res: ServerResponse, status: 401 | 403, error: string | undefined, scope: string): void => {
    // Nothing was sent: then no error is named (RFC 6750 §3.1).
    const facts = [error && `error="${error}"`, `scope="${scope}"`, `resource_metadata="${metadataUrl}"`];
    res.setHeader('WWW-Authenticate', `Bearer ${facts.filter(Boolean).join(', ')}`);
    answer(res, status, { error: error ?? 'unauthorized' });
  };

  const serve = async (req: IncomingMessage, res: ServerResponse, holder: Holder): Promise<void> => {
    const body = await bodyOf(req);
    const needed = [...new Set([LEAST_SCOPE, ...neededBy(body)])];
    if (!needed.every((scope) => holder.scopes.has(scope)))
      // With what is there already, so that a client which asks for exactly this loses nothing.
      return challenge(res, 403, 'insufficient_scope', [...new Set([...holder.scopes, ...needed])].join(' '));
    const server = notes.serverFor(holder);
    // No sessions: every request proves itself.
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined, enableJsonResponse: true });
    res.once('close', () => void server.close());
    await server.connect(transport);
    await transport.handleRequest(req, res, body);
  };

  const handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    // A page that has rebound its name to this machine still sends that name, and its own origin.
    if (`http://${req.headers.host}` !== origin) return answer(res, 421, { error: 'misdirected_request' });
    if (req.headers.origin !== undefined && !LOOPBACK.test(req.headers.origin))
      return answer(res, 403, { error: 'origin_not_allowed' });
    if (req.headers.origin !== undefined) {
      res.setHeader('Access-Control-Allow-Origin', req.headers.origin);
      // Any but this one, which has to be named: clients add headers of their own by the version of the protocol.
      res.setHeader('Access-Control-Allow-Headers', '*, authorization');
      res.setHeader('Access-Control-Allow-Methods', 'GET, POST, DELETE');
      res.setHeader('Access-Control-Expose-Headers', 'WWW-Authenticate');
      res.setHeader('Vary', 'Origin');
    }
    if (req.method === 'OPTIONS') return void res.writeHead(204).end();
    const { pathname } = new URL(req.url ?? '/', origin);
    // RFC 9728 §3.1 puts the path of the resource behind; older clients ask without it.
    if (req.method === 'GET' && (pathname === WELL_KNOWN + path || pathname === WELL_KNOWN))
      return answer(res, 200, metadata);
    if (pathname !== path) return answer(res, 404, { error: 'not_found' });
    verify ??= await createVerifyBearer(issuer, resource);
    const { authorization } = req.headers;
    const holder = await verify(authorization);
    if (!holder) return challenge(res, 401, authorization === undefined ? undefined : 'invalid_token', LEAST_SCOPE);
    // Nothing is sent on its own accord, and there are no sessions to end.
    if (req.method !== 'POST') {
      res.setHeader('Allow', 'POST');
      return answer(res, 405, { error: 'method_not_allowed' });
    }
    await serve(req, res, holder);
  };

  http.on('request', (req, res) => {
    handle(req, res).catch((error: unknown) => {
      if (error instanceof BadBody) return answer(res, 400, { error: 'invalid_request', message: error.message });
      onError(error);
      if (!res.headersSent) answer(res, 503, { error: 'temporarily_unavailable' });
    });
  });

  return {
    resource,
    metadataUrl,
    /** As `POST /admin/resources` takes it. */
    registration: {
      identifier: resource,
      name: metadata.resource_name,
      scopes: Object.entries(SCOPES).map(([name, description]) => ({ name, description })),
      default_scopes: [LEAST_SCOPE],
    },
    close: () =>
      new Promise((resolve) => {
        http.closeAllConnections();
        http.close(resolve);
      }),
  };
};
