// The outbox against a real SMTP server and a real database.
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { createSecrets } from '../../src/domain/secrets.ts';
import { retrySecondsAfter } from '../../src/mail/delivery.ts';
import type { Message } from '../../src/mail/messages.ts';
import { createMail } from '../../src/mail/outbox.ts';
import { createTransport } from '../../src/mail/transport.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { startSmtp, type TestSmtp } from '../helpers/smtp.ts';

// One database for all, so the tests take turns.
const { serial } = test;

const FROM = 'User Auth <no-reply@id.example.com>';
const ada = { email: 'ada@example.com', locale: 'en' };
const link = 'https://id.example.com/reset-password?token=s3cret-t0ken';
const reset: Message = { template: 'reset_password', link, minutes: 30 };

let smtp: TestSmtp;
let server: TestServer;
let keeping: TestServer;

test.before(async () => {
  smtp = await startSmtp();
  server = await startServer({ smtpUrl: smtp.url });
  keeping = await startServer();
});
test.beforeEach(async () => {
  smtp.received.length = 0;
  smtp.refusals.clear();
  smtp.drops.clear();
  await server.database.pool.query('DELETE FROM outgoing_mails');
});
test.after.always(async () => {
  await server?.close();
  await keeping?.close();
  await smtp?.stop();
});

type Row = {
  id: string;
  sealed: string;
  attempts: number;
  due: boolean;
  last_error: string | null;
  wait: number | null;
};
const rows = async (): Promise<Row[]> =>
  (
    await server.database.pool.query(
      `SELECT id, sealed, attempts, last_error, next_attempt_at <= now() AS due,
         extract(epoch FROM next_attempt_at - now())::float AS wait
       FROM outgoing_mails ORDER BY created_at`,
    )
  ).rows;
const makeDue = () =>
  server.database.pool.query(`UPDATE outgoing_mails SET next_attempt_at = date_trunc('milliseconds', now())`);
/** As if so much time had passed. */
const age = (interval: string) =>
  server.database.pool.query(
    'UPDATE outgoing_mails SET created_at = created_at - $1::interval, next_attempt_at = next_attempt_at - $1::interval',
    [interval],
  );

/** What was logged since; what goes to the log only while debugging is left out. */
const logged = () => {
  const before = server.log().length;
  return () =>
    server
      .log()
      .slice(before)
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
      .filter(({ level }) => level >= 30);
};

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (const deadline = Date.now() + 20_000; !(await holds()); await new Promise((resolve) => setTimeout(resolve, 10)))
    if (Date.now() > deadline) throw new Error('it did not come about');
};

/** Another process on the same database. */
const another = () =>
  createMail(
    server.stores.outgoingMails,
    createSecrets('a master key for tests, 32 bytes or more'),
    { appName: 'User Auth', host: 'id.example.com' },
    createTransport(smtp.url, FROM),
    pino({ level: 'silent' }),
  );

serial('a mail goes out in the language of its reader, as text and HTML, and is forgotten then', async (t) => {
  const log = logged();
  await server.mail.send({ email: 'ada@example.com', locale: 'zh-Hans' }, reset);
  await server.mail.send({ email: 'bob@example.com', locale: null }, { template: 'password_changed' });
  t.is(smtp.received.length, 0);
  await server.mail.deliverDue();
  t.is(smtp.received.length, 2);
  const [chinese, english] = ['ada', 'bob'].map((name) => smtp.received.find(({ to }) => to[0]?.startsWith(name)));
  t.deepEqual(chinese?.to, ['ada@example.com']);
  t.is(chinese?.from, 'no-reply@id.example.com');
  t.is(chinese?.headers.get('subject'), '设置新密码');
  t.is(chinese?.headers.get('from'), FROM);
  t.is(chinese?.headers.get('to'), 'ada@example.com');
  t.is(chinese?.headers.get('auto-submitted'), 'auto-generated');
  t.is(chinese?.headers.get('content-language'), 'zh-CN');
  t.regex(chinese?.headers.get('message-id') ?? '', /^<[\da-f-]{36}@id\.example\.com>$/);
  t.regex(chinese?.headers.get('content-type') ?? '', /^multipart\/alternative/);
  t.true(chinese?.text.includes(`设置新密码：\n${link}\n`) || chinese?.text.includes(`设置新密码:\n${link}\n`));
  t.true(chinese?.html.includes(`<a href="${link}"`));
  t.is(english?.headers.get('subject'), 'Your password was changed');
  t.regex(english?.text ?? '', /^Your password was changed\n\nThe password of your account/);
  t.regex(english?.html ?? '', /<html lang="en">/);

  t.deepEqual(await rows(), []);
  const lines = log();
  t.deepEqual(lines.map(({ template }) => template).sort(), ['password_changed', 'reset_password']);
  for (const line of lines) t.like(line, { msg: 'mail delivered', attempt: 1, code: 250 });
  t.notRegex(JSON.stringify(lines), /example\.com|t0ken/);
});

