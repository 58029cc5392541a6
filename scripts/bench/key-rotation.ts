// Signing keys rotated under load over two processes, and how many tokens are refused: node scripts/bench/key-rotation.ts
// [--rate 50] [--rotations 3] [--seconds 20] [--real]. Starts two servers on PORT and PORT + 1, on the stores that DATABASE_URL and REDIS_URL
// name. Published keys take over after minutes; unless it is told to wait for that (--real), it lets them take over after --seconds.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import pg from 'pg';
import { loadConfig } from '../../src/config.ts';
import { JWKS_MAX_AGE_SECONDS, LEAD_SECONDS } from '../../src/oidc/keyring.ts';
import { argumentsOf, script, UsageError, withApp } from '../with-app.ts';
import { serve } from './served.ts';

const USAGE = '[--rate 50] [--rotations 3] [--seconds 20] [--real]';
const PASSWORD = randomBytes(12).toString('base64url');
/** A process learns of a key that took over within so long. */
const FOLLOWED_MS = 5_000;

const text = { type: 'string' } as const;

await script(async () => {
  const options = { rate: text, rotations: text, seconds: text, real: { type: 'boolean' } } as const;
  const given = argumentsOf(options, USAGE);
  const [rate, rotations, seconds] = [given.rate ?? 50, given.rotations ?? 3, given.seconds ?? 20].map(Number) as [
    number,
    number,
    number,
  ];
  if (![rate, rotations, seconds].every(Number.isSafeInteger)) throw new UsageError(`usage: ${USAGE}`);
  const { config } = loadConfig();
  if (config.databaseUrl === undefined) throw new UsageError('two processes need DATABASE_URL');
  const name = randomBytes(6).toString('hex');
  const [email, api] = [`bench-${name}@bench.example`, `https://${name}.bench.example/`];
  const client = await withApp(async ({ accounts, clients, resources }) => {
    await accounts.create({ email, password: PASSWORD });
    const service = await clients.register({
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
      token_endpoint_auth_method: 'client_secret_post',
    });
    await resources.create({
      identifier: api,
      name,
      scopes: [{ name: `${name}:read`, description: { en: 'Read' } }],
      defaultScopes: [`${name}:read`],
      tokenFormat: 'jwt',
      ttlSeconds: 7_200,
      signingAlg: 'ES256',
      introspectionClients: [],
      detailTypes: [],
    });
    return service;
  });

  const environment = {
    ISSUER: `http://localhost:${config.port}`,
    JWT_ALGORITHM: 'ES256',
    ACCESS_TOKEN_EXPIRE_MINUTES: '120',
    RATE_LIMITS: 'login-account=99999999/60,login-network=99999999/60',
  };
  const first = await serve('../../src/main.ts', config.port, '/health', environment);
  const second = await serve('../../src/main.ts', config.port + 1, '/health', environment);
  const database = new pg.Client(config.databaseUrl);
  try {
    await database.connect();
    const origins = [first.origin, second.origin];
    // As an API does: it keeps what it has fetched for as long as it may, and never asks because of a key that it has not seen. How long that is
    // keeps its proportion to how long a key is published beforehand.
    const leadMs = given.real ? LEAD_SECONDS * 1000 : seconds * 1000;
    const cacheMaxAge = Math.floor((leadMs * JWKS_MAX_AGE_SECONDS) / LEAD_SECONDS);
    const jwks = createRemoteJWKSet(new URL(`${first.origin}/oauth/jwks`), {
      cacheMaxAge,
      cooldownDuration: Number.MAX_SAFE_INTEGER,
    });
    const credentials = { client_id: client.client_id, client_secret: String(client.client_secret) };
    const refused: Record<string, number> = {};
    const kids = new Set<string>();
    const latencies: number[] = [];
    let sent = 0;
    let tokens: { value: string; ours: boolean }[] = [];
    const earliest: typeof tokens = [];

    const failed = (what: string): void => {
      refused[what] = (refused[what] ?? 0) + 1;
    };
    const issued = async (value: string, ours: boolean): Promise<void> => {
      const one = { value, ours };
      kids.add(String(decodeProtectedHeader(value).kid));
      // Those of before the first rotation are brought again until the end.
      if (earliest.length < 4) earliest.push(one);
      tokens = [...tokens.slice(-40), one];
      await jwtVerify(value, jwks, { issuer: environment.ISSUER, typ: 'at+jwt' });
    };
    const post = (url: string, form: Record<string, string>) =>
      fetch(url, { method: 'POST', body: new URLSearchParams({ ...form, ...credentials }) });
    const jsonOf = async (answer: Response) => (await answer.json()) as Record<string, unknown>;

    const kinds: Record<string, (origin: string) => Promise<boolean>> = {
      async token(origin) {
        const answer = await post(`${origin}/oauth/token`, { grant_type: 'client_credentials', resource: api });
        if (answer.ok) await issued(String((await jsonOf(answer)).access_token), false);
        return answer.ok;
      },
      async introspect(origin) {
        const known = [...tokens, ...earliest].filter(({ ours }) => !ours);
        const { value } = known[sent % known.length] ?? { value: '' };
        await jwtVerify(value, jwks, { issuer: environment.ISSUER, typ: 'at+jwt' });
        return (await jsonOf(await post(`${origin}/oauth/introspect`, { token: value }))).active === true;
      },
      async me(origin) {
        const known = [...tokens, ...earliest].filter(({ ours }) => ours);
        const { value } = known[sent % known.length] ?? { value: '' };
        return (await fetch(`${origin}/users/me`, { headers: { authorization: `Bearer ${value}` } })).ok;
      },
    };
    const login = async (origin: string): Promise<void> => {
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ email, password: PASSWORD });
      const answer = await fetch(`${origin}/auth/login`, { method: 'POST', headers, body });
      await issued(String((await jsonOf(answer)).access_token), true);
    };
    for (const origin of origins) await login(origin);
    for (const origin of origins) await kinds.token?.(origin);

    const names = Object.keys(kinds);
    const one = async (index: number): Promise<void> => {
      const kind = names[index % names.length] ?? '';
      const began = performance.now();
      try {
        // By turns at both, each kind.
        const origin = origins[Math.floor(index / names.length) % 2] ?? '';
        if (!(await kinds[kind]?.(origin))) failed(kind);
      } catch (error) {
        failed(`${kind}: ${Object(error).code ?? error}`);
      }
      latencies.push(performance.now() - began);
    };

    const running: Promise<void>[] = [];
    const began = Date.now();
    const during = async (milliseconds: number): Promise<void> => {
      for (const end = Date.now() + milliseconds; Date.now() < end; ) {
        running.push(one(sent));
        sent += 1;
        // Held to the clock, so that the rate is what was asked for.
        await sleep(Math.max(0, began + (sent / rate) * 1000 - Date.now()));
      }
    };
    await during(seconds * 1000);
    for (let rotation = 0; rotation < rotations; rotation += 1) {
      await Promise.all([withApp(({ keyring }) => keyring.rotate()), during(leadMs)]);
      if (!given.real) await database.query('UPDATE signing_keys SET active_from = now() WHERE active_from > now()');
      await Promise.all([during(FOLLOWED_MS + seconds * 1000), ...origins.map(login)]);
    }
    const took = (Date.now() - began) / 1000;
    await Promise.all(running);
    const p99 = latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)] ?? Number.NaN;
    return {
      requests: sent,
      seconds: Math.round(took),
      requests_per_second: Math.round((sent / took) * 10) / 10,
      rotations,
      keys_that_signed: kids.size,
      refused: Object.values(refused).reduce((sum, count) => sum + count, 0),
      ...(Object.keys(refused).length > 0 && { refused_by: refused }),
      p99_ms: Math.round(p99),
    };
  } finally {
    await database.end();
    await second.stop();
    await first.stop();
  }
});
