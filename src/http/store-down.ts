// What drivers report when a store does not answer, or not as it should: sockets, full pools, time limits;
const CONNECTION =
  /ECONNREFUSED|ECONNRESET|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|timed out|Connection is closed|Socket timeout|max retries per request|Query read timeout|Connection terminated|timeout expired|timeout exceeded when trying to connect|not queryable|enableOfflineQueue|too much is waiting/;
/** Prisma's words; PostgreSQL's for shutdown, start-up, a standby, and being out of connections, memory or disk; */
const POSTGRES =
  /\b(P1001|P1002|P1008|P1011|P1017|P2024|P2028|57P0[1-5]|57014|55P03|25P03|08(?:00[013467]|P01)|53[0-4]00|58030|25006)\b/;
/** Redis' for reading its file, being a replica or part of a cluster that is down, and being out of memory or disk. */
const REDIS = /\b(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|OOM|BUSY) /;

/** Prisma's adapter for what has no code of PostgreSQL's: a socket that broke, a server that is not there or is full. */
const KIND = /^(ConnectionClosed|DatabaseNotReachable|SocketTimeout|TlsConnectionError|TooManyConnections)$/;

type Layer = { code?: unknown; kind?: unknown; message?: unknown; cause?: unknown; meta?: unknown };

/** From Prisma to its adapter to the driver. What breaks at a COMMIT comes as the adapter has it, whose causes are no errors. */
const withinOf = ({ cause, meta }: Layer): unknown => cause ?? Object(meta).driverAdapterError;

/** Whether this is a store that does not answer, rather than a bug. */
export const storeDown = (error: Error): boolean => {
  for (let at: unknown = error; at instanceof Object; at = withinOf(at)) {
    const { code, kind, message }: Layer = at;
    const told = `${code ?? ''} ${message ?? ''}`;
    if (CONNECTION.test(told) || POSTGRES.test(told) || REDIS.test(told) || KIND.test(String(kind))) return true;
  }
  return false;
};
