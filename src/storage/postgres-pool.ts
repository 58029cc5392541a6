import { Client, Pool, type PoolClient, type QueryConfig } from 'pg';

/** How long a new connection may take. */
const CONNECT_MS = 2_000;
/** How long a question may wait for a connection, with all of them in use, or for the making of one. */
const WAIT_MS = 3_000;
const QUERY_MS = 3_000;
/** Sooner, so that a server which is well is heard to say that a statement took too long. */
const STATEMENT_MS = 2_500;
/** An embedded database answers one after the other. */
const EMBEDDED_QUERY_MS = 4_000;
const PROBE_EVERY_MS = 200;

/**
 * What the server itself ends. It may never hear that a connection is gone, after a fail-over or when a process died with its machine: what
 * that has locked would stay so. Whoever waits for a lock gives up before who holds one without a word is thrown out, so that the
 * connections that are gone do not take it over from each other.
 */
const serverLimits = (patience: number): string =>
  `SET lock_timeout = ${2_000 * patience}; SET statement_timeout = ${STATEMENT_MS * patience}; SET idle_in_transaction_session_timeout = ${3_000 * patience}`;

/** What a connection ends with, or a server that shuts down, starts, or has become a standby. */
const LOST =
  /Query read timeout|Connection terminated|connection timeout|timeout expired|ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|57P0[123]|25006/;

/** What the server says of a statement leaves the connection as it was, unless that is on a standby. */
const isOfStatement = ({ code, severity }: { code?: unknown; severity?: unknown }): boolean =>
  severity === 'ERROR' && code !== '25006';

const isLost = (error: unknown): boolean =>
  error instanceof Error &&
  !isOfStatement(error as { code?: unknown }) &&
  LOST.test(`${'code' in error ? error.code : ''} ${error.message}`);

/** A statement that is asked all the time: under this name each connection keeps it, parsed and planned, where it can. */
export type KeptStatement = QueryConfig & { keptAs: string };

const isKept = (statement: unknown): statement is KeptStatement => statement instanceof Object && 'keptAs' in statement;

export type Database = {
  pool: Pool;
  /** Asks a first time, and what is there to ask. @throws when nobody answers. */
  begin(): Promise<void>;
  /** Whether it is known not to answer, or has been slow enough to be suspected of it: nobody should wait for it who need not. */
  isAway(): boolean;
  /** Somebody has waited for longer than they should have to. */
  suspect(): void;
  close(): Promise<void>;
};

/** Breaks a connection off without a word: nobody may be there to hear one. */
const breakOff = (client: PoolClient): void => {
  const { connection } = client as PoolClient & { connection?: { stream: { destroy(): void } } };
  connection?.stream.destroy();
};

/**
 * The connections to PostgreSQL. One on which a question was not answered in time is given up, and with it those that wait to be used:
 * after a fail-over all of them may lead nowhere. From then until a probe is answered, who asks is told at once that nobody is there,
 * rather than after seconds.
 *
 * @param isEmbedded It runs in this very process, and is slow where a server would be away.
 * @param patience How many times as long as usual is waited for everything.
 */
export const openPool = (
  connectionString: string,
  onError: (store: 'postgres', error: Error) => void,
  isEmbedded: boolean,
  patience = 1,
): Database => {
  const pool = new Pool({
    connectionString,
    max: 10,
    connectionTimeoutMillis: WAIT_MS * patience,
    query_timeout: (isEmbedded ? EMBEDDED_QUERY_MS : QUERY_MS) * patience,
    // Sent ahead of whatever the connection was made for; where it fails, so does that.
    ...(!isEmbedded && { onConnect: (client) => void client.query(serverLimits(patience)).catch(() => {}) }),
  });
  // An idle connection that breaks is replaced on the next query; unheard, the event would end the process.
  pool.on('error', (error) => onError('postgres', error));

  let state: 'well' | 'suspected' | 'away' = 'well';
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  let keepsPlans = false;

  const probe = async (): Promise<void> => {
    // Not of the pool, whose connections may all be in use by those that wait.
    const client = new Client({
      connectionString,
      connectionTimeoutMillis: CONNECT_MS * patience,
      query_timeout: CONNECT_MS * patience,
    });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query('SELECT pg_is_in_recovery() AS standby');
      if (!rows[0]?.standby) state = 'well';
    } catch (error) {
      // It has no connection left, and says so: it is there. Otherwise it is asked again below.
      if (error instanceof Error && 'code' in error && error.code === '53300') state = 'well';
    }
    // Not waited for: where nobody answers, nobody says goodbye.
    client.end().catch(() => {});
    if (state === 'well' || isClosed) timer = undefined;
    else timer = setTimeout(probe, PROBE_EVERY_MS).unref();
  };

  const doubt = (how: 'suspected' | 'away'): void => {
    if (isEmbedded || isClosed || state === 'away') return;
    state = how;
    timer ??= setTimeout(probe, 0).unref();
  };

  const idle = new Set<PoolClient>();
  const lost = (): void => {
    doubt('away');
    for (const client of idle) breakOff(client);
    idle.clear();
  };
  pool.on('acquire', (client) => idle.delete(client));
  pool.on('remove', (client) => idle.delete(client));
  pool.on('release', (error, client) => {
    if (!error) idle.add(client);
  });

  pool.on('connect', (client) => {
    // One that breaks while it is in use: whoever uses it learns it from the query.
    client.on('error', () => {});
    let isBroken = false;
    const noticed = (error: unknown): void => {
      // What is asked over it from then on says nothing new.
      if (isBroken || !isLost(error)) return;
      isBroken = true;
      // A transaction would give it back as if it were sound, with a question on it that is never answered.
      breakOff(client);
      lost();
    };
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    client.query = ((...args: unknown[]) => {
      const [statement] = args;
      if (keepsPlans && isKept(statement)) args[0] = { ...statement, name: statement.keptAs };
      const last = args.at(-1);
      if (typeof last === 'function')
        args[args.length - 1] = (error: unknown, ...rest: unknown[]) => {
          noticed(error);
          last(error, ...rest);
        };
      const asked = query(...args);
      if (asked instanceof Promise) asked.catch(noticed);
      return asked;
    }) as typeof client.query;
  });

  const connect = pool.connect.bind(pool) as (done?: (...args: unknown[]) => void) => unknown;
  pool.connect = ((done?: (...args: unknown[]) => void) => {
    if (state === 'away') {
      const error = new Error('Connection terminated: PostgreSQL does not answer');
      if (!done) return Promise.reject(error);
      setImmediate(done, error);
      return undefined;
    }
    const noticed = (error: unknown) => {
      if (isLost(error)) lost();
    };
    if (done)
      return connect((error, ...rest) => {
        noticed(error);
        done(error, ...rest);
      });
    const connected = connect() as Promise<PoolClient>;
    connected.catch(noticed);
    return connected;
  }) as typeof pool.connect;

  return {
    pool,
    async begin() {
      const { rows } = await pool.query<{ version: string }>('SELECT version()');
      // To PGlite all connections are one session, in which a name can be given only once.
      keepsPlans = !rows[0]?.version.includes('PGlite');
    },
    isAway: () => state !== 'well',
    suspect: () => doubt('suspected'),
    async close() {
      isClosed = true;
      clearTimeout(timer);
      await pool.end();
    },
  };
};
