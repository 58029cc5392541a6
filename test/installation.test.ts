import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { demoSecrets } from '../src/demo.ts';
import { installationSecrets } from '../src/installation.ts';

const directory = async (t: { teardown(f: () => Promise<void>): void }) => {
  const dir = await mkdtemp(join(tmpdir(), 'installation-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'data');
};

test('outside production the master key is generated once, and a JWT secret set later does not replace it', async (t) => {
  const dataDir = await directory(t);
  const first = await installationSecrets({ dataDir, production: false });
  t.true(first.masterKey.length >= 32);
  t.deepEqual(await installationSecrets({ dataDir, production: false }), first);
  const later = await installationSecrets({ dataDir, production: false, jwtSecretKey: 'x'.repeat(32) });
  t.is(later.masterKey, first.masterKey);
});

test('a master key that is named is the one, everywhere', async (t) => {
  const masterKey = 'm'.repeat(32);
  for (const production of [true, false])
    t.is((await installationSecrets({ dataDir: await directory(t), production, masterKey })).masterKey, masterKey);
});

test('in production the JWT secret stands in for a master key that is not set', async (t) => {
  const jwtSecretKey = 'j'.repeat(32);
  const { masterKey } = await installationSecrets({ dataDir: await directory(t), production: true, jwtSecretKey });
  t.is(masterKey, jwtSecretKey);
});

test('the demo has its secrets also where nothing else has made the data directory', async (t) => {
  const dataDir = await directory(t);
  const first = await demoSecrets(dataDir);
  t.true(first.password.length > 8);
  t.deepEqual(await demoSecrets(dataDir), first);
});
