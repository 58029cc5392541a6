// What happened, in figures; and every promise that was found broken.
const MOST_SHOWN = 40;

export type Report = ReturnType<typeof createReport>;

const counted = <K extends string>() => {
  const counts = new Map<K, number>();
  return {
    add: (key: K, by = 1) => void counts.set(key, (counts.get(key) ?? 0) + by),
    lines: () => [...counts].sort(([a], [b]) => a.localeCompare(b)).map(([key, count]) => `    ${key}: ${count}`),
    total: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
  };
};

export const createReport = (started = Date.now()) => {
  const faults = counted<string>();
  const failures = counted<string>();
  const checks = counted<string>();
  const violations: string[] = [];
  const recoveries: { fault: string; ms: number }[] = [];
  let requests = 0;
  let slowestMs = 0;
  let under = '';

  const at = () => `${((Date.now() - started) / 1000).toFixed(1)} s`;
  const say = (line: string) => void process.stdout.write(`${at().padStart(8)}  ${line}\n`);

  return {
    say,
    /** What is going on, for the context of whatever goes wrong. */
    during(fault: string): void {
      under = fault;
      if (fault === '') return;
      faults.add(fault);
      say(fault);
    },
    request(ms: number): void {
      requests += 1;
      slowestMs = Math.max(slowestMs, ms);
    },
    /** An answer that a fault excuses. */
    failure: (kind: string) => failures.add(kind),
    /** @returns whether the promise was kept. */
    check(promise: string, kept: boolean, detail = ''): boolean {
      checks.add(promise);
      if (!kept) {
        violations.push(`${promise}${under ? ` (during ${under})` : ''}${detail ? `: ${detail}` : ''}`);
        say(`VIOLATION ${violations.at(-1)}`);
      }
      return kept;
    },
    recovered(fault: string, ms: number): void {
      recoveries.push({ fault, ms });
    },
    violations: () => violations.length,
    print(): void {
      const slowest = recoveries.reduce((most, one) => (one.ms > most.ms ? one : most), { fault: 'none', ms: 0 });
      const lines = [
        '',
        `faults injected: ${faults.total()}`,
        ...faults.lines(),
        `requests: ${requests}, the slowest ${(slowestMs / 1000).toFixed(2)} s`,
        `failures by kind: ${failures.total()}`,
        ...failures.lines(),
        `slowest recovery: ${(slowest.ms / 1000).toFixed(2)} s, after: ${slowest.fault}`,
        `invariants checked: ${checks.total()}`,
        ...checks.lines(),
        ...violations.slice(0, MOST_SHOWN).map((violation) => `  VIOLATION ${violation}`),
        `violations: ${violations.length}`,
      ];
      process.stdout.write(`${lines.join('\n')}\n`);
    },
  };
};
