// What the server sees of a request that came through everything in front of it: for `npm run doctor`, which holds the master key.
import type { Context } from 'koa';
import type { Secrets } from '../domain/secrets.ts';

/** Says that whoever asks holds the master key, for as long as the minute in it is about now. */
export const SEEN_HEADER = 'x-user-auth-doctor';
const PURPOSE = 'doctor';
const MINUTE_MS = 60_000;
/** Clocks that differ by more are told of anyway. */
const SLACK_MINUTES = 2;

const minuteNow = (): number => Math.floor(Date.now() / MINUTE_MS);

export const seenQuestion = (secrets: Pick<Secrets, 'keyedHash'>, minute = minuteNow()): string =>
  `${minute}.${secrets.keyedHash(PURPOSE, String(minute))}`;

export type Seen = {
  /** The client's address, as everything that counts by address has it. */
  address: string;
  /** All that came as X-Forwarded-For, the nearest proxy's last. */
  forwarded_for: string[];
  /** What came as the header that a client's certificate is read from; null where no header is. */
  certificate_header: string | null;
};

/** @returns undefined for whoever does not prove that they hold the key, which is told to nobody. */
export const createSeen =
  (secrets: Pick<Secrets, 'matches'>, certificateHeader: string | undefined) =>
  (ctx: Context): Seen | undefined => {
    const [, minute = '', proof = ''] = /^(\d{1,12})\.([\w-]{43})$/.exec(ctx.get(SEEN_HEADER)) ?? [];
    if (Math.abs(Number(minute) - minuteNow()) > SLACK_MINUTES) return undefined;
    if (!secrets.matches(PURPOSE, minute, proof)) return undefined;
    return {
      address: ctx.ip,
      forwarded_for: ctx
        .get('x-forwarded-for')
        .split(/\s*,\s*/)
        .filter(Boolean),
      certificate_header: certificateHeader === undefined ? null : ctx.get(certificateHeader),
    };
  };
