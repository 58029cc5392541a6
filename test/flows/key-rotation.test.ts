// Signing keys change while the service runs, in every process, and nothing that was signed is refused.
import { generateKeyPairSync, sign } from 'node:crypto';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { createLocalJWKSet, createRemoteJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose';
import { bearer, createRest } from '../helpers/rest.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const NO_KEYS: string[] = [];

/** Two processes on one database, whose own apps' tokens are signed with the published keys. */
const twoProcesses = async (t: ExecutionContext, keyEncryptionSecrets = NO_KEYS) => {
  const settings = { jwtAlgorithm: 'ES256' as const, keyEncryptionSecrets };
  const first = await startServer(settings);
  t.teardown(() => first.close());
  const second = await startServer(settings, first);
  t.teardown(() => second.close());
  for (const { keyring } of [first, second]) keyring.start(() => {});
  const people = createRest(first.origin);
  const email = 'ada@example.com';
  const { id } = await first.accounts.create({ email, password: 'secret1' });
  const login = async (server: TestServer) => {
    const { status, body } = await createRest(server.origin).post('/auth/login', { email, password: 'secret1' });
    if (status !== 200) throw new Error(JSON.stringify(body));
    return String(body.access_token);
  };
  const jwks = async (server: TestServer) =>
    (await (await fetch(`${server.origin}/oauth/jwks`)).json()) as JSONWebKeySet;
  const admin = async () => {
    await first.database.pool.query("UPDATE users SET role = 'admin' WHERE id = $1", [id]);
    return bearer(await login(first));
  };
  /** As when time had passed. */
  const takeOver = () =>
    first.database.pool.query('UPDATE signing_keys SET active_from = now() WHERE active_from > now()');
  return {
    first,
    second,
    people,
    login,
    jwks,
    admin,
    takeOver,
  };
};

const kidOf = (token: string): string => String(decodeProtectedHeader(token).kid);
const kids = ({ keys }: JSONWebKeySet): string[] => keys.map(({ kid }) => String(kid));

/** Asks again until it holds: what happens in another process takes its seconds, five at the most. */
const within5Seconds = async (holds: () => Promise<boolean>): Promise<boolean> => {
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await sleep(50)) if (await holds()) return true;
  return false;
};

test.serial(
  'a next key is published by every process before it signs, and signs in every process within seconds of its time',
  async (t) => {
    const { first, second, people, login, jwks, admin, takeOver } = await twoProcesses(t);
    const [before] = [await login(first)];
    const { status, body } = await people.post('/admin/keys/rotate', {}, await admin());
    t.is(status, 200);
    const states = (alg: string) =>
      (body.items as { alg: string; state: string }[]).filter((key) => key.alg === alg).map(({ state }) => state);
    for (const alg of ['RS256', 'PS256', 'ES256', 'EdDSA']) t.deepEqual(states(alg), ['active', 'next']);
    const next = (body.items as { kid: string; alg: string; state: string; active_from: string }[]).find(
      (key) => key.alg === 'ES256' && key.state === 'next',
    );
    // JWKS_MAX_AGE_SECONDS, and a minute.
    t.true(Date.parse(String(next?.active_from)) - Date.now() > 330_000);

    for (const server of [first, second])
      t.true(await within5Seconds(async () => kids(await jwks(server)).includes(String(next?.kid))));
    for (const server of [first, second]) t.is(kidOf(await login(server)), kidOf(before));

    await takeOver();
    for (const server of [first, second])
      t.true(await within5Seconds(async () => kidOf(await login(server)) === next?.kid));
    // What the former one signed is verified still, by us and by everybody else.
    for (const server of [first, second]) {
      t.is((await createRest(server.origin).get('/users/me', bearer(before))).status, 200);
      await t.notThrowsAsync(jwtVerify(before, createLocalJWKSet(await jwks(server))));
    }
  },
);

