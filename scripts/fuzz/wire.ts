// Bytes that no client of HTTP would send: broken request lines, headers, framing. The server has to answer or hang up, and go on.
import { connect } from 'node:net';
import fc, { type Arbitrary } from 'fast-check';
import type { Violation } from './answers.ts';
import { HANG_MS } from './send.ts';
import { hostileText } from './values.ts';

const METHODS = ['GET', 'POST', 'get', 'PRI', 'CONNECT', 'TRACE', '', 'G\0T', 'PUT'];
const TARGETS = [
  '/',
  '/users/me',
  '/oauth/authorize?client_id=x',
  '*',
  'http://evil.example/users/me',
  'evil.example:443',
  '//evil.example/',
  '/\0',
  '/%',
  '/\x7f',
  '/\xff',
  '',
  '/a b',
  '/../../x',
  '/#x',
];
const VERSIONS = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/9.9', '', 'HTTP/1.1 '];
const LINES = [
  'Host: x',
  'Host: x\r\nHost: y',
  'Host:',
  'Content-Length: 5',
  'Content-Length: -1',
  'Content-Length: 5, 6',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunked\r\nContent-Length: 5',
  'Connection: upgrade\r\nUpgrade: websocket',
  'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__',
  'Expect: 100-continue',
  'Expect: something',
  'Content-Type: application/json',
  'Content-Type: application/x-www-form-urlencoded',
  'X-Request-Id: a\0b',
  'Cookie: a=\x01',
  ' folded: yes',
  'no colon',
  ': no name',
  'Na me: x',
  `X-Long: ${'x'.repeat(20_000)}`,
  Array.from({ length: 2_100 }, (_, index) => `X-${index}: y`).join('\r\n'),
];
const BODIES = [
  '',
  'a=b&c',
  '5\r\nhello\r\n0\r\n\r\n',
  'zz\r\n',
  '5\r\nhel',
  '0\r\nTrailer: x\r\n\r\n',
  '-1\r\n',
  'GET /health HTTP/1.1\r\nHost: x\r\n\r\n',
  'ffffffffffffffff1\r\n',
];

const line = fc.oneof(
  { arbitrary: fc.constantFrom(...LINES), weight: 6 },
  {
    arbitrary: fc.tuple(hostileText, hostileText).map(([name, value]) => `${name}: ${value}`.slice(0, 30_000)),
    weight: 1,
  },
);

/** As latin1. */
export const wireBytes: Arbitrary<string> = fc.oneof(
  {
    arbitrary: fc
      .tuple(
        fc.constantFrom(...METHODS),
        fc.oneof(fc.constantFrom(...TARGETS), hostileText),
        fc.constantFrom(...VERSIONS),
        fc.array(line, { maxLength: 5 }),
        fc.constantFrom('\r\n', '\r\n', '\n', '\r'),
        fc.constantFrom(...BODIES),
        fc.constantFrom(1, 1, 1, 3),
      )
      .map(([method, target, version, lines, end, body, times]) =>
        `${[`${method} ${target} ${version}`, ...lines].join(end)}${end}${end}${body}`.repeat(times),
      ),
    weight: 8,
  },
  {
    arbitrary: fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 60,
    }),
    weight: 1,
  },
  // A handshake of TLS, where there is none.
  { arbitrary: fc.constant('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'), weight: 1 },
);

export type WireAnswer = { status: string; ms: number; violations: Violation[] };

/** Sends them, says that this was all, and waits until the server hangs up. */
export const sendBytes = (port: number, bytes: string): Promise<WireAnswer> =>
  new Promise((resolve) => {
    const began = performance.now();
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    const over = (failed?: string) => {
      clearTimeout(overdue);
      socket.destroy();
      const statuses = [...answer.matchAll(/(?:^|\r\n\r\n|\n)HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status ?? '');
      const wrong = failed ?? statuses.find((status) => status.startsWith('5') && status !== '501' && status !== '505');
      resolve({
        status: `wire ${failed ?? statuses[0] ?? 'closed'}`,
        ms: performance.now() - began,
        violations: wrong ? [{ kind: `${wrong} | bytes`, detail: answer.slice(0, 600) }] : [],
      });
    };
    const overdue = setTimeout(() => over('hangs'), HANG_MS);
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text;
    });
    socket.on('error', () => over());
    socket.on('close', () => over());
    socket.on('connect', () => socket.end(Buffer.from(bytes, 'latin1')));
  });
