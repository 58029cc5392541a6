export type Copies<V> = {
  get(key: string): V | undefined;
  has(key: string): boolean;
  set(key: string, value: V): void;
  delete(key: string): void;
  size(): number;
};

/**
 * What a process keeps at hand of what is elsewhere: the newest, up to `most`. What is older than `maxAgeMs` goes with the next one
 * that comes, so that memory follows what is in use, and not what ever was.
 */
export const createCopies = <V>(most: number, maxAgeMs: number): Copies<V> => {
  // In the order in which they came.
  const entries = new Map<string, { value: V; at: number }>();
  return {
    get: (key) => entries.get(key)?.value,
    has: (key) => entries.has(key),
    set(key, value) {
      // Not by the clock, which may be set back: what is forgotten early could be taken for what it was before.
      const now = performance.now();
      entries.delete(key);
      for (const [oldest, { at }] of entries) {
        if (entries.size < most && now - at <= maxAgeMs) break;
        entries.delete(oldest);
      }
      entries.set(key, { value, at: now });
    },
    delete: (key) => void entries.delete(key),
    size: () => entries.size,
  };
};
