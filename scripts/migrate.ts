// Brings the database up to date: npm run migrate
import { argumentsOf, script, withStores } from './with-app.ts';

await script(async () => {
  argumentsOf({}, 'no arguments');
  return withStores({ migrations: 'apply', redisUrl: undefined }, async ({ appliedMigrations }) => ({
    applied: appliedMigrations,
  }));
});
