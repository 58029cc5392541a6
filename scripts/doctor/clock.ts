// Order here never hangs on clocks; what is valid until when does.
import type { Redis } from 'ioredis';
import type { Client } from 'pg';
import { type Finding, fail, ok, warn } from './finding.ts';

const NOTED_MS = 2_000;
/** Proofs of clients are taken for so long about; past it, they are refused. */
const TOO_MUCH_MS = 30_000;

/** How far another clock is ahead of ours, in ms, with what the question took. */
export const askClock = async (ask: () => Promise<number>): Promise<{ aheadMs: number; withinMs: number }> => {
  const before = Date.now();
  const theirs = await ask();
  const after = Date.now();
  return { aheadMs: Math.round(theirs - (before + after) / 2), withinMs: Math.ceil((after - before) / 2) };
};

export const judgeClock = (whose: string, aheadMs: number, withinMs: number): Finding => {
  const off = Math.max(0, Math.abs(aheadMs) - withinMs);
  const says = `${whose} is ${Math.abs(aheadMs / 1000).toFixed(1)} s ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine.`;
  const mend = 'Let both follow a time server (NTP).';
  if (off >= TOO_MUCH_MS) return fail('clock', says, mend);
  if (off >= NOTED_MS) return warn('clock', says, mend);
  return ok(
    'clock',
    `${whose} agrees with this machine within ${((Math.abs(aheadMs) + withinMs) / 1000).toFixed(1)} s.`,
  );
};

export const checkClocks = async (db: Client, redis: Redis | undefined): Promise<Finding[]> => {
  const postgres = await askClock(async () => {
    const { rows } = await db.query(`SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms`);
    return Number(rows[0].ms);
  });
  const found = [judgeClock('The clock of PostgreSQL', postgres.aheadMs, postgres.withinMs)];
  if (redis) {
    const { aheadMs, withinMs } = await askClock(async () => {
      const [seconds, microseconds] = await redis.time();
      return Number(seconds) * 1000 + Number(microseconds) / 1000;
    });
    found.push(judgeClock('The clock of Redis', aheadMs, withinMs));
  }
  return found;
};
