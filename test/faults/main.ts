// npm run test:faults: two servers on one PostgreSQL and one Redis, people who use them, and everything that goes wrong in production.
//
//   FAULTS_SECONDS=180   a short run: every fault once, each for 3 s. Otherwise about 13 minutes: each for 10 s, over and over.
//   FAULTS_ONLY=Redis    only the faults whose name contains this.
import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, faultsOf } from './faults.ts';
import { checkAuditChain, checkIdTokens, checkLedger } from './final-checks.ts';
import { openInstallation } from './installation.ts';
import { createSteady, type Steady } from './steady.ts';
import { Missing } from './stores.ts';
import { startTraffic } from './traffic.ts';

const SECONDS = Number(process.env.FAULTS_SECONDS || 780);
const ONLY = process.env.FAULTS_ONLY ?? '';
const IS_SHORT = SECONDS < 300;
const LASTS_MS = IS_SHORT ? 3_000 : 10_000;
/** Between two faults all is to be well. */
const CALM_MS = IS_SHORT ? 500 : 3_000;
/** What is under way when a store goes may take this long to find out. */
const NOTICED_MS = 1_000;

const askMeanwhile = async (fault: Fault, steady: Steady, until: number): Promise<void> => {
  if (!fault.without) return sleep(until - Date.now());
  const ask = fault.without === 'redis' ? steady.withoutRedis : steady.withoutPostgres;
  await sleep(NOTICED_MS);
  for (let asked = 0; Date.now() < until || asked === 0; asked += 1) {
    await ask();
    await sleep(300);
  }
};

const run = async (): Promise<number> => {
  const installation = await openInstallation();
  const { world, report, env, dir, smtp } = installation;
  try {
    const steady = await createSteady(world);
    const traffic = startTraffic(world, IS_SHORT ? 6 : 8);
    const faults = faultsOf(installation).filter(({ name }) => name.includes(ONLY));
    const deadline = Date.now() + SECONDS * 1000;
    await sleep(CALM_MS);
    // Every fault once, whatever the clock says; then again for as long as there is time.
    for (let round = 0; round === 0 || Date.now() < deadline; round += 1)
      for (const fault of faults) {
        if (round > 0 && Date.now() > deadline) break;
        await steady.prepare();
        report.during(fault.name);
        await fault.inject();
        if (!fault.momentary) await askMeanwhile(fault, steady, Date.now() + LASTS_MS);
        await fault.mend();
        await steady.recovers(fault.name);
        report.during('');
        await sleep(CALM_MS);
      }
    report.say('the dust settles');
    const people = await traffic.stop();
    await checkIdTokens(world, world.idTokens);
    await checkLedger(world, people, smtp);
    await checkAuditChain(world, env, dir);
    report.print();
    return report.violations() === 0 ? 0 : 1;
  } finally {
    await installation.close(report.violations() > 0);
  }
};

try {
  process.exitCode = await run();
} catch (error) {
  process.stderr.write(`${error instanceof Missing ? error.message : Object(error).stack}\n`);
  process.exitCode = 1;
}
