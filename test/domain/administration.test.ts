// A ban where the two stores part: Postgres decides, Redis is brought along or the request fails.
import test from 'ava';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { createAccounts } from '../../src/domain/accounts.ts';
import { createAdministration } from '../../src/domain/administration.ts';
import { auditMac, createAudit } from '../../src/domain/audit.ts';
import { createForeignHashes } from '../../src/domain/password-hashes/foreign.ts';
import { createPasswordReset } from '../../src/domain/password-reset.ts';
import { createPasswords } from '../../src/domain/passwords.ts';
import { createSecrets } from '../../src/domain/secrets.ts';
import { storeDown } from '../../src/http/store-down.ts';
import { createMail } from '../../src/mail/outbox.ts';
import type { Artifacts } from '../../src/storage/artifacts.ts';
import { createLayeredArtifacts } from '../../src/storage/artifacts-layered.ts';
import { createPostgresArtifacts } from '../../src/storage/artifacts-postgres.ts';
import { createRedisArtifacts } from '../../src/storage/artifacts-redis.ts';
import { openStores } from '../../src/storage/open-stores.ts';
import type { Stores } from '../../src/storage/stores.ts';
import { testDatabase } from '../helpers/database.ts';
import { testRedis, withRedisOf } from '../helpers/redis.ts';

const redis = await testRedis();
const database = await testDatabase();
test.after.always(async () => {
  await redis?.close();
  await database.close();
});

const { withRedis, suffix } = withRedisOf(redis);

const openOnDatabase = () =>
  openStores({
    databaseUrl: database.connectionString,
    dataDir: '',
    mode: 'share',
    migrations: 'require',
    onError: () => {},
  });

/** As the service puts it together. */
const administrationOf = (stores: Stores, artifacts: Artifacts) => {
  const secrets = createSecrets('a master key for tests, 32 bytes or more');
  const passwords = createPasswords({ minLength: 6, blocklist: false, serviceNames: [] }, createForeignHashes(secrets));
  const accounts = createAccounts({ ...stores, artifacts }, passwords);
  const audit = createAudit(stores.auditLog(auditMac(secrets)), secrets, () => undefined);
  const mail = createMail(
    stores.outgoingMails,
    secrets,
    { appName: 'User Auth', host: 'localhost' },
    undefined,
    pino({ level: 'silent' }),
  );
  const administration = createAdministration({
    users: stores.users,
    search: stores.userSearch,
    store: stores.administration,
    roles: stores.roles,
    artifacts,
    atomically: stores.atomically,
    accounts,
    passwordReset: createPasswordReset(
      { ...stores, artifacts },
      passwords,
      mail,
      audit,
      async () => true,
      'http://localhost',
      (id) => id,
    ),
    mail,
    audit,
  });
  return { accounts, administration, audit };
};

withRedis(
  `a ban holds although Redis fails in its middle, says so, and ends the rest when it is repeated${suffix}`,
  async (t) => {
    if (!redis) return;
    const stores = await openOnDatabase();
    const client = new Redis(redis.url, { enableOfflineQueue: false, lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {});
    t.teardown(async () => {
      client.disconnect();
      await stores.close();
    });
    await client.connect();
    const artifacts = createLayeredArtifacts(
      createRedisArtifacts(client, { prefix: redis.prefix }),
      createPostgresArtifacts(database.pool),
    );
    const { accounts, administration, audit } = administrationOf(stores, artifacts);
    const admin = await accounts.create({ email: 'admin@example.com', password: 'secret1', role: 'admin' });
    const user = await accounts.create({ email: 'user@example.com', password: 'secret1' });
    const entry = { payload: 'sealed', expiresAt: Date.now() / 1000 + 3600, accountId: user.id };
    for (const model of ['Session', 'AccessToken', 'Grant', 'RefreshToken'])
      await artifacts.upsert(model, 'id', { ...entry, grantId: 'grant' });

    client.disconnect();
    const failure = await t.throwsAsync(administration.ban(admin, user.id, { reason: 'spam' }));
    t.true(failure && storeDown(failure), 'answered with 503');
    t.is(await accounts.find(user.id), undefined);
    t.is(await accounts.authenticate('user@example.com', 'secret1'), undefined);
    t.is((await database.pool.query('SELECT FROM oauth_tokens WHERE account_id = $1', [user.id])).rowCount, 0);
    t.like((await audit.list({ target: user.id }, undefined, 1))[0], { type: 'user.banned' });

    await client.connect();
    t.truthy(await artifacts.find('Session', 'id'), 'what only Redis has is still there');
    await administration.ban(admin, user.id, { reason: 'spam' });
    for (const model of ['Session', 'AccessToken', 'Grant', 'RefreshToken'])
      t.is(await artifacts.find(model, 'id'), undefined, model);

    // The same, left to the end of the ban.
    await artifacts.upsert('Session', 'late', entry);
    await administration.unban(admin, user.id);
    t.is(await artifacts.find('Session', 'late'), undefined);
    t.truthy(await accounts.find(user.id));
  },
);

test('somebody who is made an administrator in between is not changed by who may not change administrators', async (t) => {
  const stores = await openOnDatabase();
  t.teardown(() => stores.close());
  const { pool } = database;
  await pool.query("INSERT INTO roles (name, permissions) VALUES ('support', '{read:users,write:users}')");
  let promoted = '';
  const { accounts } = administrationOf(stores, stores.artifacts);
  const { administration } = administrationOf(
    {
      ...stores,
      // Just after they were found to be within reach, and before they are changed.
      async atomically(work) {
        await pool.query("UPDATE users SET role = 'admin' WHERE id = $1", [promoted]);
        return stores.atomically(work);
      },
    },
    stores.artifacts,
  );
  await accounts.create({ email: 'another-admin@example.com', password: 'secret1', role: 'admin' });
  const support = await accounts.create({ email: 'support@example.com', password: 'secret1', role: 'support' });
  for (const [name, act] of Object.entries({
    update: (id: string) => administration.update(support, id, { email: 'thief@example.com' }),
    ban: (id: string) => administration.ban(support, id, { reason: 'x' }),
    erase: (id: string) => administration.erase(support, id),
  })) {
    const { id, email } = await accounts.create({ email: `${name}@example.com`, password: 'secret1' });
    promoted = id;
    await t.throwsAsync(act(id), { code: 'beyond_own_role' }, name);
    t.like(await accounts.find(id), { email, role: 'admin' }, name);
  }
});
