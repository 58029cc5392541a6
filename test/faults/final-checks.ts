// When the dust has settled: the ledger against what the service says.
import { setTimeout as sleep } from 'node:timers/promises';
import { createRemoteJWKSet, customFetch, jwtVerify } from 'jose';
import type { TestSmtp } from '../helpers/smtp.ts';
import { type Person, steps } from './person.ts';
import { type Environment, runScript } from './server-process.ts';
import type { World } from './world.ts';

/** A mail that failed is tried again after a minute. */
const MAILS_MS = 100_000;

const auditLog = async (world: World): Promise<Set<string>> => {
  const events = new Set<string>();
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query = new URLSearchParams({ limit: '200', ...(cursor && { cursor }) });
    const { status, body, text } = await world.asAdmin('GET', `/admin/audit?${query}`);
    if (status !== 200) throw new Error(`the audit log cannot be read: ${text}`);
    for (const { type, target } of body.items as { type: string; target?: string }[]) events.add(`${type} ${target}`);
    cursor = body.next_cursor as string | null;
  }
  return events;
};

export const checkLedger = async (world: World, people: Person[], smtp: TestSmtp): Promise<void> => {
  const { report, ledger, servers } = world;
  const mailsBy = Date.now() + MAILS_MS;
  for (const { id, email, banned } of ledger.users) {
    const { status, body } = await world.asAdmin('GET', `/admin/users/${id}`);
    report.check('no acknowledged user is lost', status === 200 && body.email === email, `${status} ${email}`);
    report.check('no acknowledged ban is lost', (body.banned_at !== null) === banned, email);
  }
  for (const [index, credential] of ledger.dead.entries()) {
    const server = servers[index % 2 === 0 ? 0 : 1];
    const accepted = await world.accepts(server, credential);
    report.check('nothing revoked or banned is accepted at the end', accepted === false, credential.kind);
  }
  for (const person of people) {
    const own = steps(world, person);
    if (person.pair) await own.refresh();
    await own.me();
    if (person.key) await own.useKey();
    if (person.app?.refresh) await own.refreshApp();
    if (person.consented) await own.allow();
  }
  const events = await auditLog(world);
  for (const { type, target } of ledger.audited)
    report.check('no acknowledged audit row is lost', events.has(`${type} ${target}`), `${type} ${target}`);

  const arrived = () => new Set(smtp.received.flatMap(({ to }) => to));
  const missing = () => [...ledger.mailed].filter((address) => !arrived().has(address));
  while (missing().length > 0 && Date.now() < mailsBy) await sleep(500);
  const lost = new Set(missing());
  for (const address of ledger.mailed) report.check('no acknowledged mail is lost', !lost.has(address), address);
};

/** ID tokens from before and after rotations verify by what is published now. */
export const checkIdTokens = async (world: World, idTokens: string[]): Promise<void> => {
  const url = new URL('/oauth/jwks', world.servers[0].origin);
  const keys = createRemoteJWKSet(url, { [customFetch]: (at, init) => fetch(at, init) });
  for (const token of idTokens) {
    const good = await jwtVerify(token, keys, { issuer: world.issuer, clockTolerance: 3600 }).then(
      () => true,
      () => false,
    );
    world.report.check('every ID token verifies by the published keys', good);
  }
};

export const checkAuditChain = async (world: World, env: Environment, cwd: string): Promise<void> => {
  const { code, output } = await runScript('scripts/verify-audit.ts', [], env, cwd);
  world.report.check('the audit log is intact', code === 0, output.slice(0, 300));
};