serial('a stored row contains neither the address nor the link', async (t) => {
  await server.mail.send(ada, reset);
  const { rows: raw } = await server.database.pool.query('SELECT outgoing_mails::text AS row FROM outgoing_mails');
  t.is(raw.length, 1);
  const decoded = Buffer.from(String(raw[0].row).split('v1.')[1] ?? '', 'base64url').toString('latin1');
  for (const secret of ['ada', 'example', 's3cret', 'reset', 'https']) {
    t.false(raw[0].row.includes(secret));
    t.false(decoded.includes(secret));
  }
});

serial('a mail server that is down loses none and holds nobody up; what waited leaves when it is back', async (t) => {
  await smtp.stop();
  t.teardown(async () => smtp.start().catch(() => {}));
  const log = logged();
  for (let i = 0; i < 20; i++) await server.mail.send({ email: `user${i}@example.com` }, reset);
  await server.mail.deliverDue();
  const waiting = await rows();
  t.is(waiting.length, 20);
  const tried = waiting.filter(({ attempts }) => attempts > 0);
  t.true(tried.length >= 1 && tried.length <= 5, 'it is not knocked at for every mail');
  for (const { wait, last_error } of tried) {
    t.true(Number(wait) > 50 && Number(wait) <= 60);
    t.regex(last_error ?? '', /^ESOCKET CONN$|^ECONNECTION CONN$/);
  }
  t.is((await fetch(`${server.origin}/health`)).status, 200);
  t.true(log().some(({ msg, level }) => msg === 'mail not delivered, will be tried again' && level === 40));
  t.notRegex(JSON.stringify(log()), /@example|t0ken/);

  await smtp.start();
  await makeDue();
  await server.mail.deliverDue();
  t.is(new Set(smtp.received.map(({ to }) => to[0])).size, 20);
  t.is(smtp.received.length, 20);
  t.deepEqual(await rows(), []);
});

serial('send answers while the mail server has not, and the mail leaves by itself', async (t) => {
  const release = smtp.hold();
  server.mail.start();
  t.teardown(() => server.mail.stop(0));
  await server.mail.send(ada, reset);
  await until(async () => (await rows())[0]?.attempts === 1);
  await server.mail.send({ email: 'bob@example.com' }, reset);
  t.is(smtp.received.length, 0);
  release();
  await until(() => smtp.received.length === 2);
  await until(async () => (await rows()).length === 0);
});

serial('of two processes that deliver at once, each mail is sent by one', async (t) => {
  for (let i = 0; i < 40; i++) await server.mail.send({ email: `user${i}@example.com` }, reset);
  const others = [another(), another()];
  await Promise.all([server.mail, ...others].map((mail) => mail.deliverDue()));
  t.deepEqual(
    smtp.received.map(({ to }) => to[0]).sort(),
    Array.from({ length: 40 }, (_, i) => `user${i}@example.com`).sort(),
  );
});

serial('a mail whose process was killed in the middle is sent when its lease has run out, not before', async (t) => {
  await server.mail.send(ada, reset);
  const killed = await server.stores.outgoingMails.claim(180);
  t.truthy(killed);
  await server.mail.deliverDue();
  t.is(smtp.received.length, 0);
  await age('179 seconds');
  await server.mail.deliverDue();
  t.is(smtp.received.length, 0);
  await age('2 seconds');
  await server.mail.deliverDue();
  t.is(smtp.received.length, 1);
  t.deepEqual(await rows(), []);
});

serial('a process that comes back after its lease changes nothing of what another does since', async (t) => {
  await server.mail.send(ada, reset);
  const store = server.stores.outgoingMails;
  const late = await store.claim(180);
  await age('200 seconds');
  const current = await store.claim(180);
  if (!late || !current) return t.fail();
  await store.remove(late);
  await store.release(late);
  await store.keep(late);
  t.false(await store.fail(late, 'late', null, 1));
  t.like((await rows())[0], { attempts: 2, due: false, last_error: null });
});

serial('a mail is told apart by its Message-ID when it comes twice', async (t) => {
  await server.mail.send(ada, reset);
  const [row] = await rows();
  await server.mail.deliverDue();
  t.true(smtp.received[0]?.headers.get('message-id')?.includes(row?.id ?? '-'));
});

