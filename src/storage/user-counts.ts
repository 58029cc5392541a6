import type { Pool } from 'pg';
import type { Condition, Param } from './user-filter.ts';

/** Users are counted up to here. */
export const COUNTED = 10_000;

/** Asks by a statement that names its values as it is written. */
export type Query = <T>(write: (param: Param) => string) => Promise<T[]>;

export const createQuery =
  (pool: Pool): Query =>
  async <T>(write: (param: Param) => string): Promise<T[]> => {
    const values: unknown[] = [];
    const text = write((value) => `$${values.push(value)}`);
    return (await pool.query(text, values)).rows as T[];
  };

/** How many users something holds for, in bounded time however many there are. */
export const createUserCounts = (query: Query) => {
  /** How many users each of these holds for, and one or another of `alternatives`; up to COUNTED + 1. */
  const countEach = async (conditions: Condition[], alternatives: Condition[]) => {
    const [row] = await query<{ each: number[]; any: number }>((param) => {
      const some = ({ ids, sql }: Condition) =>
        `${ids?.(param) ?? `SELECT id FROM users WHERE ${sql(param)}`} LIMIT ${COUNTED + 1}`;
      const count = (condition: Condition) =>
        condition.indexed ? `(SELECT count(*) FROM (${some(condition)}) u)::int` : String(COUNTED + 1);
      const union = alternatives.map((condition) => `(${some(condition)})`).join(' UNION ');
      return `WITH counted AS MATERIALIZED (
          SELECT ARRAY[${conditions.map(count).join(', ')}]::int[] AS each, ARRAY[${alternatives.map(count).join(', ')}]::int[] AS other
        )
        SELECT each || other AS each, CASE
          WHEN cardinality(other) = 0 THEN ${COUNTED + 1}
          WHEN cardinality(other) = 1 OR ${COUNTED} < ANY (other) THEN LEAST(${COUNTED + 1}, (SELECT max(o) FROM unnest(other) o))
          ELSE ${union === '' ? '0' : `LEAST(${COUNTED + 1}, (SELECT count(*) FROM (${union}) u)::int)`}
        END AS any FROM counted`;
    });
    return row ?? { each: [], any: 0 };
  };

  /** What the planner thinks; what it has no statistics of, it guesses. */
  const estimate = async (where: (param: Param) => string): Promise<number> => {
    const [row] = await query<{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }>(
      (param) => `EXPLAIN (FORMAT JSON) SELECT FROM users WHERE ${where(param)}`,
    );
    return row?.['QUERY PLAN'][0].Plan['Plan Rows'] ?? 0;
  };

  return { countEach, estimate };
};
