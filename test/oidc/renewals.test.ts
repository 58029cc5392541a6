// A grant that is saved again by who found it a moment ago.
import test from 'ava';
import { Provider } from 'oidc-provider';
import { createSecrets } from '../../src/domain/secrets.ts';
import { createAdapterFactory } from '../../src/oidc/adapter.ts';
import type { KnownClients } from '../../src/oidc/known-clients.ts';
import { renew } from '../../src/oidc/renewals.ts';
import { createPostgresArtifacts } from '../../src/storage/artifacts-postgres.ts';
import { type TestDatabase, testDatabase } from '../helpers/database.ts';

let database: TestDatabase;
let provider: Provider;
test.before(async () => {
  database = await testDatabase();
  const secrets = createSecrets('a master key of at least 32 bytes, for tests');
  const known = { generationOf: async () => 'the first' } as unknown as KnownClients;
  const adapter = createAdapterFactory(createPostgresArtifacts(database.pool), known, secrets, 60, 3600);
  provider = new Provider('http://localhost', { adapter, ttl: { Grant: 60 } });
});
test.after.always(() => database?.close());

const found = async () => {
  const id = await new provider.Grant({ accountId: 'ada', clientId: 'app' }).save();
  const grant = await provider.Grant.find(id);
  if (!grant) throw new Error('the grant is not there');
  grant.addOIDCScope('openid');
  return { id, grant };
};

test('a grant that is there is renewed', async (t) => {
  const { id, grant } = await found();
  t.is(await renew(grant), id);
  t.is((await provider.Grant.find(id))?.getOIDCScope(), 'openid');
});

test('a grant that was ended since it was found stays ended', async (t) => {
  const { id, grant } = await found();
  await provider.Grant.adapter.destroy(id);
  await renew(grant);
  t.is(await provider.Grant.find(id), undefined);
  await grant.save();
  t.truthy(await provider.Grant.find(id), 'as saving it would not have left it');
});
