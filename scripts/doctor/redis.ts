import { Redis } from 'ioredis';
import { type Finding, fail, ok, reasonOf, warn } from './finding.ts';

const OLDEST = 7;

const fieldOf = (info: string, name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';

export const openRedis = async (url: string): Promise<Redis | Finding> => {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: 3_000,
    commandTimeout: 3_000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // What does not answer is not waited for to say goodbye.
    disconnectTimeout: 100,
  });
  let reported: unknown;
  redis.on('error', (error) => {
    reported = error;
  });
  try {
    await redis.connect();
    await redis.ping();
    return redis;
  } catch (error) {
    redis.disconnect();
    const refused = /NOAUTH|WRONGPASS/.test(String(error))
      ? 'the password is missing or wrong'
      : reasonOf(reported ?? error);
    return fail('redis', `${new URL(url).host} does not answer (${refused}).`, 'Start Redis, or correct REDIS_URL.');
  }
};

export const checkRedis = async (redis: Redis, url: string): Promise<Finding[]> => {
  const start = performance.now();
  const info = await redis.info();
  const ms = Math.round(performance.now() - start);
  const version = fieldOf(info, 'redis_version');
  const policy = fieldOf(info, 'maxmemory_policy');
  const found: Finding[] = [];
  if (Number.parseInt(version, 10) < OLDEST)
    found.push(fail('redis', `Redis ${version} is too old.`, 'Use Redis 7 or later.'));
  if (policy !== 'noeviction' && fieldOf(info, 'maxmemory') !== '0')
    found.push(
      fail(
        'redis',
        `Redis may throw keys out (maxmemory-policy ${policy}): what should end a session might not find it.`,
        'Set maxmemory-policy noeviction.',
      ),
    );
  const { protocol, hostname } = new URL(url);
  if (protocol === 'redis:' && !/^(localhost|127\.|\[::1\])/.test(hostname))
    found.push(
      warn(
        'redis',
        'The connection to Redis may cross a network in the clear.',
        'Use rediss://, unless that network is yours alone.',
      ),
    );
  return found.length > 0 ? found : [ok('redis', `Redis ${version} at ${new URL(url).host} answers in ${ms} ms.`)];
};
