// Publishes the next signing keys, which take over by themselves once everybody can have fetched them: npm run rotate-keys
import { argumentsOf, script, withApp } from './with-app.ts';

await script(() => {
  argumentsOf({}, '');
  return withApp(async ({ keyring }) =>
    (await keyring.rotate()).map(({ kid, alg, state, activeFrom }) => ({ kid, alg, state, active_from: activeFrom })),
  );
});
