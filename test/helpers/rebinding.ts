// A resolver of names that says something else each time it is asked, as one does that is out to rebind a name (DNS rebinding).
import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import type { Resolver } from '../../src/oidc/bounded-request.ts';

/** @param answers The addresses of any name, look-up by look-up; the last ones for good. */
export const rebinding = (answers: string[][]): { lookup: Resolver; asked(): number } => {
  let times = 0;
  const lookup = (_hostname: string, _options: unknown, callback: (error: null, found: LookupAddress[]) => void) => {
    const addresses = answers[Math.min(times, answers.length - 1)] ?? [];
    times += 1;
    callback(
      null,
      addresses.map((address) => ({ address, family: isIP(address) })),
    );
  };
  return { lookup: lookup as unknown as Resolver, asked: () => times };
};