test.serial('a key is gone when the last token that it signed has expired, and not before', async (t) => {
  const { first, people, login, jwks, admin, takeOver } = await twoProcesses(t);
  const former = kidOf(await login(first));
  await people.post('/admin/keys/rotate', {}, await admin());
  await takeOver();
  const past = (seconds: number) =>
    first.database.pool.query(
      `UPDATE signing_keys SET active_from = active_from - make_interval(secs => $1),
              created_at = created_at - make_interval(secs => $1)`,
      [seconds],
    );
  await past(86_400);
  await first.keyring.follow();
  t.true(kids(await jwks(first)).includes(former));
  await past(301);
  t.true(await within5Seconds(async () => !kids(await jwks(first)).includes(former)));
  t.is((await jwks(first)).keys.length, 4);
});

test.serial('rotating again while a next key waits adds none, by however many processes at once', async (t) => {
  const { first, second, people, admin, jwks } = await twoProcesses(t);
  const headers = await admin();
  await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      createRest((n % 2 ? first : second).origin).post('/admin/keys/rotate', {}, headers),
    ),
  );
  const { body } = await people.get('/admin/keys', headers);
  t.is((body.items as unknown[]).length, 8);
  t.is((await jwks(first)).keys.length, 8);
  const { body: log } = await people.get('/admin/audit?type=signing_key.created', headers);
  t.is((log.items as unknown[]).length, 8);
});

test.serial('a key that has signed for KEY_ROTATION_DAYS is rotated by itself; with 0 none is', async (t) => {
  for (const [keyRotationDays, expected] of [
    [90, 8],
    [0, 4],
  ] as const) {
    const server = await startServer({ keyRotationDays });
    await server.keyring.tend();
    t.is((await server.keyring.list()).length, 4);
    await server.database.pool.query("UPDATE signing_keys SET active_from = now() - interval '91 days'");
    await Promise.all([server.keyring.tend(), server.keyring.tend()]);
    t.is((await server.keyring.list()).length, expected);
    await server.close();
  }
});

test.serial('a key that signs elsewhere signs in place of ours, and ours stay to verify by', async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const server = await startServer({
    jwtAlgorithm: 'ES256',
    externalKeys: [
      {
        kid: 'from-kms',
        alg: 'ES256',
        publicJwk: publicKey.export({ format: 'jwk' }),
        sign: async (data) => sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
      },
    ],
  });
  await server.accounts.create({ email: 'eve@example.com', password: 'secret1' });
  const rest = createRest(server.origin);
  const { body } = await rest.post('/auth/login', { email: 'eve@example.com', password: 'secret1' });
  t.is(kidOf(String(body.access_token)), 'from-kms');
  t.is((await rest.get('/users/me', bearer(body.access_token))).status, 200);
  const jwks = (await (await fetch(`${server.origin}/oauth/jwks`)).json()) as JSONWebKeySet;
  t.is(jwks.keys.length, 5);
  await t.notThrowsAsync(jwtVerify(String(body.access_token), createLocalJWKSet(jwks)));
  await server.close();
});

