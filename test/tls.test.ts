// TLS_CERT and TLS_KEY: the server speaks https itself, or says why it does not.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, type RequestOptions, request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import test from 'ava';
import { ConfigError, readConfig } from '../src/config.ts';
import { listen } from '../src/listen.ts';
import { AUTHORITY, LOCALHOST, SELF_SIGNED } from './helpers/certificates.ts';
import { cardOf, killAll, run, startService } from './helpers/service.ts';

let directory: string;
const file = (name: string) => join(directory, name);

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'ua-tls-'));
  for (const [name, content] of Object.entries({
    'cert.pem': LOCALHOST.cert,
    'chain.pem': LOCALHOST.cert + AUTHORITY,
    'key.pem': LOCALHOST.key,
    'other.pem': SELF_SIGNED,
    'empty.pem': '',
  }))
    await writeFile(file(name), content);
});
test.after.always(async () => {
  killAll();
  await rm(directory, { recursive: true });
});

const get = (port: number, options: RequestOptions = {}) =>
  new Promise<{ status?: number; headers: IncomingMessage['headers']; body: string }>((resolve, reject) => {
    const asked: ClientRequest = request({ host: 'localhost', port, ca: AUTHORITY, ...options }, async (response) => {
      let body = '';
      for await (const chunk of response) body += chunk;
      resolve({ status: response.statusCode, headers: response.headers, body });
    });
    asked.on('error', reject).end();
  });

const problemsOf = (env: Record<string, string>): string[] => {
  const error = (() => {
    try {
      readConfig(env);
    } catch (thrown) {
      return thrown;
    }
    return undefined;
  })();
  return error instanceof ConfigError ? error.problems : [];
};

test('a certificate and its key make an https server of it: card, discovery, health and cookies', async (t) => {
  const service = await startService({ TLS_CERT: file('chain.pem'), TLS_KEY: file('key.pem') });
  const card = cardOf(service.output());
  t.is(card.Issuer, `https://localhost:${service.port}`);
  t.regex(card['Listening on'] ?? '', /\(https\)$/);
  const health = await get(service.port, { path: '/health' });
  t.is(health.status, 200);
  t.is(JSON.parse(health.body).status, 'up');
  const discovery = await get(service.port, { path: '/.well-known/openid-configuration' });
  t.is(JSON.parse(discovery.body).token_endpoint, `https://localhost:${service.port}/oauth/token`);
  const login = await get(service.port, { path: '/login' });
  t.is(login.status, 303);
  for (const cookie of login.headers['set-cookie'] ?? []) t.regex(cookie, /^__(Host|Secure)-.*; secure/i);
  // It would bind whatever else runs on this machine.
  t.is(health.headers['strict-transport-security'], undefined);
  await t.throwsAsync(get(service.port, { path: '/health', ca: undefined }), { message: /certificate/ });
  await t.throwsAsync(fetch(`http://localhost:${service.port}/health`));
  const ended = await service.stop();
  t.is(ended.code, 0);
});

test('it refuses to start with half a pair, with files that are none, with a key of something else: in one line each', async (t) => {
  const pair = (cert: string, key: string) => ({ TLS_CERT: file(cert), TLS_KEY: file(key) });
  t.deepEqual(problemsOf({ TLS_CERT: file('cert.pem') }), ['TLS_CERT cannot be used without TLS_KEY']);
  t.deepEqual(problemsOf({ TLS_KEY: file('key.pem') }), ['TLS_KEY cannot be used without TLS_CERT']);
  t.deepEqual(problemsOf(pair('other.pem', 'key.pem')), ['TLS_KEY is not the key of the certificate in TLS_CERT']);
  for (const cert of ['nowhere.pem', 'empty.pem', 'key.pem', '.'])
    t.deepEqual(problemsOf(pair(cert, 'key.pem')), [
      'TLS_CERT must be a file with a certificate (PEM) that can be read',
    ]);
  for (const key of ['nowhere.pem', 'empty.pem', 'cert.pem', '.'])
    t.deepEqual(problemsOf(pair('cert.pem', key)), [
      'TLS_KEY must be a file with a private key (PEM, without a passphrase) that can be read',
    ]);
  t.deepEqual(problemsOf({ ...pair('cert.pem', 'key.pem'), ISSUER: 'http://localhost:8290' }), [
    'ISSUER must be https where TLS_CERT is set',
  ]);
  t.deepEqual(problemsOf(pair('chain.pem', 'key.pem')), []);
  t.is(readConfig(pair('cert.pem', 'key.pem')).config.issuer, 'https://localhost:8290');

  const { code, stderr } = await run('src/main.ts', [], pair('other.pem', 'key.pem'));
  t.is(code, 1);
  t.is(stderr, 'The configuration does not work:\n  - TLS_KEY is not the key of the certificate in TLS_CERT\n');
});

test('closing finishes the request under way, and waits neither for connections without one nor for such without TLS', async (t) => {
  let answer = () => {};
  const listener = await listen(
    (_request, response) => {
      answer = () => response.end('done');
    },
    0,
    'localhost',
    LOCALHOST,
  );
  const { port } = listener;
  const underWay = get(port, { agent: new Agent({ keepAlive: true }) });
  const silent = connect(port, 'localhost');
  const shaken = connectTls({ port, host: 'localhost', ca: AUTHORITY });
  for (const socket of [silent, shaken]) socket.on('error', () => {});
  await new Promise((resolve) => shaken.once('secureConnect', resolve));
  await sleep(50);
  const started = Date.now();
  const closed = listener.close(10_000);
  await sleep(50);
  answer();
  t.is((await underWay).body, 'done');
  await closed;
  t.true(Date.now() - started < 5_000);
});

test('what is no TLS, and TLS before 1.2, get no answer and do no harm', async (t) => {
  const listener = await listen((_request, response) => response.end('up'), 0, 'localhost', LOCALHOST);
  t.teardown(() => listener.close(0));
  const { port } = listener;
  await t.throwsAsync(fetch(`http://localhost:${port}/`));
  await t.throwsAsync(get(port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }));
  t.is((await get(port)).body, 'up');
});
