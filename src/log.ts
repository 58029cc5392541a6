// Where log lines go: JSON lines in production, a readable line each in development.
import { isIPv6 } from 'node:net';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from './config.ts';

/**
 * The lines of one turn of the event loop in one write, at its end: a write to a pipe costs more than the request it tells of.
 * It is a write that waits, as each line's own would be, so that what is logged is out before anything that comes later; a process
 * that ends by itself writes what it has left.
 */
const turnAtATime = (destination: DestinationStream): DestinationStream => {
  let lines = '';
  const flush = (): void => {
    const written = lines;
    lines = '';
    if (written !== '') destination.write(written);
  };
  process.on('exit', flush);
  return {
    write(line: string) {
      if (lines === '') setImmediate(flush);
      lines += line;
    },
  };
};

// Bounded, so that a line made to be long costs no more than its length. The letter of an escape before it (RFC 8259 §7) is not its.
const EMAIL = /((?<!\\)(?:\\\\)*\\(?:[bfnrt]|u[\da-f]{4}))?[\p{L}\p{N}._%+'*=-]{1,64}(?:@|%40)[\p{L}\p{N}.-]{1,255}/giu;
const IPV4 = /(?<!\d\.?)\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)/g;
const IPV6 = /(?<![\w:.])(?:[\da-f]{0,4}:){2,7}[\da-f]{0,4}(?![\w:])/gi;
// What no address is without: one look at each line, since hardly any has it.
const SUSPICIOUS = /@|%40|\d\.\d{1,3}\.\d|[\da-f]:[\da-f:]|::/i;
// {"level":20,…: debug, or trace
const BELOW_INFO = /^\{"level":[12]0\D/;
// Our own address and our stores', which are nobody's: a quote inside a value would be escaped.
const READY = '"msg":"ready"';

/** A line above debug without the email and network addresses in it, whoever put them there: a driver's words about a row, or a path. */
export const withoutAddresses = (line: string): string => {
  if (!SUSPICIOUS.test(line) || BELOW_INFO.test(line) || line.includes(READY)) return line;
  const nameless =
    line.includes('@') || line.includes('%40') ? line.replace(EMAIL, (_, before = '') => `${before}[email]`) : line;
  return nameless.replace(IPV4, '[ip]').replace(IPV6, (found) => (isIPv6(found) ? '[ip]' : found));
};

type LogSettings = Pick<Config, 'logLevel' | 'logPii'>;

/** Which lines are written, and what they may hold. */
export const logOptions = ({ logLevel, logPii }: LogSettings): LoggerOptions => ({
  level: logLevel,
  ...(!logPii && { hooks: { streamWrite: withoutAddresses } }),
});

export const openLog = ({ production, ...settings }: LogSettings & Pick<Config, 'production'>): Logger =>
  production
    ? pino(logOptions(settings), turnAtATime(pino.destination({ dest: 1, sync: true })))
    : pino(
        logOptions(settings),
        pretty({
          translateTime: 'HH:MM:ss',
          ignore: 'pid,hostname,method,path,status,ms',
          messageFormat: '{msg} {method} {path} {status} {ms}',
          colorize: process.stdout.isTTY,
          singleLine: true,
          sync: true,
        }),
      );
