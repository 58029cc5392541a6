// Looks at a deployment and says in words what to mend: npm run doctor [-- --json]. It changes nothing. Exit code 1 where something
// has to be mended.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { Client } from 'pg';
import { type Config, ConfigError, loadConfig } from '../src/config.ts';
import { DataDirError } from '../src/storage/data-dir.ts';
import { StoreError } from '../src/storage/open-stores.ts';
import { readKept } from './backup-file.ts';
import { argumentsOf } from './command-line.ts';
import { withConnection } from './database.ts';
import { checkClients } from './doctor/clients.ts';
import { checkClocks } from './doctor/clock.ts';
import { type Finding, fail, guarded, reasonOf, skipped } from './doctor/finding.ts';
import { checkIssuer, checkProxies } from './doctor/issuer.ts';
import { checkKeys, signingKeysOf } from './doctor/keys.ts';
import { checkMail, checkOutbox } from './doctor/mail.ts';
import { checkMigrations, checkPeople, checkPostgres } from './doctor/postgres.ts';
import { checkRedis, openRedis } from './doctor/redis.ts';
import { checkSettings } from './doctor/settings.ts';

const masterKeyOf = async ({ masterKey, jwtSecretKey, production, dataDir }: Config): Promise<string | undefined> => {
  const named = masterKey ?? (production ? jwtSecretKey : undefined);
  const kept = named === undefined ? Object(await readKept(dataDir, 'secrets.json')).masterKey : undefined;
  return named ?? (typeof kept === 'string' ? kept : undefined);
};

const ofDatabase = async (db: Client, redis: Redis | undefined, config: Config, masterKey: string | undefined) => {
  const findings = [
    ...(await guarded('postgres', () => checkPostgres(db, config))),
    ...(await guarded('clock', () => checkClocks(db, redis))),
    ...(await guarded('migrations', () => checkMigrations(db))),
  ];
  // What is in the tables can be asked once they are there.
  if (findings.some(({ check, status }) => check === 'migrations' && status === 'fail'))
    return {
      findings: [...findings, skipped('keys, outbox, clients, people', 'The migrations come first.')],
      kids: [],
    };
  const keys = await signingKeysOf(db);
  findings.push(
    ...(await guarded('keys', () => checkKeys(keys, config, masterKey))),
    ...(await guarded('outbox', () => checkOutbox(db))),
    ...(await guarded('clients', () => checkClients(db, config))),
    ...(await guarded('people', () => checkPeople(db, config))),
  );
  return { findings, kids: keys.filter(({ last, days }) => last && days >= 0).map(({ kid }) => kid) };
};

const examine = async (): Promise<Finding[]> => {
  let loaded: ReturnType<typeof loadConfig>;
  try {
    loaded = loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const mend = '.env.example says what each variable takes.';
    return [
      ...error.problems.map((problem) => fail('configuration', `${problem}.`, mend)),
      skipped('everything else', 'The configuration comes first.'),
    ];
  }
  const { config, warnings } = loaded;
  const findings = checkSettings(config, warnings);
  const masterKey = await masterKeyOf(config).catch(() => undefined);

  const redis = config.redisUrl === undefined ? undefined : await openRedis(config.redisUrl);
  const connected = redis !== undefined && 'ping' in redis ? redis : undefined;
  if (redis === undefined) findings.push(skipped('redis', 'There is no REDIS_URL: all is in the database.'));
  else if ('check' in redis) findings.push(redis);
  else findings.push(...(await guarded('redis', () => checkRedis(redis, config.redisUrl ?? ''))));

  let kids: string[] = [];
  try {
    // Looking must not make one.
    if (!config.databaseUrl && !existsSync(join(config.dataDir, 'postgres')))
      findings.push(
        fail('postgres', `There is no database in DATA_DIR ${config.dataDir} yet.`, 'Start the server once.'),
      );
    else
      await withConnection(config, async (db) => {
        const answer = await ofDatabase(db, connected, config, masterKey);
        findings.push(...answer.findings);
        kids = answer.kids;
      });
  } catch (error) {
    const ours = error instanceof StoreError || error instanceof DataDirError;
    const says = ours ? error.message : `The database cannot be used (${reasonOf(error)}).`;
    findings.push(fail('postgres', says, 'Start PostgreSQL, or correct DATABASE_URL.'));
  } finally {
    connected?.disconnect();
  }

  findings.push(...(await guarded('mail', () => checkMail(config))));
  const issuer = await checkIssuer(config, kids);
  findings.push(...issuer.findings);
  if (issuer.reached) findings.push(...(await guarded('proxy', () => checkProxies(config, masterKey))));
  else findings.push(skipped('proxy', 'The issuer comes first.'));
  return findings;
};

const WORDS: Record<Finding['status'], string> = { ok: 'ok', warn: 'look', fail: 'MEND', skipped: '-' };

const inWords = (findings: Finding[]): string => {
  const lines = findings.map(({ check, status, says, mend }) =>
    [`${WORDS[status].padEnd(5)} ${check.padEnd(14)} ${says}`, ...(mend ? [`${' '.repeat(21)}${mend}`] : [])].join(
      '\n',
    ),
  );
  const count = (status: Finding['status']) => findings.filter((finding) => finding.status === status).length;
  return [...lines, '', `${count('ok')} in order, ${count('warn')} to look at, ${count('fail')} to mend`, ''].join(
    '\n',
  );
};

try {
  const { json } = argumentsOf({ json: { type: 'boolean' } }, '[--json]');
  const checks = await examine();
  const failed = checks.some(({ status }) => status === 'fail');
  process.stdout.write(json ? `${JSON.stringify({ healthy: !failed, checks }, null, 2)}\n` : inWords(checks));
  process.exitCode = failed ? 1 : 0;
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message.split('\n')[0] : String(error)}\n`);
  process.exitCode = 1;
}
