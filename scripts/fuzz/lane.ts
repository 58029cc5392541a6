// One of the lanes that send side by side: request by request, shrinking what fails, with a new cast now and then.
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { createJudge, Violation } from './answers.ts';
import { type Cast, lookUp, newCast } from './cast.ts';
import type { Figures } from './figures.ts';
import { oauthRequest } from './oauth-requests.ts';
import { pageRequest } from './page-requests.ts';
import { type FuzzRequest, fill } from './request.ts';
import { type Description, restRequest } from './rest-requests.ts';
import type { createSender } from './send.ts';
import { sendBytes, wireBytes } from './wire.ts';

/** Requests with one cast. */
const CAST_LASTS = 300;
/** Of these, what goes to find a smaller request that fails. */
const SHRINKS = 60;

type Try = { http: FuzzRequest } | { bytes: string };

export type Scene = {
  origin: string;
  port: number;
  rootToken: string;
  description: Description;
  sender: ReturnType<typeof createSender>;
  judge: ReturnType<typeof createJudge>;
  figures: Figures;
  say(text: string): void;
  /** Why there is nothing more to do; undefined while there is. */
  over(): string | undefined;
};

const anyTry = (description: Description): fc.Arbitrary<Try> =>
  fc.oneof(
    { arbitrary: restRequest(description).map((http) => ({ http })), weight: 50 },
    { arbitrary: oauthRequest.map((http) => ({ http })), weight: 30 },
    { arbitrary: pageRequest.map((http) => ({ http })), weight: 17 },
    { arbitrary: wireBytes.map((bytes) => ({ bytes })), weight: 3 },
  );

/** Others may spoil what is made while it is made; not three times in a row. */
const castFor = async ({ origin, rootToken, figures, over }: Scene, lane: number): Promise<Cast | undefined> => {
  for (let times = 0; over() === undefined; times += 1)
    try {
      return await newCast(origin, rootToken, lane);
    } catch (error) {
      if (times < 3) continue;
      figures.found(
        {
          kind: 'the cast cannot be made',
          detail: error instanceof Error ? `${error.message} ${String(error.cause ?? '')}` : '',
        },
        '',
      );
      return undefined;
    }
  return undefined;
};

export const runLane = async (scene: Scene, number: number, seed: number): Promise<void> => {
  const { figures, port, sender, judge } = scene;
  const tries = anyTry(scene.description);
  let serial = 0;

  const attempt = async (one: Try, cast: Cast): Promise<Violation[]> => {
    if ('bytes' in one) {
      const { status, ms, violations } = await sendBytes(port, one.bytes);
      figures.count('bytes', status, ms);
      return violations;
    }
    const filled = fill(one.http, (name) => lookUp(cast, name));
    serial += 1;
    const requestId = `fuzz-${number}-${String(serial).padStart(6, '0')}`;
    let answer = await sender.send(filled, requestId);
    // Of a store that was late, on a machine that is busy. What the request itself brings about comes again.
    if ('status' in answer && answer.status === 503) {
      figures.late();
      await sleep(1_000);
      answer = await sender.send(filled, requestId);
    }
    figures.count(one.http.operation, 'failed' in answer ? answer.failed : String(answer.status), answer.ms);
    return judge(one.http.operation, filled.method, filled.target, answer);
  };

  for (let round = 0; scene.over() === undefined; round += 1) {
    const cast = await castFor(scene, number);
    if (!cast) return;
    let shrinking = SHRINKS;
    const property = fc.asyncProperty(tries, async (one) => {
      if (scene.over() !== undefined || shrinking <= 0) return;
      const violations = await attempt(one, cast);
      if (violations.length === 0) return;
      const printed = JSON.stringify(one);
      const fresh = violations.filter((violation) => figures.found(violation, printed));
      for (const { kind, detail } of fresh)
        scene.say(`VIOLATION ${kind}\n  ${printed.slice(0, 500)}\n  ${detail.slice(0, 300)}`);
      // A kind that is known is counted; for a new one the smallest request is looked for.
      if (fresh.length > 0) shrinking = SHRINKS;
      else if (shrinking === SHRINKS) return;
      shrinking -= 1;
      throw new Error(violations[0]?.kind);
    });
    await fc.check(property, { seed: seed + 1_000 * number + round, numRuns: CAST_LASTS, verbose: 0 });
  }
};
