import type { Client } from 'pg';
import type { Config } from '../../src/config.ts';
import { createTransport, DeliveryError } from '../../src/mail/transport.ts';
import { type Finding, fail, ok, skipped, warn } from './finding.ts';

const MENDS: Record<string, string> = {
  EAUTH: 'Correct user and password in SMTP_URL, percent-encoded.',
  ETLS: 'Use smtps://, or a server that offers STARTTLS with a certificate that is believed (NODE_EXTRA_CA_CERTS).',
  EDNS: 'Correct the host in SMTP_URL.',
};

/** Connects, says EHLO, turns to TLS and signs in; sends nothing. */
export const checkMail = async ({ smtpUrl, mailFrom }: Config): Promise<Finding[]> => {
  if (smtpUrl === undefined) return [skipped('mail', 'There is no SMTP_URL: mails are kept, and shown at /dev/mail.')];
  const { host } = new URL(smtpUrl);
  try {
    await createTransport(smtpUrl, mailFrom).greet();
    // A server that asks for no password is given none: then it was not tried.
    return [
      ok('mail', `${host} takes mails${new URL(smtpUrl).username ? ', with the password where it asks for one' : ''}.`),
    ];
  } catch (error) {
    if (!(error instanceof DeliveryError)) throw error;
    const code = error.message.split(' ')[0] ?? '';
    return [
      fail('mail', `${host} does not take mails (${error.message}).`, MENDS[code] ?? 'Start it, or correct SMTP_URL.'),
    ];
  }
};

export const checkOutbox = async (db: Client): Promise<Finding[]> => {
  const { rows } = await db.query<{ late: number; given_up: number }>(
    `SELECT count(*) FILTER (WHERE next_attempt_at < now() - interval '10 minutes')::int AS late,
            count(*) FILTER (WHERE next_attempt_at IS NULL AND last_error IS NOT NULL)::int AS given_up
       FROM outgoing_mails`,
  );
  const { late = 0, given_up = 0 } = rows[0] ?? {};
  const found: Finding[] = [];
  if (late > 0)
    found.push(
      warn(
        'outbox',
        `Mails that have been due for ten minutes: ${late}.`,
        'See whether a server runs, and what its log says.',
      ),
    );
  if (given_up > 0)
    found.push(
      warn(
        'outbox',
        `Mails of the last 30 days that were given up: ${given_up}.`,
        'docs/operations.md, "Mail", says how to see why, and to try them anew.',
      ),
    );
  return found.length > 0 ? found : [ok('outbox', 'No mail is late.')];
};
