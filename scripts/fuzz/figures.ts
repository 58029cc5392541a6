// What a run counts, and how it is told.
import type { Violation } from './answers.ts';
import type { Sample } from './memory.ts';

type Found = Violation & { request: string; times: number };

export type Figures = ReturnType<typeof createFigures>;

export const createFigures = () => {
  const statuses = new Map<string, number>();
  const operations = new Map<string, { requests: number; fine: number }>();
  const violations = new Map<string, Found>();
  let requests = 0;
  let late = 0;
  let slowest = { ms: 0, operation: '' };
  return {
    requests: () => requests,
    count(operation: string, status: string, ms: number): void {
      requests += 1;
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      const of = operations.get(operation) ?? { requests: 0, fine: 0 };
      operations.set(operation, { requests: of.requests + 1, fine: of.fine + (/^[23]/.test(status) ? 1 : 0) });
      if (ms > slowest.ms) slowest = { ms: Math.round(ms), operation };
    },
    /** A store did not answer in time. */
    late: () => {
      late += 1;
    },
    /** Keeps the shortest request of each kind; true when the kind is new. */
    found(violation: Violation, request: string): boolean {
      const known = violations.get(violation.kind);
      const shorter = !known || request.length < known.request.length;
      violations.set(violation.kind, {
        ...(shorter ? { ...violation, request } : known),
        times: (known?.times ?? 0) + 1,
      });
      return !known;
    },
    violations: () => [...violations.values()],
    report: (
      seed: number,
      seconds: number,
      memory: readonly Sample[],
      growth: number,
      warnings: Record<string, number>,
    ) => ({
      seed,
      requests,
      seconds: Math.round(seconds),
      statuses: Object.fromEntries([...statuses].sort()),
      slowest,
      stores_late: late,
      operations: operations.size,
      operations_without_success: [...operations]
        .filter(([, { fine }]) => fine === 0)
        .map(([name, { requests: tried }]) => `${name} (${tried})`),
      memory: { samples: memory, growth_bytes_per_request: growth },
      warnings,
      violations: violations.size,
    }),
  };
};
