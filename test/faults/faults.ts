// Everything that is done to the service, one after the other.
import { Client } from 'pg';
import type { TestProvider } from '../helpers/identity-provider.ts';
import type { TestSmtp } from '../helpers/smtp.ts';
import type { ServerProcess } from './server-process.ts';
import { signInUpstream } from './sign-ins.ts';
import type { createPostgres, createRedis } from './stores.ts';
import type { Way } from './way.ts';
import type { World } from './world.ts';

export type Fault = {
  name: string;
  inject(): Promise<unknown> | unknown;
  /** After it has lasted; what is promised about recovery counts from its end. */
  mend(): Promise<unknown> | unknown;
  /** The store that cannot be reached meanwhile: what goes on without it is asked for. */
  without?: 'redis' | 'postgres';
  /** It is over with `inject`, or by itself. */
  momentary?: boolean;
};

export type Scene = {
  world: World;
  postgres: Awaited<ReturnType<typeof createPostgres>>;
  redis: Awaited<ReturnType<typeof createRedis>>;
  ways: { postgres: Way; redis: Way };
  smtp: TestSmtp;
  upstream: TestProvider;
};

const nothing = () => {};
const SKEW_MS = 30_000;

/** A provider that sends people back, and then answers nothing: whoever comes back meanwhile is told in time as well. */
const silentUpstream = (upstream: TestProvider, world: World): Fault => {
  let waiting: Promise<unknown> = Promise.resolve();
  return {
    name: 'upstream provider: silent to us',
    inject: () => {
      upstream.switches.fault = { path: '/token', as: 'slow' };
      waiting = Promise.all([signInUpstream(world), signInUpstream(world)]);
    },
    async mend() {
      await waiting;
      upstream.switches.fault = undefined;
    },
  };
};

/** Every connection that the server takes, taken by somebody else; and those that there are, kept waiting. */
const fillPool = (url: string) => {
  let holder: Client | undefined;
  return {
    async inject() {
      holder = new Client({ connectionString: url });
      holder.on('error', nothing);
      await holder.connect();
      await holder.query('BEGIN');
      await holder.query('LOCK TABLE users, oauth_tokens, audit_events IN ACCESS EXCLUSIVE MODE');
    },
    async mend() {
      await holder?.query('ROLLBACK');
      await holder?.end();
    },
  };
};

const ofProcess = (server: ServerProcess): Fault[] => [
  { name: `process ${server.name}: kill -9`, inject: () => server.kill(), mend: () => server.start() },
];

const skewed = (server: ServerProcess, ms: number): Fault => ({
  name: `process ${server.name}: clock ${ms > 0 ? 'fast' : 'slow'} by 30 s`,
  async inject() {
    await server.stop();
    await server.start(ms);
  },
  async mend() {
    await server.stop();
    await server.start();
  },
});

export const faultsOf = ({ world, postgres, redis, ways, smtp, upstream }: Scene): Fault[] => {
  const [a, b] = world.servers;
  const emptied = () => world.redisWasEmptied();
  const ofStore = (name: string, store: typeof postgres | typeof redis, way: Way, without: 'redis' | 'postgres') => [
    {
      name: `${name}: restarted`,
      momentary: true,
      inject: async () => {
        await store.stop();
        await store.start();
      },
      mend: nothing,
    },
    { name: `${name}: paused`, without, inject: store.pause, mend: store.resume },
    { name: `${name}: connections cut`, momentary: true, inject: way.cut, mend: nothing },
    {
      name: `${name}: failed over, connections half-open`,
      momentary: true,
      inject: () => way.halfOpen('open'),
      mend: nothing,
    },
    { name: `${name}: swallowed by the network`, without, inject: () => way.halfOpen('swallow'), mend: way.mend },
    { name: `${name}: slow by 100 ms`, inject: () => way.delay(100), mend: way.mend },
  ];
  return [
    ...ofProcess(a),
    ...ofProcess(b),
    { name: 'SMTP: dropped', inject: () => smtp.stop(), mend: () => smtp.start() },
    {
      name: 'upstream provider: dropped',
      inject: () => {
        upstream.switches.fault = { path: '/', as: 'slow' };
      },
      mend: () => {
        upstream.switches.fault = undefined;
      },
    },
    silentUpstream(upstream, world),
    {
      name: 'signing keys: rotated',
      momentary: true,
      async inject() {
        const answer = await world.untilKnown(() => world.asAdmin('POST', '/admin/keys/rotate', {}));
        world.report.check('what was acknowledged works: rotating keys', answer?.status === 200, answer?.text);
      },
      mend: nothing,
    },
    skewed(b, SKEW_MS),
    skewed(a, -SKEW_MS),
    // What goes on without PostgreSQL is asked of tokens that are older than a minute: before Redis loses them.
    ...ofStore('PostgreSQL', postgres, ways.postgres, 'postgres'),
    { name: 'PostgreSQL: lost', without: 'postgres', inject: () => postgres.kill(), mend: () => postgres.start() },
    { name: 'PostgreSQL: every connection of the pool filled', ...fillPool(postgres.url(postgres.port)) },
    ...ofStore('Redis', redis, ways.redis, 'redis'),
    {
      name: 'Redis: flushed',
      momentary: true,
      async inject() {
        emptied();
        await redis.flush();
        emptied();
      },
      mend: nothing,
    },
    {
      name: 'Redis: lost, with what it had',
      without: 'redis',
      async inject() {
        emptied();
        await redis.kill();
        redis.wipe();
      },
      async mend() {
        await redis.start();
        emptied();
      },
    },
  ];
};
