// What is written in one turn of the event loop: together, and one's failure is not the others'.
import { randomUUID } from 'node:crypto';
import test from 'ava';
import type { Pool } from 'pg';
import { createWriteTogether } from '../../src/storage/artifacts-written.ts';
import { testDatabase } from '../helpers/database.ts';

const { pool, close } = await testDatabase();
test.after.always(() => close());

/** The pool, counting what it is asked. */
const counted = () => {
  const asked: string[] = [];
  const query = (statement: { text: string }) => {
    asked.push(statement.text);
    return pool.query(statement);
  };
  return { asked, together: createWriteTogether({ query } as unknown as Pool) };
};

const person = async (): Promise<string> => {
  const id = randomUUID();
  const email = `${id}@example.com`;
  await pool.query('INSERT INTO users (id, email, email_key) VALUES ($1, $2, $2)', [id, email]);
  return id;
};
const grant = (idHash: string) => ({
  model: 'Grant',
  idHash,
  entry: { payload: 'sealed', expiresAt: Math.floor(Date.now() / 1000) + 60, grantId: idHash },
});
const signIn = (userId: string, grantId: string) => ({
  id: randomUUID(),
  userId,
  grantId,
  ip: '127.0.0.1',
  userAgent: 'an app',
  deadBefore: new Date(Date.now() - 60_000),
});
const notedOf = async (userId: string): Promise<string[]> =>
  (await pool.query('SELECT grant_id FROM sign_ins WHERE user_id = $1 ORDER BY created_at', [userId])).rows.map(
    (row) => row.grant_id,
  );
const isWritten = async (idHash: string): Promise<boolean> =>
  (await pool.query('SELECT FROM oauth_tokens WHERE id_hash = $1', [idHash])).rowCount === 1;

test('a grant and the sign-in that it is of are written by one statement', async (t) => {
  const { asked, together } = counted();
  const [userId, id] = [await person(), randomUUID()];
  const [outcome] = await Promise.all([together.artifact(grant(id)), together.signIn(signIn(userId, id))]);
  t.is(outcome, 'inserted');
  t.is(asked.length, 1);
  t.true(await isWritten(id));
  t.deepEqual(await notedOf(userId), [id]);
});

test('several who sign in at once are all noted', async (t) => {
  const { together } = counted();
  const people = await Promise.all([person(), person(), person()]);
  await Promise.all(
    people.flatMap((userId) => [together.artifact(grant(userId)), together.signIn(signIn(userId, userId))]),
  );
  for (const userId of people) {
    t.true(await isWritten(userId));
    t.deepEqual(await notedOf(userId), [userId]);
  }
});

test('a sign-in fails as a whole, and alone', async (t) => {
  const { together } = counted();
  const [userId, otherId] = [await person(), await person()];
  const [id, other] = [randomUUID(), randomUUID()];
  const refused = [together.artifact(grant(id)), together.signIn({ ...signIn(userId, id), ip: 'with\0NUL' })];
  const fine = [together.artifact(grant(other)), together.signIn(signIn(otherId, other))];
  for (const one of refused) await t.throwsAsync(one);
  await Promise.all(fine);
  t.deepEqual([await isWritten(id), await notedOf(userId)], [false, []]);
  t.deepEqual([await isWritten(other), await notedOf(otherId)], [true, [other]]);

  const entry = { ...grant(id).entry, payload: 'with\0NUL' };
  const bad = [together.artifact({ ...grant(id), entry }), together.signIn(signIn(userId, id))];
  for (const one of bad) await t.throwsAsync(one);
  t.deepEqual([await isWritten(id), await notedOf(userId)], [false, []]);
});

test('who waits for the row of a user keeps nobody else waiting', async (t) => {
  if (!process.env.TEST_DATABASE_URL) return t.pass('an embedded database does one thing at a time');
  const { together } = counted();
  const [locked, free] = [await person(), await person()];
  const [one, two, three] = [randomUUID(), randomUUID(), randomUUID()];
  const holder = await pool.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [locked]);
  const waits = [together.artifact(grant(one)), together.signIn(signIn(locked, one))];
  await Promise.all([
    together.artifact(grant(two)),
    together.signIn(signIn(free, two)),
    together.artifact(grant(three)),
  ]);
  t.deepEqual([await isWritten(one), await isWritten(two), await isWritten(three)], [false, true, true]);
  t.deepEqual(await notedOf(free), [two]);
  await holder.query('COMMIT');
  holder.release();
  await Promise.all(waits);
  t.deepEqual([await isWritten(one), await notedOf(locked)], [true, [one]]);
});

test('nothing is noted for who is gone, and what nobody uses any more goes', async (t) => {
  const { together } = counted();
  const gone = randomUUID();
  await together.signIn(signIn(gone, gone));
  t.deepEqual(await notedOf(gone), []);

  const [userId, other] = [await person(), await person()];
  for (const id of [userId, other]) await together.signIn(signIn(id, `old-${id}`));
  await pool.query(`UPDATE sign_ins SET last_used_at = now() - interval '1 hour' WHERE user_id = ANY ($1)`, [
    [userId, other],
  ]);
  await together.signIn(signIn(userId, 'new'));
  t.deepEqual(await notedOf(userId), ['new']);
  t.deepEqual(await notedOf(other), [`old-${other}`]);
});
