import type { IncomingMessage, Server, ServerResponse } from 'node:http';

export type RequestBounds = {
  /** How long a request may take to arrive. */
  totalMs: number;
  /** How long nothing may come of one that is sent for as long as it takes. */
  idleMs: number;
  /** How long a request may go on arriving once it is answered. */
  answeredMs: number;
};

/** How long a refused sender has to read that it was. */
const LINGER_MS = 500;

const BOUNDS: RequestBounds = { totalMs: 300_000, idleMs: 60_000, answeredMs: 10_000 };

/** What is a stream by its nature: a file of a million users takes as long as it takes. */
const STREAMS = new Set(['POST /admin/users/import']);

const isStream = ({ method, url = '' }: IncomingMessage): boolean =>
  STREAMS.has(`${method} ${url.split('?', 1)[0]?.replace(/\/+$/, '')}`);

/** RFC 9112 §6.3: without either there is nothing to wait for. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';

const cut = (request: IncomingMessage, response: ServerResponse): void => {
  const { socket } = request;
  if (request.complete) return;
  // As Node itself says it: there may be a handler that still waits for the rest.
  if (response.headersSent || !socket.writable) {
    socket.destroy();
    return;
  }
  socket.end('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n');
  // What is still on its way to us would make the system take the answer back, were the connection gone at once (RFC 9112 §9.6).
  request.resume();
  setTimeout(() => socket.destroy(), LINGER_MS).unref();
};

/**
 * Bounds how long requests take to arrive, in place of Node's one bound for all of them: a stream may go on for as long as something
 * of it comes. What waits for us to read it is not idle. Headers keep the bound that Node has for them.
 */
export const boundRequests = (server: Server, bounds: Partial<RequestBounds> = {}): void => {
  const { totalMs, idleMs, answeredMs } = { ...BOUNDS, ...bounds };
  server.requestTimeout = 0;

  server.on('request', (request, response) => {
    if (!hasBody(request)) return;
    const { socket } = request;
    let timer: NodeJS.Timeout | undefined;
    const stop = () => clearTimeout(timer);
    const after = (ms: number, act: () => void) => {
      stop();
      timer = setTimeout(act, ms).unref();
    };
    const watch = (seen: number): void =>
      after(idleMs, () => {
        const heard = socket.bytesRead;
        const unread = request.readableLength > 0;
        if (heard === seen && !unread) cut(request, response);
        else watch(heard);
      });

    if (isStream(request)) watch(socket.bytesRead);
    else after(totalMs, () => cut(request, response));
    request.once('end', stop);
    request.once('close', stop);
    response.once('finish', () => {
      if (!request.complete) after(answeredMs, () => socket.destroy());
    });
  });
};
