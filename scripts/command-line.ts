// How scripts are talked to: options in, one JSON answer on stdout, messages on stderr, exit code 1 with one clear line when something
// is wrong.
import { parseArgs } from 'node:util';
import { ConfigError } from '../src/config.ts';
import { DomainError } from '../src/domain/errors.ts';

/** Wrong use: said in one line, with how it is used right. */
export class UsageError extends Error {}

type Options = Record<string, { type: 'string' | 'boolean' }>;

/** The command line as `options` say. @throws {UsageError} */
export const argumentsOf = <T extends Options>(options: T, usage: string) => {
  try {
    return parseArgs({ options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const why = error instanceof Error ? error.message.replaceAll('\n', ' ') : error;
    throw new UsageError(`${why} (usage: ${usage})`);
  }
};

/** The value, which must be there. @throws {UsageError} */
export const required = (value: string | undefined, option: string, usage: string): string => {
  if (value === undefined || value === '') throw new UsageError(`--${option} is missing (usage: ${usage})`);
  return value;
};

/** Runs a script's one job and prints what it returns. */
export const script = async (job: () => Promise<unknown>): Promise<void> => {
  try {
    process.stdout.write(`${JSON.stringify(await job(), null, 2)}\n`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = error instanceof ConfigError ? message : message.split('\n')[0];
    process.stderr.write(`${error instanceof DomainError ? `${error.code}: ` : ''}${line}\n`);
    process.exitCode = 1;
  }
};
