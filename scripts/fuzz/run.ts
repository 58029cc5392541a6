// npm run fuzz: a real server, and requests to every route of it that nobody should send. Prints its figures, and ends with 1 where
// anything was violated. FUZZ_REQUESTS (100000), FUZZ_MINUTES and FUZZ_SEED; TEST_DATABASE_URL and TEST_REDIS_URL for real stores.
import { randomBytes } from 'node:crypto';
import { startIdentityProviders } from '../../test/helpers/identity-provider.ts';
import { createJudge } from './answers.ts';
import { createCalls } from './calls.ts';
import { createFigures } from './figures.ts';
import { runLane, type Scene } from './lane.ts';
import { createMemory, growthOf, type Sample } from './memory.ts';
import type { Description } from './rest-requests.ts';
import { createSender } from './send.ts';
import { errorsIn, startServed, warningsIn } from './served.ts';
import { settingsOf } from './settings.ts';

const LANES = 4;
const SAMPLES = 12;
/** Caches that are still filling are not what this is about; a leak of one small object per request is more. */
const GROWTH_BYTES_PER_REQUEST = 64;

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const upstreamSettings = (upstream: Awaited<ReturnType<typeof startIdentityProviders>>): Record<string, string> => {
  const { google, github, openid } = upstream.settings;
  return {
    GOOGLE_CLIENT_ID: google?.clientId ?? '',
    GOOGLE_CLIENT_SECRET: google?.clientSecret ?? '',
    GOOGLE_ISSUER: google?.issuer ?? '',
    GITHUB_CLIENT_ID: github?.clientId ?? '',
    GITHUB_CLIENT_SECRET: github?.clientSecret ?? '',
    GITHUB_URL: github?.url ?? '',
    GITHUB_API_URL: github?.apiUrl ?? '',
    OIDC_PROVIDERS: JSON.stringify(
      openid.map(({ name, label, issuer, clientId, clientSecret }) => ({
        name,
        label,
        issuer,
        client_id: clientId,
        client_secret: clientSecret,
      })),
    ),
  };
};

const settings = settingsOf();
const upstream = await startIdentityProviders();
const served = await startServed(settings, settings.seed, upstreamSettings(upstream));
upstream.serve(served.origin);
const sender = createSender(served.origin);
const memory = await createMemory(served.debuggerUrl);
const samples: Sample[] = [];
const figures = createFigures();
const began = Date.now();
try {
  say(
    `seed ${settings.seed}: ${settings.requests} requests to ${served.origin}, ${settings.databaseUrl ? 'PostgreSQL' : 'embedded'}${settings.redisUrl ? ' and Redis' : ''}`,
  );
  const root = { email: 'root@example.com', password: randomBytes(12).toString('base64url') };
  await served.run('scripts/create-user.ts', [
    `--email=${root.email}`,
    // It may begin with a dash.
    `--password=${root.password}`,
    '--role=admin',
    '--verified',
  ]);
  const calls = createCalls(served.origin);
  const rootToken = `Bearer ${(await calls.json('/auth/login', root)).access_token}`;
  const description = (await calls.get('/openapi.json')) as unknown as Description;
  const until = began + settings.minutes * 60_000;
  const over = () =>
    served.over() ??
    (figures.requests() >= settings.requests ? 'all sent' : Date.now() > until ? 'time is up' : undefined);
  const scene: Scene = {
    origin: served.origin,
    port: served.port,
    rootToken,
    description,
    sender,
    judge: createJudge(description),
    figures,
    say,
    over,
  };

  let lanesEnded = false;
  const watching = (async () => {
    for (let next = 0; over() === undefined && !lanesEnded; await new Promise((resolve) => setTimeout(resolve, 250))) {
      if (figures.requests() < next) continue;
      samples.push(await memory.sample(figures.requests()));
      next = figures.requests() + settings.requests / SAMPLES;
      const { heapMb, rssMb } = samples.at(-1) ?? { heapMb: 0, rssMb: 0 };
      say(
        `${figures.requests()} requests, ${Math.round((Date.now() - began) / 1000)} s, heap ${heapMb} MB, resident ${rssMb} MB, ${figures.violations().length} kinds of violations`,
      );
    }
  })();
  await Promise.all(Array.from({ length: LANES }, (_, number) => runLane(scene, number, settings.seed)));
  lanesEnded = true;
  await watching;
  const died = served.over();
  if (died) figures.found({ kind: 'the server died', detail: `${died}\n${served.log().slice(-2_000)}` }, '');
  else samples.push(await memory.sample(figures.requests()));
} finally {
  memory.close();
  sender.close();
  await served.stop();
  await upstream.close();
}

for (const entry of errorsIn(served.log())) {
  const words = /"message": "([^"]{0,100})/.exec(entry)?.[1] ?? entry.slice(0, 100);
  figures.found({ kind: `logged as an error | ${words}`, detail: entry.slice(0, 1_500) }, '');
}
const growth = growthOf(samples);
// Over few requests everything looks like growth.
if (figures.requests() >= 20_000 && growth > GROWTH_BYTES_PER_REQUEST)
  figures.found({ kind: 'memory grows', detail: `${growth} bytes for each request` }, '');

for (const { kind, detail, request, times } of figures.violations())
  say(`\nVIOLATION ${kind} (${times} times)\n  ${request.slice(0, 3_000)}\n  ${detail}`);
say(
  JSON.stringify(
    figures.report(settings.seed, (Date.now() - began) / 1000, samples, growth, warningsIn(served.log())),
    null,
    2,
  ),
);
process.exitCode = figures.violations().length === 0 ? 0 : 1;
