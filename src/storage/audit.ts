import { DatabaseError, type Pool } from 'pg';
import type { KeptStatement } from './postgres-pool.ts';
import type { Unit, Units } from './units.ts';

export type AuditRow = { seq: number; event: string; mac: string };

/** What an event is looked for by; all that are given have to hold. Times are ISO 8601 in UTC. */
export type AuditFilter = {
  type?: string | undefined;
  actor?: string | undefined;
  target?: string | undefined;
  client?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
};

/** The chain's link: what binds an event to its place and to the row before it. */
export type MacOf = (previousMac: string, seq: number, event: string) => string;

// Any number that nothing else in this database locks.
const LOCK = 7_310_264_001;
const UNIQUE_VIOLATION = '23505';
/** Events written by one transaction at most. */
const BATCH = 200;

const APPEND_TO_HEAD = `
  WITH turn AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))
  INSERT INTO audit_events (seq, event, mac)
  SELECT $2::bigint + place, event, mac FROM turn, unnest($3::text[], $4::text[]) WITH ORDINALITY AS new (event, mac, place)
   WHERE EXISTS (SELECT FROM audit_events WHERE seq = $2::bigint AND mac = $5)`;

type Waiting = { event: string; resolve(): void; reject(error: unknown): void };

export type AuditLog = ReturnType<typeof createAuditLog>;

/** Append-only, in one order over all processes. Events that come while others are being written are written together. */
export const createAuditLog = (pool: Pool, macOf: MacOf, current: Units['current'] = () => undefined) => {
  const waiting: Waiting[] = [];
  let writing = false;
  /** The last row, as this process wrote it; undefined when it may be another one's. */
  let head: { seq: number; mac: string } | undefined;

  const linked = (after: { seq: number; mac: string }, events: string[]) => {
    let { seq, mac } = after;
    const macs = events.map((event) => {
      seq += 1;
      mac = macOf(mac, seq, event);
      return mac;
    });
    return { macs, last: { seq, mac } };
  };

  /**
   * Appends in one statement to the row that this process wrote last, if it is the last still. Another one's has the place that this
   * would take: a row under the same `seq` is refused, and with it the whole statement. It takes its turn by the lock, so that who
   * holds that has nobody appending beside them.
   *
   * @returns false when the row is not the last one any more: nothing was written.
   */
  const writeToHead = async (after: { seq: number; mac: string }, events: string[]): Promise<boolean> => {
    const { macs, last } = linked(after, events);
    try {
      const values = [LOCK, after.seq, events, macs, after.mac];
      const statement: KeptStatement = { keptAs: 'append-to-head', text: APPEND_TO_HEAD, values };
      const { rowCount } = await pool.query(statement);
      if (rowCount !== events.length) return false;
      head = last;
      return true;
    } catch (error) {
      if (error instanceof DatabaseError && error.code === UNIQUE_VIOLATION) return false;
      throw error;
    }
  };

  /** Appends inside a transaction, at its end: from here on nobody else appends until it commits. */
  const chain = async (
    query: <Row>(sql: string, ...values: unknown[]) => Promise<Row[]>,
    events: string[],
  ): Promise<{ seq: number; mac: string }> => {
    // Whoever holds the lock sees the last row.
    await query('SELECT pg_advisory_xact_lock($1::bigint)::text', LOCK);
    const [last] = await query<{ seq: string | bigint; mac: string }>(
      'SELECT seq, mac FROM audit_events ORDER BY seq DESC LIMIT 1',
    );
    const seq = Number(last?.seq ?? 0);
    const { macs, last: written } = linked({ seq, mac: last?.mac ?? '' }, events);
    await query(
      `INSERT INTO audit_events (seq, event, mac)
       SELECT $1::bigint + place, event, mac FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS new (event, mac, place)`,
      seq,
      events,
      macs,
    );
    return written;
  };

  const write = async (events: string[]): Promise<void> => {
    const mine = head;
    // Known again only when it is written: whatever goes wrong, the next one looks.
    head = undefined;
    if (mine && (await writeToHead(mine, events))) return;
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('BEGIN');
      const written = await chain(async (sql, ...values) => (await client.query(sql, values)).rows, events);
      await client.query('COMMIT');
      head = written;
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      // A connection that failed inside a transaction is not used again.
      client.release(broken);
    }
  };

  /** Events that become true with what they tell of, by the unit of work that does. */
  const ofUnits = new WeakMap<Unit, string[]>();
  const appendTo = (unit: Unit, event: string): void => {
    const known = ofUnits.get(unit);
    if (known) {
      known.push(event);
      return;
    }
    const events = [event];
    ofUnits.set(unit, events);
    unit.lastly.push((tx) => chain((sql, ...values) => tx.$queryRawUnsafe(sql, ...values), events));
  };

  const drain = async (): Promise<void> => {
    writing = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH);
      try {
        await write(batch.map(({ event }) => event));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    writing = false;
  };

  const rowsOf = ({ rows }: { rows: { seq: string; event: string; mac: string }[] }): AuditRow[] =>
    rows.map(({ seq, event, mac }) => ({ seq: Number(seq), event, mac }));

  return {
    /**
     * Resolves when the event is on disk; inside a unit of work at once, for it is written with the rest or not at all.
     *
     * @param event Its JSON; `time` and `type` are required members.
     */
    async append(event: string): Promise<void> {
      const unit = current();
      if (unit) return appendTo(unit, event);
      await new Promise<void>((resolve, reject) => {
        waiting.push({ event, resolve, reject });
        if (!writing) void drain();
      });
    },

    /** Newest first, from before `beforeSeq` on. */
    async list(filter: AuditFilter, beforeSeq: number | undefined, limit: number): Promise<AuditRow[]> {
      const { type, actor, target, client, from, to } = filter;
      const found = await pool.query<{ seq: string; event: string; mac: string }>(
        `SELECT seq, event, mac FROM audit_events
         WHERE ($1::text IS NULL OR type = $1) AND ($2::text IS NULL OR actor = $2) AND ($3::text IS NULL OR target = $3)
           AND ($4::text IS NULL OR client = $4) AND ($5::text IS NULL OR time >= $5) AND ($6::text IS NULL OR time < $6)
           AND ($7::bigint IS NULL OR seq < $7)
         ORDER BY seq DESC LIMIT $8`,
        [type, actor, target, client, from, to, beforeSeq, limit],
      );
      return rowsOf(found);
    },

    /** What names a user as actor or target, newest first, from before `beforeSeq` on. */
    async listOf(userId: string, beforeSeq: number | undefined, limit: number): Promise<AuditRow[]> {
      // Each half walks its own index backwards; together they would be gathered and sorted for every page.
      return rowsOf(
        await pool.query(
          `SELECT seq, event, mac FROM (
             (SELECT * FROM audit_events WHERE actor = $1 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3)
             UNION
             (SELECT * FROM audit_events WHERE target = $1 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3)
           ) AS named ORDER BY seq DESC LIMIT $3`,
          [userId, beforeSeq, limit],
        ),
      );
    },

    /** Oldest first, after `afterSeq`, or from whatever is first: for going through all of it. */
    async walk(afterSeq: number | undefined, limit: number): Promise<AuditRow[]> {
      return rowsOf(
        await pool.query(
          'SELECT seq, event, mac FROM audit_events WHERE $1::bigint IS NULL OR seq > $1 ORDER BY seq LIMIT $2',
          [afterSeq, limit],
        ),
      );
    },
  };
};
