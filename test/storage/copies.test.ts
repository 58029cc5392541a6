import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createCopies } from '../../src/storage/copies.ts';

test('there are never more than may be, and the oldest goes', (t) => {
  const copies = createCopies<number>(3, 60_000);
  for (const [index, key] of ['a', 'b', 'c', 'a', 'd'].entries()) copies.set(key, index);
  t.is(copies.size(), 3);
  t.deepEqual(
    ['a', 'b', 'c', 'd'].map((key) => copies.get(key)),
    [3, undefined, 2, 4],
  );
});

test('what is too old goes with the next one that comes, and what was renewed stays', async (t) => {
  const copies = createCopies<string>(100, 50);
  for (const key of ['a', 'b', 'c']) copies.set(key, 'old');
  await sleep(100);
  copies.set('b', 'new');
  t.is(copies.size(), 1);
  t.is(copies.get('b'), 'new');
  copies.delete('b');
  t.false(copies.has('b'));
});