test.serial('no token is refused while keys are rotated under 50 requests a second', async (t) => {
  const { first, second, people, login, admin, takeOver } = await twoProcesses(t);
  const headers = await admin();
  const email = 'ada@example.com';
  // As a resource server does: it keeps what it has fetched, and asks again only for a key that it has not seen.
  const fetched = createRemoteJWKSet(new URL(`${first.origin}/oauth/jwks`), { cooldownDuration: 0 });
  let tokens = [await login(first), await login(second)];
  const seen = new Set<string>();
  const failures: string[] = [];
  let requests = 0;
  let over = false;
  const refreshing = (async () => {
    const pairs = await Promise.all(
      [first, second].map(async ({ origin }) => ({
        rest: createRest(origin),
        pair: (await createRest(origin).post('/auth/login', { email, password: 'secret1' })).body,
      })),
    );
    while (!over) {
      for (const one of pairs) {
        const { status, body } = await one.rest.post('/auth/refresh', { refresh_token: one.pair.refresh_token });
        if (status !== 200) failures.push(`refresh ${status}`);
        one.pair = body;
        tokens = [...tokens.slice(-20), String(body.access_token)];
      }
      await sleep(100);
    }
  })();
  const one = async () => {
    const token = tokens[requests % tokens.length] ?? '';
    requests += 1;
    seen.add(kidOf(token));
    const { origin } = requests % 2 ? first : second;
    const answer = await fetch(`${origin}/users/me`, { headers: bearer(token) });
    if (answer.status !== 200) failures.push(`/users/me ${answer.status}`);
    await jwtVerify(token, fetched).catch((error) => failures.push(`jwks ${error.code}`));
  };
  const running: Promise<void>[] = [];
  const started = Date.now();
  const during = async (milliseconds: number) => {
    for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(20)) running.push(one());
  };
  await during(1_000);
  for (const rotations of [1, 2]) {
    t.is((await people.post('/admin/keys/rotate', {}, headers)).status, 200);
    await during(3_000);
    await takeOver();
    // Every process signs with it within seconds; a machine that has much to do refreshes slowly.
    for (const end = Date.now() + 20_000; seen.size <= rotations && Date.now() < end; ) await during(200);
    await during(2_000);
  }
  over = true;
  await Promise.all([...running, refreshing]);
  t.deepEqual(failures, []);
  t.is(seen.size, 3);
  t.log(`${requests} requests in ${Math.round((Date.now() - started) / 1000)} s over two rotations, 0 refused`);
});

test.serial(
  'the key that seals can be changed: by the new one and the old together, then by the new one alone',
  async (t) => {
    const [old, young, other] = ['old', 'young', 'other'].map((name) => `${name} key encryption secret of 32 bytes`);
    const first = await startServer();
    const kid = first.keyring.current().jwks[0]?.kid;
    const start = (...keyEncryptionSecrets: (string | undefined)[]) =>
      startServer({ keyEncryptionSecrets: keyEncryptionSecrets.flatMap((one) => one ?? []) }, first);
    for (const secrets of [[old], [young, old], [young]]) {
      const server = await start(...secrets);
      t.is(server.keyring.current().jwks[0]?.kid, kid);
      await server.close();
    }
    await t.throwsAsync(start(other), { message: /KEY_ENCRYPTION_SECRET/ });
    const { rows } = await first.database.pool.query('SELECT sealed_jwk FROM signing_keys');
    for (const { sealed_jwk } of rows) t.notRegex(sealed_jwk, /"d"/);
    await first.close();
  },
);

test.serial('the JWKS says how long it may be kept, and answers 304 to whoever has it', async (t) => {
  const server = await startServer();
  const answer = await fetch(`${server.origin}/oauth/jwks`);
  t.is(answer.headers.get('cache-control'), 'public, max-age=300');
  // fetch() would ask for an answer that is not from a cache.
  const statusWith = (etag: string) =>
    new Promise((resolve, reject) => {
      get(`${server.origin}/oauth/jwks`, { headers: { 'if-none-match': etag } }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
    });
  t.is(await statusWith(String(answer.headers.get('etag'))), 304);
  t.is(await statusWith('"another"'), 200);
  await server.close();
});

test.serial('signing keys are an administrator’s business alone', async (t) => {
  const server = await startServer();
  const rest = createRest(server.origin);
  await server.accounts.create({ email: 'bob@example.com', password: 'secret1' });
  const { body } = await rest.post('/auth/login', { email: 'bob@example.com', password: 'secret1' });
  const user = bearer(body.access_token);
  t.is((await rest.get('/admin/keys', user)).status, 403);
  t.is((await rest.post('/admin/keys/rotate', {}, user)).status, 403);
  t.is((await rest.post('/admin/keys/rotate', {})).status, 401);
  t.is((await server.keyring.list()).length, 4);
  await server.close();
});
