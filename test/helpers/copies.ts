// What a thief has who got a copy of both stores.
import { keysOf } from './redis.ts';
import type { TestServer } from './server.ts';

/** Shorter ones could be guessed without any copy. */
const LONG = 16;

/** Every row of every table, as JSON. */
const dumpPostgres = async ({ database: { pool } }: TestServer): Promise<string[]> => {
  const { rows: tables } = await pool.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  const rows: string[] = [];
  for (const { tablename } of tables)
    rows.push(
      ...(await pool.query(`SELECT to_jsonb(t)::text AS row FROM "${tablename}" t`)).rows.map(({ row }) => row),
    );
  return rows;
};

/** Every key and everything under it. */
const dumpRedis = async ({ redis }: TestServer): Promise<string[]> => {
  if (!redis) return [];
  const { client } = redis;
  const read: Record<string, (key: string) => Promise<unknown>> = {
    hash: (key) => client.hgetall(key),
    string: (key) => client.get(key),
    zset: (key) => client.zrange(key, '0', '-1'),
    set: (key) => client.smembers(key),
    list: (key) => client.lrange(key, '0', '-1'),
  };
  return Promise.all(
    (await keysOf(client, redis.prefix)).map(async (key) => {
      const type = await client.type(key);
      const value = await read[type]?.(key);
      if (value === undefined && type !== 'none') throw new Error(`what is a ${type}?`);
      return JSON.stringify([key.slice(redis.prefix.length), value]);
    }),
  );
};

/** Both stores, row by row and key by key. */
export const copiesOf = async (server: TestServer): Promise<string[]> => [
  ...(await dumpPostgres(server)),
  ...(await dumpRedis(server)),
];

/** How a secret could be spelt. */
export const spellings = (secret: string): string[] => {
  const bytes = Buffer.from(secret);
  // The last characters of Base64 depend on what follows.
  const base64 = bytes.toString('base64').replace(/=+$/, '').slice(0, -1);
  const decoded = /^[\w-]{20,}$/.test(secret) ? Buffer.from(secret, 'base64url').toString('hex') : secret;
  return [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    base64,
    base64.replaceAll('+', '-').replaceAll('/', '_'),
    bytes.toString('hex'),
    decoded,
    // What is secret of a JWT is its signature.
    ...(/^eyJ[^.]+\.[^.]+\.[\w-]{20,}$/.test(secret) ? [secret.split('.')[2] ?? ''] : []),
  ];
};

/** Every string in it that could be a credential. */
export const stringsOf = (rows: string[]): string[] => {
  const found = new Set<string>();
  const add = (value: unknown): void => {
    if (typeof value === 'string') {
      if (value.length >= LONG && value.length <= 2_048) found.add(value);
      for (const [word] of value.matchAll(/[\w~.+/=-]+/g))
        if (word.length >= LONG && word.length <= 2_048) found.add(word);
      for (const part of value.split(/[:$,]/)) if (part.length >= LONG && part.length <= 2_048) found.add(part);
    } else if (typeof value === 'object' && value !== null)
      for (const [name, inner] of Object.entries(value)) {
        add(name);
        add(inner);
      }
  };
  for (const row of rows) add(JSON.parse(row));
  // What no header can carry is tried in none.
  return [...found].filter((value) => /^[\x21-\x7e ]+$/.test(value));
};
