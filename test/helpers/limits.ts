// Limits that no test reaches, for those that try much and are about something else.
import { DEFAULT_LIMITS, type Limits } from '../../src/domain/throttles.ts';

export const ROOMY = Object.fromEntries(
  Object.entries(DEFAULT_LIMITS).map(([name, { seconds }]) => [name, { points: 1_000_000, seconds }]),
) as unknown as Limits;
