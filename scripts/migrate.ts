// Brings the database up to date: npm run migrate
import { script, withStores } from './with-app.ts';

await script(() =>
  withStores({ migrations: 'apply', redisUrl: undefined }, async ({ appliedMigrations }) => ({
    applied: appliedMigrations,
  })),
);
