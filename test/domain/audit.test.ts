import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { Pool } from 'pg';
import { auditMac, createAudit, type RequestFacts } from '../../src/domain/audit.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { createAuditLog } from '../../src/storage/audit.ts';
import { testDatabase } from '../helpers/database.ts';

const secrets = createSecrets('a master key for tests, 32 bytes or more');

const openAudit = async (facts: () => RequestFacts | undefined = () => undefined) => {
  const database = await testDatabase();
  const pool = new Pool({ connectionString: database.connectionString, max: 5 });
  // The database goes while connections are still saying goodbye.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const open = () => createAudit(createAuditLog(pool, auditMac(secrets)), secrets, facts);
  return {
    pool,
    open,
    audit: open(),
    async close() {
      await pool.end();
      await database.close();
    },
  };
};

test.serial('an event tells who did what to whom, from where and when', async (t) => {
  const facts = { requestId: 'request-1', ip: '192.0.2.1', userAgent: 'Firefox', actor: 'ada', client: 'app' };
  const { audit, close } = await openAudit(() => facts);
  await audit.record({ type: 'user.banned', target: 'bob', details: { reason: 'spam' } });
  const [event] = await audit.list({}, undefined, 10);
  const { time, ...rest } = event ?? { time: '' };
  t.true(Math.abs(Date.parse(time) - Date.now()) < 60_000);
  t.deepEqual(rest, {
    seq: 1,
    type: 'user.banned',
    actor: 'ada',
    target: 'bob',
    client: 'app',
    ip: '192.0.2.1',
    user_agent: 'Firefox',
    request_id: 'request-1',
    details: { reason: 'spam' },
  });
  await close();
});

test.serial('events of two processes at once make one chain, none lost', async (t) => {
  const { audit, open, close } = await openAudit();
  const other = open();
  await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      (n % 2 ? audit : other).record({ type: 'login.succeeded', target: String(n) }),
    ),
  );
  const { events, broken } = await audit.verify();
  t.is(events, 200);
  t.is(broken, undefined);
  const targets = (await audit.list({}, undefined, 200)).map(({ target }) => Number(target));
  t.deepEqual(
    targets.sort((a, b) => a - b),
    Array.from({ length: 200 }, (_, n) => n),
  );
  await close();
});

test.serial('the log is append-only for whoever uses the database as we do', async (t) => {
  const { audit, pool, close } = await openAudit();
  await audit.record({ type: 'logout' });
  for (const sql of ["UPDATE audit_events SET mac = 'x'", 'DELETE FROM audit_events', 'TRUNCATE audit_events'])
    await t.throwsAsync(pool.query(sql), { message: /append-only/ }, sql);
  t.is((await audit.verify()).events, 1);
  await close();
});

const tampering: [title: string, sql: string, seq: number, reason: string][] = [
  [
    'an event that was changed',
    `UPDATE audit_events SET event = replace(event, 'ada', 'eve') WHERE seq = 2`,
    2,
    'the row was changed',
  ],
  ['an event taken out of the middle', 'DELETE FROM audit_events WHERE seq = 2', 2, 'a row is missing'],
  [
    'an event taken out, the later ones moved up',
    'DELETE FROM audit_events WHERE seq = 2; UPDATE audit_events SET seq = seq - 1 WHERE seq > 2',
    2,
    'the row was changed',
  ],
  ['the beginning cut off', 'DELETE FROM audit_events WHERE seq = 1', 1, 'a row is missing'],
  [
    'two events exchanged',
    'UPDATE audit_events SET seq = 9 WHERE seq = 1; UPDATE audit_events SET seq = 1 WHERE seq = 2; UPDATE audit_events SET seq = 2 WHERE seq = 9',
    1,
    'the row was changed',
  ],
  ...[0, -1].map((seq): [string, string, number, string] => [
    `an event put in front of the first, at ${seq}`,
    `INSERT INTO audit_events (seq, event, mac) SELECT ${seq}, event, mac FROM audit_events WHERE seq = 2`,
    seq,
    'the row is not of this log',
  ]),
];

for (const [title, sql, seq, reason] of tampering) {
  test.serial(`verifying finds ${title}`, async (t) => {
    const { audit, pool, close } = await openAudit();
    for (const target of ['ada', 'ada', 'bob', 'cy']) await audit.record({ type: 'logout', target });
    t.is((await audit.verify()).broken, undefined);
    await pool.query(`ALTER TABLE audit_events DISABLE TRIGGER USER; ${sql}`);
    t.deepEqual((await audit.verify()).broken, { seq, reason });
    await close();
  });
}

test.serial('an event that cannot be written is not reported as recorded, and the next one can be', async (t) => {
  const { audit, pool, close } = await openAudit();
  await pool.query('ALTER TABLE audit_events RENAME TO elsewhere');
  await t.throwsAsync(audit.record({ type: 'logout' }));
  await pool.query('ALTER TABLE elsewhere RENAME TO audit_events');
  await audit.record({ type: 'logout' });
  t.is((await audit.verify()).events, 1);
  await close();
});

test.serial('events are found by type, actor, target, client and time, newest first, page by page', async (t) => {
  const { audit, close } = await openAudit();
  for (const n of [1, 2, 3, 4, 5]) {
    // Times are in milliseconds, and those before the fourth are asked for.
    if (n === 4) await sleep(5);
    await audit.record({ type: n % 2 ? 'login.failed' : 'logout', actor: `a${n}`, target: 't', client: 'c' });
  }
  const seqs = async (...args: Parameters<typeof audit.list>) => (await audit.list(...args)).map(({ seq }) => seq);
  t.deepEqual(await seqs({ type: 'login.failed' }, undefined, 10), [5, 3, 1]);
  t.deepEqual(await seqs({ actor: 'a2' }, undefined, 10), [2]);
  t.deepEqual(await seqs({ target: 't', client: 'c' }, undefined, 2), [5, 4]);
  t.deepEqual(await seqs({ target: 't' }, 4, 2), [3, 2]);
  const [, second] = await audit.list({}, undefined, 10);
  t.deepEqual(await seqs({ from: '2000-01-01T00:00:00.000Z', to: second?.time }, 4, 10).then((all) => all.length), 3);
  t.deepEqual(await seqs({ from: '2999-01-01T00:00:00.000Z' }, undefined, 10), []);
  await close();
});
