// Where log lines go: JSON lines in production, a readable line each in development.
import { type DestinationStream, type Logger, pino } from 'pino';
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

export const openLog = ({ logLevel, production }: Pick<Config, 'logLevel' | 'production'>): Logger =>
  production
    ? pino({ level: logLevel }, turnAtATime(pino.destination({ dest: 1, sync: true })))
    : pino(
        { level: logLevel },
        pretty({
          translateTime: 'HH:MM:ss',
          ignore: 'pid,hostname,method,path,status,ms',
          messageFormat: '{msg} {method} {path} {status} {ms}',
          colorize: process.stdout.isTTY,
          singleLine: true,
          sync: true,
        }),
      );
