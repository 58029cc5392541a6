import test from 'ava';
import { createTurns } from '../../src/domain/turns.ts';

/** Work that ends when it is told to. */
const work = () => {
  let end = () => {};
  let started = false;
  const run = async () => {
    started = true;
    await new Promise<void>((resolve) => {
      end = resolve;
    });
    return 'done';
  };
  return { run, started: () => started, end: () => end() };
};
const ticks = async () => {
  for (let i = 0; i < 10; i += 1) await Promise.resolve();
};

test('so much runs at once, so much waits in order, and the rest is refused with the time to wait', async (t) => {
  const inTurn = createTurns(2, 2, 7, 0);
  const [a, b, c, d, e] = [work(), work(), work(), work(), work()];
  const all = [a, b, c, d].map(({ run }) => inTurn(run));
  await ticks();
  t.deepEqual(
    [a, b, c, d].map(({ started }) => started()),
    [true, true, false, false],
  );
  const refused = await t.throwsAsync(inTurn(e.run), { code: 'too_busy' });
  t.is((refused as { retryAfterSeconds?: number }).retryAfterSeconds, 7);
  t.false(e.started());
  b.end();
  await ticks();
  t.deepEqual(
    [c, d].map(({ started }) => started()),
    [true, false],
  );
  a.end();
  await ticks();
  t.true(d.started());
  c.end();
  d.end();
  t.deepEqual(await Promise.all(all), ['done', 'done', 'done', 'done']);
});

test('work that fails gives its turn back', async (t) => {
  const inTurn = createTurns(1, 5, 1, 0);
  const failing = Array.from({ length: 3 }, () =>
    inTurn(async () => {
      throw new Error('no');
    }),
  );
  for (const one of failing) await t.throwsAsync(one, { message: 'no' });
  t.is(await inTurn(async () => 'again'), 'again');
});

test('who would only come to be refused waits a moment for room, and hears it before anything is done for them', async (t) => {
  const inTurn = createTurns(1, 1, 2, 100);
  await t.notThrowsAsync(inTurn.room());
  let end = () => {};
  const running = inTurn(() => new Promise<void>((resolve) => (end = resolve)));
  await t.notThrowsAsync(inTurn.room(), 'one may wait');
  const waiting = inTurn(async () => {});
  const before = performance.now();
  await t.throwsAsync(inTurn.room(), { code: 'too_busy' });
  // A timer may be early by the part of a millisecond that it does not know.
  t.true(performance.now() - before > 48);
  const patient = inTurn.room();
  end();
  await Promise.all([running, waiting]);
  await t.notThrowsAsync(patient, 'room came meanwhile');
});