for (const command of ['RCPT TO', 'DATA'] as const)
  serial(`a refusal for good at ${command} gives up at once, and an operator can see it`, async (t) => {
    const log = logged();
    smtp.refusals.set(command, 550);
    await server.mail.send(ada, reset);
    await server.mail.send({ email: 'bob@example.com' }, reset);
    await server.mail.deliverDue();
    const left = await rows();
    t.is(left.length, 2, 'the one was no reason to stop before the other');
    for (const row of left) {
      t.like(row, { attempts: 1, due: null, wait: null });
      t.regex(row.last_error ?? '', new RegExp(`${command} 550 5\\.1\\.1$`));
    }
    const lines = log();
    t.deepEqual(
      lines
        .map(({ level, msg, mail, code }) => ({ level, msg, mail, code }))
        .sort((a, b) => (a.mail < b.mail ? -1 : 1)),
      left
        .map(({ id }) => ({ level: 50, msg: 'mail given up', mail: id, code: 550 }))
        .sort((a, b) => (a.mail < b.mail ? -1 : 1)),
    );
    t.notRegex(JSON.stringify([lines, left.map(({ last_error }) => last_error)]), /example\.com|t0ken/);
    t.deepEqual(await server.mail.kept(), [], 'given up is not kept');

    smtp.refusals.clear();
    await server.mail.deliverDue();
    t.is(smtp.received.length, 0);
  });

serial('a refusal for now is tried again, later each time, and given up after three days', async (t) => {
  smtp.refusals.set('RCPT TO', 451);
  await server.mail.send(ada, reset);
  for (const seconds of [60, 120, 240]) {
    await server.mail.deliverDue();
    const [row] = await rows();
    t.true(Number(row?.wait) > seconds - 10 && Number(row?.wait) <= seconds, `${row?.wait} of ${seconds}`);
    await makeDue();
  }
  await age('2 days 23 hours 59 minutes 30 seconds');
  await server.mail.deliverDue();
  const [last] = await rows();
  t.true(Number(last?.wait) > 0 && Number(last?.wait) <= 30, 'the last attempt is at the end of the third day');
  await age('31 seconds');
  const log = logged();
  await server.mail.deliverDue();
  t.like((await rows())[0], { attempts: 5, due: null, last_error: 'EENVELOPE RCPT TO 451 5.1.1' });
  t.like(log()[0], { level: 50, msg: 'mail given up', attempt: 5, code: 451 });
});

test('the time between attempts doubles up to six hours', (t) => {
  t.deepEqual([1, 2, 3, 9, 10, 30].map(retrySecondsAfter), [60, 120, 240, 15_360, 21_600, 21_600]);
});

serial('a sender or a server that is refused is for the operator to mend: the mail waits', async (t) => {
  for (const command of ['CONNECT', 'MAIL FROM'] as const) {
    smtp.refusals.set(command, 554);
    await server.mail.send(ada, reset);
    await makeDue();
    await server.mail.deliverDue();
    for (const { wait } of await rows()) t.true(wait !== null);
    smtp.refusals.clear();
  }
  await makeDue();
  await server.mail.deliverDue();
  t.is(smtp.received.length, 2);
});

serial('a connection that breaks in the middle is another attempt', async (t) => {
  for (const command of ['CONNECT', 'RCPT TO', 'DATA'] as const) {
    smtp.drops.add(command);
    await makeDue();
    if (command === 'CONNECT') await server.mail.send(ada, reset);
    await server.mail.deliverDue();
    smtp.drops.clear();
  }
  t.like((await rows())[0], { attempts: 3, due: false });
  await makeDue();
  await server.mail.deliverDue();
  t.is(smtp.received.length, 1);
});

serial('stopping finishes what is being sent', async (t) => {
  const release = smtp.hold();
  server.mail.start();
  await server.mail.send(ada, reset);
  await until(async () => (await rows())[0]?.attempts === 1);
  const stopped = server.mail.stop(60_000);
  await server.mail.send({ email: 'bob@example.com' }, reset);
  release();
  await stopped;
  t.deepEqual(
    smtp.received.map(({ to }) => to[0]),
    ['ada@example.com'],
  );
  t.like(await rows(), [{ attempts: 0, due: true }], 'what came later waits for the next start');
});

serial('stopping lets go of what does not finish in time, as if it had not been tried', async (t) => {
  const release = smtp.hold();
  t.teardown(release);
  server.mail.start();
  await server.mail.send(ada, reset);
  await until(async () => (await rows())[0]?.attempts === 1);
  await server.mail.stop(0);
  t.like(await rows(), [{ attempts: 0, due: true, last_error: null }]);
});

