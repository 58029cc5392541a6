import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { Unit } from '../../src/storage/units.ts';
import { createVouchedRead } from '../../src/storage/vouched.ts';

/** A database that can be away, slow and gone, and stamps that can change. */
const scene = () => {
  const state = {
    isAway: false,
    suspected: 0,
    stamp: 'first' as string | undefined,
    unit: undefined as Unit | undefined,
    read: async (): Promise<string | undefined> => 'as it was',
  };
  const vouched = createVouchedRead(
    { read: async () => state.stamp, changing: (_id, change) => change() },
    {
      isAway: () => state.isAway,
      suspect: () => {
        state.suspected += 1;
        state.isAway = true;
      },
    },
    { current: () => state.unit },
    100,
  );
  return { state, find: () => vouched('user', 'ada', () => state.read()) };
};
const gone = async (): Promise<never> => {
  throw new Error('ECONNREFUSED');
};

test('while the database is away, what was read goes on under the same stamp', async (t) => {
  const { state, find } = scene();
  t.is(await find(), 'as it was');
  state.read = gone;
  state.isAway = true;
  t.is(await find(), 'as it was');
});

test('what was changed since is not taken from a copy, and neither is what cannot be known to be the same', async (t) => {
  for (const stamp of ['second', undefined]) {
    const { state, find } = scene();
    await find();
    state.read = gone;
    state.isAway = true;
    state.stamp = stamp;
    await t.throwsAsync(find, { message: 'ECONNREFUSED' });
  }
});

test('what was read while it was being changed is no copy', async (t) => {
  const { state, find } = scene();
  state.stamp = undefined;
  t.is(await find(), 'as it was');
  state.stamp = 'first';
  state.read = gone;
  state.isAway = true;
  await t.throwsAsync(find, { message: 'ECONNREFUSED' });
});

test('what was never read is asked for, and what was not there is not there', async (t) => {
  const { state, find } = scene();
  state.read = gone;
  state.isAway = true;
  await t.throwsAsync(find, { message: 'ECONNREFUSED' });
  state.isAway = false;
  state.read = async () => undefined;
  t.is(await find(), undefined);
});

test('a database that answers is believed, whatever a copy says', async (t) => {
  const { state, find } = scene();
  await find();
  state.read = async () => 'as it is';
  t.is(await find(), 'as it is');
  state.read = async () => undefined;
  t.is(await find(), undefined);
});

test('a mistake of ours is not covered up by a copy', async (t) => {
  const { state, find } = scene();
  await find();
  state.read = async () => {
    throw new TypeError('a bug');
  };
  await t.throwsAsync(find, { message: 'a bug' });
});

test('nobody who has a copy waits for long, and who comes next does not wait at all', async (t) => {
  const { state, find } = scene();
  await find();
  state.read = () => sleep(60_000, 'late', { ref: false });
  const started = Date.now();
  t.is(await find(), 'as it was');
  t.is(state.suspected, 1);
  t.true(Date.now() - started < 3_000);
  const again = Date.now();
  t.is(await find(), 'as it was');
  t.true(Date.now() - again < 500);
});

test('a transaction reads what is there, or fails', async (t) => {
  const { state, find } = scene();
  await find();
  state.unit = {} as Unit;
  state.read = gone;
  state.isAway = true;
  await t.throwsAsync(find, { message: 'ECONNREFUSED' });
});
