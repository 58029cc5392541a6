// A real SMTP server on a free port, which can be told to misbehave.
import { once } from 'node:events';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';

export type Received = {
  from: string;
  to: string[];
  /** By lower-case name, unfolded and decoded. */
  headers: Map<string, string>;
  text: string;
  html: string;
  raw: string;
};

type Command = 'CONNECT' | 'MAIL FROM' | 'RCPT TO' | 'DATA';

const decodeWord = (_: string, encoding: string, text: string): string =>
  /b/i.test(encoding)
    ? Buffer.from(text, 'base64').toString()
    : Buffer.from(
        text
          .replaceAll('_', ' ')
          .replace(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
        'latin1',
      ).toString();

const split = (raw: string): { headers: Map<string, string>; body: string } => {
  const end = raw.indexOf('\r\n\r\n');
  const lines = raw
    .slice(0, end)
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).trim();
    return [
      line.slice(0, colon).toLowerCase(),
      value.replace(/\?=\s+=\?/g, '?==?').replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, decodeWord),
    ];
  });
  return { headers: new Map(headers), body: raw.slice(end + 4) };
};

const decodeBody = (body: string, encoding: string): string => {
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString();
  if (encoding !== 'quoted-printable') return body;
  const bytes = body
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString();
};

const partsOf = (raw: string): [type: string, text: string][] => {
  const { headers, body } = split(raw);
  const type = headers.get('content-type') ?? 'text/plain';
  const boundary = /boundary="?([^";]+)/.exec(type)?.[1];
  if (boundary === undefined) return [[type, decodeBody(body, headers.get('content-transfer-encoding') ?? '')]];
  const parts = `\r\n${body}`.split(`\r\n--${boundary}`).slice(1, -1);
  return parts.flatMap((part) => partsOf(part.replace(/^\r\n/, '')));
};

export type TestSmtp = Awaited<ReturnType<typeof startSmtp>>;

export const startSmtp = async () => {
  const received: Received[] = [];
  /** Answers with this code to this command. */
  const refusals = new Map<Command, number>();
  /** Cuts the connection at this command. */
  const drops = new Set<Command>();
  /** Connections so far. */
  let connections = 0;
  let held: Promise<void> | undefined;
  /** By the port of the other end. */
  const sockets = new Map<number | undefined, Socket>();
  let server: SMTPServer | undefined;
  let port = 0;

  const answer = (command: Command, session: { remotePort: number }, done: (error?: Error | null) => void): void => {
    if (drops.has(command)) {
      sockets.get(session.remotePort)?.destroy();
      return;
    }
    const responseCode = refusals.get(command);
    // As servers do: the words quote the address.
    done(responseCode ? Object.assign(new Error('5.1.1 <ada@example.com> refused'), { responseCode }) : null);
  };

  const start = async (): Promise<void> => {
    if (server?.server.listening) return;
    server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['AUTH', 'STARTTLS'],
      disableReverseLookup: true,
      closeTimeout: 100,
      onConnect(session, done) {
        connections += 1;
        answer('CONNECT', session, done);
      },
      onMailFrom: (_, session, done) => answer('MAIL FROM', session, done),
      onRcptTo: (_, session, done) => answer('RCPT TO', session, done),
      async onData(stream, session, done) {
        const whole = await buffer(stream).catch(() => undefined);
        // Cut off in the middle of a mail: nobody waits for an answer.
        if (!whole) return;
        const raw = whole.toString('latin1');
        await held;
        if (drops.has('DATA') || refusals.has('DATA')) return answer('DATA', session, done);
        const { headers } = split(raw);
        const parts = partsOf(raw);
        const part = (type: string) => parts.find(([is]) => is.startsWith(type))?.[1] ?? '';
        const { mailFrom, rcptTo } = session.envelope;
        received.push({
          from: mailFrom ? mailFrom.address : '',
          to: rcptTo.map(({ address }) => address),
          headers,
          text: part('text/plain').replaceAll('\r\n', '\n'),
          html: part('text/html'),
          raw,
        });
        done(null);
      },
    });
    server.on('error', () => {});
    const listening: NetServer = server.listen(port, '127.0.0.1');
    listening.on('connection', (socket: Socket) => sockets.set(socket.remotePort, socket));
    await once(listening, 'listening');
    port = (listening.address() as AddressInfo).port;
  };

  await start();
  return {
    url: `smtp://127.0.0.1:${port}`,
    received,
    refusals,
    drops,
    connections: () => connections,
    /** Takes mails, but does not say so until the function that is returned is called. */
    hold(): () => void {
      const { promise, resolve } = Promise.withResolvers<void>();
      held = promise;
      return () => {
        held = undefined;
        resolve();
      };
    },
    /** As if the machine were switched off: connections are refused. */
    stop: () => new Promise<void>((resolve) => server?.close(resolve)),
    /** On the same port again. */
    start,
  };
};