serial('a decoy costs a row of the size of a mail, and leads to nothing', async (t) => {
  await server.mail.send(ada, reset);
  const size = (await rows())[0]?.sealed.length ?? 0;
  for (let i = 0; i < 20; i++) await server.mail.decoy();
  const sizes = (await rows()).map(({ sealed }) => sealed.length);
  t.is(sizes.length, 21);
  t.true(Math.min(...sizes) > size * 0.6 && Math.max(...sizes) < size * 1.6, `${sizes} beside ${size}`);
  const log = logged();
  await server.mail.deliverDue();
  t.is(smtp.received.length, 1);
  t.deepEqual(await rows(), []);
  t.is(log().length, 1);
});

serial('an address or a name made to inject comes out harmless', async (t) => {
  for (const email of [
    'ada@example.com\r\nBcc: eve@example.com',
    'ada@example.com, eve@example.com',
    'ada@example.com> ORCPT=rfc822;eve@example.com',
    '<eve@example.com>',
    '"eve@example.com"@example.com',
    'Ada <eve@example.com>',
    'eve@example.com\0',
  ])
    await server.mail.send({ email }, reset);
  await server.mail.deliverDue();
  t.deepEqual(smtp.received, []);
  for (const { last_error, due } of await rows())
    t.deepEqual({ last_error, due }, { last_error: 'not an address', due: null });

  const app = '</bdi><b>Bold</b>\r\nBcc: eve@example.com\r\n\r\n.\r\nRSET';
  await server.mail.send(
    { email: 'ada@example.com', locale: 'en\r\nBcc: eve@example.com' },
    { template: 'token_reused', app },
  );
  await server.mail.deliverDue();
  const [mail] = smtp.received;
  t.deepEqual(mail?.to, ['ada@example.com']);
  t.false(mail?.headers.has('bcc'));
  t.is(mail?.headers.get('subject'), 'You were signed out of an app');
  t.true(mail?.html.includes('<bdi>&lt;/bdi&gt;&lt;b&gt;Bold&lt;/b&gt; Bcc: eve@example.com . RSET</bdi>'));
  t.true(mail?.text.includes('in </bdi><b>Bold</b> Bcc: eve@example.com . RSET was used'));
});

serial('a row that does not open waits, for the key or the version that can read it', async (t) => {
  const log = logged();
  await server.mail.send(ada, reset);
  await server.database.pool.query(`UPDATE outgoing_mails SET sealed = 'v1.' || repeat('A', 100)`);
  await server.mail.send({ email: 'bob@example.com' }, reset);
  await server.mail.deliverDue();
  t.is(smtp.received.length, 1);
  t.like(await rows(), [{ attempts: 1, due: false, last_error: 'unreadable or not renderable' }]);
  t.is(log().filter(({ level }) => level === 40).length, 1);
});

serial('what was given up a month ago is deleted by the next that is', async (t) => {
  smtp.refusals.set('RCPT TO', 550);
  for (const days of ['31 days', '10 days', '0 days']) {
    await server.mail.send(ada, reset);
    await server.mail.deliverDue();
    if (days !== '0 days')
      await server.database.pool.query(
        `UPDATE outgoing_mails SET created_at = now() - $1::interval WHERE created_at > now() - interval '1 day'`,
        [days],
      );
  }
  t.is((await rows()).length, 2);
});

// ---------------------------------------------------------------------------------------------------------------------
// Without a mail server
// ---------------------------------------------------------------------------------------------------------------------

serial('without a mail server the newest hundred are kept, and decoys are not among them', async (t) => {
  const { mail, database } = keeping;
  for (let i = 0; i < 103; i++) await mail.send({ email: `user${i}@example.com` }, reset);
  await mail.decoy();
  const kept = await mail.kept();
  t.is(kept.length, 100);
  t.deepEqual(kept[0]?.message, reset);
  t.deepEqual(
    kept.map(({ to }) => to.email).sort(),
    Array.from({ length: 100 }, (_, i) => `user${i + 3}@example.com`).sort(),
  );
  await mail.deliverDue();
  t.is((await mail.kept(3)).length, 3);
  t.is((await database.pool.query('SELECT 1 FROM outgoing_mails')).rowCount, 100);
});

serial('mails that waited for a mail server are kept when there is none any more', async (t: ExecutionContext) => {
  await keeping.database.pool.query(
    `UPDATE outgoing_mails SET next_attempt_at = now() - interval '1 second', attempts = 2`,
  );
  t.deepEqual(await keeping.mail.kept(), []);
  await keeping.mail.deliverDue();
  t.is((await keeping.mail.kept()).length, 100);
});
