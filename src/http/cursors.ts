import type { z } from 'zod';
import type { Secrets } from '../domain/secrets.ts';
import { ValidationError } from './validate.ts';

export type Cursors = ReturnType<typeof createCursors>;

/**
 * Where a list goes on, in words that only this service reads and writes: a cursor is sealed, because places in a list can be email
 * addresses, and addresses of requests are logged; and bound to its list, so that one of another list, or made up, is refused.
 */
export const createCursors = (secrets: Secrets) => {
  // What narrows or orders a list makes it another; how much of it is asked for at once does not.
  const contextOf = (list: string, { cursor: _, limit: __, ...query }: Record<string, unknown>): string =>
    `cursor:${list}:${JSON.stringify(Object.entries(query).sort())}`;

  return {
    /** The cursor for what comes after `place` in the list that `query` asks for. */
    write: (list: string, query: Record<string, unknown>, place: unknown): string =>
      secrets.seal(JSON.stringify(place), contextOf(list, query)),

    /** The place that the query's cursor tells, if it has one. @throws {ValidationError} for a cursor of no such list. */
    read<T extends z.ZodType>(
      list: string,
      query: Record<string, unknown> & { cursor?: string | undefined },
      place: T,
    ): z.infer<T> | undefined {
      if (query.cursor === undefined) return undefined;
      try {
        return place.parse(JSON.parse(secrets.open(query.cursor, contextOf(list, query))));
      } catch {
        throw new ValidationError([{ path: 'cursor', message: 'is not from this list' }]);
      }
    },
  };
};
