/** Of a session as the engine keeps it; in epoch seconds. */
type Beginning = { iat?: number | undefined; loginTs?: number | undefined };

/**
 * When a session ends, in epoch seconds, however much it is used: `maxSeconds` after its person last signed in. A provider may have seen
 * them long before, which `loginTs` tells then: it is over no sooner than so long after it began.
 *
 * @see OWASP ASVS 5.0 §7.3.2
 */
export const lastsUntil = ({ iat, loginTs }: Beginning, maxSeconds: number, now = Date.now() / 1000): number =>
  Math.max(iat ?? Math.floor(now), loginTs ?? 0) + maxSeconds;

/** How long a session that is used now goes on without being used again: whole seconds, one at least. */
export const renewedFor = (session: Beginning, idleSeconds: number, maxSeconds: number): number => {
  const now = Math.floor(Date.now() / 1000);
  return Math.max(1, Math.min(idleSeconds, Math.floor(lastsUntil(session, maxSeconds, now)) - now));
};
