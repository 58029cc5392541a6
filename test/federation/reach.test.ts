import test from 'ava';
import { mayLeadTo, reachOf } from '../../src/federation/reach.ts';

test('a provider leads no further inside than it is itself', async (t) => {
  const cases: [string, string, boolean][] = [
    ['https://192.0.2.1', 'https://192.0.2.2/token', true],
    ['https://192.0.2.1', 'http://192.0.2.2/token', false],
    ['https://192.0.2.1', 'http://127.0.0.1:8080/token', false],
    ['https://192.0.2.1', 'https://127.0.0.1/token', false],
    ['https://192.0.2.1', 'https://localhost/token', false],
    ['https://192.0.2.1', 'https://[::1]/token', false],
    ['https://192.0.2.1', 'https://[::ffff:127.0.0.1]/token', false],
    ['https://192.0.2.1', 'https://[::ffff:10.0.0.1]/token', false],
    ['https://192.0.2.1', 'https://10.1.2.3/token', false],
    ['https://192.0.2.1', 'https://169.254.169.254/latest', false],
    ['https://192.0.2.1', 'https://[fd00::1]/token', false],
    ['https://10.0.0.1', 'https://10.1.2.3/token', true],
    ['https://10.0.0.1', 'https://127.0.0.1/token', false],
    ['https://10.0.0.1', 'https://192.0.2.2/token', true],
    ['http://localhost:1', 'http://127.0.0.1:8080/token', true],
    ['http://localhost:1', 'http://192.0.2.2/token', false],
    ['http://localhost:1', 'https://10.1.2.3/token', true],
    ['https://192.0.2.1', 'ftp://192.0.2.2/token', false],
  ];
  for (const [issuer, url, expected] of cases)
    t.is(await mayLeadTo(await reachOf(new URL(issuer)), new URL(url)), expected, `${issuer} → ${url}`);
});
