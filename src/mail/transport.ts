import { isIP } from 'node:net';
import { createTransport as openSmtp } from 'nodemailer';
import type { Rendered } from './render.ts';

/** A server that does not take a connection, or does not greet, in this time is away. */
const CONNECT_MS = 10_000;
// A server may look through a mail for long before it says that it has taken it; giving up earlier would send the mail
// again, and the person would get it twice (RFC 5321 §4.5.3.2.6).
const SILENCE_MS = 60_000;

/**
 * Why a mail did not go out.
 * - `refused`: the server will never take this mail for this recipient (5yz, RFC 5321 §4.2.1).
 * - `unreachable`: it was not about this mail; others would fare the same now.
 * - `later`: the server did not take this mail this time.
 */
export type FailureKind = 'refused' | 'unreachable' | 'later';

/** `message` is made of codes alone: a server's own words may quote addresses and links. */
export class DeliveryError extends Error {
  readonly kind: FailureKind;
  readonly responseCode: number | undefined;

  constructor(kind: FailureKind, message: string, responseCode?: number) {
    super(message);
    this.kind = kind;
    this.responseCode = responseCode;
  }
}

export type Transport = {
  /**
   * @param id Becomes the Message-ID, so that a mail that was sent twice can be told for one.
   * @returns The server's response code.
   * @throws {DeliveryError}
   */
  deliver(id: string, to: string, mail: Rendered, signal: AbortSignal): Promise<number>;
  /**
   * Connects, greets, turns to TLS and signs in as for a mail, and sends none.
   *
   * @throws {DeliveryError}
   */
  greet(): Promise<void>;
};

/** An address that can stand in a header and in an SMTP command as it is, whatever else it is. */
const ADDRESS = /^[^\s\p{C}<>()[\]\\,;:"@]{1,64}@[^\s\p{C}<>()[\]\\,;:"@]{1,255}$/u;

const COMMANDS_ABOUT_THE_MAIL = new Set(['RCPT TO', 'DATA']);

const failureOf = (error: unknown): DeliveryError => {
  const { code, command, responseCode, response } = Object(error) as Record<string, unknown>;
  const status = typeof responseCode === 'number' ? responseCode : undefined;
  // The enhanced status code, RFC 3463.
  const enhanced = /^\d{3}[ -]([245]\.\d{1,3}\.\d{1,3})\b/.exec(String(response))?.[1];
  const words = [code, command, status, enhanced].filter((word) => word !== undefined && word !== false);
  const message = words.join(' ') || 'failed';
  const aboutTheMail = COMMANDS_ABOUT_THE_MAIL.has(String(command));
  // A sender or a login that is refused is for the operator to mend: the mail waits for it.
  if (aboutTheMail && status !== undefined && status >= 500) return new DeliveryError('refused', message, status);
  // 421: the server is closing (RFC 5321 §3.8).
  if (aboutTheMail && status !== undefined && status !== 421) return new DeliveryError('later', message, status);
  return new DeliveryError('unreachable', message, status);
};

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));

/**
 * Sends through one SMTP server, a connection for each mail.
 *
 * @param url `smtps://` is TLS from the start. `smtp://` turns to TLS where the server offers it (STARTTLS), and insists on it
 *   where a password would cross a network. On this machine itself it is left out: nobody listens between.
 * @param from The From header, and the envelope's sender.
 */
export const createTransport = (url: string, from: string): Transport => {
  const { protocol, hostname, port, username, password } = new URL(url);
  const secure = protocol === 'smtps:';
  const local = isLoopback(hostname);
  const smtp = openSmtp({
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(port) || (secure ? 465 : username ? 587 : 25),
    secure,
    ignoreTLS: !secure && local,
    requireTLS: !secure && !local && username !== '',
    ...(username && { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    connectionTimeout: CONNECT_MS,
    greetingTimeout: CONNECT_MS,
    dnsTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    // What a mail is made of is in our hands alone.
    disableFileAccess: true,
    disableUrlAccess: true,
    logger: false,
  });
  const domain = from.replace(/^.*@/, '').replace(/>$/, '');

  return {
    async deliver(id, to, { locale, subject, text, html }, signal) {
      if (!ADDRESS.test(to)) throw new DeliveryError('refused', 'not an address');
      try {
        const { response } = await smtp.sendMail({
          from,
          to: { name: '', address: to },
          subject,
          text,
          html,
          messageId: `<${id}@${domain}>`,
          // RFC 3834 §5: so that absence notices and the like do not answer.
          headers: { 'Auto-Submitted': 'auto-generated', 'Content-Language': locale },
          signal,
        });
        return Number(String(response).slice(0, 3));
      } catch (error) {
        throw failureOf(error);
      }
    },

    async greet() {
      await smtp.verify().catch((error: unknown) => {
        throw failureOf(error);
      });
    },
  };
};
