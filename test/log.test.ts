// What the log may hold of people (LOG_PII).
import { Writable } from 'node:stream';
import test from 'ava';
import { pino } from 'pino';
import { logOptions, withoutAddresses } from '../src/log.ts';

const logged = (logPii: boolean) => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk));
      done();
    },
  });
  return { log: pino(logOptions({ logLevel: 'debug', logPii }), sink), text: () => lines.join('') };
};

/** As PostgreSQL says it of a row that is there already. */
const conflict = () =>
  Object.assign(new Error('duplicate key value violates unique constraint for ada@example.com'), {
    detail: 'Key (email_key)=(ada@example.com) already exists.',
  });

test('above debug no email and no network address is logged, whoever says it, unless LOG_PII allows it', (t) => {
  const said = [
    'Ada.Lovelace+tag@mail.example.com',
    'ada%40example.com',
    'жанна@пример.example',
    'ada@localhost',
    '203.0.113.7',
    '::1',
    '::ffff:203.0.113.7',
    '2001:db8::8a2e:370:7334',
    '2001:0db8:0000:0000:0000:8a2e:0370:7334',
  ];
  const [hidden, shown] = [logged(false), logged(true)];
  for (const { log } of [hidden, shown])
    for (const level of ['info', 'warn', 'error'] as const) {
      for (const one of said) log[level]({ path: `/users/${one}`, why: `550 <${one}> is not known` }, `about ${one}.`);
      log[level]({ err: conflict() }, 'request failed');
    }
  for (const one of said) {
    t.false(hidden.text().includes(one), one);
    t.true(shown.text().includes(one), one);
  }
  t.notRegex(hidden.text(), /ada@|example\.com|203\.0|2001:/i);
  t.regex(hidden.text(), /about \[email\]/);
  t.regex(hidden.text(), /"why":"550 <\[ip\]> is not known"/);
  for (const line of hidden.text().trim().split('\n')) t.notThrows(() => JSON.parse(line));
});

test('at debug, which nobody runs a service at, they stay', (t) => {
  const { log, text } = logged(false);
  log.debug({ to: 'ada@example.com' }, 'sending mail');
  t.regex(text(), /ada@example\.com/);
});

test('what is neither stays as it is', (t) => {
  const { log, text } = logged(false);
  const kept = {
    at: 'node_modules/@koa/router/lib/router.js:12:34',
    time: '06:58:01',
    uuid: '0f8fad5b-d9cb-469f-a165-70867728950e',
    version: '24.1.0',
    ms: 1.25,
    type: 'Foo::bar',
  };
  log.info(kept, 'request');
  t.like(JSON.parse(text()), kept);
});

test('a line that is made to be long is logged in no time', (t) => {
  const { log } = logged(false);
  const start = performance.now();
  for (const part of ['a', 'a.', '1.', 'f:', 'a@', '%40', '@'])
    log.info({ path: `/@${part.repeat(16_000 / part.length)}` }, 'request');
  t.true(performance.now() - start < 1_000);
});

test('a line stays JSON, wherever in it an address stands', (t) => {
  for (const before of ['\n', '\t', '\u0001', '\\', '\\n', '"', '', 'to\r\n']) {
    const message = `${before}bob@example.com refused`;
    const told = withoutAddresses(JSON.stringify({ level: 50, message }));
    t.false(told.includes('bob'), told);
    t.notThrows(() => JSON.parse(told), told);
  }
});
