// The checks of `npm run doctor` that need no server of ours: each made to fail once.
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { SMTPServer } from 'smtp-server';
import { askClock, judgeClock } from '../../scripts/doctor/clock.ts';
import { FORGED_ADDRESS, judgeProxies } from '../../scripts/doctor/issuer.ts';
import { checkMail } from '../../scripts/doctor/mail.ts';
import { checkRedis, openRedis } from '../../scripts/doctor/redis.ts';
import { checkSettings } from '../../scripts/doctor/settings.ts';
import type { Config } from '../../src/config.ts';
import { configOf, isFine, PRODUCTION, told } from '../helpers/findings.ts';
import { freePort, temporaryDir } from '../helpers/service.ts';
import { startSmtp } from '../helpers/smtp.ts';

test('settings that do not belong where they are', (t) => {
  t.true(isFine(checkSettings(configOf(), [])));
  t.true(isFine(checkSettings(PRODUCTION, [])));
  const cases: [config: Config, warnings: string[], says: RegExp][] = [
    [
      configOf({ ISSUER: 'https://id.example.com' }),
      [],
      /^fail configuration: https:\/\/id\.example\.com is a public name/,
    ],
    [{ ...PRODUCTION, masterKey: undefined }, [], /^warn configuration: MASTER_KEY is not set/],
    [{ ...PRODUCTION, logLevel: 'debug' }, [], /^warn configuration: LOG_LEVEL is debug/],
    [{ ...PRODUCTION, registration: 'open' }, [], /^warn configuration: DCR=open/],
    [configOf(), ['ISUER is not a known variable'], /^warn configuration: ISUER/],
  ];
  for (const [config, warnings, says] of cases) t.regex(told(checkSettings(config, warnings)), says);
  const dataDir = temporaryDir();
  writeFileSync(join(dataDir, 'secrets.json'), '{}');
  chmodSync(join(dataDir, 'secrets.json'), 0o644);
  t.regex(told(checkSettings(configOf({ DATA_DIR: dataDir }), [])), /^fail configuration: Other users/);
});

test('a clock that is off is told, as far as the question’s own time does not explain it', async (t) => {
  t.is(judgeClock('It', 900, 10).status, 'ok');
  t.is(judgeClock('It', 2_500, 1_000).status, 'ok');
  t.is(judgeClock('It', -3_000, 100).status, 'warn');
  t.regex(judgeClock('It', -31_000, 100).says, /31\.0 s behind/);
  t.is(judgeClock('It', 31_000, 100).status, 'fail');
  const { aheadMs, withinMs } = await askClock(async () => Date.now() + 60_000);
  t.is(judgeClock('It', aheadMs, withinMs).status, 'fail');
});

test('what the server takes for the client’s address shows whether TRUST_PROXY is right', (t) => {
  const judge = (trustProxy: number, address: string, ...forwarded_for: string[]) => {
    const { status, says, mend = '' } = judgeProxies({ address, forwarded_for }, trustProxy);
    return `${status} ${says} ${mend}`;
  };
  const us = '198.51.100.9';
  // The proxy adds to what came, or sets what it saw; one, or two of them.
  t.regex(judge(1, us, FORGED_ADDRESS, us), /^ok/);
  t.regex(judge(1, us, us), /^ok/);
  t.regex(judge(2, us, FORGED_ADDRESS, us, '10.0.0.1'), /^ok/);
  t.regex(judge(0, us, FORGED_ADDRESS), /^ok There is none/);
  // Believed without a proxy, or further than there are proxies.
  t.regex(judge(1, FORGED_ADDRESS, FORGED_ADDRESS), /^fail Clients can choose .* TRUST_PROXY=0/);
  t.regex(judge(2, FORGED_ADDRESS, FORGED_ADDRESS, us), /^fail Clients can choose .* TRUST_PROXY=1/);
  t.regex(judge(2, us, us), /^warn .* TRUST_PROXY=1/);
  // Not believed though they are there.
  t.regex(judge(0, '10.0.0.1', FORGED_ADDRESS, us), /^fail Everybody is counted as one network.* TRUST_PROXY=1/);
  t.regex(judge(1, '10.0.0.1', FORGED_ADDRESS, us, '10.0.0.1'), /^fail Everybody .* TRUST_PROXY=2/);
});

test('a mail server that is away, refuses, or takes no password', async (t) => {
  const smtp = await startSmtp();
  t.teardown(smtp.stop);
  const config = (SMTP_URL: string) => configOf({ SMTP_URL });
  t.true(isFine(await checkMail(config(smtp.url))));
  t.is(smtp.received.length, 0, 'nothing was sent');
  const asking = new SMTPServer({
    hideSTARTTLS: true,
    allowInsecureAuth: true,
    onAuth: ({ password }, _session, done) =>
      password === 'right' ? done(null, { user: 'mailer' }) : done(new Error(`not ${password}`)),
  });
  const listener = asking.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.teardown(() => new Promise<void>((resolve) => asking.close(resolve)));
  const { port } = listener.address() as AddressInfo;
  t.true(isFine(await checkMail(config(`smtp://mailer:right@127.0.0.1:${port}`))));
  const denied = told(await checkMail(config(`smtp://mailer:hunter2@127.0.0.1:${port}`)));
  t.regex(denied, /^fail mail: 127\.0\.0\.1:\d+ does not take mails \(EAUTH AUTH PLAIN 535\)/);
  smtp.refusals.set('CONNECT', 554);
  t.regex(told(await checkMail(config(smtp.url))), /^fail mail: .*554/);
  await smtp.stop();
  t.regex(told(await checkMail(config(smtp.url))), /^fail mail: .*ESOCKET|ECONN/);
  t.notRegex(denied, /hunter2|mailer/);
  t.is((await checkMail(configOf()))[0]?.status, 'skipped');
});

test('a Redis that does not answer, is too old, or throws keys out', async (t) => {
  const away = await openRedis(`redis://:hunter2@127.0.0.1:${await freePort()}`);
  t.true('check' in away);
  if ('check' in away) {
    t.regex(told([away]), /^fail redis: 127\.0\.0\.1:\d+ does not answer \(ECONNREFUSED\)/);
    t.notRegex(told([away]), /hunter2/);
  }
  const says = (info: string, url = 'redis://localhost') =>
    checkRedis({ info: async () => info.replaceAll('\n', '\r\n') } as Parameters<typeof checkRedis>[0], url).then(told);
  const good = 'redis_version:7.4.1\nmaxmemory:0\nmaxmemory_policy:noeviction\n';
  t.regex(await says(good), /^ok/);
  t.regex(await says(good.replace('7.4.1', '6.2.0')), /^fail redis: Redis 6\.2\.0 is too old/);
  t.regex(
    await says(good.replace('noeviction', 'allkeys-lru').replace(':0', ':100')),
    /^fail redis: Redis may throw keys out/,
  );
  t.regex(await says(good, 'redis://:hunter2@redis.example'), /^warn redis: .*in the clear/);
  t.regex(await says(good, 'rediss://redis.example'), /^ok/);
});
