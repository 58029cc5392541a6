// What a check of `npm run doctor` has to say. Nothing said here ever contains a secret: hosts, names and codes alone.
import { codeOf } from '../../src/storage/data-dir.ts';

export type Finding = {
  /** What was looked at. */
  check: string;
  /** `fail`: has to be mended. `warn`: ought to be looked at. `skipped`: could not be, or did not apply. */
  status: 'ok' | 'warn' | 'fail' | 'skipped';
  says: string;
  /** What to do about it. */
  mend?: string;
};

export const ok = (check: string, says: string): Finding => ({ check, status: 'ok', says });
export const skipped = (check: string, says: string): Finding => ({ check, status: 'skipped', says });
export const warn = (check: string, says: string, mend: string): Finding => ({ check, status: 'warn', says, mend });
export const fail = (check: string, says: string, mend: string): Finding => ({ check, status: 'fail', says, mend });

/** The code of an error, wherever it is in it: messages may quote what was sent. */
export const reasonOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  const own = codeOf(error);
  if (own) return own;
  if (error instanceof Error && error.cause !== undefined) return reasonOf(error.cause);
  return error instanceof Error ? error.name : 'unknown error';
};

/** A check that breaks has found something too. */
export const guarded = async (check: string, look: () => Promise<Finding[]>): Promise<Finding[]> => {
  try {
    return await look();
  } catch (error) {
    return [fail(check, `This could not be checked (${reasonOf(error)}).`, 'See whether what it needs answers.')];
  }
};
