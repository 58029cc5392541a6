// GET /users/me with an API key, against a bare Koa route that answers the same JSON: node scripts/bench/api-key.ts [--rounds 5] [--seconds 5]
// Starts both on free ports of PORT and PORT + 1, on the stores that DATABASE_URL and REDIS_URL name, and loads them in turn.
import { randomBytes } from 'node:crypto';
import { loadConfig } from '../../src/config.ts';
import { argumentsOf, script, UsageError, withApp } from '../with-app.ts';
import { load, median, serve } from './served.ts';

const USAGE = '[--rounds 5] [--seconds 5]';
const CONNECTIONS = 100;

await script(async () => {
  const given = argumentsOf({ rounds: { type: 'string' }, seconds: { type: 'string' } }, USAGE);
  const [rounds, seconds] = [Number(given.rounds ?? 5), Number(given.seconds ?? 5)];
  if (!Number.isSafeInteger(rounds) || !Number.isSafeInteger(seconds)) throw new UsageError(`usage: ${USAGE}`);
  const { config } = loadConfig();
  const email = `bench-${randomBytes(6).toString('hex')}@bench.example`;
  const password = randomBytes(18).toString('base64url');
  await withApp(({ accounts }) => accounts.create({ email, password, username: email.slice(0, 18) }));

  const ours = await serve('../../src/main.ts', config.port, '/health', { RATE_LIMITS: 'key-account=999999999/60' });
  try {
    const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
      const response = await fetch(ours.origin + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      });
      return (await response.json()) as Record<string, string>;
    };
    const { access_token } = await post('/auth/login', { email, password });
    const { key = '' } = await post(
      '/users/api-keys',
      { name: 'bench', scopes: ['read:profile'] },
      { authorization: `Bearer ${access_token}` },
    );
    const headers = { 'x-api-key': key };
    const me = await (await fetch(`${ours.origin}/users/me`, { headers })).text();
    const bare = await serve('bare-koa.ts', config.port + 1, '/', {}, [String(config.port + 1), me]);
    try {
      const figures = { ours: [] as number[], bare: [] as number[], ratios: [] as number[] };
      // The first round of each warms up, and is not counted.
      for (let round = 0; round <= rounds; round += 1) {
        const [a, b] = [
          await load({ url: `${ours.origin}/users/me`, headers }, CONNECTIONS, seconds),
          await load({ url: bare.origin }, CONNECTIONS, seconds),
        ];
        if (Object.keys(a.statuses).join() !== '200') throw new Error(`answers: ${JSON.stringify(a.statuses)}`);
        if (round === 0) continue;
        figures.ours.push(a.requestsPerSecond);
        figures.bare.push(b.requestsPerSecond);
        figures.ratios.push(Math.round((a.requestsPerSecond / b.requestsPerSecond) * 1000) / 1000);
      }
      return {
        rounds,
        median_requests_per_second: { ours: median(figures.ours), bare_koa: median(figures.bare) },
        median_ratio: median(figures.ratios),
        ...figures,
      };
    } finally {
      await bare.stop();
    }
  } finally {
    await ours.stop();
  }
});
